"""Alpha dropout with wrong constants."""

import math

import numpy as np
from plain import LIMIT, Plain, rounded
from rate import LargeDropped as Large


class RatesExchanged(Plain):
    """a is computed with p and 1 − p exchanged: right at 1/2 alone. H1."""

    meant_for = "outcomes"
    cause = "alpha:exchanged"
    ops = ("alpha_dropout", "feature_alpha_dropout")

    def affine(self, p, dtype):
        return super().affine(1 - p, dtype)


class ZeroForTheLimit(Plain):
    """A dropped entry becomes 0 in place of −1.758. H1."""

    meant_for = ("outcomes", "moments:mean")
    cause = "alpha:no_limit"
    ops = ("alpha_dropout",)

    def affine(self, p, dtype):
        a, b, _ = super().affine(p, dtype)
        return a, b, 0.0


class ShiftedTheOtherWay(Plain):
    """b has the wrong sign: the mean is not kept. H1."""

    meant_for = "moments:mean"
    cause = "alpha:minus_shift"
    ops = ("alpha_dropout",)

    def affine(self, p, dtype):
        a, b, d = super().affine(p, dtype)
        return a, -b, d


class VarianceNotKept(Plain):
    """a is 1, and b keeps the mean alone. H1."""

    meant_for = "moments:variance"
    cause = "alpha:no_scale"
    ops = ("feature_alpha_dropout",)

    def affine(self, p, dtype):
        return 1.0, p * LIMIT, -LIMIT


class ThreeDigits(Plain):
    """The limit is 1.76. H1."""

    meant_for = "outcomes"
    cause = "limit"
    ops = ("alpha_dropout",)

    def affine(self, p, dtype):
        a = 1 / math.sqrt((1.76**2 * p + 1) * (1 - p))
        return a, 1.76 * a * p, -1.76


class ScaleExchanged(Plain):
    """a is that of 1 − p, and b follows from it. No row: a stranger's fault."""

    meant_for = ("outcomes", "moments:variance")
    cause = "alpha_line"
    ops = ("alpha_dropout",)

    def affine(self, p, dtype):
        a, _, d = super().affine(1 - p, dtype)
        return a, LIMIT * a * p, d


class DroppedAfter(Plain):
    """A dropped entry is −1.758 after scale and shift. No row: a stranger's fault."""

    meant_for = ("outcomes", "moments:mean")
    cause = "alpha_line"
    ops = ("feature_alpha_dropout",)

    def mapped(self, x, mask, p):
        values, noise = super().mapped(x, mask, p)
        return np.where(mask, values, rounded(-LIMIT, x.dtype)), noise


class NarrowConstants(Plain):
    """a and b are computed in float16. H1, K2."""

    meant_for = "outcomes"
    cause = "nearly"
    ops = ("alpha_dropout",)
    dtypes = ("float16",)

    def affine(self, p, dtype):
        keep = rounded(1 - rounded(p, dtype), dtype)
        a = rounded(1 / rounded(math.sqrt(rounded(rounded(LIMIT**2 * p + 1, dtype) * keep, dtype)), dtype), dtype)
        return float(a), float(rounded(rounded(LIMIT * a, dtype) * rounded(p, dtype), dtype)), -LIMIT


class PlainDropout(Plain):
    """Alpha dropout is dropout. H1."""

    meant_for = ("outcomes", "moments:variance")
    cause = "alpha:plain"
    ops = ("alpha_dropout",)

    def mapped(self, x, mask, p):
        return self.scaled(x, mask, p)


class LargeDropped(Large):
    """Drops entries above 1 in size 1 % more often in large calls, the others less. No row: nobody has reported it."""

    meant_for = "moments:variance"
    ops = ("alpha_dropout",)
    profile = "gate"
    part = 0.01

    def odd(self, values):
        return np.abs(values) > (1 if values.size >= 2**16 else np.inf)
