"""A sample of masks: what the laws look at, whoever drew them, how it is taken chunk by chunk, and how it looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import scipy  # its FFT is twice as fast as NumPy's in single precision; loaded when it is needed

from keeprate.specs.masks.packed_masks import WORD, PackedMasks
from keeprate.suite import Check, Counterexample, NotOffered, Picture, Unreadable, failed, passed

CHUNK = 7 << 18  # mask entries that are read before the laws look, soon enough to stop in time
LONGEST = 7 << 20  # the same later on, where what a law costs however little it looks at is to be hidden
SEARCHED = 1 << 15  # entries in which a lag is looked for
EARLIER = Counterexample({"first": "a mask that an earlier call had"}, gave="a mask that an earlier call had")
WIDTH, HEIGHT = 76, 40  # entries that a picture has, at most
HEAD = 4096  # entries by which a mask is known again: enough never to agree by chance


@dataclass(frozen=True, eq=False)
class Sample:
    """The masks of some calls; a suite adds what else it saw while it read them.

    Args:
        p: the probability of dropping that was asked for.
        bits: the masks, or None if they could not be read, for the reason in `unreadable`.
        unreadable: which law is broken, so that there are none.
        repeats: whether each mask is another than all before it; None if nobody looked.
        suspect: the lag at which *earlier* masks of this case were most correlated; None for the first ones.
        pairs: pairs of masks, one after another, that were drawn on related occasions; by kind, or why there are none.
            None where the masks themselves are such pairs.
    """

    p: float
    bits: PackedMasks | None
    unreadable: str = ""
    repeats: Check | None = None
    suspect: int | None = None
    pairs: Mapping[str, PackedMasks | str] | None = None

    @property
    def mask(self) -> PackedMasks:
        """The masks.

        Raises:
            Unreadable: an exact law is broken, so that no mask could be read.
        """
        if self.bits is None:
            raise Unreadable(self.unreadable)
        return self.bits

    def related(self, kind: str) -> PackedMasks:
        """Pairs of masks that were drawn on occasions of this kind.

        Raises:
            Unreadable: an exact law is broken, so that no mask could be read.
            NotOffered: the backend has no such occasions.
        """
        masks = self.mask
        found = masks if self.pairs is None else self.pairs[kind]
        if isinstance(found, str):
            raise NotOffered(found)
        return found


AnySample = TypeVar("AnySample", bound=Sample)


def sampled(draws: int, entries: int, read: Callable[[int], AnySample], *, lags: bool) -> Iterator[AnySample]:
    """What `read` gives of some calls at a time, for `draws` entries in all; a call has `entries` of them.

    Args:
        lags: whether to look in the first masks for the lag at which the later ones are judged.
    """
    suspect = None
    for number, calls in enumerate(chunks(draws, entries)):
        sample = read(calls)
        yield replace(sample, suspect=suspect)
        if lags and number == 0 and sample.bits is not None:
            suspect = worst_lag(sample.bits)


def chunks(draws: int, entries: int) -> list[int]:
    """Numbers of calls, chunk by chunk, for `draws` in all: two that name a lag, then as many as went before."""
    calls = -(-draws // entries)
    numbers = [min(2, calls)]
    while left := calls - sum(numbers):
        most = min(max(CHUNK, draws - left * entries), LONGEST)
        numbers.append(min(left, max(2, most // entries // 2 * 2)))
    return numbers


def worst_lag(bits: PackedMasks) -> int | None:
    """The lag at which the first mask is most correlated, by FFT; whether it is one is decided on other draws alone."""
    some = bits.unpack()[0, :SEARCHED].astype(np.float32)
    if some.size <= WORD + 1:
        return None  # too few to look for one
    spectrum = scipy.fft.rfft(some - some.mean(), n=2 * some.size)
    lags = np.arange(1, some.size - WORD)
    correlation = scipy.fft.irfft(spectrum.real**2 + spectrum.imag**2)[1 : some.size - WORD]
    return int(lags[np.argmax(np.abs(correlation) / np.sqrt(some.size - lags))])


class Repeats:
    """The masks that were seen so far, by their first entries."""

    def __init__(self) -> None:
        self._heads: set[bytes] = set()

    def look(self, bits: PackedMasks, number: int) -> Check:
        """Whether the mask of call `number` is another than all before it."""
        head = bits.words[number, : HEAD // WORD].tobytes()
        if head in self._heads:
            return failed(1, 1, EARLIER)
        self._heads.add(head)
        return passed()


def picture_of(bits: PackedMasks) -> Picture:
    """The first rows of the masks `bits`: 1 where kept."""
    width = bits.shape[-1] if bits.shape else 1
    rows = bits.unpack().reshape(-1, width)
    seen = rows[:HEIGHT, :WIDTH]
    title = f"masks: {len(seen)} of {len(rows):,} rows, {seen.shape[1]} of {width:,} entries each; dark is kept"
    return Picture(title, tuple("".join(map(str, row)) for row in seen))
