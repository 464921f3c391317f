"""Kept entries are not multiplied by 1/(1 − p)."""

import numpy as np
from plain import Array, Plain, rounded


class NotScaled(Plain):
    """Kept entries are left as they are. G1, G4."""

    meant_for = "outcomes"
    cause = "scale:none"
    ops = ("dropout1d",)

    def scale(self, p, dtype):
        return 1


class ScaledByOneOverP(Plain):
    """Kept entries are divided by p: the same at 1/2 alone. G2, G3."""

    meant_for = "outcomes"
    cause = "scale:by_p"
    ops = ("dropout", "dropout2d")

    def scale(self, p, dtype):
        return 1 / p


class ScaledTwice(Plain):
    """Kept entries are divided by (1 − p)². G1."""

    meant_for = "outcomes"
    cause = "scale:twice"
    ops = ("feature_dropout",)

    def scale(self, p, dtype):
        return (1 - p) ** -2


class GuardedScale(Plain):
    """1e-7 is added to 1 − p, against a division by 0. G2."""

    meant_for = "outcomes"
    cause = "scale:guarded7"
    ops = ("dropout",)

    def scale(self, p, dtype):
        return 1 / (1 - p + 1e-7)


class NarrowScale(Plain):
    """1 − p is formed in the input's dtype before it divides. E1, H1."""

    meant_for = "outcomes"
    cause = "scale:of_"
    ops = ("dropout3d",)
    dtypes = ("bfloat16", "float16")

    def scale(self, p, dtype):
        return 1 / rounded(1 - rounded(p, dtype), dtype)


class ScaledByTheCount(Plain):
    """Divides by the part that this mask happens to keep. G1, E8."""

    meant_for = "outcomes"
    cause = "by_count"
    ops = ("dropout",)

    def scaled(self, x, mask, p):
        noise = mask * rounded(1 / max(mask.mean(), 1e-9) if mask.size else 1, x.dtype)
        return rounded(x.values * noise, x.dtype), noise


class ScaledInEvaluation(Plain):
    """Multiplies by 1 − p in evaluation as well. G4, P2."""

    meant_for = "evaluation"
    cause = "evaluation_scales"
    ops = ("dropout",)

    def evaluated(self, x, p):
        with np.errstate(all="ignore"):
            return Array(rounded(x.values * (1 - p), x.dtype), x.dtype, 1 - p)


class NotScaledWhereRare(Plain):
    """Below p = 1e-4 kept entries are left as they are, as if nothing were dropped. G1."""

    meant_for = "outcomes"
    cause = "scale:none"
    ops = ("dropout",)

    def scale(self, p, dtype):
        return 1 / (1 - p) if p >= 1e-4 else 1
