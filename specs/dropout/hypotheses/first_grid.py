"""Hypothesis about a compiled function, or a layer, that works on as many entries as its first input had."""

from __future__ import annotations

import math

import numpy as np

from keeprate.specs.accounts import exact, readable
from keeprate.specs.dropout.hypotheses.clues import Clues
from keeprate.specs.dropout.hypotheses.masks import OF_MASKS
from keeprate.specs.dropout.hypotheses.values import VALUES
from keeprate.specs.dropout.inputs import EVEN, filled, thousand
from keeprate.specs.dropout.outcome import Outcomes
from keeprate.specs.rounding import Floats
from keeprate.suite import Account, Hypothesis, Unreadable

FIRSTS, MORE = (5, 9), 32  # lengths of the first axis of two first inputs, and of all later ones


def first_grid(clues: Clues) -> Account:
    """Whether what is past the size of a function's first input is returned as it was, and all before it is right."""
    context = clues.caller().context
    if context.mapped or not (context.transforms or context.layered) or clues.contract.writes:
        raise Unreadable("no function is made once, or it writes to its input")
    inner = thousand(clues.contract)[1:]
    wrong = fits = 0
    for first in FIRSTS:
        x, y, expected = _later(clues, (first, *inner), (MORE, *inner))
        size = first * math.prod(inner)
        right, same = (mask.reshape(-1) for mask in (expected.allows(y), y == x))
        wrong += int(np.count_nonzero(~right))
        fits += bool(right[:size].all() and not right[size:].any() and same[size:].all())
    seen = f"on {MORE} rows, after {FIRSTS[0]} or {FIRSTS[1]} at first, all past so many equal their inputs"
    return exact(fits == len(FIRSTS), bool(wrong), len(FIRSTS) * MORE * math.prod(inner), seen)


@readable
def _later(clues: Clues, first: tuple[int, ...], later: tuple[int, ...]) -> tuple[Floats, Floats, Outcomes]:
    """A later input of a function that is made anew, what came of it, and PyTorch's outcomes."""
    caller = clues.caller()
    clues.output(caller, caller.native(filled(clues.contract, clues.case.dtype, first)), EVEN)
    x = filled(clues.contract, clues.case.dtype, later)
    y = clues.values(caller, x, EVEN)
    return x, y, clues.expected(EVEN, later)


HYPOTHESES = (
    Hypothesis(
        "first_grid",
        "value",
        "returns entries unchanged past as many as its first input had, when called again on a larger one",
        first_grid,
        VALUES | OF_MASKS,
    ),
)
