"""What is written, and what must not be."""

import numpy as np
from plain import Array, Plain


class ReturnsACopy(Plain):
    """The in-place form returns a new array, and leaves its input as it was. L1, L2."""

    meant_for = "inplace"
    cause = "fact"
    ops = ("dropout_", "dropout2d")

    def written(self, x, values, slope):
        return Array(values, x.dtype, slope)


class CopyInEvaluation(Plain):
    """In evaluation the in-place form returns a copy: what is written to it later is lost. L1."""

    meant_for = "inplace"
    cause = "returned_other"
    ops = ("dropout_",)

    def evaluated(self, x, p):
        return Array(x.values.copy(), x.dtype)


class WritesAnotherMask(Plain):
    """What is written to the input is not what is returned. L2, D1."""

    meant_for = "inplace"
    cause = "fact"
    ops = ("dropout_",)

    def written(self, x, values, slope):
        super().written(x, np.flip(values), slope)
        return Array(values, x.dtype, slope)


class NotWrittenAtOne(Plain):
    """In place at p = 1, zeros are returned and not written. L1, L3."""

    meant_for = "inplace"
    cause = "fact"
    ops = ("dropout_",)

    def written(self, x, values, slope):
        return super().written(x, values, slope) if np.any(slope) else Array(values, x.dtype, slope)


class WritesToItsInput(Plain):
    """The product inside is in place, where a new array was asked for. L3."""

    meant_for = "purity"
    cause = ("writes", "fact")
    ops = ("alpha_dropout",)

    def result(self, x, values, slope):
        x.values[...] = values
        return super().result(x, values, slope)


class WritesInTheGradient(Plain):
    """The forward pass of a gradient writes to the array that was given. L3."""

    meant_for = "purity"
    cause = "writes_backward"
    ops = ("dropout2d",)

    def vjp(self, fn, x, cotangent):
        out, gradient = super().vjp(fn, x, cotangent)
        x.values[...] = out.values
        return out, gradient


class ZeroesItsInput(Plain):
    """At p = 1 the input is set to zero, where a new array was asked for. L3."""

    meant_for = "purity"
    cause = "fact"
    ops = ("dropout", "dropout2d")

    def all_dropped(self, x):
        values, slope = super().all_dropped(x)
        x.values[...] = 0
        return values, slope


class WritesInEvaluation(Plain):
    """In evaluation NaN in the input is set to zero, once the output was copied. L3."""

    meant_for = "purity"
    cause = "fact"
    ops = ("feature_dropout",)

    def apply(self, x, p, train, inplace, shape_of_mask, formula):
        out = super().apply(x, p, train, inplace, shape_of_mask, formula)
        if not train and not inplace:
            out = Array(x.values.copy(), x.dtype)
            x.values[np.isnan(x.values)] = 0
        return out


class InPlace(Plain):
    """A backend whose hooks can tell that the in-place form was called."""

    in_place = False

    def apply(self, x, p, train, inplace, shape_of_mask, formula):
        self.in_place = inplace
        try:
            return super().apply(x, p, train, inplace, shape_of_mask, formula)
        finally:
            self.in_place = False


class InPlaceByElement(InPlace):
    """The in-place form of a channel operator draws for each element. L3, M1."""

    meant_for = "constancy"
    cause = "by_element"
    ops = ("dropout2d",)
    where = "inplace"

    def channels(self, x):
        return x.values.shape if self.in_place else super().channels(x)


class InPlaceKeepsWithP(InPlace):
    """The in-place form keeps with p. F1."""

    meant_for = "keep_rate"
    cause = "rate:exchanged"
    ops = ("alpha_dropout",)
    where = "inplace"

    def draw(self, shape, p):
        return super().draw(shape, 1 - p if self.in_place else p)


class InPlaceGradientFlipped(InPlace):
    """The gradient of the in-place form has the mask turned round. L3."""

    meant_for = "gradient"
    cause = "slope:turned"
    ops = ("dropout",)
    where = "inplace"

    def written(self, x, values, slope):
        return super().written(x, values, np.flip(slope) if np.ndim(slope) else slope)


class InPlaceUnchecked(InPlace):
    """The in-place form takes any p. J4."""

    meant_for = "arguments"
    cause = "fact"
    ops = ("dropout1d",)
    where = "inplace"

    def check(self, p, train):
        if not self.in_place:
            super().check(p, train)


class WritesToACopyWhereStrided(Plain):
    """A strided input is made contiguous first, and that copy is written to. L2, N1."""

    meant_for = "strides"
    cause = "fact"
    ops = ("dropout_",)

    def written(self, x, values, slope):
        return super().written(x, values, slope) if x.values.flags.c_contiguous else Array(values, x.dtype, slope)


class OffsetLost(Plain):
    """A slice is written to from the start of the memory that it is of. No row: nobody has reported it yet."""

    meant_for = "inplace"
    cause = "fact"
    ops = ("dropout_", "feature_dropout")

    def written(self, x, values, slope):
        if not isinstance(whole := x.values.base, np.ndarray) or not x.values.flags.c_contiguous:
            return super().written(x, values, slope)
        whole.reshape(-1)[: values.size] = values.reshape(-1)
        return x


class WritesBeforeItsSlice(Plain):
    """Zeros the element before the slice that it writes to. No row: nobody has reported it yet."""

    meant_for = "inplace"
    cause = "fact"
    ops = ("dropout_",)

    def written(self, x, values, slope):
        if isinstance(whole := x.values.base, np.ndarray) and whole.size > values.size and whole.flags.c_contiguous:
            flat = whole.reshape(-1)
            flat[(x.values.ctypes.data - flat.ctypes.data) // flat.itemsize - 1] = 0
        return super().written(x, values, slope)


class ReturnsACopyOfIt(Plain):
    """What is written to the input is returned as a copy: what is written to it later is lost. L1."""

    meant_for = "inplace"
    cause = "returned_copy"
    ops = ("dropout_",)

    def written(self, x, values, slope):
        super().written(x, values, slope)
        return Array(values.copy(), x.dtype, slope)
