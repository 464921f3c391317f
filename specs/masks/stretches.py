"""No stretch of entries comes twice, wherever it stands: an exact law, for what no list of lags and shifts finds."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from keeprate.specs.masks.packed_masks import WORD, PackedMasks, Words, rows_of
from keeprate.specs.masks.sample import BERNOULLI, Sample
from keeprate.suite import Check, Counterexample, Unreadable, law

LENGTH = 1024  # entries of a stretch
RARITY = 2.0**-11  # about the probability of the pattern that a stretch follows
REMEMBERED = 1 << 17  # stretches of one case, at most: those of some 2·10⁸ entries, in 42 MB
Places = npt.NDArray[np.intp]


@law(
    promise="No 1,024 consecutive entries are repeated, at any distance, in any call.",
    catches=(
        "streams that overlap",
        "counters that step too little",
        "threads that draw the same numbers",
        "a buffer that is partly refilled",
        "masks cut from one pool",
    ),
    blind_to=("shorter repetitions, and partial ones: see `all_shifts` and `all_lags`",),
    source=BERNOULLI,
)
def no_stretch_twice(sample: Sample) -> Check:
    """Looks for the 1,024 entries behind each anchor, a pattern of probability 2⁻¹¹, among all that came before.

    Independent stretches agree with probability (q² + p²)¹⁰²⁴, below 10⁻⁸⁷ for p from 0.1 to 0.9. Two that overlap do
    so with less than 10⁻⁴⁶: anchors stand so far apart that a period of their distance would fix too many entries.
    """
    if sample.stretches is None:
        raise Unreadable(sample.unreadable or "no mask was read")
    return sample.stretches


class Stretches:
    """The stretches behind anchors that were seen so far."""

    def __init__(self) -> None:
        self._seen: dict[bytes, tuple[int, int]] = {}  # where each was seen first
        self._calls = 0

    def look(self, sample: Sample) -> Check | None:
        """Whether each stretch of the masks of further calls is another than all before it; None if none was read."""
        if sample.bits is None:
            return None
        check = self._look(sample.bits, sample.p)
        return check if sample.beside is None else check + self._look(sample.beside, sample.p)

    def _look(self, bits: PackedMasks, p: float) -> Check:
        calls, starts = anchored(bits, p)
        stretches = _stretches(bits, calls, starts)
        places = [*zip((self._calls + calls).tolist(), starts.tolist(), strict=True)]
        again: set[int] = set()
        first = None
        if len(set(stretches)) == len(stretches) and self._seen.keys().isdisjoint(stretches):  # as of sound masks
            room = max(0, REMEMBERED - len(self._seen))
            self._seen.update(zip(stretches[:room], places[:room], strict=True))
        else:
            for stretch, place in zip(stretches, places, strict=True):
                if stretch in self._seen:
                    again.add(place[0])
                    first = first or _told(self._seen[stretch], place)
                elif len(self._seen) < REMEMBERED:
                    self._seen[stretch] = place
        self._calls += bits.calls
        return Check(bits.calls, bits.calls - len(again), len(again), first)  # of masks: some have no anchor


def anchored(bits: PackedMasks, p: float) -> tuple[Places, Places]:
    """Call and first entry of each stretch: what follows an anchor, where the call is long enough.

    An anchor is the rarer outcome, the commoner one some times, and the rarer one again.
    """
    rarer, commoner = min(p, 1 - p), max(p, 1 - p)
    assert commoner < 0.95, f"at p = {p} independent stretches may agree"
    between = max(0, round(math.log(RARITY / rarer**2) / math.log(commoner)))
    flat = bits.words.reshape(-1)  # what is found across two calls is left out below
    rare = flat if p > 0.5 else ~flat
    found = rare & _moved(rare, between + 1)
    found &= _moved(_all_of(~rare, between), 1)
    words = np.flatnonzero(found)
    inside = np.unpackbits(found[words].view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
    row, bit = np.nonzero(inside)
    call, word = np.divmod(words[row], bits.words.shape[1])
    start = word * WORD + bit + between + 2
    whole = start + LENGTH <= bits.entries
    return call[whole], start[whole]


def _all_of(words: Words, number: int) -> Words:
    """Where `number` bits are set, from each on; by halves."""
    if number <= 1:
        return words if number else np.full_like(words, ~np.uint64(0))
    half = _all_of(words, number // 2)
    run = half & _moved(half, number // 2)
    return run & _moved(words, number - 1) if number % 2 else run


def _moved(words: Words, distance: int) -> Words:
    """The bits that stand `distance`, less than a word, behind each."""
    moved = words >> np.uint64(distance)
    moved[:-1] |= words[1:] << np.uint64(WORD - distance)
    return moved


def _stretches(bits: PackedMasks, calls: Places, starts: Places) -> list[bytes]:
    """The entries of each stretch, packed."""
    if not calls.size:
        return []
    first, part = np.divmod(starts, WORD)
    words = np.arange(LENGTH // WORD + 1) + (calls * bits.words.shape[1] + first)[:, None]
    taken = bits.words.reshape(-1).take(words, mode="clip")  # past the end only where none of it is needed
    shift = part.astype(np.uint64)[:, None]
    stretches = (taken[:, :-1] >> shift) | (taken[:, 1:] << np.uint64(1) << (np.uint64(WORD - 1) - shift))
    return rows_of(stretches)


def _told(before: tuple[int, int], now: tuple[int, int]) -> Counterexample:
    one, other = (f"{start:,} to {start + LENGTH - 1:,} of call {call + 1:,}" for call, start in (before, now))
    return Counterexample({"first": f"entries {one} come again as {other}"}, gave="entries that came before")


laws = (no_stretch_twice,)
