"""Hypothesis about gradients of arrays that lie in memory in uncommon ways: which of two arrays must lie so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keeprate.specs.accounts import readable
from keeprate.specs.dropout.hypotheses.alpha import affine
from keeprate.specs.dropout.hypotheses.clues import Clues, standard
from keeprate.specs.dropout.inputs import EVEN, cotangent, filled, laid_out
from keeprate.specs.rounding import bounds
from keeprate.suite import NEVER, Account, Hypothesis, Unreadable

LAYOUTS = ("step2", "transposed", "remade", "stride0", "reversed")
BOTH = "where the input or the cotangent lies"
WHERE = {(True, True): BOTH, (True, False): "where the input lies", (False, True): "where the cotangent lies"}


def strided_array(clues: Clues) -> Account:
    """Whether gradients are wrong where one of both arrays lies in memory in some ways, wherever the other lies."""
    if clues.contract.writes or clues.caller().context.mapped:
        raise Unreadable("an input is written to, or made for all rows")
    if _wrong(clues, "", (False, False)):
        raise Unreadable("gradients of contiguous arrays are wrong too")
    found: dict[str, tuple[bool, bool]] = {}
    for layout in LAYOUTS:
        of_input, of_cotangent = _wrong(clues, layout, (True, False)), _wrong(clues, layout, (False, True))
        both = _wrong(clues, layout, (True, True))
        if both != (of_input or of_cotangent):
            raise Unreadable("it takes both, or one undoes the other")
        if both:
            found[layout] = of_input, of_cotangent
    ways = set(found.values())
    looked = len(LAYOUTS) * 3 + 1
    if len(ways) != 1:
        return Account(looked, NEVER, NEVER if found else 0.0)
    (way,) = ways
    layouts = " or ".join(sorted(found))
    seen = f"{len(found) * (1 + sum(way))} of {looked} passes are wrong, with one or both of the arrays {layouts}"
    return Account(looked, 0.0, NEVER, seen, {"where": WHERE[way], "layouts": layouts})


@readable
def _wrong(clues: Clues, layout: str, strided: Sequence[bool]) -> bool:
    """Whether the gradient of a pass doesn't follow its output, with input, or cotangent, or both as they lie."""
    from keeprate.specs.dropout import reference  # here, for a plan and a verdict need no PyTorch

    shape, dtype, caller = standard(clues.contract), clues.case.dtype, clues.caller()
    x = laid_out(filled(clues.contract, dtype, shape), layout)
    ct = laid_out(cotangent(shape, dtype, seed=2), layout)
    natives = [caller.native(one, strided=so) for one, so in zip((x, ct), strided, strict=True)]
    y, g = map(caller.values, caller.vjp(natives[0], EVEN, True, natives[1]))
    if not y.shape == g.shape == x.shape:
        raise Unreadable("an output or gradient of another shape")
    kept = clues.kept(y, reference.outcomes(clues.contract, dtype, EVEN, x))
    slope = affine(EVEN)[0] if clues.contract.preserves_moments else 1 / (1 - EVEN)
    low, high = bounds(ct * kept * slope, np.zeros(()), dtype)
    return not ((g >= low) & (g <= high)).all()


HYPOTHESES = (
    Hypothesis(
        "strided_array",
        "gradient",
        "returns wrong gradients {where} in memory as {layouts}",
        strided_array,
        frozenset({"gradient"}),
    ),
)
