"""Masks as packed bits: 64 entries a word, so that a law on top of a sample costs next to nothing."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Pairs = tuple[int, int, int]  # both, one and none kept
WORD = 64
PATTERN = 16  # entries of the longest pattern that is counted
ALL = np.uint64(2**64 - 1)
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
        for call, mask in enumerate(masks):
            packed.put(call, mask)
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

    def _kept_up_to(self, words: int) -> int:
        """Entries that were kept in the first `words` words of the calls."""
        return self.kept if words == self.words.shape[1] else total(self.by_word[:, :words])

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
            return self._shifted(slice(None), slice(None), lag)
        if 2 * lag <= WORD and self.entries % WORD == 0:
            return self._pairs_in_words(lag)
        size = 2 * whole + (2 if part else 0)  # words of a block
        blocks = self.entries // WORD // size
        if not blocks:
            return self._pairs_one_by_one(lag)
        words = self.words[:, : blocks * size].reshape(self.calls, blocks, size)
        if not part:
            both = _halves_joined(words, whole)
            return _pairs(_count(both), self._kept_up_to(blocks * size), self.calls * blocks * lag)
        left = words[:, :, : whole + 1].copy()
        left[:, :, whole] &= ALL >> np.uint64(WORD - part)  # entries from `lag` on are the others' partners
        right = words[:, :, whole : 2 * whole + 1] >> np.uint64(part)
        right |= words[:, :, whole + 1 :] << np.uint64(WORD - part)
        right[:, :, whole] &= ALL >> np.uint64(WORD - part)
        return _pairs(_count(left & right), _count(left) + _count(right), self.calls * blocks * lag)

    def _pairs_in_words(self, lag: int) -> Pairs:
        if lag in (1, 2, 4):  # a block is a pattern, and these are counted for other laws
            joint = int(self.patterns(2 * lag) @ _pairs_of_patterns(lag))
            return _pairs(joint, self.kept, self.words.size * WORD // 2)
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
        even, odd = slice(0, whole, 2), slice(1, whole, 2)
        return self._shifted(even, odd, shift) if shift >= 0 else self._shifted(odd, even, -shift)

    def _shifted(self, left: slice, right: slice, shift: int) -> Pairs:
        """Entry i of each call of `left` and entry i + shift of that call of `right`; a part of a word is left out."""
        words, part = divmod(shift, WORD)
        width = max(0, self.words.shape[1] - words - (part > 0))
        still, moved = self.words[left, :width], self.words[right, words : words + width]
        pairs = min(width * WORD, self.entries - shift)
        if part:
            following = self.words[right, words + 1 : words + 1 + width]
            moved = moved >> np.uint64(part)
            moved |= following << np.uint64(WORD - part)
        if width and pairs == width * WORD:  # so whole words are paired, but for the ends of those that are moved
            kept = total(self.by_word[left, :width]) + total(self.by_word[right, words : words + width])
            if part:
                low = ALL >> np.uint64(WORD - part)
                kept += _count(following[:, -1] & low) - _count(self.words[right, words] & low)
            return _pairs(_count(still & moved), kept, len(still) * pairs)
        if spare := width * WORD - pairs:  # the last word of a call that no 64 divides: its padding is no entry
            last = ALL >> np.uint64(spare)
            still, moved = still.copy(), moved.copy()
            still[:, -1] &= last
            moved[:, -1] &= last
        return _pairs(_count(still & moved), _count(still) + _count(moved), len(still) * pairs)

    def patterns(self, size: int) -> npt.NDArray[np.int64]:
        """(2^size,) how often each pattern of `size` (1, 2, 4, 8 or 16) disjoint neighbours occurred.

        Bit k of a pattern is its k-th entry. What 16 does not divide, at the end of a call, is left out.
        """
        if size not in self._by_pattern:
            if size == PATTERN:
                whole = self.words.view(np.uint16)[:, : self.entries // PATTERN]
                self._by_pattern[size] = np.bincount(whole.reshape(-1), minlength=2**PATTERN)
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


def column_counts(words: Words) -> npt.NDArray[np.int64]:
    """(64,) how many of `words` have each bit: each eighth bit is summed in its byte, which holds 255."""
    each = words >> np.arange(8, dtype=np.uint64)[:, None]
    each &= LOWEST
    sums = np.add.reduceat(each, np.arange(0, words.size, 255), axis=1)
    counts: npt.NDArray[np.int64] = sums.view(np.uint8).reshape(8, -1, 8).sum(axis=1, dtype=np.int64)
    return counts.T.reshape(-1)


@functools.cache
def _first_halves(lag: int) -> tuple[np.uint64, int]:
    """The entries of a word that lie in the first half of a block of 2·lag entries, and their number."""
    first = sum(((1 << lag) - 1) << start for start in range(0, WORD - 2 * lag + 1, 2 * lag))
    return np.uint64(first), first.bit_count()


@functools.cache
def _pairs_of_patterns(lag: int) -> npt.NDArray[np.uint8]:
    """(2^(2·lag),) how many pairs of entries `lag` apart each pattern keeps both of."""
    kept = np.arange(1 << 2 * lag, dtype=np.uint64)
    return np.bitwise_count(kept & kept >> np.uint64(lag))


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
