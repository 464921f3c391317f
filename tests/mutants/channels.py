"""Masks at another granularity than the contract's."""

import math

import numpy as np
from plain import Plain


class ElementMask(Plain):
    """A channel operator draws for each element. M1."""

    meant_for = "constancy"
    cause = "by_element"
    ops = ("dropout2d", "feature_alpha_dropout")

    def channels(self, x):
        super().channels(x)
        return x.values.shape


class LastAxis(Plain):
    """Takes the last axis for the channels. M1."""

    meant_for = "constancy"
    cause = "by_axis"
    ops = ("dropout3d",)

    def channels(self, x):
        first, *rest = super().channels(x)
        return (first, *(1 for _ in rest[1:]), x.values.shape[-1])


class UnbatchedAsBatched(Plain):
    """An input without a batch axis is read as a batch: its rows are dropped singly. M1."""

    meant_for = ("constancy", "shape")
    cause = "by_element"
    ops = ("dropout1d", "dropout3d")

    def channels_of_one(self, x):
        return self.channels(x)


class StepByStep(Plain):
    """Variational dropout draws a mask for each step. No row: the reference's note on reuse of masks."""

    meant_for = "constancy"
    cause = "by_element"
    ops = ("variational_dropout",)

    def variational_dropout(self, x, p, train):
        return self.dropout(x, p, train)


class BatchedAsUnbatched(Plain):
    """Rank 3 in `dropout2d` is read as one sample: (N, C, L) drops whole samples. M2."""

    meant_for = ("constancy", "shape", "neighbours")
    cause = "shared_axis:1"
    ops = ("dropout2d",)

    def channels(self, x):
        return self.channels_of_one(x) if x.values.ndim == 3 else super().channels(x)


class NoRankRefused(Plain):
    """A vector is taken for a batch of channels. M1, J4."""

    meant_for = "arguments"
    cause = "fact"
    ops = ("feature_dropout",)

    def channels(self, x):
        return super().channels(x) if x.values.ndim > 1 else x.values.shape


class PlanesInBlocks(Plain):
    """Planes of more than 1,024 elements are drawn in blocks of 1,024. N3, M1."""

    meant_for = "constancy"
    cause = "by_axis"
    ops = ("dropout2d",)

    def mask(self, x, shape, p):
        plane = math.prod(x.values.shape[2:])
        if plane <= 1024:
            return super().mask(x, shape, p)
        blocks = self.draw((*shape[:2], -(-plane // 1024)), p)
        return np.repeat(blocks, 1024, axis=2)[:, :, :plane].reshape(x.values.shape)


class TornWhereStrided(Plain):
    """Draws for each element where the input isn't contiguous. M1, N1."""

    meant_for = "constancy"
    cause = "strided_constancy"
    ops = ("dropout2d",)

    def channels(self, x):
        return super().channels(x) if x.values.flags.c_contiguous else x.values.shape


class OneChannelByElement(Plain):
    """An input with one channel is taken for one without: its elements are dropped. M1."""

    meant_for = "constancy"
    cause = "by_element"
    ops = ("dropout2d",)

    def channels(self, x):
        shape = super().channels(x)
        return x.values.shape if shape[1] == 1 else shape


class MiddleAxis(Plain):
    """The mask varies along the second of three spatial axes. M1."""

    meant_for = "outcomes"
    cause = "by_axis"
    ops = ("dropout3d",)

    def channels(self, x):
        shape = super().channels(x)
        return (*shape[:3], x.values.shape[3], 1) if len(shape) == 5 else shape
