"""Sums of outputs: what an operator that preserves moments is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from keeprate.specs.dropout.compare import same
from keeprate.specs.dropout.inputs import PROBES
from keeprate.specs.dropout.outcome import Mask, Outcomes
from keeprate.specs.rounding import Floats
from keeprate.suite import UNIT

LARGEST = 2.0**20  # what is larger in an output, or no number, counts as this; 2¹⁰ in a square
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sums:
    """The sum of outputs and of their squares, against both outcomes of every probe value.

    Args:
        draws: (values,) how often each probe value was drawn for.
        outcomes: PyTorch's, of the probe values.
        total, squares: Σy and Σy² in units of 2⁻⁴⁰.
        inexact: outputs in the sum that are not bit for bit one of PyTorch's outcomes.
    """

    draws: Counts
    outcomes: Outcomes
    total: int
    squares: int
    inexact: int


class Summing:
    """Adds up the outputs of calls, whatever their order.

    Args:
        outcomes: PyTorch's, of the probe values.
        which: of the probe values is the input of each output that is summed.
    """

    def __init__(self, outcomes: Outcomes, which: npt.NDArray[np.uint8]) -> None:
        self._outcomes, self._which = outcomes, which
        self._times = np.zeros(which.shape, dtype=np.uint32)  # how often each was kept in calls that were exact
        self._calls = self._exact = 0
        self._total = self._squares = self._inexact = 0

    def add_exact(self, mask: Mask) -> None:
        """Outputs that are bit for bit PyTorch's for `mask`, of `which`'s shape: adding counts is cheaper."""
        self._calls, self._exact = self._calls + 1, self._exact + 1
        self._times += mask

    def add(self, y: npt.NDArray[Any]) -> None:
        """Any outputs, of `which`'s shape."""
        values = y.astype(np.float64)
        total, squares = _in_units(values)
        allowed = self._outcomes.take(self._which)
        self._calls += 1
        self._total, self._squares = self._total + _exact_sum(total), self._squares + _exact_sum(squares)
        self._inexact += int(np.count_nonzero(~(same(values, allowed.kept) | same(values, allowed.dropped))))

    def result(self) -> Sums:
        """The sums so far."""
        draws, kept = (np.bincount(self._which.ravel(), times, PROBES) for times in (None, self._times.ravel()))
        often = np.concatenate([kept, self._exact * draws - kept]).astype(np.int64).tolist()
        both = _in_units(np.concatenate([self._outcomes.kept, self._outcomes.dropped]))
        total, squares = (sum(n * one for n, one in zip(often, part.tolist(), strict=True)) for part in both)
        return Sums(self._calls * draws, self._outcomes, self._total + total, self._squares + squares, self._inexact)


def _in_units(y: Floats) -> tuple[Counts, Counts]:
    """y and y² in units of 2⁻⁴⁰; what is not finite, or huge, counts as 2²⁰ (2¹⁰ for squares)."""
    within = np.nan_to_num(y, nan=LARGEST, posinf=LARGEST, neginf=-LARGEST).clip(-LARGEST, LARGEST)
    squares = within.clip(-(LARGEST**0.5), LARGEST**0.5) ** 2
    return np.rint(within / UNIT).astype(np.int64), np.rint(squares / UNIT).astype(np.int64)


def _exact_sum(units: Counts) -> int:
    return (int((units >> 20).sum()) << 20) + int((units & 0xFFFFF).sum())
