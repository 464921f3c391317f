"""Hypothesis about gradients that have the output's mask and a scale of another p, or of no formula."""

from __future__ import annotations

import numpy as np

from keeprate.specs.accounts import exact
from keeprate.specs.dropout.hypotheses.clues import Clues, Pass
from keeprate.specs.dropout.hypotheses.gradients import BACKWARD, fits, follows, of_wrong_output, slope_of
from keeprate.specs.dropout.hypotheses.values import digits_of
from keeprate.suite import Account, Hypothesis, Unreadable

NEAR = 2.0**-6  # of a factor: more than any dtype rounds


def scale(clues: Clues) -> Account:
    """Whether each gradient is its cotangent, with the output's mask, times one number, which is wrong at some p."""
    wrong = sum(int(np.count_nonzero(~follows(clues, one))) for one in clues.passes)
    looked = sum(one.g.size for one in clues.passes)
    found: dict[float, float] = {}
    for one in clues.passes:
        factor = found.setdefault(one.p, _factor(one))
        if not factor or not fits(one.g, one.ct * one.kept * factor, clues.case.dtype, roundings=2).all():
            return exact(False, bool(wrong), looked, "")
    off = [p for p, factor in found.items() if abs(factor / slope_of(clues, p) - 1) > NEAR]
    if not off or of_wrong_output(clues):
        raise Unreadable("no scale is far off, or it is that of the output")
    seen = f"{wrong:,} of {looked:,} elements of gradients are wrong; all are the cotangent's, masked, times one number"
    return exact(True, True, looked, seen, what=_words(clues, found, off[0]))


def _factor(one: Pass) -> float:
    """What most kept elements of the cotangent are multiplied by; 0 if it is no such number."""
    there = one.kept & (one.ct != 0)
    factor = float(np.median(one.g[there] / one.ct[there])) if there.any() else 0.0
    return factor if np.isfinite(factor) else 0.0


def _words(clues: Clues, found: dict[float, float], p: float) -> str:
    if not clues.contract.preserves_moments and all(abs(one - int(1 / (1 - p))) < NEAR for p, one in found.items()):
        return "rounds the gradient's scale 1/(1 − p) down to a whole number"
    times, wanted = digits_of(found[p], slope_of(clues, p))
    if len(found) > 1 and max(found.values()) - min(found.values()) < NEAR:
        return f"multiplies the gradient by {times}, whatever p is"
    return f"multiplies the gradient by {times} at p = {p:g}, not by {wanted}"


HYPOTHESES = (Hypothesis("gradient_scale", "gradient", "{what}", scale, BACKWARD, vague=True),)
