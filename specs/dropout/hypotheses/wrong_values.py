"""What is wrong with the values of single calls, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keeprate.specs.dropout.compare import same
from keeprate.specs.dropout.hypotheses.alpha import affine
from keeprate.specs.dropout.hypotheses.clues import Clues
from keeprate.specs.dropout.hypotheses.values import digits_of
from keeprate.specs.dropout.observations import Observation
from keeprate.specs.dropout.outcome import Mask
from keeprate.specs.rounding import Floats, bounds

OF_ARGUMENTS = ("arguments", "probabilities")  # studies
OUTPUT, GRADIENT = "an output", "a gradient"
WRONG, MOVED = "that is wrong", "that belongs to another entry"
UNSCALED = "whose kept entries are not scaled"
AS_IT_IS = "that is its input"
IN_PLACES = " in some entries"
USUAL = 0.3  # the p of a call that names none
LONG = 8  # elements from which on they tell that they are another's


def with_values(way: str, wrong: Sequence[Observation]) -> str:
    """The same words for what is wrong with calls, with what these gave and what PyTorch gives.

    Args:
        wrong: the calls, the first of which gives the example.
    """
    if WRONG not in way:
        return way
    finite = "where the input is" not in way
    places = [(one, there) for one in wrong if (there := _wrong(one, finite=finite)).any()]
    if not places:
        return way
    gave = np.unique(np.concatenate([one.y[there] for one, there in places if one.y is not None]))
    ends = [part[there] for one, there in places if (e := one.expected) is not None for part in (e.kept, e.dropped)]
    wanted = np.unique(np.concatenate(ends))  # both zeros are one
    if gave.size == wanted.size == 1:
        texts = _texts(float(gave[0]), float(wanted[0]))
        return way.replace(WRONG, f"of {texts[0]}, not of {texts[1]},")
    one, there = places[0]
    at = tuple(int(axis) for axis in np.argwhere(there)[0])
    assert one.y is not None and one.expected is not None
    kept, dropped = float(one.expected.kept[at]), float(one.expected.dropped[at])
    texts = _texts(float(one.y[at]), kept)
    name = "cotangent" if of(one) == GRADIENT else "input"
    other = "" if kept == dropped or math.isnan(kept) else f" or {_texts(dropped, kept)[0]}"
    return way.replace(
        WRONG, f"{WRONG} ({name} {f'{one.x[at]:.4g}'.replace('-', '−')} gave {texts[0]}, PyTorch {texts[1]}{other})"
    )


def _texts(one: float, other: float) -> tuple[str, str]:
    """Two numbers with as many digits as tell them apart, and a true minus; a zero has none."""
    first, second = (text.replace("-", "−") for text in digits_of(one + 0.0, other + 0.0))
    return first, second


def _right(one: Observation) -> Mask:
    """Which elements of a call are PyTorch's."""
    assert one.expected is not None and one.y is not None
    right: Mask = same(one.y, one.expected.kept) | same(one.y, one.expected.dropped) | one.expected.allows(one.y)
    return right


def _wrong(one: Observation, *, finite: bool) -> Mask:
    """Which elements of a call are not, where its input is finite, or is not; none where it gave no such array."""
    if one.y is None or one.expected is None or one.y.shape != one.x.shape:
        return np.zeros(one.x.shape, bool)
    wrong: Mask = ~_right(one) & (np.isfinite(one.x) == finite)
    return wrong


def said(one: Observation, clues: Clues) -> str:
    """What is wrong in a word or two, of all wrong elements."""
    assert one.expected is not None and one.y is not None
    finite = np.isfinite(one.x)
    right = _right(one)
    y, x = one.y[~right & finite], one.x[~right & finite]
    if not y.size:
        there = one.y[~right & ~finite]
        where = "where the input is NaN" if np.isnan(one.x[~right & ~finite]).all() else "where the input is not finite"
        return f"of 0 {where}" if (there == 0).all() else f"that is wrong {where}"
    back = "gradient" in one.what.text
    part = IN_PLACES * bool((right & finite).any() and not back)  # the others are as they should be
    if np.isnan(y).all():
        return f"of NaN{part}"
    if (y == 0).all():
        return f"of 0{IN_PLACES * bool(one.y[right & finite].any())}"
    if (y == 1).all() and (x != 1).any():
        return f"of 1{part}"
    if (y == x).all() and part and not clues.contract.preserves_moments and not one.y[right & finite].any():
        return UNSCALED
    if (y == x).all() and not back:
        return f"{AS_IT_IS}{IN_PLACES * bool(part and (one.y != one.x)[finite].any())}"
    return (_scaled(one, y, x, clues) if back and evaluates(one) else "") or _moved(one, y) or WRONG


def _scaled(one: Observation, y: Floats, x: Floats, clues: Clues) -> str:
    """Words for what is wrong in evaluation because of a factor that belongs to training; empty if nothing is."""
    p = number_of(one.what.given.get("p", USUAL))
    if not 0 < p < 1:
        return ""
    a = affine(p)[0]
    factors = {"divided by 1 − p": 1 / (1 - p), "multiplied by 1 − p": 1 - p}
    factors |= {"multiplied by alpha dropout's a": a} if clues.contract.preserves_moments else {}
    for words, factor in factors.items():
        low, high = bounds(x * factor, np.zeros_like(x), clues.case.dtype)
        if ((y >= low) & (y <= high)).all():
            return f"that is {words} in evaluation"
    return ""


def _moved(one: Observation, y: Floats) -> str:
    """Words for elements each of which is right in another place; empty where they are not, or few tell."""
    assert one.expected is not None
    right = np.unique(one.expected.kept)
    return MOVED if y.size >= LONG and y.all() and np.isin(y, right).all() else ""


def evaluates(one: Observation) -> bool:
    """Whether a call was made in evaluation."""
    return "evaluation" in one.what.text or one.what.given.get("mode") == "evaluation"


def of(one: Observation) -> str:
    """Whether a call's output was looked at, or its gradient."""
    return GRADIENT if one.what.text.startswith(("gradient", "tangent")) else OUTPUT


def number_of(p: Any) -> float:
    """A p that is any number, or None, as a float."""
    return math.nan if p is None else float(p)
