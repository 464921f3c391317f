"""What PyTorch gives for a network whose gates are open, by what is dropped, and which of it came back."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from keeprate.specs.attention.network import Network
from keeprate.specs.attention.place import HALF, Mask
from keeprate.specs.rounding import Floats

STEPS = 32  # half steps of a dtype that an output may be off by, as in `near`


@dataclass(frozen=True)
class Levels:
    """What PyTorch gives, by what is dropped on the way to a unit, each (steps, batch, units).

    Args:
        outputs: the last gap drops; with one gap, it keeps; with two, it keeps what the first dropped, and both keep.
        room: how far an output may be off.
        gradient: of an input, for a cotangent of ones, where all is kept.
        gradient_room: how far that may be off.
    """

    outputs: tuple[Floats, ...]
    room: float
    gradient: Floats
    gradient_room: float

    def outcome(self, out: npt.NDArray[Any]) -> tuple[npt.NDArray[np.uint8], Mask]:
        """Which of the outputs each unit has, and where it has none of them."""
        numbers, off = np.zeros(out.shape, dtype=np.uint8), np.ones(out.shape, dtype=np.bool_)
        for number, value in enumerate(self.outputs):
            with np.errstate(invalid="ignore"):
                near = np.abs(out - value) <= self.room
            numbers[near] = number
            off &= ~near
        return numbers, off


@functools.lru_cache(maxsize=64)
def levels(network: Network) -> Levels:
    """What a network may give."""
    from keeprate.specs.attention import reference  # a plan does not need PyTorch

    steps, batch, _ = network.shape

    def of(dtype: str, *gaps: bool) -> tuple[Floats, Floats]:
        masks = [np.full(network.shape, kept) for kept in gaps]
        inputs, cotangent = network.inputs(int), np.ones(network.shape)
        out, gradient = reference.replay(network, dtype, inputs, network.p, masks, cotangent)
        return out, gradient[: steps * batch].reshape(network.shape)

    ways = [(False,), (True,)] if network.layers == 2 else [(True, False), (False, True), (True, True)]
    exact, theirs = ([of(dtype, *way) for way in ways] for dtype in ("float64", network.dtype))
    room, gradient_room = (
        max(
            2 * max(float(np.abs(one[part] - other[part]).max()) for one, other in zip(exact, theirs, strict=True)),
            STEPS * HALF[network.dtype] * float(np.abs(exact[-1][part]).max()),
        )
        for part in (0, 1)
    )
    return Levels(tuple(out for out, _ in exact), room, exact[-1][1], gradient_room)


def read(network: Network, out: npt.NDArray[Any]) -> tuple[Mask, Mask, Floats] | None:
    """The mask of the gap, where in the output there is none, and what stands there; None for another shape."""
    if out.shape != network.shape:
        return None
    found = levels(network)
    numbers, off = found.outcome(out)
    return numbers == 1, off, out / found.outputs[-1]


def both(network: Network, out: npt.NDArray[Any]) -> tuple[npt.NDArray[np.uint8], Mask]:
    """What the last of two gaps drops, what the first drops alone, and what both keep, as 0, 1 and 2."""
    return levels(network).outcome(out)


def shown(network: Network, gradient: npt.NDArray[Any], mask: Mask) -> tuple[Mask, Floats]:
    """Where the gradient of inputs shows another mask than the output's, and what stands there."""
    steps, batch, _ = network.shape
    found, given = levels(network), gradient[: steps * batch].reshape(network.shape)
    with np.errstate(invalid="ignore"):
        off = ~(np.abs(given - np.where(mask, found.gradient, 0)) <= found.gradient_room)
    return off, given / found.gradient
