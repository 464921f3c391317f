"""Compares what a backend gave with what PyTorch gives, and words the first difference."""

from __future__ import annotations

import numpy as np

from harness.check import Check, failed
from specs.outcome import Mask, Outcomes
from specs.rounding import Floats


def compare(y: Floats, x: Floats, allowed: Outcomes, what: str = "") -> Check:
    """Counts the elements of `y` that are neither of PyTorch's outcomes.

    Args:
        y: what the backend gave, channels first.
        x: the input that it was given (or the cotangent, for a gradient), for the message.
        allowed: PyTorch's outcomes, of x's shape.
        what: which call this was, for the message.
    """
    where = {"call": what} if what else {}
    if y.shape != x.shape:
        return failed(max(1, x.size), max(1, x.size), **where, first=f"shape {y.shape} for an input of shape {x.shape}")
    with np.errstate(invalid="ignore"):
        right = allowed.allows(y)
    exact = same(y, allowed.kept) | same(y, allowed.dropped)
    return _check(right, exact, where, y, x, allowed)


def _check(right: Mask, exact: Mask, where: dict[str, str], y: Floats, x: Floats, allowed: Outcomes) -> Check:
    wrong = int(right.size - np.count_nonzero(right))
    checked, bits = int(right.size), int(np.count_nonzero(exact & right))
    if not wrong:
        return Check(checked, bits)
    at = np.unravel_index(int(np.argmin(right)), right.shape)
    kept, dropped = allowed.kept[at], allowed.dropped[at]
    return Check(checked, bits, wrong, {**where, **counterexample(x[at], at, y[at], kept, dropped)})


def same(a: Floats, b: Floats) -> Mask:
    """Equal values; NaN equals NaN, and the sign of a zero is nobody's promise."""
    equal: Mask = (a == b) | (np.isnan(a) & np.isnan(b))
    return equal


def counterexample(x: float, at: tuple[np.intp, ...], y: float, kept: float, dropped: float) -> dict[str, str]:
    """One wrong element, in the words of a failure message."""
    place = f" at ({', '.join(str(int(index)) for index in at)})" if at else ""
    only = kept == dropped or (np.isnan(kept) and np.isnan(dropped))
    return {
        "first": f"input {number(x)}{place} gave {number(y)}",
        "PyTorch": number(kept) if only else f"kept {number(kept)}, dropped {number(dropped)}",
    }


def number(value: float) -> str:
    """A value as messages write it: eight significant digits."""
    return f"{float(value):.8g}"
