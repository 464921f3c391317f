"""What an element may become: kept or dropped, with what rounding allows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from keeprate.specs.rounding import Floats

Mask = npt.NDArray[np.bool_]
NEAR = 1 / 64  # of the way from dropped to kept: more than any dtype rounds, and nothing else is so near
SHORT = 64  # elements of which it may be that none is dropped
APART = 9.0  # digits of the improbability of two masks that agree by chance
NEVER = 1e-20  # a probability that needs no share of the error budget


@dataclass(frozen=True)
class Outcomes:
    """What each element may become: PyTorch's value if kept and if dropped, with what rounding allows.

    All arrays have the shape of the input; NaN is a value like any other.
    """

    kept: Floats
    dropped: Floats
    kept_low: Floats
    kept_high: Floats
    dropped_low: Floats
    dropped_high: Floats

    @property
    def are_one(self) -> bool:
        """Whether the input has one outcome alone, as in evaluation (see `exactly`)."""
        return self.kept is self.dropped

    def allows(self, y: Floats) -> Mask:
        """Where `y` is one of the two outcomes, to rounding."""
        return self.is_kept(y) | self.is_dropped(y)

    def is_kept(self, y: Floats) -> Mask:
        """Where `y` is the kept outcome, to rounding."""
        return ((y >= self.kept_low) & (y <= self.kept_high)) | (np.isnan(y) & np.isnan(self.kept))

    def is_dropped(self, y: Floats) -> Mask:
        """Where `y` is the dropped outcome, to rounding."""
        return ((y >= self.dropped_low) & (y <= self.dropped_high)) | (np.isnan(y) & np.isnan(self.dropped))

    def nearer(self, y: Floats) -> Mask | None:
        """Which elements are kept, by the nearer outcome where one is off, as by a wrong scale; None if none can tell.

        What is neither outcome must lie near one, or all of it the same part of the way from dropped to kept, where
        nothing else is kept.
        """
        is_kept, is_dropped = self.is_kept(y), self.is_dropped(y)
        off = ~(is_kept | is_dropped)
        one, none = (np.broadcast_to(value, y.shape)[off] for value in (self.kept, self.dropped))
        with np.errstate(invalid="ignore", divide="ignore"):
            way = (y[off] - none) / (one - none)
        near = np.abs(way - 1) <= NEAR
        left = ~(near | ((np.abs(way) <= NEAR) & (none != 0)))  # what is not quite 0 is not dropped
        if left.any():
            middle = np.median(way[left])
            alike = np.abs(way[left] - middle) <= NEAR * np.abs(middle)
            right = near.any() or (is_kept & ~is_dropped & np.isfinite(self.kept)).any()  # kept, and not a way off
            none_seen = not is_dropped.any() and (y.size > SHORT or (none != 0).any() or np.abs(middle) <= NEAR)
            if right or none_seen or not alike.all():
                return None
        kept = np.array(is_kept)  # an array of no axes too
        kept[off] = near | left
        return kept

    def select(self, mask: Mask) -> Outcomes:
        """The outcomes when the mask is known: both are the one that `mask` (of the input's shape) chooses."""
        value = np.where(mask, self.kept, self.dropped)
        low = np.where(mask, self.kept_low, self.dropped_low)
        high = np.where(mask, self.kept_high, self.dropped_high)
        return Outcomes(value, value, low, high, low, high)

    def take(self, indices: Any) -> Outcomes:
        """The same of the elements at `indices`."""
        if isinstance(indices, np.ndarray) and indices.dtype == np.uint8:
            indices = indices.astype(np.intp)  # once, and not in NumPy for each part
        return Outcomes(*(part[indices] for part in vars(self).values()))

    def known(self, y: Floats) -> Mask | None:
        """Which elements are kept; None unless each is one outcome, and not the other, to rounding."""
        is_kept = self.is_kept(y)
        return is_kept if (is_kept != self.is_dropped(y)).all() else None


def with_selected(expected: Outcomes, x: Floats) -> Outcomes:
    """`expected` at p = 1, with 0 allowed as well where the input is not finite: selecting gives 0, multiplying NaN."""
    low = np.where(np.isfinite(x), expected.dropped_low, 0.0)
    high = np.where(np.isfinite(x), expected.dropped_high, 0.0)
    return replace(expected, dropped_low=low, dropped_high=high)


def far_off(mask: Mask, p: float) -> bool:
    """Whether independent entries are kept more often, or less, than they ever are at probability 1 − p."""
    return bool(abs(mask.mean() - (1 - p)) > math.sqrt(math.log(2 / NEVER) / 2 / mask.size))  # Hoeffding 1963


def comes_again(mask: Mask, other: Mask) -> bool | None:
    """Whether two masks are the same; None where two that keep as few, or drop as few, are often so by chance."""
    if not np.array_equal(mask, other):
        return False
    share = mask.mean() if mask.size else 1.0
    return True if -mask.size * math.log10(share**2 + (1 - share) ** 2) >= APART else None


def exactly(value: Floats) -> Outcomes:
    """Outcomes of an input that has only one, with no room for rounding."""
    return Outcomes(value, value, value, value, value, value)
