"""Hypothesis about memory that several outputs share, so that what is read later is another call's."""

from __future__ import annotations

import numpy as np

from keeprate.specs.dropout.hypotheses.clues import Clues
from keeprate.specs.dropout.inputs import EVEN, filled, thousand
from keeprate.specs.masks.every import COUNTED, DEPENDENCE
from keeprate.suite import NEVER, Account, Hypothesis, Unreadable

TOGETHER = 16.0  # outputs that studies make before one is read, at most


def overwritten(clues: Clues) -> Account:
    """Whether an output changes when another call on such an input is made."""
    if clues.contract.writes:
        raise Unreadable("its outputs are its inputs")
    caller, x = clues.caller(), filled(clues.contract, clues.case.dtype, thousand(clues.contract))
    first = clues.output(caller, caller.native(x), EVEN)
    before = caller.values(first).copy()
    clues.output(caller, caller.native(x), EVEN)
    changed = int(np.count_nonzero(caller.values(first) != before))
    seen = f"{changed:,} of {before.size:,} elements of an output were others after the next call"
    return Account(before.size, 0.0 if changed else NEVER, NEVER if changed else 0.0, seen, design=TOGETHER)


HYPOTHESES = (
    Hypothesis(
        "overwritten",
        "repetition",
        "writes a call's output over that of the call before",
        overwritten,
        DEPENDENCE | {"seeding", "gradient", "concurrency", "state"},
        COUNTED,
    ),
)
