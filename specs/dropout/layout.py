"""Where a backend has the axes of an operator's arrays: on our side the channels are first."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from keeprate.specs.dropout.contracts import Contract

Axes = tuple[int, ...]


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
        orders = self._orders(x.ndim)
        return x.transpose(orders[0]) if orders else x

    def to_ours(self, y: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A view of `y` with its channels in front again."""
        orders = self._orders(y.ndim)
        return y.transpose(orders[1]) if orders else y

    def fronts(self, rank: int) -> tuple[slice, ...]:
        """The index of the first element of each channel in the backend's order; of all elements without channels."""
        axis = self.contract.channel_axis(rank)
        return tuple(slice(0, 1) if axis is not None and one > axis else slice(None) for one in self.axes(rank))

    def axes(self, rank: int) -> Axes:
        """The numbers of our axes, in the backend's order."""
        orders = self._orders(rank)
        return orders[0] if orders else tuple(range(rank))

    def _orders(self, rank: int) -> tuple[Axes, Axes] | None:
        """The numbers of our axes in the backend's order, and of its axes in ours; None where both have one order."""
        axis = self.contract.moved_axis(rank) if self.name == "channels_last" else None
        return _moved_last(axis, rank) if axis is not None and axis < rank else None


@functools.cache
def _moved_last(axis: int, rank: int) -> tuple[Axes, Axes]:
    """The axes with one of them moved behind all others, and where each is then."""
    order = [*range(rank)]
    order.append(order.pop(axis))
    return tuple(order), tuple(map(order.index, range(rank)))
