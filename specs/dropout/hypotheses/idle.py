"""Hypothesis about whole calls that do nothing, or drop nothing, among others that are right."""

from __future__ import annotations

import numpy as np

from keeprate.specs.accounts import readable
from keeprate.specs.dropout.hypotheses.clues import Clues
from keeprate.specs.dropout.hypotheses.masks import OF_MASKS
from keeprate.specs.dropout.hypotheses.values import VALUES
from keeprate.specs.dropout.inputs import EVEN, filled, thousand
from keeprate.specs.dropout.outcome import far_off
from keeprate.suite import NEVER, Account, Hypothesis, Unreadable

CALLS, SEEDS = 42, 3  # after each seed
LAWS = OF_MASKS | VALUES | {"state", "endpoints"}
RIGHT, UNCHANGED, KEPT, WRONG = range(4)
DOES = {UNCHANGED: "returns its input unchanged", KEPT: "drops nothing"}


def idle(clues: Clues) -> Account:
    """Whether some calls in training return their input, or keep all of it, and all others are right."""
    if clues.context != "eager":
        raise Unreadable("it shows in plain calls")
    found = readable(lambda: np.array([_of_seed(clues) for _ in range(SEEDS)]))()
    ways = set(found.ravel().tolist()) - {RIGHT}
    if len(ways) != 1 or WRONG in ways or not (found == RIGHT).any():
        return Account(found.size, NEVER, NEVER if ways else 0.0)
    (way,) = ways
    if (found == way).sum() < SEEDS:  # the first call of all may have another cause
        return Account(found.size, NEVER, NEVER)
    at = [np.flatnonzero(row == way) for row in found]
    steps = {int(step) for row in at for step in np.diff(row)}
    if all(row.tolist() == [0] for row in at):
        which = "in the first call after a seed"
    elif len(steps) == 1 and min(map(len, at)) > 1:
        which = f"in one call of {steps.pop()}"
    else:
        which = f"in {int((found == way).sum())} of {found.size} calls"
    seen = f"so {int((found == way).sum())} of {found.size} calls did, {CALLS} after each of {SEEDS} seeds"
    return Account(found.size, 0.0, NEVER, seen, {"what": f"{DOES[way]} {which}"})


def _of_seed(clues: Clues) -> list[int]:
    """What each of many calls after a seed does."""
    shape = thousand(clues.contract)
    x, expected, caller = filled(clues.contract, clues.case.dtype, shape), clues.expected(EVEN, shape), clues.caller()
    found = []
    for _ in range(CALLS):
        y = clues.values(caller, x, EVEN)
        if np.array_equal(y, x):
            found.append(UNCHANGED)
        elif not expected.allows(y).all():
            found.append(WRONG)
        elif not expected.is_dropped(y).any():
            found.append(KEPT)
        else:
            mask = clues.of_channels(clues.kept(y, expected)[np.newaxis])
            found.append(WRONG if far_off(mask, EVEN) else RIGHT)
    return found


HYPOTHESES = (Hypothesis("idle_calls", "value", "{what}", idle, LAWS),)
