"""Hypothesis that entries are kept, and dropped, in long runs, which begin and end anywhere."""

from __future__ import annotations

import numpy as np

from keeprate.specs.dropout.hypotheses.clues import RATES, Clues
from keeprate.specs.dropout.hypotheses.masks import OF_MASKS, varied
from keeprate.specs.dropout.outcome import Mask
from keeprate.suite import NEVER, Account, Hypothesis, Unreadable

LONG = 16  # entries of a run on average; 2 of independent ones
FEW = 20  # runs that end, at least
GROUPS = (2, 3, 5, 7)  # neighbours that share a draw by such a number, or a multiple of it, end runs there alone


def long_runs(clues: Clues) -> Account:
    """Whether neighbours are kept or dropped together in long runs, at two p, and other ones in each call."""
    even, most = (varied(masks).reshape(len(masks), -1) for masks in (clues.masks, clues.masks_kept))
    lengths = [_length(masks) for masks in (even, most)]
    if not all(length >= LONG for length in lengths):
        return Account(even.size, NEVER, 0.0)
    places = np.concatenate([np.flatnonzero(mask[1:] != mask[:-1]) + 1 for mask in (*even, *most)])
    steps = {*GROUPS, clues.masks.shape[-1]}
    fixed = (even == even[0]).all(axis=0).mean()  # where a stretch of each call is always kept, or dropped
    if places.size < FEW or any((places % step == 0).all() for step in steps) or fixed > 0.5:
        raise Unreadable("few runs end, or all at places that are known")
    seen = (
        f"{lengths[0]:,.0f} entries in a run at p = 0.5, where 2 should be, and {lengths[1]:,.0f} at p = {RATES[1]:g}"
    )
    given = {"length": f"{lengths[0]:,.0f}"}
    return Account(even.size, 0.0, NEVER, seen, {**given}, (), lengths[0] / 2)


def _length(masks: Mask) -> float:
    """How long a run is on average."""
    return masks.size / (len(masks) + int(np.count_nonzero(masks[:, 1:] != masks[:, :-1])))


HYPOTHESES = (
    Hypothesis(
        "long_runs",
        "repetition",
        "keeps and drops entries in long runs, of {length} on average at p = 0.5",
        long_runs,
        OF_MASKS,
    ),
)
