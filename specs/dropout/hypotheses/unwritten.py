"""Hypothesis about dropped entries that aren't written, into memory that isn't cleared."""

from __future__ import annotations

import numpy as np

from keeprate.specs.accounts import exact, readable
from keeprate.specs.dropout.hypotheses.clues import Clues
from keeprate.specs.dropout.hypotheses.masks import OF_MASKS
from keeprate.specs.dropout.hypotheses.values import VALUES
from keeprate.specs.dropout.inputs import EVEN, filled, thousand
from keeprate.specs.dropout.outcome import far_off
from keeprate.specs.rounding import Floats
from keeprate.suite import Account, Hypothesis, Unreadable

CALLS = 6  # on one shape, each on other values
STEP = 5  # that values are moved on by, from call to call
SOME = 0.1  # of the entries that are not kept, which must hold something else


def unwritten(clues: Clues) -> Account:
    """Whether entries that aren't kept hold what an earlier input or output of this shape had in their place."""
    from keeprate.specs.dropout import reference  # here, for a plan and a verdict need no PyTorch

    caller = clues.caller()
    if caller.writes or caller.context.mapped:
        raise Unreadable("an output is the input, or a row of another one")
    x = filled(clues.contract, clues.case.dtype, thousand(clues.contract))
    fronts = clues.contract.fronts(x.ndim)
    before: list[Floats] = []
    stale = wrong = dropped = 0
    fits = True
    for number in range(CALLS):
        values = np.roll(x.reshape(-1), STEP * number).reshape(x.shape)
        y = readable(clues.values)(caller, values, EVEN)
        expected = reference.outcomes(clues.contract, clues.case.dtype, EVEN, values)
        off = ~expected.allows(y)
        if before:  # memory may hold what was made of the first values before
            fits &= not far_off((expected.is_kept(y) & ~expected.is_dropped(y))[fronts], EVEN)
            had = np.any([y == one for one in before], axis=0)
            wrong, stale = wrong + int(np.count_nonzero(off)), stale + int(np.count_nonzero(off & had))
            dropped += int(np.count_nonzero(~expected.is_kept(y)))
        before += [values, y]
    seen = (
        f"{stale:,} of {dropped:,} entries that aren't kept hold what an earlier call of the shape had in their place"
    )
    return exact(fits and stale == wrong > SOME * dropped, bool(wrong), x.size * CALLS, seen)


HYPOTHESES = (
    Hypothesis(
        "unwritten",
        "value",
        "doesn't write dropped entries: they hold what was in memory before",
        unwritten,
        VALUES | OF_MASKS | {"state"},
    ),
)
