"""Hypotheses about places: some that are always kept, or dropped, and some that share a draw with others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from keeprate.specs.accounts import readable
from keeprate.specs.dropout.hypotheses.clues import CALLS, MANY, MOST, RATES, Clues, standard
from keeprate.specs.dropout.hypotheses.masks import COUNTED, DEPENDENCE, FEW, LEAST, OF_MASKS, SHORT, varied
from keeprate.specs.dropout.hypotheses.values import VALUES
from keeprate.specs.dropout.outcome import Mask
from keeprate.suite import ENOUGH, NEVER, Account, Hypothesis, Tally, Unreadable

SOME = 1 / 64  # of the entries, which another fault doesn't make alike
BLOCKS = (2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096)
FRONTS = (
    (7, 9),
    (10, 11),
    (5, 5),
    (7, 7),
    (8, 3),
    (31, 33),
    (13, 15),
    (3, 2),
)  # of other shapes; these have all remainders of 4
ENOUGH_SIZES = 4  # from a block's on, for its remainder to be named
ROW_LENGTHS = (2, 5, 7, 8, 12, 18, 31, 67)
CERTAIN = 40  # calls from which on no place is kept, or dropped, in all of them by chance


def _apart(masks: Mask) -> Mask:
    """(calls, entries) the same, if no two calls have one mask; of few entries masks come again by chance."""
    flat = masks.reshape(len(masks), -1)
    apart = len({mask.tobytes() for mask in flat})
    if apart < len(flat) and 2 * math.log2(apart) <= flat.shape[1]:
        raise Unreadable("masks come again")
    return flat


def fixed_run(clues: Clues, value: str) -> Account:
    """Whether one stretch of each call is always kept, or always dropped, and nothing else is."""
    flat = _apart(clues.places)
    fixed = flat.all(axis=0) if value == "kept" else ~flat.any(axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], fixed, [False]]).astype(np.int8)))
    if not edges.size:
        return Account(flat.size, NEVER, 0.0)
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    start, end = int(starts[longest]), int(ends[longest])
    others = int(fixed.sum()) - (end - start)
    by_chance = 0.0 if len(flat) >= CERTAIN else flat.shape[1] * 2.0 ** (1 - len(flat))
    if others > by_chance or end - start == flat.shape[1] or not _always(clues, slice(start, end), value):
        return Account(flat.size, NEVER, 0.0)
    size = (end - start) * len(flat)
    share = np.where(value == "kept", flat.mean(axis=1), 1 - flat.mean(axis=1))
    alike = -float(np.log10(share).sum()) * (end - start)  # calls may share their ends in pairs
    promise = max(0.0, alike - math.log10(flat.shape[1]) - ENOUGH)
    if end == flat.shape[1]:
        others_at_end = [_run_at_end(clues, shape, value) for shape in sizes(clues, clues.shape)]
        where = last_words((end, end - start), others_at_end, "a call")
    else:
        where = f"entries {start:,} to {end - 1:,} of each call" if end - start > 1 else f"entry {start:,} of each call"
    never = "dropped" if value == "kept" else "kept"
    seen = f"none of these {end - start:,} of {flat.shape[1]:,} entries is {never} in {len(flat)} calls"
    return Account(size, 0.0, promise, seen, {"where": where})


def _always(clues: Clues, run: slice, value: str) -> bool:
    """Whether it is so too where chance would keep, or drop, one entry in ten."""
    masks = clues.fresh(2, 0.9 if value == "kept" else 0.1)
    found = masks.reshape(len(masks), -1)[:, run]
    return bool(found.all() if value == "kept" else not found.any())


def sizes(clues: Clues, shape: tuple[int, ...], of: str = "a call") -> Iterator[tuple[int, ...]]:
    """Other shapes, by which it is told how many entries at the end depend on their number."""
    if of == "each row":
        yield from ((*shape[:-1], length) for length in ROW_LENGTHS)
        return
    usual = standard(clues.contract)
    yield from ((*pair, *usual[2:]) for pair in FRONTS)
    yield max(2, shape[0] * 7 // 8), *shape[1:]


def last_words(found: tuple[int, int], others: Sequence[tuple[int, int | None]], of: str) -> str:
    """Words for how many entries at the end it is, by their number in calls, or rows, of several lengths."""
    (size, number), counts = found, [found, *others]
    blocks = [block for block in BLOCKS if all(last == length % block for length, last in counts)]
    if len(blocks) == 1:
        return f"the last n % {blocks[0]:,} of the n entries of {of}"
    long = {block: [one for one in counts if one[0] >= block] for block in BLOCKS}  # less may be done otherwise
    blocks = [block for block, some in long.items() if len(some) >= ENOUGH_SIZES]
    blocks = [block for block in blocks if all(last == length % block for length, last in long[block])]
    if len(blocks) == 1:
        return f"the last n % {blocks[0]:,} of the n entries of {of} where n ≥ {blocks[0]:,}"
    if all(last == number for _, last in counts):
        return f"the last {number:,} entries of {of}" if number > 1 else f"the last entry of {of}"
    first = size - number
    if all(last == max(0, length - first) for length, last in counts) and max(length for length, _ in others) > first:
        return f"all entries of {of} past the first {first:,}"
    return f"the last {f'{number:,} ' if number > 1 else ''}of {size:,} entries of {of}"


def _run_at_end(clues: Clues, shape: tuple[int, ...], value: str) -> tuple[int, int | None]:
    """How many entries a call on this shape has, and how many at its end are always kept, or always dropped."""
    number = max(2, min(CALLS, MOST // prod(shape)))
    elements = readable(clues.drawn)(clues.caller(), number, shape, 0.9 if value == "kept" else 0.1)
    flat = clues.of_channels(elements).reshape(number, -1)
    others = np.flatnonzero((flat != (value == "kept")).any(axis=0))
    return flat.shape[1], flat.shape[1] - (int(others[-1]) + 1 if others.size else 0)


def _untouched(clues: Clues, shape: tuple[int, ...], of: str) -> tuple[int, int | None]:
    """How many entries a call, or row, has, and how many at its end are as they were; None if others are wrong too."""
    some = clues.outputs_on(shape, RATES)
    length = shape[-1] if of == "each row" else prod(shape)
    wrong = np.concatenate([~one.allowed.reshape(-1, length) for one in some])
    same = np.concatenate([(one.y == one.x).reshape(-1, length) for one in some])
    last = int(wrong[0].sum())
    here = np.arange(length) >= length - last
    return length, last if (wrong == here).all() and same[:, here].all() else None


def fixed_column(clues: Clues, value: str) -> Account:
    """Whether one place of each row is always kept, or always dropped, and no other place is."""
    masks = clues.places
    rows = _apart(masks).reshape(-1, masks.shape[-1])
    fixed = rows.all(axis=0) if value == "kept" else ~rows.any(axis=0)
    if masks.ndim < 3 or not 0 < fixed.sum() < fixed.size or len(rows) < FEW:
        return Account(rows.size, NEVER, 0.0)
    places = np.flatnonzero(fixed)
    size = places.size * len(rows)
    first, last = int(places[0]), int(places[-1])
    whole = last - first + 1 == places.size
    if not whole:
        return Account(rows.size, NEVER, 0.0)
    number = f"{places.size:,} " if places.size > 1 else ""
    one, ones, each = (
        ("channel", "channels", "each sample") if clues.contract.by_channel else ("entry", "entries", "each row")
    )
    if last == fixed.size - 1 or first == 0:
        where = f"the {'first' if first == 0 else 'last'} {number}of {fixed.size:,} {ones} of {each}"
    else:
        which = f"{ones} {first:,} to {last:,}" if number else f"{one} {first:,}"
        where = f"{which} of the {fixed.size:,} of {each}"
    never = "dropped" if value == "kept" else "kept"
    seen = f"none of {size:,} entries there is {never} in {len(rows):,} rows"
    share = rows.mean() if value == "kept" else 1 - rows.mean()
    alike = -size * math.log10(max(float(share), 1e-9))
    return Account(size, 0.0, max(0.0, alike - ENOUGH), seen, {"where": where})


def held(clues: Clues) -> Account:
    """Whether some entries keep their draw from call to call, and others don't."""
    flat = _apart(varied(clues.places))[1:]  # the first call may be made elsewhere
    if len(flat) < CERTAIN:
        raise Unreadable("too few calls")
    fixed = (flat == flat[0]).all(axis=0)
    number, kept = int(fixed.sum()), int(flat[0][fixed].sum())
    if number < max(FEW, SOME * fixed.size):
        return Account(flat.size, NEVER, 0.0)
    against = Tally(("kept", "dropped"), (kept, number - kept), (0.5, 0.5)).log10_e  # no entry has a rate of its own
    seen = f"{kept:,} of these are kept in all of {len(flat)} calls, and {number - kept:,} dropped in all"
    return Account(flat.size, against, NEVER, seen, {"number": f"{number:,} of {fixed.size:,}"}, (), 2)


