"""Hypothesis about expanded inputs: elements that are one in memory, by a stride of 0, and share what is drawn."""

from __future__ import annotations

import numpy as np

from keeprate.specs.accounts import of_pairs, readable
from keeprate.specs.dropout.hypotheses.clues import CALLS, Clues, standard
from keeprate.specs.dropout.hypotheses.masks import OF_MASKS, varied
from keeprate.specs.dropout.inputs import EVEN, filled, laid_out
from keeprate.specs.dropout.outcome import Mask
from keeprate.suite import ENOUGH, Account, Hypothesis, Tally, Unreadable

LAYOUT = "stride0"  # along the first axis


def one_in_memory(clues: Clues) -> Account:
    """Whether an input that is expanded along its first axis has one mask along it, and a copy of it has not."""
    if clues.contract.writes or clues.caller().context.mapped:
        raise Unreadable("an input is written to, or made for all rows")
    expanded, copied = (varied(_masks(clues, strided)) for strided in (True, False))
    unlike = [int(np.count_nonzero(masks[:, 1:] != masks[:, :1])) for masks in (expanded, copied)]
    pairs = expanded[:, 1:].size
    if Tally(("alike", "unlike"), (pairs - unlike[1], unlike[1]), (0.5, 0.5)).log10_e >= ENOUGH:
        raise Unreadable("a copy has entries that depend on one another, too")
    against, promise = of_pairs(unlike[0], pairs)
    seen = f"of {pairs:,} pairs of elements that are one in memory {unlike[0]:,} differ, and of a copy {unlike[1]:,} do"
    return Account(pairs, against, promise, seen, {"layouts": LAYOUT}, (), expanded.shape[1])


@readable
def _masks(clues: Clues, strided: bool) -> Mask:
    """(calls, …) masks of an expanded input, or of a copy of it."""
    from keeprate.specs.dropout import reference  # here, for a plan and a verdict need no PyTorch

    caller, shape = clues.caller(), standard(clues.contract)
    x = laid_out(filled(clues.contract, clues.case.dtype, shape), LAYOUT)
    native, expected = caller.native(x, strided=strided), reference.outcomes(clues.contract, clues.case.dtype, EVEN, x)
    outputs = (caller.values(clues.output(caller, native, EVEN)) for _ in range(CALLS))
    return clues.of_channels(np.array([clues.kept(y, expected) for y in outputs]))


HYPOTHESES = (
    Hypothesis(
        "one_in_memory",
        "sharing",
        "uses one draw for all elements of an expanded input that are one in memory (stride 0)",
        one_in_memory,
        OF_MASKS,
    ),
)
