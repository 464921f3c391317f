"""Hypotheses about masks: entries that share a draw, and draws that come again."""

from __future__ import annotations

import numpy as np

from keeprate.specs.accounts import BIT, WIDTH, of_pairs, picture
from keeprate.specs.attention.hypotheses.clues import Clues
from keeprate.specs.attention.place import Mask
from keeprate.specs.masks.every import COUNTED, DEPENDENCE
from keeprate.specs.transforms import ROWS
from keeprate.suite import NEVER, Account, Hypothesis, Unreadable

TILED = ("queries", "keys")  # what tiles are of
ONE_QUERY, ONE_KEY = (1, 64), (64, 1)  # queries and keys
ALONE = {ONE_QUERY: ", where there is one query", ONE_KEY: ", where there is one key"}
COUNTERS = range(8, 21)  # bits of a counter that begins again
ROWS_OF_VALUES = {"all queries of a head": ", as if rows of v were dropped"}  # which is the same thing
FIRST, LATER = slice(1), slice(1, None)  # calls
FIRST_HEAD = (slice(1),) * 3  # of the first call: it tells nearly all lags apart
FEW = 64  # pairs, at least: fewer agree by chance


def together(one: Mask, other: Mask, what: str, rows: Mask, design: float = 1.0, **given: int | str) -> Account:
    """Whether two are always kept or dropped together."""
    pairs, unlike = one.size, int(np.count_nonzero(one != other))
    if pairs < FEW:
        raise Unreadable("too few pairs")
    against, promise = of_pairs(unlike, pairs)
    seen = f"{what}: {unlike:,} of {pairs:,} pairs differ, 50 % should"
    return Account(pairs, against, promise, seen, {**given}, picture(rows), design)


def shared_axis(clues: Clues, axis: str) -> Account:
    """Whether all entries along one axis are one draw."""
    masks, number = clues.masks, int(axis)
    if clues.place.shape[number] < 2:
        raise Unreadable("no such axis")
    if number == 1 and clues.place.shared > 1 and clues.place.groups == 1:
        raise Unreadable("all heads share keys: see what they share besides")
    if clues.place.causal and number < 2:
        masks = masks[..., clues.place.seen]
    elif clues.place.causal:
        raise Unreadable("a causal mask hides a part")
    along = np.moveaxis(masks, number + 1, 1)
    first = np.broadcast_to(along[:, :1], along[:, 1:].shape)
    rows, size = along[0].reshape(along.shape[1], -1), along.shape[1]
    among = clues.place.axes[number]
    among += ROWS_OF_VALUES.get(among, "")
    among += ALONE.get(clues.place.shape[2:], "") + _hidden(clues)
    return together(along[:, 1:], first, "entries one step apart", rows, size, among=among, axis=number)


def _whole(clues: Clues) -> Mask:
    """Masks in which nothing is hidden."""
    if clues.place.causal:
        raise Unreadable("a causal mask hides a part")
    return clues.masks


def _seen(clues: Clues) -> Mask:
    """(calls, entries) masks without what is hidden."""
    return clues.masks[..., clues.place.seen].reshape(len(clues.masks), -1)


def shared_groups(clues: Clues, heads: str) -> Account:
    """Whether heads that share keys share a mask: where there are several heads of keys, or one."""
    queries, keys = clues.place.shape[2:]
    if clues.place.shared == 1 or (heads == "one") != (clues.place.groups == 1):
        raise Unreadable("no heads share keys so")
    if clues.place.groups > 1 and (clues.masks == clues.masks[:, :, :1]).all():
        raise Unreadable("all heads share one: see shared_axis")
    masks = clues.masks.reshape(-1, clues.place.shared, queries, keys)
    first = np.broadcast_to(masks[:, :1], masks[:, 1:].shape)
    rows = masks[0].reshape(clues.place.shared, -1)
    among = "all heads where keys have one head" if heads == "one" else "heads that share keys"
    return together(masks[:, 1:], first, "heads that share keys", rows, clues.place.shared, among=among)


