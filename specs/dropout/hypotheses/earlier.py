"""Hypotheses about a p that a call doesn't read: that of an earlier call, as where a kernel is built for a shape once.

Two shapes that nothing was called on before are called at three p each, from another p on.
"""

from __future__ import annotations

import numpy as np

from keeprate.specs.dropout.hypotheses.clues import Clues, Output
from keeprate.specs.dropout.hypotheses.masks import DEPENDENCE, OF_MASKS
from keeprate.specs.dropout.hypotheses.values import VALUES
from keeprate.specs.dropout.outcome import far_off
from keeprate.suite import NEVER, Account, Hypothesis, Unreadable

WORDS = {
    "first": "keeps the p of its first call on each shape",
    "before": "uses the p of the call before",
}
NEAR = 2.0**-6  # of a factor: more than any dtype rounds
LAWS = VALUES | OF_MASKS | {"endpoints", "state"}


def earlier(clues: Clues, which: str) -> Account:
    """Whether later calls on a shape have the mask, or the scale, or both, of an earlier call's p."""
    found, wrong, looked = [], 0, 0
    for first, *later in clues.in_order:
        for number, one in enumerate(later):
            given = first if which == "first" or not number else later[number - 1]
            looked += one.y.size
            found.append(_read(clues, one, given.p))
            wrong += int(found[-1] != (False, False))
    ways = set(found)
    right = which == "before" or all(_read(clues, calls[0], calls[0].p) == (True, True) for calls in clues.in_order)
    if None in ways or len(ways) != 1 or ways == {(False, False)} or not right:
        return Account(looked, NEVER, NEVER if wrong else 0.0)
    (way,) = ways
    part = {(True, True): "", (True, False): " in its mask", (False, True): " in its scale"}[way or (True, True)]
    what = WORDS[which] + part
    rates = ", ".join(f"{one.p:g}" for one in clues.in_order[0])
    seen = f"on two new shapes, called at p = {rates} and in another order, all outputs are of that p"
    return Account(looked, 0.0, NEVER, seen, {"what": what})


def _read(clues: Clues, one: Output, p: float) -> tuple[bool, bool] | None:
    """Whether the mask, and the scale, of an output are those of p, where one of its own p; None if of neither."""
    of_other = clues.expected(p, one.y.shape)
    scale = bool(of_other.allows(one.y).all()), bool(one.allowed.all())
    if not any(scale):
        return None
    kept = ~(of_other if scale[0] else one.expected).is_dropped(one.y)
    front = clues.of_channels(kept[np.newaxis])
    mask = not far_off(front, p), not far_off(front, one.p)
    if not any(mask) or (p != one.p and (all(scale) or all(mask))):
        return None
    return mask[0], scale[0]


def constant(clues: Clues) -> Account:
    """Whether entries are dropped as often at every p."""
    masks, wrong = [], False
    for calls in clues.in_order:
        for one in calls:
            if not (clues.contract.preserves_moments or _scaled(one)):
                raise Unreadable("what is not dropped is no multiple of the input")
            mask = clues.of_channels(clues.kept(one.y, one.expected)[np.newaxis])
            masks.append(mask)
            wrong |= far_off(mask, one.p)
    rate = float(f"{1 - np.mean([mask.mean() for mask in masks]):.2g}")
    if not 0 < rate < 1:
        raise Unreadable("all, or nothing, is dropped")
    fits = not any(far_off(mask, rate) for mask in masks)
    seen = f"on two new shapes, at three p each, it dropped {', '.join(f'{1 - mask.mean():.3f}' for mask in masks)}"
    looked = sum(mask.size for mask in masks)
    return Account(looked, 0.0 if fits else NEVER, NEVER if wrong else 0.0, seen, {"rate": f"{rate:g}"})


def _scaled(one: Output) -> bool:
    """Whether what is not 0 is its input times one number, to rounding."""
    kept = one.y != 0
    factors = one.y[kept] / one.x[kept]
    return bool((np.abs(factors / np.median(factors) - 1) < NEAR).all()) if kept.any() else True


HYPOTHESES = (
    Hypothesis("earlier_p", "value", "{what}", earlier, LAWS),
    Hypothesis(
        "constant_p",
        "rate",
        "drops with probability {rate}, whatever p is",
        constant,
        OF_MASKS,
        consequences=DEPENDENCE,
    ),
)
