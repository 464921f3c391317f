"""Masks as packed bits: 64 entries a word, so that a law on top of a sample costs next to nothing."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import Unreadable

Words = npt.NDArray[np.uint64]
Pairs = tuple[int, int, int]  # both, one and none kept
WORD = 64
CACHED = 1 << 13  # bytes that are counted at once: NumPy widens them eightfold, which should stay in the cache
ALL = np.uint64(2**64 - 1)


@dataclass(frozen=True, eq=False)
class Bits:
    """The masks of several calls; entry i of a call is bit i % 64 of its word i // 64, and bits past the end are 0.

    Args:
        words: (calls, words).
        shape: of one mask.
    """

    words: Words
    shape: tuple[int, ...]

    @classmethod
    def empty(cls, calls: int, shape: tuple[int, ...]) -> Bits:
        """Room for `calls` masks of `shape`."""
        return cls(np.zeros((calls, -(-int(np.prod(shape)) // WORD)), dtype=np.uint64), shape)

    @property
    def calls(self) -> int:
        """Masks."""
        return len(self.words)

    @cached_property
    def entries(self) -> int:
        """Entries of one mask."""
        return int(np.prod(self.shape))

    @property
    def draws(self) -> int:
        """Entries of all masks."""
        return self.calls * self.entries

    def put(self, call: int, mask: npt.NDArray[np.bool_]) -> None:
        """Packs one mask (of `shape`) into its place."""
        packed = np.packbits(mask.reshape(-1), bitorder="little")
        self._octets[call, : packed.size] = packed

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

    def only(self, words: slice) -> Bits:
        """The same calls, a part of their words; whole words must have been chosen."""
        chosen = self.words[:, words]
        return Bits(chosen, (chosen.shape[1] * WORD,))

    def every(self, step: int, first: int) -> Bits:
        """Each `step`-th call, from the one numbered `first` on."""
        return Bits(self.words[first::step], self.shape)

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

        Entries are taken in blocks of 2·lag or a little more, those in front paired with those behind; within each
        word where a block fits into one, else within each call. Where no block fits, a call's first entries are paired
        with its last.
        """
        whole, part = divmod(lag, WORD)
        if 2 * lag >= self.entries:
            return self._shifted(self.words, self.words, lag)
        if 2 * lag <= WORD and self.entries % WORD == 0:
            return self._pairs_in_words(lag)
        size = 2 * whole + (2 if part else 0)  # words of a block
        blocks = self.entries // WORD // size
        if not blocks:
            return self._pairs_one_by_one(lag)
        words = self.words[:, : blocks * size].reshape(self.calls, blocks, size)
        if not part:
            kept = total(self.by_word[:, : blocks * size])
            return _pairs(_count(words[:, :, :whole] & words[:, :, whole:]), kept, self.calls * blocks * lag)
        left = words[:, :, : whole + 1].copy()
        left[:, :, whole] &= ALL >> np.uint64(WORD - part)  # entries from `lag` on are the others' partners
        right = words[:, :, whole : 2 * whole + 1] >> np.uint64(part)
        right |= words[:, :, whole + 1 :] << np.uint64(WORD - part)
        right[:, :, whole] &= ALL >> np.uint64(WORD - part)
        return _pairs(_count(left & right), _count(left) + _count(right), self.calls * blocks * lag)

    def _pairs_in_words(self, lag: int) -> Pairs:
        first, pairs = _first_halves(lag)
        both = self.words >> np.uint64(lag)
        both &= self.words
        both &= first
        entries = first | first << np.uint64(lag)
        kept = self.kept if entries == ALL else _count(self.words & entries)
        return _pairs(_count(both), kept, self.words.size * pairs)

    def _pairs_one_by_one(self, lag: int) -> Pairs:
        """The same for calls too small for words; none if a call is shorter than two lags."""
        blocks = self.entries // (2 * lag)
        halves = self.unpack()[:, : blocks * 2 * lag].reshape(self.calls, blocks, 2, lag)
        both = int((halves[:, :, 0] & halves[:, :, 1]).sum(dtype=np.int64))
        return _pairs(both, int(halves.sum(dtype=np.int64)), self.calls * blocks * lag)

    def call_pairs(self, shift: int) -> Pairs:
        """The same for entry i of each even call and entry i + shift of the call after it."""
        whole = self.calls // 2 * 2
        left, right = self.words[:whole:2], self.words[1:whole:2]
        return self._shifted(left, right, shift) if shift >= 0 else self._shifted(right, left, -shift)

    def _shifted(self, left: Words, right: Words, shift: int) -> Pairs:
        """Entry i of each call of `left` and entry i + shift of that call of `right`; a part of a word is left out."""
        words, part = divmod(shift, WORD)
        width = max(0, left.shape[1] - words - (part > 0))
        moved = right[:, words : words + width]
        if part:
            following = right[:, words + 1 : words + 1 + width]
            moved = moved >> np.uint64(part) | following << np.uint64(WORD - part)
        left = left[:, :width]
        entries = width * WORD
        spare = max(0, entries - (self.entries - shift))
        if spare:  # the last word of a call that no 64 divides: its padding is no entry
            last = ALL >> np.uint64(spare)
            left, moved = left.copy(), moved.copy()
            left[:, -1] &= last
            moved[:, -1] &= last
        return _pairs(_count(left & moved), _count(left) + _count(moved), len(left) * (entries - spare))

    def columns(self) -> npt.NDArray[np.int64]:
        """(64,) how often each bit of a word was kept, over all words; every entry if 64 divides a call."""
        return column_counts(np.ascontiguousarray(self.words).ravel())

    @cached_property
    def octets(self) -> npt.NDArray[np.int64]:
        """(256,) how often each pattern of 8 disjoint neighbours occurred; bit k of a pattern is its k-th entry."""
        flat = self._octets[:, : self.entries // 8].reshape(-1)
        parts = (flat[start : start + CACHED] for start in range(0, flat.size, CACHED))
        return sum((np.bincount(part, minlength=256) for part in parts), np.zeros(256, dtype=np.int64))

    def leading_drops(self) -> npt.NDArray[np.uint8]:
        """For each word the number of entries before its first kept one; 64 if there is none."""
        lowest = self.words & (~self.words + np.uint64(1))
        return np.bitwise_count(lowest - np.uint64(1))


def readable(bits: Bits | None, reason: str) -> Bits:
    """`bits`, if there are any.

    Raises:
        Unreadable: there are none, for `reason`.
    """
    if bits is None:
        raise Unreadable(reason)
    return bits


def column_counts(words: Words) -> npt.NDArray[np.int64]:
    """(64,) how many of `words` have each bit: added in halves as vertical counters, a plane a digit."""
    planes = [words]
    spare = np.zeros(WORD, dtype=np.int64)
    while len(planes[0]) > 256:
        size = len(planes[0])
        if size % 2:
            spare += _weigh([plane[-1:] for plane in planes])
        half = size // 2
        carry = np.zeros(half, dtype=np.uint64)
        added = []
        for plane in planes:
            left, right = plane[:half], plane[half : 2 * half]
            differ = left ^ right
            added.append(differ ^ carry)
            carry = left & right | differ & carry
        planes = [*added, carry]
    return spare + _weigh(planes)


def _weigh(planes: list[Words]) -> npt.NDArray[np.int64]:
    bits = (np.unpackbits(plane.view(np.uint8), bitorder="little").reshape(-1, WORD) for plane in planes)
    sums = (plane.sum(axis=0, dtype=np.uint16).astype(np.int64) << digit for digit, plane in enumerate(bits))
    return sum(sums, np.zeros(WORD, dtype=np.int64))


@functools.cache
def _first_halves(lag: int) -> tuple[np.uint64, int]:
    """The entries of a word that lie in the first half of a block of 2·lag entries, and their number."""
    first = sum(((1 << lag) - 1) << start for start in range(0, WORD - 2 * lag + 1, 2 * lag))
    return np.uint64(first), first.bit_count()


def _count(words: Words) -> int:
    return total(np.bitwise_count(words))


def total(counts: npt.NDArray[np.uint8]) -> int:
    """The sum of bytes, in 32 bits: twice as fast as in 64, and enough for 10⁹ entries of a chunk."""
    return int(counts.sum(dtype=np.uint32))


def _pairs(both: int, kept: int, pairs: int) -> Pairs:
    """Both, one and none kept, from how many entries of the pairs were kept in all."""
    one = kept - 2 * both
    return both, one, pairs - both - one
