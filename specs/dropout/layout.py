"""Where a backend has the axes of an operator's arrays: on our side the channels are first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from keeprate.specs.dropout.contracts import Contract


@dataclass(frozen=True)
class Layout:
    """The order of the axes of one operator's arrays in a backend.

    Args:
        contract: of the operator.
        name: as the backend has it: "channels_first" or "channels_last".
    """

    contract: Contract
    name: str

    def to_theirs(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A view of `x` with its axes in the backend's order."""
        axis = self._moved_axis(x.ndim)
        return x if axis is None else np.moveaxis(x, axis, -1)

    def to_ours(self, y: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A view of `y` with its channels in front again."""
        axis = self._moved_axis(y.ndim)
        return y if axis is None else np.moveaxis(y, -1, axis)

    def fronts(self, rank: int) -> tuple[slice, ...]:
        """The index of the first element of each channel in the backend's order; of all elements without channels."""
        axis = self.contract.channel_axis(rank)
        return tuple(slice(0, 1) if axis is not None and one > axis else slice(None) for one in self.axes(rank))

    def axes(self, rank: int) -> tuple[int, ...]:
        """The numbers of our axes, in the backend's order."""
        return self.to_theirs(np.empty(tuple(range(rank)))).shape  # each axis is as long as its number

    def _moved_axis(self, rank: int) -> int | None:
        axis = self.contract.moved_axis(rank) if self.name == "channels_last" else None
        return axis if axis is not None and axis < rank else None
