"""p = 0, p = 1, and what is no probability."""

import numpy as np
from plain import Array, Plain


class RarelyAtZero(Plain):
    """Goes through the random path at p = 0, and drops one entry in 10⁵. E2, E3, E4."""

    meant_for = "endpoints"
    cause = "seldom"
    ops = ("dropout",)

    def all_kept(self, x):
        mask = self.uniform(x.values.size).reshape(x.values.shape) >= 1e-5
        return Array(np.where(mask, x.values, np.float32(0)), x.dtype, mask)


class OftenAtZero(Plain):
    """A bfloat16 number is 0 in 0.2 % of draws, and kept entries are above p. E2."""

    meant_for = "endpoints"
    cause = "seldom"
    ops = ("dropout2d",)
    dtypes = ("bfloat16",)

    def all_kept(self, x):
        mask = self.uniform(x.values.size).reshape(x.values.shape) >= 0.002
        return Array(np.where(mask, x.values, np.float32(0)), x.dtype, mask)


class SometimesAtOne(Plain):
    """Goes through the random path at p = 1, and keeps one entry in 10⁵ as it is. E4."""

    meant_for = "endpoints"
    cause = "seldom"
    ops = ("dropout",)

    def all_dropped(self, x):
        kept = self.uniform(x.values.size).reshape(x.values.shape) < 1e-5
        return np.where(kept, x.values, x.values * 0), kept * np.float32(1)


class NaNAtOne(Plain):
    """Divides by 1 − p = 0 at p = 1. J1."""

    meant_for = "endpoints"
    cause = "fact"
    ops = ("dropout1d",)

    def all_dropped(self, x):
        return x.values * 0 / 0, np.zeros_like(x.values)


class RefusesOne(Plain):
    """p = 1 is refused. J1."""

    meant_for = ("endpoints", "arguments")
    cause = "fact"
    ops = ("dropout",)

    def check(self, p, train):
        if not 0 <= p < 1:
            raise ValueError("p must be in [0, 1)")


class OneIsIdentity(Plain):
    """p = 1 means no dropout. J2."""

    meant_for = "endpoints"
    cause = "fact"
    ops = ("dropout2d",)

    def all_dropped(self, x):
        return x.values, np.ones_like(x.values)


class AffineAtOne(Plain):
    """Alpha dropout at p = 1 gives its shift in place of zeros. H2."""

    meant_for = "endpoints"
    cause = "fact"
    ops = ("alpha_dropout",)

    def all_dropped(self, x):
        return np.full_like(x.values, -1.758), np.zeros_like(x.values)


class Clips(Plain):
    """p is clipped to [0, 1] in silence. J4."""

    meant_for = "arguments"
    cause = "fact"
    ops = ("dropout",)

    def apply(self, x, p, train, inplace, shape_of_mask, formula):
        p = max(0.0, min(1.0, p)) if p == p else p
        return super().apply(x, p, train, inplace, shape_of_mask, formula)


class TakesNaN(Plain):
    """NaN passes for a probability: p < 0 and p > 1 are both false. J4."""

    meant_for = "arguments"
    cause = "fact"
    ops = ("dropout2d",)

    def check(self, p, train):
        if p < 0 or p > 1:
            raise ValueError(f"p = {p} is not a probability")


class RoundsBeforeItChecks(Plain):
    """p is rounded to float32 before it is checked: 1 + 1e-9 passes. J4, K2."""

    meant_for = "arguments"
    cause = "fact"
    ops = ("dropout",)

    def check(self, p, train):
        super().check(float(np.float32(p)), train)


class ChecksInTrainingAlone(Plain):
    """p is not checked in evaluation. J4."""

    meant_for = "arguments"
    cause = "fact"
    ops = ("dropout",)

    def check(self, p, train):
        if train:
            super().check(p, train)


class RefusesWholeNumbers(Plain):
    """p = 0 and p = 1 must be floats. J1."""

    meant_for = "arguments"
    cause = "fact"
    ops = ("dropout",)

    def check(self, p, train):
        if not isinstance(p, float):
            raise TypeError("p must be a float")
        super().check(p, train)