def twins(clues: Clues, of: str) -> Account:
    """Whether some entries always have the draw of another, or its opposite: of the same call, or of the one before."""
    flat = _apart(varied(clues.places))
    if len(flat) < CERTAIN:
        raise Unreadable("too few calls")
    if (flat[1:] == flat[1]).all(axis=0).mean() > LEAST:
        raise Unreadable("places have rates of their own")
    if of == "call":
        found, opposite = _copies(flat, flat[:, :0])
    else:
        found, opposite = _copies(flat[1:], flat[:-1])
    pairs = flat.shape[1] ** 2 / 2
    share = flat[1:].mean(axis=1)  # which calls may differ in
    promise = -float(np.log10(share**2 + (1 - share) ** 2).sum()) - math.log10(pairs)  # of one pair, over all places
    steps = {one - two for one, two in found.items()}
    size = flat.shape[1]
    if len(found) < SOME * size and not len(found) > len(steps) == 1:  # a few agree where calls depend on each other
        return Account(flat.size, NEVER, 0.0)
    if not _elsewhere(clues, len(flat), found, of, opposite):
        return Account(flat.size, NEVER, 0.0)
    which, other = next(iter(found.items()))
    far = "another"
    if len(steps) == 1 and of == "call":
        (step,) = steps
        far = _rows_before(clues, step) or f"the one {step:,} before"
    place = "" if of == "call" else " in the call before"
    does = "the opposite of the draw" if opposite else "the draw"
    seen = f"entry {which:,} has {does} of entry {other:,}{place}, in each of {len(flat):,} calls"
    what = f"{len(found):,} of {size:,} entries of a call {does} of {far}{place}"
    return Account(flat.size, 0.0, max(0.0, promise), seen, {"what": what}, (), size / max(1, size - len(found)))


