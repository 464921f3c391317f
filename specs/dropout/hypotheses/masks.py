"""Hypotheses about masks: entries that share a draw, draws that come again, a number that is fixed."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import scipy

from keeprate.specs.accounts import WIDTH, of_pairs, picture, readable
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.hypotheses.clues import Clues, standard
from keeprate.specs.dropout.inputs import thousand
from keeprate.specs.dropout.outcome import Mask
from keeprate.specs.masks import every
from keeprate.specs.transforms import ROWS
from keeprate.suite import ENOUGH, NEVER, Account, Hypothesis, Tally, Unreadable

LEAST = 0.02  # of pairs that are alike beside the half, from which on a lag is named
SHORT = 8  # entries that are left over, at least
SHARE = 0.05  # that is kept, or dropped, at least
FEW = 30  # draws that must be left, or masks agree by chance
HEAD = 96  # entries by which a place in a stream is known again
COUNTED = every.COUNTED | {"data", "moments"}
DEPENDENCE = every.DEPENDENCE | {"seeding", "concurrency", "arguments"}
OF_MASKS = COUNTED | DEPENDENCE
# Where channels are torn, what is read as their mask is something else.
WHERE_TORN = OF_MASKS | {"constancy", "shape", "strides", "gradient", "outcomes"}
UNMOVED = "draws one mask until something else draws, for it doesn't move its random state on,"
AXES = {0: "the rows of a batch (axis 0)"}


def together(along: Mask, what: str, rows: Mask, **given: int | str) -> Account:
    """Whether all entries along the second axis are one draw: each is compared with the first there.

    Args:
        along: (calls, entries, …) masks.
        what: words for two of these entries.
        rows: those that a picture shows.
        given: values for the sentence.
    """
    unlike, pairs, design = int(np.count_nonzero(along[:, 1:] != along[:, :1])), along[:, 1:].size, along.shape[1]
    against, promise = of_pairs(unlike, pairs)
    seen = f"{what} are always kept or dropped together: {unlike:,} of {pairs:,} pairs differ, 50 % should"
    return Account(pairs, against, promise, seen, {**given}, picture(rows), design)


def varied(masks: Mask) -> Mask:
    """The same masks, if they tell anything."""
    if not SHARE < masks.mean() < 1 - SHARE:
        raise Unreadable("nearly all is kept, or dropped")
    return masks


def refuse_own_rates(shares: npt.NDArray[np.floating], calls: int, mean: float) -> None:
    """Refuses places that have rates of their own, as where a mask follows from the data: calls agree by that.

    Args:
        shares: of so many calls, how often each place was kept.
        mean: of all places.
    """
    if shares.var() * calls > 2 * mean * (1 - mean):
        raise Unreadable("places have rates of their own")


def shared_rows(clues: Clues, of: str) -> Account:
    """Whether there is one draw for each place of the last axis, or one for each row along it."""
    masks = varied(clues.masks)
    if clues.contract.by_channel or masks.ndim < 3:
        raise Unreadable("there is one axis alone, or it is of channels")
    rows = masks.reshape(len(masks), -1, masks.shape[-1])
    if of == "rows":
        return together(rows, "entries of two rows", rows[0], among="all rows along the last axis", axis=of)
    among = "all entries of a row along the last axis"
    return together(rows.swapaxes(1, 2), "entries of a row", rows[0], among=among, axis=of)


def shared_axis(clues: Clues, axis: str) -> Account:
    """Whether all entries along one axis are one draw."""
    masks, number = varied(clues.masks), int(axis)
    if number + 1 >= masks.ndim or masks.shape[number + 1] < 2 or masks.size // masks.shape[number + 1] < FEW:
        raise Unreadable("no such axis, or too short")
    along = np.moveaxis(masks, number + 1, 1)
    rows = along[0].reshape(along.shape[1], -1)
    if clues.contract.by_channel:
        channels = clues.contract.moved_axis(len(clues.shape)) == number
        name = "the channels of a sample" if channels else "the samples of a batch"
    else:
        name = AXES.get(number, f"all entries along axis {number}")
    return together(along, "entries one step apart along it", rows, among=name, axis=number)


def shared_call(clues: Clues) -> Account:
    """Whether all entries of a call are one draw, on the shape that is asked for and on a smaller one like it."""
    few = clues.masks.reshape(len(clues.masks), -1)
    if (few != few[:, :1]).any():
        return Account(few.size, NEVER, 0.0)
    masks = clues.many if clues.shape == standard(clues.contract) else clues.many_like_it
    if masks is not clues.many and _shares_an_axis(clues.on(standard(clues.contract)).masks):
        raise Unreadable("it is one draw along an axis, and there is one axis alone")
    if len(set(masks[:, 0].tolist())) < 2:
        raise Unreadable("nearly all is kept, or dropped")
    return together(masks, "the entries of a call", masks)


def _shares_an_axis(masks: Mask) -> bool:
    """Whether entries of a call are one along an axis."""
    return any((masks == masks.take([0], axis)).all() for axis in range(1, masks.ndim))


def alike(clues: Clues, pattern: str) -> Account:
    """Whether masks of calls come again, in a pattern; at another p than 1/2 too."""
    apart = int(clues.context == "thread")  # calls, of which the first is made elsewhere
    masks = varied(clues.many[apart:])
    shares = masks.mean(axis=1)
    if shares.min() < SHARE or shares.max() > 1 - SHARE:
        raise Unreadable("calls in which nearly all is kept, or dropped, agree by chance")
    first = firsts(masks)
    number = np.arange(len(masks))
    mapped = clues.caller().context.mapped  # then so many calls are rows of one
    again = np.flatnonzero(first != number)
    if not again.size:
        return Account(len(masks), NEVER, 0.0)

    def fits(first: npt.NDArray[np.intp]) -> bool:
        match pattern:
            case "first":
                return not first.any() or (mapped and bool((first == number % ROWS).all()))
            case "rows":
                return mapped and bool((first == number // ROWS * ROWS).all())
            case "pairs":
                return bool((first == number // 2 * 2).all())
        return bool(np.count_nonzero(first != number) > again.size / 2)

    so = fits(first)
    too = so and fits(firsts(clues.many_kept[apart:]))  # else masks are one, or opposites, where half is kept alone
    words = f"{again.size} of {len(masks)} calls have a mask that an earlier one had; none should"
    vmapped = "vmap" in clues.context
    which = ", ".join(
        f"{_called(int(number) + apart, vmapped)} that of {_called(int(first[number]) + apart, vmapped)}"
        for number in again[:2]
    )
    what = f"reuses masks of earlier {'rows' if vmapped else 'calls'}: {which}"
    if not too:
        what = "makes masks of calls that depend on one another: at p = 0.5 some come again"
        so &= pattern == "later"
    together = "rows of a mapped call" if vmapped else "dropouts inside one function,"
    many = "masks of the first mapped call" if vmapped else "masks of a compiled function's first call"
    of_first = many if mapped and first.any() else "mask of the first call"
    words_of_first = f"uses the {of_first} for all later ones"
    if so and clues.of_values:
        words_of_first = "draws one mask for the same values in every call"
    elif so and pattern == "first" and _waits(clues):
        words_of_first = UNMOVED
    given: dict[str, int | str] = {"what": what, "rows": together, "all": words_of_first}
    rows = masks[[first[again[0]], again[0]]]
    design = max(1.0, len(masks) / (len(masks) - again.size))
    return Account(len(masks), 0.0 if so else NEVER, NEVER, words, dict(given), picture(rows), design)


def _called(number: int, vmapped: bool) -> str:
    """Words for a call, which in a mapped context is a row of one."""
    return f"row {number % ROWS + 1} of mapped call {number // ROWS + 1}" if vmapped else f"call {number + 1}"


def _waits(clues: Clues) -> bool:
    """Whether a plain call in between makes another mask of the same call after it."""
    if clues.context == "eager":
        return False
    caller, shape = clues.caller(), thousand(clues.contract)
    plain = Caller(clues.backend, clues.contract, clues.case.dtype)
    _, before, _, after = (readable(clues.drawn)(each, 1, shape) for each in (caller, caller, plain, caller))
    return not np.array_equal(before, after)


def firsts(masks: Mask) -> npt.NDArray[np.intp]:
    """For each mask which is the first that is the same."""
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(mask.tobytes(), number) for number, mask in enumerate(masks)])


def rotated(clues: Clues) -> Account:
    """Whether each later call is the first, with its entries moved on by some number and the last ones put first."""
    flat = varied(clues.masks).reshape(len(clues.masks), -1)
    if flat.shape[1] <= 2 * HEAD:
        raise Unreadable("too few entries")
    spectra = scipy.fft.rfft(2 * flat.astype(np.float32) - 1, axis=1)
    steps = scipy.fft.irfft(spectra[1:] * spectra[:1].conj(), n=flat.shape[1]).argmax(axis=1)
    if not steps.any():
        raise Unreadable("no call is moved")
    unlike = sum(
        int(np.count_nonzero(mask != np.roll(flat[0], step))) for mask, step in zip(flat[1:], steps, strict=True)
    )
    against, promise = of_pairs(unlike, flat[1:].size)
    some = ", ".join(f"call {number} by {step:,}" for number, step in enumerate(steps[:3], 2))
    words = f"of {len(flat)} calls each is the first, rotated: {some}; {unlike} of {flat[1:].size:,} entries differ"
    rows = np.array([flat[0][:WIDTH], np.roll(flat[1], -steps[0])[:WIDTH]])
    return Account(flat.size, against, promise, words, {}, picture(rows), len(flat))


def moved(clues: Clues) -> Account:
    """Whether each call is the one before, moved."""
    flat = varied(clues.masks).reshape(len(clues.masks), -1)
    if flat.shape[1] <= 2 * HEAD:
        raise Unreadable("too few entries")
    for one, sign in ((0, 1), (1, -1)):
        step = flat[one].tobytes().find(flat[1 - one, :HEAD].tobytes())
        if step > 0:
            still, later = (flat[:-1], flat[1:]) if sign > 0 else (flat[1:], flat[:-1])
            unlike = int(np.count_nonzero(still[:, step:] != later[:, : flat.shape[1] - step]))
            against, promise = of_pairs(unlike, still[:, step:].size)
            row = math.prod(clues.masks.shape[2:])
            far = "one entry" if step == 1 else "a row" if step == row else f"{step:,} entries"
            words = f"entry i of a call and entry i + {step:,} of the one before: {unlike} of {still[:, step:].size:,}"
            rows = np.array([flat[one][step : step + WIDTH], flat[1 - one][:WIDTH]])
            return Account(
                flat.size, against, promise, f"{words} pairs differ, 50 % should", {"far": far}, picture(rows), 2
            )
    return Account(flat.size, NEVER, 0.0)


def complements(clues: Clues) -> Account:
    """Whether each second call is the complement of the one before."""
    masks = varied(clues.many)
    pairs = [(masks[start:-1:2], masks[start + 1 :: 2]) for start in (0, 1)]  # whichever call of each pair comes first
    masks, other = min(pairs, key=lambda pair: np.count_nonzero(pair[0] == pair[1]))
    unlike = int(np.count_nonzero(masks == other))
    against, promise = of_pairs(unlike, masks.size)
    return Account(
        masks.size,
        against,
        promise,
        "no entry is kept in both, or dropped in both",
        {},
        picture(np.array([masks[0], other[0]])),
    )


def period(clues: Clues, of: str) -> Account:
    """Whether the stream of draws repeats, within each call or over calls, on another shape too."""
    masks = varied(clues.masks).reshape(len(clues.masks), -1)
    streams = masks if of == "call" else masks.reshape(1, -1)
    if len(set(streams[0, :HEAD].tolist())) < 2:
        raise Unreadable("it begins with many alike")
    length = streams[0].tobytes().find(streams[0, :HEAD].tobytes(), 1) if streams.shape[1] > HEAD else -1
    if length < 0 or length > streams.shape[1] - FEW:
        return Account(streams.size, NEVER, 0.0)
    unlike = int(np.count_nonzero(streams[:, length:] != streams[:, :-length]))
    pairs = streams[:, length:].size
    against, promise = of_pairs(unlike, pairs)
    words = f"entries {length:,} apart: {unlike} of {pairs:,} pairs differ, 50 % should"
    rows = np.array([streams[0, :WIDTH], streams[0, length : length + WIDTH]]) if pairs >= WIDTH else streams[:0]
    design = streams.shape[1] / length
    after = _again_after(clues, of, length) if not against else ""
    return Account(pairs, 0.0 if after else NEVER, promise, words, {"length": after}, picture(rows), design)


def _again_after(clues: Clues, of: str, length: int) -> str:
    """Words for what a period is on another shape too, where rows and calls have other lengths; empty if it is none."""
    front, *rest = clues.shape
    front += 5 + (front + 5) % 2  # so that it can be halved
    shape = (front, rest[0] + 3, *rest[1:]) if rest and clues.masks.ndim > 2 else (front, *rest)
    masks = clues.of_channels(readable(clues.drawn)(clues.caller(), len(clues.masks), shape))
    row, other_row = (math.prod(some.shape[2:]) for some in (clues.masks, masks))
    streams = masks.reshape(len(masks) if of == "call" else 1, -1)
    size = streams.shape[1]
    ways = [(length, f"{length:,}")]
    if of == "call" and 2 * length == clues.masks[0].size and size % 2 == 0:
        ways.append((size // 2, "half of a call"))
    if row > 1 and length % row == 0:
        number = length // row
        ways.append((number * other_row, "a row of the batch" if number == 1 else f"{number} rows of the batch"))
    held = (words for step, words in ways if step <= size - FEW and (streams[:, step:] == streams[:, :-step]).all())
    return next(held, "")


def copied_tail(clues: Clues, block: str) -> Account:
    """Whether what is left after the last whole block is copied from the beginning."""
    flat, number = varied(clues.masks).reshape(len(clues.masks), -1), int(block)
    start = flat.shape[1] // number * number
    if not start or flat.shape[1] - start < SHORT:
        raise Unreadable("nothing is left over, or too little")
    tail, head = flat[:, start:], flat[:, : flat.shape[1] - start]
    if (tail == tail[:, :1]).all(axis=1).mean() > 0.5:
        raise Unreadable("what is left over is all kept, or dropped")
    unlike = int(np.count_nonzero(tail != head))
    against, promise = of_pairs(unlike, tail.size)
    words = f"the last {tail.shape[1]:,} entries and the first: {unlike} of {tail.size:,} pairs differ, 50 % should"
    return Account(tail.size, against, promise, words, {"block": f"{number:,}"}, picture(np.array([head[0], tail[0]])))


def by_element(clues: Clues, axes: str) -> Account:
    """Whether the mask of a channel operator varies along these axes of the input, and along no others."""
    elements, contract = varied(clues.elements), clues.contract
    rank = elements.ndim - 1
    inner = tuple(range(len(contract.mask_shape(clues.shape)), rank))
    varying = tuple(
        axis for axis in inner if elements.shape[axis + 1] > 1
        and (elements != elements.take([0], axis=axis + 1)).any()
    )  # fmt: skip
    long = tuple(axis for axis in inner if elements.shape[axis + 1] > 1)
    if not varying:
        return Account(elements.size, NEVER, 0.0)
    apart = sum(_unlike_neighbours(elements, axis + 1) for axis in varying)
    pairs = sum(elements.size - elements.size // elements.shape[axis + 1] for axis in varying)
    each = varying == long and Tally(("alike", "unlike"), (pairs - apart, apart), (0.5, 0.5)).log10_e < ENOUGH
    if axes != "all" and each and len(long) == 1:
        raise Unreadable("there is one such axis alone")
    fits = each if axes == "all" else not each
    channels = contract.channel_axis(rank)
    assert channels is not None
    same = not (elements != elements.take([0], axis=channels + 1)).any()
    along = " and ".join(f"axis {axis}" for axis in sorted(map(clues.caller().layout.axes(rank).index, varying)))
    torn = int(np.count_nonzero((elements != elements.take([0], axis=varying[0] + 1)).any(axis=varying[0] + 1)))
    words = f"{torn:,} of {elements[..., 0].size:,} channels are torn along {along}; none should be"
    given = {"along": along, "channels": ", and is the same for all channels" if same else ""}
    rows = elements[0].reshape(-1, elements.shape[-1])
    return Account(elements.size, 0.0 if fits else NEVER, NEVER, words, dict(given), picture(rows))


def _unlike_neighbours(elements: Mask, axis: int) -> int:
    """How many neighbours along an axis are not alike."""
    return int(np.count_nonzero(np.diff(elements.view(np.int8), axis=axis)))


def _h(name: str, kind: str, says: str, function: object, *more: str) -> Hypothesis:
    return Hypothesis(name, kind, says, function, DEPENDENCE | {*more}, COUNTED)  # type: ignore[arg-type]


HYPOTHESES = (
    _h("shared_call", "sharing", "draws once for all entries of a call", shared_call, "shape"),
    _h("shared_axis", "sharing", "shares one mask among {among}", shared_axis, "shape"),
    _h("shared_rows", "sharing", "shares one mask among {among}", shared_rows, "shape"),
    _h("rotated", "repetition", "rotates the mask of the first call for each later one", rotated),
    _h("alike_first", "repetition", "{all}", lambda c: alike(c, "first"), "modes"),
    _h("alike_rows", "sharing", "uses one mask for all {rows}", lambda c: alike(c, "rows")),
    _h("alike_pairs", "repetition", "uses each mask for two calls in a row", lambda c: alike(c, "pairs"), "modes"),
    _h("copied_tail", "repetition", "copies the entries past the last whole block of {block} from the first ones",
       copied_tail),
    _h("period", "repetition", "draws random numbers that repeat after {length}", period),
    _h("moved", "repetition", "makes each mask by shifting the one before by {far}", moved),
    _h("complements", "repetition", "makes every second mask the complement of the one before", complements),
    _h("alike_later", "repetition", "{what}", lambda c: alike(c, "later"), "modes"),
    Hypothesis("by_element", "sharing", "draws a mask for each element, not for each channel",
               lambda c: by_element(c, "all"), WHERE_TORN),
    Hypothesis("by_axis", "sharing", "draws a mask that varies along {along} within channels{channels}",
               lambda c: by_element(c, "some"), WHERE_TORN),
)  # fmt: skip
