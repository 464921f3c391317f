"""A kernel that takes arrays of some ranks alone: other inputs are given to it in a rank that it takes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import prod
from typing import Any

from keeprate.specs.dropout.contracts import Contract

Shape = tuple[int, ...]


def of_ranks(
    operator: Callable[..., Any], ranks: Collection[int], contract: Contract, layout: str
) -> Callable[..., Any]:
    """`operator` for every rank of its contract: axes of length 1 are added, or neighbouring ones made one.

    Neither changes what is dropped together. What that can't be said of is not offered.
    """

    def fitted(x: Any, p: float, train: bool, **options: Any) -> Any:
        shape = tuple(x.shape)
        if len(shape) in ranks:
            return operator(x, p, train, **options)
        if (other := _in_a_rank(shape, ranks, contract, layout)) is None:
            raise NotImplementedError(f"it takes only arrays of rank {', '.join(map(str, sorted(ranks)))}")
        return operator(x.reshape(other), p, train, **options).reshape(shape)

    return fitted


def of_ranks_alone(taken: Collection[int]) -> str:
    """How to say that a function takes these."""
    *others, last = map(str, taken)
    words = f"{', '.join(others)} and {last}" if others else last
    return f"if it is for arrays of rank {words} alone, say so: ranks={tuple(taken)}"


def _in_a_rank(shape: Shape, ranks: Collection[int], contract: Contract, layout: str) -> Shape | None:
    """The shape in which an array is given; None if there is none."""
    rank = min((one for one in ranks if one >= len(shape)), default=max(ranks))
    if not contract.by_channel:
        return _spread(shape, rank)
    if len(shape) not in contract.ranks or len(shape) in contract.unbatched or rank in contract.unbatched:
        return None
    batch, *rest = shape
    if layout == "channels_last":
        *spatial, channels = rest
        inner = _spread(tuple(spatial), rank - 2)
        return None if inner is None else (batch, *inner, channels)
    channels, *spatial = rest
    inner = _spread(tuple(spatial), rank - 2)
    return None if inner is None else (batch, channels, *inner)


def _spread(shape: Shape, rank: int) -> Shape | None:
    """`shape` in so many axes: ones behind it, or its last ones made one."""
    if len(shape) <= rank:
        return shape + (1,) * (rank - len(shape))
    return (*shape[: rank - 1], prod(shape[rank - 1 :])) if rank > 0 else None