def _elsewhere(clues: Clues, calls: int, found: dict[int, int], of: str, opposite: bool) -> bool:
    """Whether they have one draw where seven in ten are kept, too: there opposites are never dropped together."""
    flat = clues.fresh(calls, RATES[1]).reshape(calls, -1)
    mine, other = flat[:, list(found)], flat[:, list(found.values())]
    if of == "calls":
        mine, other = mine[1:], other[:-1]
    return bool((mine | other).all() if opposite else (mine == other).all())


def _rows_before(clues: Clues, step: int) -> str:
    """Words for a step that is a row, or one more or less, on another shape too; empty if it is none."""
    shape, lengths = clues.shape, clues.contract.mask_shape(clues.shape)
    long = prod(shape) * MANY > 4 * MOST
    if len(lengths) < 2 or abs(step - lengths[-1]) > 1 or lengths[-1] < SHORT or long:
        return ""
    longer = (*shape[: len(lengths) - 1], lengths[-1] + 3, *shape[len(lengths) :])
    masks = clues.of_channels(readable(clues.drawn)(clues.caller(), MANY, longer))
    found, _ = _copies(masks.reshape(MANY, -1), np.zeros((MANY, 0), bool))
    if {one - two for one, two in found.items()} != {step + 3}:
        return ""
    if clues.contract.by_channel:
        channel = {-1: "next channel", 0: "same channel", 1: "channel before it"}[step - lengths[-1]]
        return f"the {channel} in the sample before"
    place = {-1: "the next one", 0: "the same place", 1: "the one before it"}[step - lengths[-1]]
    return f"{place} in the row before"


