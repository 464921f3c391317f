"""Hypothesis about neighbours that share a draw by so many: all entries of a call in order, or those along one axis."""

from __future__ import annotations

import numpy as np

from keeprate.specs.dropout.contracts import Contract
from keeprate.specs.dropout.hypotheses.clues import Clues
from keeprate.specs.dropout.hypotheses.masks import COUNTED, DEPENDENCE, FEW, together, varied
from keeprate.specs.dropout.outcome import Mask
from keeprate.suite import NEVER, Account, Hypothesis, Unreadable

ENOUGH = 2  # groups along an axis, for its neighbours to be told from all of it


def shared_groups(clues: Clues, size: str) -> Account:
    """Whether each so many neighbours are one draw, counted through a call, or anew in each row, sample or channel."""
    masks, number = varied(clues.masks), int(size)
    if masks[0].size // number * len(masks) < FEW:
        raise Unreadable("too few groups")
    flat = masks.reshape(len(masks), -1)
    if (flat == flat[:, :1]).all():
        raise Unreadable("all entries of a call are one draw")
    ways = [(flat[:, np.newaxis], clues.masks_kept.reshape(len(flat), 1, -1), 1, "neighbours")]
    names = [(axis, name_of(clues.contract, len(clues.shape), masks.ndim - 1, axis)) for axis in range(masks.ndim - 1)]
    along = [(masks, clues.masks_kept, axis, name) for axis, name in names]
    order = [*along, *ways] if clues.contract.by_channel else [*ways, *along]
    found = [one for one in order if _in_groups(one[0], one[2], number) and _in_groups(one[1], one[2], number)]
    if found:
        some, _, axis, _ = found[0]
        rows = np.moveaxis(some, axis + 1, -1).reshape(-1, some.shape[axis + 1])
        same = [name for *_, name in found if name in (names[-1][1], "neighbours")]  # of some shapes both are so
        among = " and ".join(f"{number} {name}" for *_, name in found if name not in same[1:])
        return together(_grouped(some, axis, number), "they", rows, among=among)
    kept = _grouped(clues.masks_kept.reshape(len(flat), -1), 0, number)
    if (kept != kept[:, :1]).any():
        return Account(flat.size, NEVER, 0.0)  # which says nothing of half of them at another p
    return together(_grouped(flat, 0, number), "they", flat[:1], among=f"{number} neighbours")


def name_of(contract: Contract, rank: int, axes: int, axis: int) -> str:
    """Words for neighbours along an axis of a mask that has so many."""
    if contract.granularity == "row":
        return "neighbouring rows"
    if contract.by_channel:
        channels = contract.moved_axis(rank) == axis
        return "neighbouring channels of each sample" if channels else "neighbouring samples of a batch"
    if axis == 0 < axes - 1:
        return "neighbouring rows of a batch (axis 0)"
    return "neighbours in each row" if axis == axes - 1 else f"neighbours along axis {axis}"


def _grouped(masks: Mask, axis: int, number: int) -> Mask:
    """(calls, number, …) the entries of each whole group along an axis."""
    along = np.moveaxis(masks, axis + 1, -1)
    whole = along.shape[-1] // number * number
    return np.moveaxis(along[..., :whole].reshape(*along.shape[:-1], -1, number), -1, 1)


def _in_groups(masks: Mask, axis: int, number: int) -> bool:
    """Whether entries are as the first of their group, what is left over at the end included, and not as all others."""
    along = np.moveaxis(masks, axis + 1, -1)
    length = along.shape[-1]
    if length < ENOUGH * number or (along == along[..., :1]).all():
        return False
    return np.array_equal(along, np.repeat(along[..., ::number], number, axis=-1)[..., :length])


HYPOTHESES = (Hypothesis("shared_groups", "sharing", "uses each draw for {among}", shared_groups, DEPENDENCE, COUNTED),)
