"""Results in another dtype than the input's."""

import numpy as np
from plain import Array, Plain, rounded


class Promoted(Plain):
    """A Python float times a boolean mask is float32, and so is the result. K1."""

    meant_for = "dtype"
    cause = "fact"
    ops = ("dropout",)
    dtypes = ("float16",)

    def result(self, x, values, slope):
        return Array(values, "float32", slope)


class PromotedAtOne(Plain):
    """Zeros at p = 1 are float32, whatever the input is. K1, J1."""

    meant_for = "dtype"
    cause = "fact"
    ops = ("dropout",)
    dtypes = ("float64",)

    def result(self, x, values, slope):
        return (
            Array(values.astype(np.float32), "float32", slope) if not np.any(slope) else Array(values, x.dtype, slope)
        )


class PromotedInEvaluation(Plain):
    """Evaluation returns float32. K1."""

    meant_for = "dtype"
    cause = "fact"
    ops = ("alpha_dropout",)
    dtypes = ("bfloat16",)

    def evaluated(self, x, p):
        return Array(x.values, "float32")


class ThroughSingle(Plain):
    """A float64 input is made float32 before the product, which is float64. K1."""

    meant_for = "outcomes"
    cause = "narrow:float32"
    ops = ("dropout",)
    dtypes = ("float64",)

    def scaled(self, x, mask, p):
        return super().scaled(Array(rounded(x.values, "float32"), x.dtype), mask, p)


class EvaluatedThroughSingle(Plain):
    """In evaluation a float64 input goes through float32. K1."""

    meant_for = "evaluation"
    cause = "evaluation_rounds"
    ops = ("dropout",)
    dtypes = ("float64",)

    def evaluated(self, x, p):
        return Array(rounded(rounded(x.values, "float32"), "float64"), x.dtype)


class ThroughBrain(Plain):
    """A float32 input is rounded to bfloat16 before the product, as on units for matrices. K1."""

    meant_for = "outcomes"
    cause = "narrow:bfloat16"
    ops = ("dropout2d",)
    dtypes = ("float32",)

    def scaled(self, x, mask, p):
        return super().scaled(Array(rounded(x.values, "bfloat16"), x.dtype), mask, p)


class TakesIntegers(Plain):
    """Integers are scaled and rounded down. No row: nobody has reported it yet."""

    meant_for = "arguments"
    cause = "fact"
    ops = ("dropout", "dropout_", "feature_alpha_dropout")

    def check_dtype(self, x):
        if not x.dtype.startswith("int"):
            super().check_dtype(x)


class TakesComplex(Plain):
    """Complex numbers are taken for pairs of floats. No row: nobody has reported it yet."""

    meant_for = "arguments"
    cause = "fact"
    ops = ("dropout2d",)

    def check_dtype(self, x):
        if x.dtype != "complex64":
            super().check_dtype(x)


class PromotedByP(Plain):
    """A NumPy scalar for p is stronger than the input: the result is float64. K1."""

    meant_for = "dtype"
    cause = "fact"
    ops = ("dropout", "dropout3d")
    promotes = False

    def check(self, p, train):
        super().check(p, train)
        self.promotes = isinstance(p, np.float64)

    def result(self, x, values, slope):
        return Array(values, "float64" if self.promotes else x.dtype, slope)


class TakesFloatsAlone(Plain):
    """p must be a Python number: numpy.float32 is none. J1."""

    meant_for = ("outcomes", "arguments")
    cause = "fact"
    ops = ("dropout",)

    def check(self, p, train):
        if not isinstance(p, int | float):
            raise TypeError("p must be a number")
        super().check(p, train)


class ThresholdOfHalf(Plain):
    """A threshold is formed in p's own type: in half precision it overflows, and every word is above it. E1."""

    meant_for = "arguments"
    cause = "fact"
    ops = ("dropout", "alpha_dropout", "dropout1d")
    half = False

    def check(self, p, train):
        super().check(p, train)
        self.half = isinstance(p, np.float16)

    def draw(self, shape, p):
        return super().draw(shape, p) | self.half


class CastToAnInteger(Plain):
    """What is no Python float is taken for a whole number: p as an array is 0. J1, K2."""

    meant_for = "outcomes"
    cause = "fact"
    ops = ("dropout2d",)

    def apply(self, x, p, *others):
        return super().apply(x, p if isinstance(p, int | float | np.floating) else int(p), *others)


class ScaleOutOfRange(Plain):
    """Near p = 1 the scale can't be packed into half precision, and raises. J1."""

    meant_for = "outcomes"
    cause = "fact"
    ops = ("dropout",)
    dtypes = ("float16",)

    def scale(self, p, dtype):
        if super().scale(p, dtype) > 65504:
            raise OverflowError("float too large to pack with e format")
        return super().scale(p, dtype)


class WidenedWhereTheScaleOverflows(Plain):
    """Where the scale overflows in half precision, the result is float32. K1."""

    meant_for = "dtype"
    cause = "fact"
    ops = ("dropout1d",)
    dtypes = ("float16",)

    def scaled(self, x, mask, p):
        self.wide = 1 / (1 - p) > 65504
        return super().scaled(x, mask, p)

    def result(self, x, values, slope):
        return Array(values, "float32" if self.wide else x.dtype, slope)


class FlushesToZero(Plain):
    """Subnormal inputs are taken for 0: the kernel is compiled with fast math. No row: nobody has reported it yet."""

    meant_for = "outcomes"
    cause = "fact"
    ops = ("dropout", "dropout2d")

    def scaled(self, x, mask, p):
        least = {"float64": 2.0**-1022, "float16": 2.0**-14}.get(x.dtype, 2.0**-126)
        return super().scaled(Array(np.where(np.abs(x.values) < least, x.values * 0, x.values), x.dtype), mask, p)
