"""Both outcomes of every element in a dtype of NumPy's: what a backend gave is compared as it is, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from keeprate.specs.dropout.compare import fast
from keeprate.specs.dropout.outcome import Mask
from keeprate.specs.rounding import Floats

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Pair:
    """Both outcomes of every element, in one dtype.

    Args:
        kept, dropped: the outcomes; half floats as integers, for they are slow to compare.
        nan: where each of the two is NaN; None where neither ever is.
    """

    kept: Array
    dropped: Array
    nan: tuple[Mask, Mask] | None

    def look(self, y: Array) -> tuple[Mask, Mask]:
        """Where `y`, of the pair's dtype, is the kept outcome bit for bit, and where the dropped one.

        Any NaN is NaN. A zero has a sign in float16 alone, so that one of the other sign is neither there.
        """
        bits = fast(y)
        kept, dropped = bits == self.kept, bits == self.dropped
        if self.nan is not None:
            nan = np.isnan(y)
            kept |= nan & self.nan[0]
            dropped |= nan & self.nan[1]
        return kept, dropped

    def take(self, indices: Array) -> Pair:
        """The same of the elements at `indices`."""
        nan = None if self.nan is None else (self.nan[0][indices], self.nan[1][indices])
        return Pair(self.kept[indices], self.dropped[indices], nan)


def pair(kept: Floats, dropped: Floats, dtype: np.dtype[Any]) -> Pair:
    """The pair of these outcomes in `dtype`, which must hold them."""
    narrow = kept.astype(dtype), dropped.astype(dtype)
    nan = np.isnan(narrow[0]), np.isnan(narrow[1])
    return Pair(fast(narrow[0]), fast(narrow[1]), nan if np.any(nan) else None)
