"""Hypothesis about rows of one mapped call that share a mask: in more rows than samples have, which show a pattern."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from keeprate.specs.accounts import picture, readable
from keeprate.specs.dropout.caller import Caller, Mapped
from keeprate.specs.dropout.hypotheses.clues import RATES, Clues
from keeprate.specs.dropout.hypotheses.masks import COUNTED, DEPENDENCE, firsts, varied
from keeprate.specs.dropout.inputs import EVEN, filled, thousand
from keeprate.specs.dropout.outcome import Mask
from keeprate.specs.rounding import Floats
from keeprate.suite import NEVER, Account, Hypothesis, Unreadable

ROWS, CALLS = 8, 6  # of each mapped call, and how many of these
STEPS = (2, 3, 4)  # rows after which masks may come again, or that may share one


def rows_alike(clues: Clues) -> Account:
    """Whether rows a few apart, or a few in a row, have one mask in each mapped call, and no others have."""
    context = clues.caller().context
    if not context.mapped or context.fused or clues.contract.writes:
        raise Unreadable("nothing is mapped, or it is written to")
    masks = varied(_masks(clues, EVEN))
    found = firsts(masks)
    number = np.arange(len(masks))
    call, row = number // ROWS * ROWS, number % ROWS
    for step in STEPS:
        for words, pattern in (
            (f"gives rows i and i + {step} of one mapped call the same mask", call + row % step),
            (f"uses each mask for {step} rows of a mapped call in a row", call + row // step * step),
        ):
            if (found == pattern).all() and (firsts(_masks(clues, RATES[1])) == pattern).all():
                again = int(np.count_nonzero(found != number))
                seen = f"{again} of {len(masks)} rows of {CALLS} mapped calls have a mask that an earlier row had"
                rows = masks[: 2 * step : step] if (pattern == call + row % step).all() else masks[:2]
                design = len(masks) / (len(masks) - again)
                return Account(len(masks), 0.0, NEVER, seen, {"what": words}, picture(rows), design)
    return Account(len(masks), NEVER, NEVER if (found != number).any() else 0.0)


@readable
def _masks(clues: Clues, p: float) -> Mask:
    """(rows, entries) masks of the rows of mapped calls, one call after another."""
    x, caller = filled(clues.contract, clues.case.dtype, thousand(clues.contract)), clues.caller()
    expected = clues.expected(p, x.shape)
    rows = (row for _ in range(CALLS) for row in _rows(caller, x, p))
    return np.array([clues.kept(row, expected).ravel() for row in rows])


def _rows(caller: Caller, x: Floats, p: float) -> list[Floats]:
    """The outputs of one mapped call of many rows."""
    stack: npt.NDArray[np.floating] = np.stack([caller.layout.to_theirs(x)] * ROWS)
    native = caller.of_dtype(caller.layout.to_ours(stack), caller.dtype)
    if native is None:
        raise Unreadable("an array of more rows is another")
    made = caller.raw(caller.call(Mapped(native, stacked=True), p)).reshape(-1)
    if made.size != stack.size:
        raise Unreadable("an output of another shape")
    return [caller.layout.to_ours(row).astype(np.float64) for row in made.reshape(stack.shape)]


HYPOTHESES = (Hypothesis("rows_alike", "sharing", "{what}", rows_alike, DEPENDENCE, COUNTED),)
