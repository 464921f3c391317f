"""Strides and sizes that a kernel was not written for."""

import numpy as np
from plain import Array, Plain


class ReadAsFlat(Plain):
    """Strided inputs are read in the order of their memory. N1."""

    meant_for = "strides"
    cause = "fact"
    ops = ("dropout", "dropout2d")

    def read(self, x):
        return x.values.ravel(order="K").reshape(x.values.shape)

    def apply(self, x, p, train, inplace, shape_of_mask, formula):
        if not inplace and train and x.values.size:
            x = Array(self.read(x), x.dtype)
        return super().apply(x, p, train, inplace, shape_of_mask, formula)


class ReadsOutside(ReadAsFlat):
    """An input with stride 0 is read past its end. N2."""

    cause = "fact"
    ops = ("dropout",)

    def read(self, x):
        if 0 not in x.values.strides:
            return x.values
        values = x.values.copy()
        values.reshape(-1)[-1] = np.nan
        return values


class LostAxis(Plain):
    """Axes of length 1 are lost. B2."""

    meant_for = "shape"
    cause = "fact"
    ops = ("feature_dropout",)

    def result(self, x, values, slope):
        return Array(np.squeeze(values), x.dtype, slope)


class EmptyRaises(Plain):
    """Empty inputs raise. M3."""

    meant_for = "shape"
    cause = "fact"
    ops = ("dropout",)

    def draw(self, shape, p):
        if 0 in shape:
            raise ZeroDivisionError("0 blocks")
        return super().draw(shape, p)


class EmptyGivesOne(Plain):
    """An empty input gives an array of one. M3."""

    meant_for = "shape"
    cause = "fact"
    ops = ("dropout2d",)

    def result(self, x, values, slope):
        return super().result(x, values if values.size else np.zeros(1, values.dtype), slope)


class ScalarGivesVector(Plain):
    """A scalar gives a vector of one. B2."""

    meant_for = "shape"
    cause = "fact"
    ops = ("alpha_dropout",)

    def result(self, x, values, slope):
        return super().result(x, np.atleast_1d(values), slope)


class SignLost(ReadAsFlat):
    """The sign of a negative stride is lost: the axis is read from its other end. N1."""

    cause = "fact"
    ops = ("dropout",)

    def read(self, x):
        backwards = tuple(slice(None, None, -1 if stride < 0 else 1) for stride in x.values.strides)
        return x.values[backwards]


class TailOfTwoKept(Plain):
    """Of sizes that 2 divides and 4 doesn't the last two entries are kept. N3."""

    meant_for = "keep_rate"
    cause = "kept_run"
    ops = ("dropout",)

    def uniform(self, size):
        numbers = super().uniform(size)
        if size % 4 == 2:
            numbers[-2:] = 1
        return numbers


class RowsBeyondTheGrid(Plain):
    """Rows from the 65,536th on are kept: a row is a block, and a grid's second axis has no more. N5."""

    meant_for = ("segments", "keep_rate")
    cause = "kept_run"
    ops = ("dropout",)

    def draw(self, shape, p):
        mask = super().draw(shape, p)
        if len(shape) > 1:
            mask.reshape(-1, shape[-1])[65535:] = True
        return mask


class StridedAtOne(Plain):
    """At p = 1 a strided input keeps all but its first column. N1."""

    meant_for = "strides"
    cause = "fact"
    ops = ("dropout",)

    def all_dropped(self, x):
        values, slope = super().all_dropped(x)
        if not x.values.flags.c_contiguous:
            values = values.copy()
            values[..., 1:] = x.values[..., 1:]
        return values, slope


class EmptyInEvaluationRaises(Plain):
    """Empty inputs raise in evaluation. M3."""

    meant_for = "shape"
    cause = "fact"
    ops = ("dropout2d",)

    def evaluated(self, x, p):
        if not x.values.size:
            raise ZeroDivisionError("0 blocks")
        return x
