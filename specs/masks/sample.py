"""A sample of masks: what the laws look at, whoever drew them, how it is taken chunk by chunk, and how it looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from keeprate.specs.masks.packed_masks import WORD, PackedMasks
from keeprate.suite import Check, Counterexample, NotOffered, Picture, Unreadable, failed, passed

BERNOULLI = "torch.nn.functional.dropout: independent Bernoulli samples for each element or channel, on every call"

CHUNK = 7 << 18  # mask entries that are read before the laws look, soon enough to stop in time
LONGEST = 7 << 20  # the same later on, where what a law costs however little it looks at is to be hidden
SCOUTS = 1 << 14  # mask entries, at least, that name what later ones decide, unless that is a quarter of all
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
        lag: at which *earlier* masks of this case were most correlated; None for the first ones.
        shift: the same of a mask and the next one; 0, or 1 where the mask is one of `beside`, and by how much.
        stretches: whether each stretch of entries is another than all before it; None if nobody looked.
        beside: masks of another size, each of a call after that of the mask of its number; None if all are of one size.
        pairs: pairs of masks, one after another, that were drawn on related occasions; by kind, or why there are none.
            None where the masks themselves are such pairs.
    """

    p: float
    bits: PackedMasks | None
    unreadable: str = ""
    repeats: Check | None = None
    lag: int | None = None
    shift: tuple[int, int] | None = None
    stretches: Check | None = None
    beside: PackedMasks | None = None
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


def sampled(draws: int, entries: int, read: Callable[[int], AnySample]) -> Iterator[AnySample]:
    """What `read` gives of some calls at a time, for `draws` entries in all; a call has `entries` of them."""
    return map(read, chunks(draws, entries))


def chunks(draws: int, entries: int) -> list[int]:
    """Numbers of calls, chunk by chunk, for `draws` in all: those that name what others decide, then as many as before.

    Odd, where there are enough, so that pairs of calls by turns leave one call out and not two.
    """

    def odd(most: int) -> int:
        return max(2, most // entries - 1 | 1)

    calls = -(-draws // entries)
    numbers = [min(calls, max(3, calls // 16 | 1, min(calls // 4, SCOUTS // entries) | 1), odd(CHUNK))]
    while left := calls - sum(numbers):
        numbers.append(min(left, odd(min(max(CHUNK, draws - left * entries), LONGEST))))
    return numbers


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
