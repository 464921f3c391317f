"""An array that calls are given, and whether they leave it as it was."""

from __future__ import annotations

from typing import Any

import numpy as np

from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.compare import compare
from keeprate.specs.dropout.counterexamples import call
from keeprate.specs.dropout.outcome import exactly
from keeprate.specs.rounding import Floats
from keeprate.suite import Check, passed


class Given:
    """A backend's array of known values.

    Args:
        name: what a counterexample calls it; empty for the input.
        x: the values, channels first.
        strided: whether it is to have the strides of `x`.
    """

    def __init__(self, caller: Caller, name: str, x: Floats, *, strided: bool) -> None:
        self._caller, self._name, self._x, self._strided = caller, name, x, strided
        self.native = caller.native(x, strided=strided)
        self._right: tuple[Any, ...] = ()  # shape and bytes, once they were seen to be right

    def unwritten(self) -> Check:
        """Whether it is what it was; if it isn't, what is given from now on is."""
        now = self._caller.raw(self.native)
        seen = now.shape, now.tobytes()
        if seen == self._right:
            return passed(self._x.size)
        values = self._caller.layout.to_ours(now).astype(np.float64)
        check = compare(values, self._x, exactly(self._x), call(self._name))
        if check.broken:
            self.native = self._caller.native(self._x, strided=self._strided)
        else:
            self._right = seen
        return check
