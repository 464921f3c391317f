"""Compares what a backend gave with what PyTorch gives, and words the first difference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keeprate.harness.evidence.check import Check, failed, passed
from keeprate.specs.dropout.outcome import Mask, Outcomes
from keeprate.specs.dropout.rounding import Floats

Place = Callable[[tuple[int, ...]], tuple[int, ...]]


def compare(y: Floats, x: Floats, allowed: Outcomes, what: str = "", place: Place = tuple) -> Check:
    """Counts the elements of `y` that are neither of PyTorch's outcomes.

    Args:
        y: what the backend gave, channels first.
        x: the input that it was given (or the cotangent, for a gradient), for the message.
        allowed: PyTorch's outcomes, of x's shape.
        what: which call this was, for the message.
        place: from an index of `y` to the one that the message gives.
    """
    where = {"call": what} if what else {}
    if y.shape != x.shape:
        return failed(max(1, x.size), max(1, x.size), **where, first=f"shape {y.shape} for an input of shape {x.shape}")
    exact = same(y, allowed.kept)
    if exact.all() or (exact := exact | same(y, allowed.dropped)).all():
        return passed(y.size)
    with np.errstate(invalid="ignore"):
        right = exact | allowed.allows(y)
    if right.all():
        return Check(int(right.size), int(np.count_nonzero(exact)))
    at = np.unravel_index(int(np.argmin(right)), right.shape)
    index = place(tuple(int(axis) for axis in at))
    first = counterexample(x[at], index, y[at], allowed.kept[at], allowed.dropped[at])
    wrong = int(right.size - np.count_nonzero(right))
    return Check(int(right.size), int(np.count_nonzero(exact & right)), wrong, {**where, **first})


def same(a: Floats, b: Floats) -> Mask:
    """Equal values; NaN equals NaN, and the sign of a zero is nobody's promise."""
    equal: Mask = (a == b) | (np.isnan(a) & np.isnan(b))
    return equal


def counterexample(x: float, at: tuple[int, ...], y: float, kept: float, dropped: float) -> dict[str, str]:
    """One wrong element, in the words of a failure message."""
    place = f" at ({', '.join(map(str, at))})" if at else ""
    only = kept == dropped or (np.isnan(kept) and np.isnan(dropped))
    return {
        "first": f"input {number(x)}{place} gave {number(y)}",
        "PyTorch": number(kept) if only else f"kept {number(kept)}, dropped {number(dropped)}",
    }


def number(value: float) -> str:
    """A value as messages write it: eight significant digits."""
    return f"{float(value):.8g}"