def shared_keys(clues: Clues, size: str) -> Account:
    """Whether so many neighbouring keys are one draw."""
    masks, number = _whole(clues), int(size)
    groups = masks[..., : masks.shape[-1] // number * number].reshape(*masks.shape[:-1], -1, number)
    first = np.broadcast_to(groups[..., :1], groups[..., 1:].shape)
    return together(groups[..., 1:], first, "they", masks[0, 0, 0], number, size=number)


def tiles(clues: Clues, of: str) -> Account:
    """Whether tiles of keys, or of queries, have one mask: of the size at which the first call's entries come again."""
    axis = TILED.index(of) + 2
    masks, seen = np.moveaxis(clues.masks, axis + 1, -1), np.moveaxis(clues.place.seen, axis - 2, -1)
    number = masks.shape[-1]

    def apart(lag: int, part: slice | tuple[slice, ...]) -> tuple[Mask, Mask]:
        both = seen[:, lag:] & seen[:, :-lag]
        return masks[part][..., lag:][..., both], masks[part][..., :-lag][..., both]

    def comes_again(lag: int) -> bool:
        return np.array_equal(*apart(lag, FIRST_HEAD)) and np.array_equal(*apart(lag, FIRST))

    size = next(filter(comes_again, range(1, number)), number)
    if size == 1:
        raise Unreadable("all along the axis is one draw: see shared_axis")
    if size == number:
        return Account(1, NEVER, 0.0)
    last, width = masks[0, 0, 0, -1 if of == "keys" else 0], min(WIDTH, number - size)
    rows = np.array([last[at : at + width] for at in (0, size)])
    one, other = apart(size, LATER)
    design, hidden = -(-number // size), _hidden(clues)
    return together(one, other, f"{of} {size} apart", rows, design, size=size, axis=axis, of=of, hidden=hidden)


def _hidden(clues: Clues) -> str:
    return ", under a causal mask" * clues.place.causal


def wraps(clues: Clues) -> Account:
    """Whether entries of a call come again after a power of 2: the least after which the first call's do."""
    if clues.place.causal:
        raise Unreadable("a causal mask hides a part")
    masks = clues.masks.reshape(len(clues.masks), -1)
    sizes = (1 << bits for bits in COUNTERS if masks.shape[1] > 1 << bits)
    size = next((size for size in sizes if (masks[0, size:] == masks[0, :-size]).all()), 0)
    if not size:
        return Account(1, NEVER, 0.0)
    rows = np.array([masks[0, at : at + WIDTH] for at in (0, size)])
    what = f"entries {size:,} apart"
    return together(masks[1:, size:], masks[1:, :-size], what, rows, masks.shape[1] / size, size=f"{size:,}")


def diagonals(clues: Clues) -> Account:
    """Whether query + key decides the draw."""
    masks = _whole(clues)
    one, other = masks[..., 1:, :-1], masks[..., :-1, 1:]
    return together(one, other, "key j of query i + 1, and key j + 1 of query i", masks[0, 0, 0], 2.0)


def one_mask(clues: Clues) -> Account:
    """Whether every call has the mask of the first."""
    masks = _seen(clues)
    first = np.broadcast_to(masks[:1], masks[1:].shape)
    return together(masks[1:], first, "the masks of two calls", masks[:2], len(masks))


def mapped_rows(clues: Clues) -> Account:
    """Whether all rows of a mapped call have one mask, and two calls two."""
    masks = _seen(clues)
    if "vmap" not in clues.context:
        raise Unreadable("nothing is mapped")
    if (masks[ROWS] == masks[0]).all():
        return Account(masks.size, NEVER, 0.0)
    calls = masks.reshape(-1, ROWS, masks.shape[1])
    first = np.broadcast_to(calls[:, :1], calls[:, 1:].shape)
    return together(calls[:, 1:], first, "rows of one mapped call", calls[0], ROWS)


def merged(clues: Clues) -> Account:
    """Whether two of the calls that are compiled together are one, those on the same input, and no others."""
    if clues.context != "fused":
        raise Unreadable("nothing stands beside it")
    masks = _seen(clues)
    calls = masks.reshape(-1, ROWS, masks.shape[1])
    if (calls[0, 0] == calls[0, 1]).all():
        return Account(calls.size, NEVER, 0.0)
    return together(calls[:, 2], calls[:, 1], "calls on one input, compiled together", calls[0], 2.0)


def overlap(clues: Clues, part: str) -> Account:
    """Whether a mask begins with what the one before ended with."""
    masks = _seen(clues)
    step = masks.shape[1] // int(part)
    rows = np.array([masks[0, step : step + WIDTH], masks[1, :WIDTH]])
    what = f"entry i of a call and entry i + {step:,} of the one before"
    return together(masks[1:, :-step], masks[:-1, step:], what, rows, 2.0, step=f"{step:,}")


def tail(clues: Clues, size: str) -> Account:
    """Whether the last entries of a call are always kept, and those before them not."""
    masks, number = _seen(clues), int(size)
    last, before = masks[:, -number:], masks[:, -2 * number : -number]
    if before.all(axis=1).any():
        return Account(last.size, NEVER, 0.0)
    dropped = last.size - int(np.count_nonzero(last))
    promise = 0.0 if dropped else last.size * BIT
    return Account(
        last.size,
        NEVER if dropped else 0.0,
        promise,
        f"of the last {number} entries of {len(masks)} calls {dropped:,} of {last.size:,} are dropped, 50 % should be",
        {"size": number},
    )


def _h(name: str, kind: str, says: str, function: object, *laws: str) -> Hypothesis:
    return Hypothesis(name, kind, says, function, DEPENDENCE | {*laws}, COUNTED)  # type: ignore[arg-type]


HYPOTHESES = (
    _h("shared_axis", "sharing", "uses one mask for {among}", shared_axis),
    _h("shared_groups", "sharing", "uses one mask for {among}", shared_groups),
    _h("shared_keys", "sharing", "draws once for each {size} neighbouring keys", shared_keys),
    _h("tiles", "sharing", "uses the mask of the first {size} {of} for every tile of as many{hidden}", tiles),
    _h("wraps", "sharing", "draws random numbers that repeat after {size} in a call", wraps),
    _h("diagonals", "sharing", "draws once for each sum of query and key", diagonals),
    _h("mapped_rows", "repetition", "uses one mask for all rows of a mapped call", mapped_rows),
    _h("merged", "repetition", "merges two calls on the same input into one", merged),
    _h("one_mask", "repetition", "uses the same mask in every call", one_mask),
    _h("overlap", "repetition", "begins each mask {step} entries into the one before", overlap),
    Hypothesis("tail", "rate", "never drops the last {size} entries of a call", tail, COUNTED | DEPENDENCE),
)
PARAMETERS = {
    "shared_axis": range(4),
    "shared_groups": ("several", "one"),
    "shared_keys": (8, 4, 2),
    "tiles": TILED,
    "overlap": (2, 4, 8),
    "tail": (128, 64, 32, 16),
}