def _copies(masks: Mask, before: Mask) -> tuple[dict[int, int], bool]:
    """Which places have the column of a place before them, or in `before` of any; and whether all are turned round.

    Columns that are always kept, or always dropped, are left out.
    """
    calls = len(masks)
    columns = np.concatenate([before, masks], axis=1)
    turned = columns[0].copy()
    same = columns ^ turned  # so that opposites are alike
    told = same.any(axis=0)
    keys = np.packbits(same, axis=0).T.copy().view([("", np.uint8)] * -(-calls // 8)).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    place = np.arange(columns.shape[1])
    original = first[inverse.ravel()]
    if not before.shape[1]:  # the nearest before it, for the step
        order = np.lexsort((place, inverse.ravel()))
        again = inverse.ravel()[order][1:] == inverse.ravel()[order][:-1]
        original = place.copy()
        original[order[1:][again]] = order[:-1][again]
    start = before.shape[1]
    fits = told & (place >= start) & ((original < start) if start else (original < place))
    at = np.flatnonzero(fits)
    opposite = turned[at] != turned[original[at]]
    return {int(one) - start: int(original[one]) for one in at}, bool(at.size and opposite.all())


def by_sign(clues: Clues, sign: str) -> Account:
    """Whether entries of one sign are never kept, and the others as often as promised."""
    if clues.contract.preserves_moments or clues.contract.by_channel:
        raise Unreadable("other values are dropped to")
    negative = np.concatenate([(one.x < 0).ravel() for one in clues.outputs])
    kept = np.concatenate([(one.y != 0).ravel() for one in clues.outputs])
    mine, others = (negative, ~negative) if sign == "negative" else (~negative, negative)
    never = not kept[mine].any() and bool(kept[others].any())
    seen = (
        f"none of {int(mine.sum()):,} {sign} entries is kept, {kept[others].mean():.0%} of {int(others.sum()):,} others"
    )
    return Account(kept.size, 0.0 if never else NEVER, NEVER if never else 0.0, seen, {"sign": sign})


def as_it_is(clues: Clues) -> Account:
    """Whether some entries are left as they are, neither dropped nor scaled: from a place on, of a call or each row."""
    looked = [one for one in clues.outputs if one.p in RATES]
    wrong = np.array([~one.allowed for one in looked])
    same = np.array([one.y == one.x for one in looked])
    for length, of in ((wrong[0].size, "a call"), (wrong.shape[-1], "each row")):
        places = wrong.reshape(-1, length)
        first = int(np.argmax(places.any(axis=0)))
        if 0 < first < length and places[:, first:].all() and same.reshape(-1, length)[:, first:].all():
            seen = f"the last {length - first:,} of {length:,} outputs of {of} equal their inputs, at each p"
            others = [_untouched(clues, shape, of) for shape in sizes(clues, looked[0].y.shape, of)]
            return Account(wrong.size, 0.0, NEVER, seen, {"where": last_words((length, length - first), others, of)})
    return Account(wrong.size, NEVER, NEVER if wrong.any() else 0.0)


HYPOTHESES = (
    Hypothesis(
        "as_it_is",
        "value",
        "returns {where} unchanged",
        as_it_is,
        OF_MASKS | VALUES,
    ),
    Hypothesis("by_sign", "value", "drops all {sign} entries", by_sign, OF_MASKS | VALUES),
    Hypothesis("kept_column", "number", "keeps {where}", lambda c: fixed_column(c, "kept"), OF_MASKS),
    Hypothesis("dropped_column", "number", "drops {where}", lambda c: fixed_column(c, "dropped"), OF_MASKS),
    Hypothesis("kept_run", "number", "keeps {where}", lambda c: fixed_run(c, "kept"), OF_MASKS),
    Hypothesis("dropped_run", "number", "drops {where}", lambda c: fixed_run(c, "dropped"), OF_MASKS),
    Hypothesis(
        "held", "repetition", "keeps the draws of {number} entries from call to call", held, DEPENDENCE, COUNTED
    ),
    Hypothesis("twins", "repetition", "gives {what}", twins, DEPENDENCE, COUNTED),
)
