"""Compares what a backend gave with what PyTorch gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from keeprate.specs.dropout.counterexamples import Call, wrong_shape, wrong_value
from keeprate.specs.dropout.outcome import Mask, Outcomes
from keeprate.specs.rounding import Floats
from keeprate.suite import Check, failed, passed

Place = Callable[[tuple[int, ...]], tuple[int, ...]]
NOTHING = Call()  # to say of it
AnyFloats = npt.NDArray[np.floating[Any]]


def compare(y: Floats, x: Floats, allowed: Outcomes, call: Call = NOTHING, place: Place = tuple) -> Check:
    """Counts the elements of `y` that are neither of PyTorch's outcomes.

    Args:
        y: what the backend gave, channels first.
        x: the input that it was given (or the cotangent, for a gradient), for the counterexample.
        allowed: PyTorch's outcomes, of x's shape.
        call: which call this was, for the counterexample.
        place: from an index of `y` to the one that the counterexample gives.
    """
    if y.shape != x.shape:
        return failed(max(1, x.size), max(1, x.size), wrong_shape(call, y.shape, x.shape))
    exact = same(y, allowed.kept)
    if exact.all() or (exact := exact | same(y, allowed.dropped)).all():
        return passed(y.size)
    with np.errstate(invalid="ignore"):
        right = exact | allowed.allows(y)
    if right.all():
        return Check(int(right.size), int(np.count_nonzero(exact)))
    at = np.unravel_index(int(np.argmin(right)), right.shape)
    index = place(tuple(int(axis) for axis in at))
    first = wrong_value(call, x[at], index, y[at], allowed.kept[at], allowed.dropped[at])
    wrong = int(right.size - np.count_nonzero(right))
    return Check(int(right.size), int(np.count_nonzero(exact & right)), wrong, first)


def same(a: Floats, b: Floats) -> Mask:
    """Equal values; NaN equals NaN, and the sign of a zero is nobody's promise."""
    equal: Mask = (a == b) | (np.isnan(a) & np.isnan(b))
    return equal


def identical(a: AnyFloats, b: AnyFloats) -> bool:
    """Whether two arrays of one dtype are equal; half floats are compared as numbers only if their bits differ."""
    return np.array_equal(fast(a), fast(b)) or np.array_equal(a, b)


def fast(y: AnyFloats) -> npt.NDArray[Any]:
    """`y` as what NumPy compares fast: half floats as integers, which know two zeros."""
    return y.view(np.uint16) if y.dtype == np.float16 else y
