"""Masks that a backend packs where its outputs are: of each element two bits travel to the judge, not all of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.outcome import Mask
from keeprate.specs.rounding import Floats
from keeprate.suite import BackendError

Octets = npt.NDArray[np.uint8]
CHECKED = 15  # of so many outputs one is read whole as well, the first too; no power of two, as strides are


class Packing:
    """Reads outputs of one input by what `pack` says of them.

    Args:
        kept, dropped: both outcomes of each element, channels first.
    """

    def __init__(self, caller: Caller, kept: Floats, dropped: Floats) -> None:
        self._caller = caller
        self._outcomes = [caller.native(one) for one in (kept, dropped)]
        self._shape = caller.layout.to_theirs(kept).shape
        self._size = kept.size
        self._all = _packed(np.ones(kept.shape, np.bool_))

    def reads(self, y: Any) -> bool:
        """Whether a native output can be compared with the outcomes: it is of their shape and dtype."""
        return tuple(getattr(y, "shape", ())) == self._shape and self._caller.dtype_of(y) == self._caller.dtype

    def mask(self, y: Any) -> Mask | None:
        """Which elements of a native output are kept, in its layout; None unless each is one outcome, and not both.

        Raises:
            BackendError: `pack` raised, or gave something else than bits.
        """
        kept, dropped = (self._bits(y, outcome) for outcome in self._outcomes)
        if not np.array_equal(kept ^ dropped, self._all):
            return None
        return np.unpackbits(kept, count=self._size, bitorder="little").view(np.bool_).reshape(self._shape)

    def check(self, y: Any, values: npt.NDArray[Any]) -> None:
        """Whether `pack` says of a native output what its `values` say.

        Raises:
            BackendError: it says something else.
        """
        for outcome in self._outcomes:
            wrong = self._bits(y, outcome) ^ _packed(values == self._caller.raw(outcome))
            if wrong.any():
                bit = int(np.argmax(np.unpackbits(wrong, bitorder="little")))
                raise BackendError(f"pack says otherwise than asnumpy of {_count(wrong)}, the first at {bit:,}")

    def _bits(self, y: Any, outcome: Any) -> Octets:
        bits = self._caller.packed(y, outcome)
        if bits.shape != self._all.shape:
            raise BackendError(f"pack gave {bits.size:,} bytes for {self._size:,} elements, not {self._all.size:,}")
        return bits & self._all  # what pads the last byte is nobody's promise


def _packed(mask: Mask) -> Octets:
    return np.packbits(mask.reshape(-1), bitorder="little")


def _count(bits: Octets) -> str:
    number = int(np.bitwise_count(bits).sum())
    return f"{number:,} element{'s' if number > 1 else ''}"
