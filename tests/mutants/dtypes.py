"""Results in another dtype than the input's."""

import numpy as np
from plain import Array, Plain, rounded


class Promoted(Plain):
    """A Python float times a boolean mask is float32, and so is the result. K1."""

    meant_for = "dtype"
    ops = ("dropout",)
    dtypes = ("float16",)

    def result(self, x, values, slope):
        return Array(values, "float32", slope)


class PromotedAtOne(Plain):
    """Zeros at p = 1 are float32, whatever the input is. K1, J1."""

    meant_for = "dtype"
    ops = ("dropout",)
    dtypes = ("float64",)

    def result(self, x, values, slope):
        return (
            Array(values.astype(np.float32), "float32", slope) if not np.any(slope) else Array(values, x.dtype, slope)
        )


class PromotedInEvaluation(Plain):
    """Evaluation returns float32. K1."""

    meant_for = "dtype"
    ops = ("alpha_dropout",)
    dtypes = ("bfloat16",)

    def evaluated(self, x, p):
        return Array(x.values, "float32")


class ThroughSingle(Plain):
    """A float64 input is made float32 before the product, which is float64. K1."""

    meant_for = "outcomes"
    ops = ("dropout",)
    dtypes = ("float64",)

    def scaled(self, x, mask, p):
        return super().scaled(Array(rounded(x.values, "float32"), x.dtype), mask, p)


class EvaluatedThroughSingle(Plain):
    """In evaluation a float64 input goes through float32. K1."""

    meant_for = "evaluation"
    ops = ("dropout",)
    dtypes = ("float64",)

    def evaluated(self, x, p):
        return Array(rounded(rounded(x.values, "float32"), "float64"), x.dtype)


class ThroughBrain(Plain):
    """A float32 input is rounded to bfloat16 before the product, as on units for matrices. K1."""

    meant_for = "outcomes"
    ops = ("dropout2d",)
    dtypes = ("float32",)

    def scaled(self, x, mask, p):
        return super().scaled(Array(rounded(x.values, "bfloat16"), x.dtype), mask, p)


class TakesIntegers(Plain):
    """Integers are scaled and rounded down. No row: nobody has reported it yet."""

    meant_for = "arguments"
    ops = ("dropout", "dropout_", "feature_alpha_dropout")

    def check_dtype(self, x):
        if not x.dtype.startswith("int"):
            super().check_dtype(x)


class TakesComplex(Plain):
    """Complex numbers are taken for pairs of floats. No row: nobody has reported it yet."""

    meant_for = "arguments"
    ops = ("dropout2d",)

    def check_dtype(self, x):
        if x.dtype != "complex64":
            super().check_dtype(x)
