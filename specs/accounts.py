"""What hypotheses of all suites return, and how they are named and asked."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from keeprate.suite import NEVER, Account, BackendError, Hypothesis, Tally, Unreadable

BIT = math.log10(2)  # evidence of one more pair that is alike, where half should be
WIDTH, HEIGHT = 40, 4  # of a picture
SHOWS = 8  # entries of a row, at least
Value = TypeVar("Value")


def readable(function: Callable[..., Value]) -> Callable[..., Value]:
    """The same, where a call that raises leaves nothing to read."""

    @functools.wraps(function)
    def tried(*arguments: Any) -> Value:
        try:
            return function(*arguments)
        except BackendError as error:
            raise Unreadable(str(error)) from error

    return tried


def exact(fits: bool, broken: bool, looked_at: int, seen: str, **given: int | str) -> Account:
    """The account of a hypothesis that one element contradicts.

    Args:
        fits: nothing contradicts it.
        broken: something contradicts the promise.
        looked_at: elements, calls or seeds.
    """
    return Account(looked_at, 0.0 if fits else NEVER, NEVER if broken else 0.0, seen, {**given})


def of_pairs(unlike: int, pairs: int) -> tuple[float, float]:
    """Log10 e against pairs that are always alike, and against pairs half of which are."""
    if not unlike:
        return 0.0, pairs * BIT
    return NEVER, Tally(("alike", "unlike"), (pairs - unlike, unlike), (0.5, 0.5)).log10_e


def picture(rows: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    """The first rows of a mask as 1 and 0; none where they are too short to show anything, or of one value."""
    if rows.shape[1] < SHOWS or rows[:HEIGHT, :WIDTH].all() or not rows[:HEIGHT, :WIDTH].any():
        return ()
    return tuple("".join("1" if kept else "0" for kept in row[:WIDTH]) for row in rows[:HEIGHT])


def names_of(hypothesis: Hypothesis, parameters: Mapping[str, Iterable[object]]) -> list[str]:
    """What a hypothesis is asked as: once for each parameter that it takes."""
    if hypothesis.name not in parameters:
        return [hypothesis.name]
    return [f"{hypothesis.name}:{parameter}" for parameter in parameters[hypothesis.name]]
