"""Masks as packed bits: 64 entries a word, so that a law on top of a sample costs next to nothing."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Pairs = tuple[int, int, int]  # both, one and none kept
WORD = 64
PATTERN = 16  # entries of the longest pattern that is counted
ALL = np.uint64(2**64 - 1)
SKIPS = (
    0,
    21,
    42,
)  # 0b000000, 0b010101, 0b101010: any entry is in the first half of a block of 2ᵏ⁺¹ from one of them on
FEW = 4  # blocks of whole words of a call, at most, of which what the last one leaves is counted as well
LOWEST = np.uint64(0x0101010101010101)  # the lowest bit of each byte


@dataclass(frozen=True, eq=False)
class PackedMasks:
    """The masks of several calls; entry i of a call is bit i % 64 of its word i // 64, and bits past the end are 0.

    Args:
        words: (calls, words).
        shape: of one mask.
    """

    words: Words
    shape: tuple[int, ...]

    @classmethod
    def empty(cls, calls: int, shape: tuple[int, ...]) -> PackedMasks:
        """Room for `calls` masks of `shape`."""
        return cls(np.zeros((calls, -(-math.prod(shape) // WORD)), dtype=np.uint64), shape)

    @classmethod
    def of(cls, masks: npt.NDArray[np.bool_]) -> PackedMasks:
        """Masks (calls, …), packed."""
        packed = cls.empty(len(masks), masks.shape[1:])
        packed.put_all(0, masks)
        return packed

    @property
    def calls(self) -> int:
        """Masks."""
        return len(self.words)

    @cached_property
    def entries(self) -> int:
        """Entries of one mask."""
        return math.prod(self.shape)

    @property
    def draws(self) -> int:
        """Entries of all masks."""
        return self.calls * self.entries

    def put(self, call: int, mask: npt.NDArray[np.bool_]) -> None:
        """Packs one mask (of `shape`) into its place."""
        packed = np.packbits(mask.reshape(-1), bitorder="little")
        self._octets[call, : packed.size] = packed

    def put_all(self, first: int, masks: npt.NDArray[np.bool_]) -> None:
        """The same of masks (calls, …) of calls in a row, from call `first` on."""
        packed = np.packbits(masks.reshape(len(masks), -1), axis=1, bitorder="little")
        self._octets[first : first + len(masks), : packed.shape[1]] = packed

    @cached_property
    def _octets(self) -> npt.NDArray[np.uint8]:
        """(calls, 8·words) the words as bytes, the first entries first."""
        return self.words.view(np.uint8)

    def unpack(self) -> npt.NDArray[np.uint8]:
        """(calls, entries) zeros and ones."""
        return np.unpackbits(self._octets, axis=1, count=self.entries, bitorder="little")

    @cached_property
    def by_word(self) -> npt.NDArray[np.uint8]:
        """(calls, words) kept entries of each word."""
        return np.bitwise_count(self.words)

    @cached_property
    def kept(self) -> int:
        """Entries that were kept, in all."""
        return total(self.by_word)

    def windows(self, size: int) -> npt.NDArray[np.unsignedinteger[Any]]:
        """Kept entries of each disjoint window of `size` entries, 64·4ᵏ, calls one after another."""
        if size == WORD:
            return self.by_word[:, : self.entries // WORD].reshape(-1)
        if size not in self._by_window:
            smaller = self.windows(size // 4).reshape(self.calls, -1)
            quarters = (smaller[:, part : smaller.shape[1] // 4 * 4 : 4] for part in range(4))
            self._by_window[size] = sum(quarters, np.zeros((), dtype=np.uint32)).reshape(-1)
        return self._by_window[size]

    @cached_property
    def _by_window(self) -> dict[int, npt.NDArray[np.uint32]]:
        return {}

    def pairs(self, lag: int) -> Pairs:
        """How many disjoint pairs of entries `lag` apart in flat order were both, one and not kept.

        Blocks of `lag` entries are paired, the first with the second, the third with the fourth, …; in other calls, or
        in other words of a single one, they begin elsewhere, so that no two entries go unseen for ever.
        """
        if 2 * lag <= WORD and not WORD % (2 * lag) and self.turned.size:
            return self._pairs_in_words(lag)
        found = np.zeros(3, dtype=np.int64)
        for number, part in enumerate(self.halves if lag * (4 if self.calls == 1 else 2) < self.entries else [self]):
            found += part._pairs_of_blocks(lag, skip=number * lag)
        both, one, none = found.tolist()
        return both, one, none

    @cached_property
    def halves(self) -> list[PackedMasks]:
        """Two parts of the calls, or of the words of a single one."""
        return self.parts(2)

    def parts(self, number: int) -> list[PackedMasks]:
        """As many parts of the calls; of a single call, of its words."""
        if self.calls > 1:
            return [
                self.take(slice(part * self.calls // number, (part + 1) * self.calls // number))
                for part in range(number)
            ]
        edges = [part * self.words.shape[1] // number for part in range(number + 1)]
        return [
            PackedMasks(self.words[:, start:end], (min(end * WORD, self.entries) - start * WORD,))
            for start, end in pairwise(edges)
        ]

    @cached_property
    def turned(self) -> Words:
        """Whole words of all calls, in each third from another entry on: `SKIPS` says from which.

        Two entries of one word that are a block of 1, 2, 4, …, 32 apart are then in one pair of blocks in some third.
        """
        parts = zip(self.parts(len(SKIPS)), SKIPS, strict=True)
        return np.concatenate(
            [later(part.words, skip, (part.entries - skip) // WORD).reshape(-1) for part, skip in parts]
        )

    def _pairs_in_words(self, lag: int) -> Pairs:
        if lag in (1, 2, 4):  # a block is a pattern, and these are counted for other laws
            joint = int(self.patterns(2 * lag) @ _pairs_of_patterns(lag))
        else:
            both = self.turned >> np.uint64(lag)
            both &= self.turned
            both &= _first_halves(lag)
            joint = _count(both)
        return _pairs(joint, self._kept_in_turned, self.turned.size * WORD // 2)

    @cached_property
    def _kept_in_turned(self) -> int:
        return _count(self.turned)

    def _pairs_of_blocks(self, lag: int, skip: int) -> Pairs:
        """Pairs of blocks of `lag` entries, from entry `skip` on, which is a multiple of it."""
        whole, part = divmod(lag, WORD)
        blocks = (self.entries - skip) // lag // 2
        if not part and blocks > FEW:
            place = slice(skip // WORD, skip // WORD + 2 * whole * blocks)
            both = _count(_halves_joined(self.words[:, place].reshape(self.calls, blocks, 2 * whole), whole))
            return _pairs(both, total(self.by_word[:, place]), self.calls * blocks * lag)
        leading, either, number = _blocks(self.entries, lag, skip)
        behind = later(self.words, lag, self.words.shape[1])  # shorter where nothing follows the last words
        joined = behind & self.words[:, : behind.shape[1]]
        joined &= leading[: behind.shape[1]]
        return _pairs(_count(joined), _count(self.words & either), self.calls * number)

    def take(self, calls: npt.NDArray[np.intp] | slice) -> PackedMasks:
        """The masks of some of the calls."""
        return PackedMasks(self.words[calls], self.shape)

    @cached_property
    def first_of_pairs(self) -> npt.NDArray[np.intp]:
        """The first calls of pairs of calls in a row, each call in one pair at most, and no pair unseen for ever.

        In the first half of the calls (0, 1), (2, 3), …; in the second half (n, n + 1), (n + 2, n + 3), … of an odd n.
        """
        moved = max(0, (self.calls - 2) // 4)  # pairs of the second half
        still = (self.calls - 2 * moved - 1) // 2 if moved else self.calls // 2
        first = 2 * np.arange(still + moved)
        first[still:] += 1
        return first

    def call_pairs(self, shift: int) -> Pairs:
        """The same for entry i of a call and entry i + shift of the call after it."""
        calls = self.first_of_pairs
        return pairs_between(self.take(calls), self.take(calls + 1), shift)

    def related_pairs(self, shift: int) -> Pairs:
        """The same where the masks are pairs already: the first and the second, the third and the fourth, …"""
        whole = self.calls // 2 * 2
        return pairs_between(self.take(slice(0, whole, 2)), self.take(slice(1, whole, 2)), shift)

    def patterns(self, size: int) -> npt.NDArray[np.int64]:
        """(2^size,) how often each pattern of `size` (1, 2, 4, 8 or 16) disjoint neighbours occurred, in whole words.

        Bit k of a pattern is its k-th entry. The words are those of `turned`.
        """
        if size not in self._by_pattern:
            if size == PATTERN:
                self._by_pattern[size] = np.bincount(self.turned.view(np.uint16), minlength=2**PATTERN)
            else:
                halves = self.patterns(2 * size).reshape(2**size, 2**size)
                self._by_pattern[size] = halves.sum(axis=0) + halves.sum(axis=1)
        return self._by_pattern[size]

    @cached_property
    def _by_pattern(self) -> dict[int, npt.NDArray[np.int64]]:
        return {}

    def leading_drops(self) -> npt.NDArray[np.uint8]:
        """For each whole word the number of entries before its first kept one; 64 if there is none."""
        words = self.words[:, : self.entries // WORD]
        leading: Words = words - np.uint64(1) & ~words
        return np.bitwise_count(leading)


def pairs_between(one: PackedMasks, other: PackedMasks, shift: int) -> Pairs:
    """How many pairs of entry i of a mask of `one` and entry i + shift of that of `other` were both, one and not kept.

    The two may be of different sizes.
    """
    if shift < 0:
        return pairs_between(other, one, -shift)
    pairs = max(0, min(one.entries, other.entries - shift))
    width = -(-pairs // WORD)
    still, moved = one.words[:, :width], later(other.words, shift, width)
    if spare := width * WORD - pairs:  # what of the last word is no pair
        last = ALL >> np.uint64(spare)
        still, moved = still.copy(), moved.copy()
        still[:, -1] &= last
        moved[:, -1] &= last
    return _pairs(_count(still & moved), _count(still) + _count(moved), len(still) * pairs)


def later(words: Words, shift: int, width: int) -> Words:
    """(calls, width) the words that begin with entry `shift` of each call; entries past its end are 0."""
    whole, part = divmod(shift, WORD)
    if not part:
        return words[:, whole : whole + width]
    moved = words[:, whole : whole + width] >> np.uint64(part)
    following = words[:, whole + 1 : whole + 1 + width]
    moved[:, : following.shape[1]] |= following << np.uint64(WORD - part)
    return moved


def rows_of(array: npt.NDArray[Any]) -> list[bytes]:
    """What each row of an array (rows, …) is made of; equal rows are equal bytes."""
    rows = np.ascontiguousarray(array).reshape(len(array), -1)
    found: list[bytes] = rows.view(f"V{rows.itemsize * rows.shape[1]}").reshape(-1).tolist()
    return found


def column_counts(words: Words) -> npt.NDArray[np.int64]:
    """(64,) how many of `words` have each bit: each eighth bit is summed in its byte, which holds 255."""
    each = words >> np.arange(8, dtype=np.uint64)[:, None]
    each &= LOWEST
    sums = np.add.reduceat(each, np.arange(0, words.size, 255), axis=1)
    counts: npt.NDArray[np.int64] = sums.view(np.uint8).reshape(8, -1, 8).sum(axis=1, dtype=np.int64)
    return counts.T.reshape(-1)


@functools.cache
def _first_halves(lag: int) -> np.uint64:
    """The entries of a word that lie in the first half of a block of 2·lag entries."""
    return np.uint64(sum(((1 << lag) - 1) << start for start in range(0, WORD, 2 * lag)))


@functools.cache
def _pairs_of_patterns(lag: int) -> npt.NDArray[np.uint8]:
    """(2^(2·lag),) how many pairs of entries `lag` apart each pattern keeps both of."""
    kept = np.arange(1 << 2 * lag, dtype=np.uint64)
    return np.bitwise_count(kept & kept >> np.uint64(lag))


@functools.lru_cache(maxsize=64)
def _blocks(entries: int, lag: int, skip: int) -> tuple[Words, Words, int]:
    """(words,) the first entries of pairs; (words,) the entries of all pairs; how many pairs there are."""
    start, end = min(skip, entries - lag), entries - lag
    halves = np.zeros((-(-(end - start) // (2 * lag)), 2, lag), dtype=np.bool_)
    halves[:, 0] = True
    leading = np.zeros(entries, dtype=np.bool_)
    leading[start:end] = halves.reshape(-1)[: end - start]
    either = leading.copy()
    either[lag:] |= leading[: entries - lag]
    first, both = PackedMasks.of(np.stack([leading, either])).words
    return first, both, int(leading.sum())


def _halves_joined(blocks: Words, size: int) -> Words:
    """The words that lead each block (the last axis) and the `size` words behind them, joined by `and`."""
    if size >= 8:
        return blocks[:, :, :size] & blocks[:, :, size:]
    joined = np.empty((size, *blocks.shape[:2]), dtype=np.uint64)
    for place in range(size):  # NumPy's own loop would run along the short axis
        np.bitwise_and(blocks[:, :, place], blocks[:, :, size + place], out=joined[place])
    return joined


def _count(words: Words) -> int:
    return total(np.bitwise_count(words))


def total(counts: npt.NDArray[np.uint8]) -> int:
    """The sum of bytes, in 32 bits: twice as fast as in 64, and enough for 10⁹ entries of a chunk."""
    return int(np.add.reduce(counts, axis=None, dtype=np.uint32))


def _pairs(both: int, kept: int, pairs: int) -> Pairs:
    """Both, one and none kept, from how many entries of the pairs were kept in all."""
    one = kept - 2 * both
    return both, one, pairs - both - one
