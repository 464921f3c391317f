"""Hypothesis about the first or last of an axis, as a sample, a channel or a row, that is left out of the work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from keeprate.specs.accounts import exact, readable
from keeprate.specs.dropout.contracts import Contract
from keeprate.specs.dropout.hypotheses.clues import MANY, RATES, Clues, standard
from keeprate.specs.dropout.hypotheses.gradients import BACKWARD, follows
from keeprate.specs.dropout.hypotheses.masks import OF_MASKS
from keeprate.specs.dropout.hypotheses.values import VALUES
from keeprate.specs.dropout.inputs import EVEN
from keeprate.specs.dropout.outcome import Mask
from keeprate.suite import NEVER, Account, Hypothesis

ENDS = {(0,): "the first", (-1,): "the last", (0, -1): "the first and the last"}
PASSES = 24  # in which an entry of a thousand is never kept with probability 6·10⁻⁵
MOST = 0.9  # of what is left out has a wrong gradient, for what is never kept has a right one
LEAST = 3  # slices along an axis, for a first, a last, and others
MORE = (5, 3, 3, 3)  # that each axis of another shape is longer by: what is odd there is even
Slices = tuple[int, tuple[int, ...]]  # an axis, and which along it


def left_out(clues: Clues, how: str) -> Account:
    """Whether the first along an axis, or the last, or both, are always returned, kept or dropped, and no others."""
    shape = standard(clues.contract)
    axes = len(clues.contract.mask_shape(shape))
    other = (*(length + more for length, more in zip(shape[:axes], MORE, strict=False)), *shape[axes:])
    find = FIND.get(how) or (lambda clues, shape: _fixed(clues, shape, how == "kept"))
    found = find(clues, shape)
    if found is None or find(clues, other) != found:
        return Account(MANY, NEVER, 0.0)
    where = name_of(clues.contract, len(shape), *found)
    does = {
        "unchanged": "is returned as it was",
        "kept": "is kept whole",
        "dropped": "is dropped whole",
        "gradient": "has a gradient of 0",
    }[how]
    seen = f"on two shapes {where} {does}, in each call, and no other does"
    return exact(True, True, MANY, seen, where=where)


def name_of(contract: Contract, rank: int, axis: int, which: tuple[int, ...]) -> str:
    """Words for the first, or last, along an axis of a mask."""
    end = ENDS[which]
    if contract.granularity == "row":
        return f"{end} row"
    if contract.by_channel:
        return f"{end} channel of each sample" if contract.moved_axis(rank) == axis else f"{end} sample of a batch"
    if axis == 0:
        return f"{end} row of a batch (axis 0)"
    return f"{end} entry of each row" if axis == rank - 1 else f"{end} slice along axis {axis}"


def _places(shape: Sequence[int]) -> Iterator[tuple[Slices, Mask]]:
    """Each end of each axis, and where it is."""
    for axis, length in enumerate(shape):
        for which in ENDS:
            if length >= LEAST:
                there = np.zeros(shape, bool)
                np.moveaxis(there, axis, 0)[list(which)] = True
                yield (axis, which), there


def _unchanged(clues: Clues, shape: tuple[int, ...]) -> Slices | None:
    """Where calls return their input, as no outcome is, and are right in all other places."""
    some = clues.outputs_on(shape, RATES)
    wrong = np.any([~one.allowed for one in some], axis=0)
    same = np.all([one.y == one.x for one in some], axis=0)
    axes = len(clues.contract.mask_shape(shape))
    within = tuple(range(axes, len(shape)))
    wrong, same = wrong.any(axis=within), same.all(axis=within)
    return next((found for found, there in _places(wrong.shape) if (wrong == there).all() and same[there].all()), None)


def _fixed(clues: Clues, shape: tuple[int, ...], kept: bool) -> Slices | None:
    """Where entries are always kept, or dropped, in many calls, and in two of which chance keeps, or drops, few."""

    def fixed_in(number: int, p: float) -> Mask:
        masks = clues.of_channels(readable(clues.drawn)(clues.caller(), number, shape, p))
        return np.asarray((masks == kept).all(axis=0))

    often = fixed_in(2, 0.9 if kept else 0.1)
    ends = [(found, there) for found, there in _places(often.shape) if often[there].all()]
    if not ends:
        return None
    fixed = fixed_in(MANY, EVEN)
    return next((found for found, there in ends if (fixed == there).all()), None)


def _zero(clues: Clues, shape: tuple[int, ...]) -> Slices | None:
    """Where gradients are 0 whatever is kept, while they follow the output's mask in all other places."""
    few = clues.passes[-1]  # where all is right, or else than 0 and wrong, no more are made
    if follows(clues, few).all() or few.g[~follows(clues, few)].any():
        return None
    passes = clues.passes_on(shape, (EVEN,), PASSES)
    wrong = np.any([~follows(clues, one) for one in passes], axis=0)
    none = np.all([one.g == 0 for one in passes], axis=0)
    within = tuple(range(len(clues.contract.mask_shape(shape)), len(shape)))
    wrong, none = wrong.any(axis=within), none.all(axis=within)
    for found, there in _places(wrong.shape):
        if none[there].all() and not wrong[~there].any() and wrong[there].mean() > MOST:
            return found
    return None


FIND = {"unchanged": _unchanged, "gradient": _zero}
HYPOTHESES = (
    Hypothesis(
        "left_out_unchanged",
        "value",
        "returns {where} unchanged",
        lambda c: left_out(c, "unchanged"),
        OF_MASKS | VALUES,
    ),
    Hypothesis(
        "left_out_gradient",
        "gradient",
        "returns a gradient of 0 for {where}",
        lambda c: left_out(c, "gradient"),
        BACKWARD,
    ),
    Hypothesis("left_out_kept", "number", "never drops {where}", lambda c: left_out(c, "kept"), OF_MASKS),
    Hypothesis("left_out_dropped", "number", "always drops {where}", lambda c: left_out(c, "dropped"), OF_MASKS),
)
