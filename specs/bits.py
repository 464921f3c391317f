"""Masks as packed bits: 64 entries a word, so that a law on top of a sample costs next to nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Pairs = tuple[int, int, int]  # both, one and none kept
WORD = 64
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
        packed = np.packbits(mask, axis=None, bitorder="little")
        self.words[call].view(np.uint8)[: packed.size] = packed

    def unpack(self) -> npt.NDArray[np.uint8]:
        """(calls, entries) zeros and ones."""
        return np.unpackbits(self.words.view(np.uint8), axis=1, count=self.entries, bitorder="little")

    @cached_property
    def by_word(self) -> npt.NDArray[np.uint8]:
        """(calls, words) kept entries of each word."""
        return np.bitwise_count(self.words)

    @cached_property
    def kept(self) -> int:
        """Entries that were kept, in all."""
        return int(self.by_word.sum(dtype=np.int64))

    def only(self, words: slice) -> Bits:
        """The same calls, a part of their words; whole words must have been chosen."""
        chosen = self.words[:, words]
        return Bits(chosen, (chosen.shape[1] * WORD,))

    def every(self, step: int, first: int) -> Bits:
        """Each `step`-th call, from the one numbered `first` on."""
        return Bits(self.words[first::step], self.shape)

    def windows(self, size: int) -> npt.NDArray[np.integer[Any]]:
        """Kept entries of each disjoint window of `size` entries, a multiple of 64, calls one after another."""
        whole = self.entries // size * size // WORD
        if size == WORD:
            return self.by_word[:, :whole].ravel()
        counts: npt.NDArray[np.int64] = self.by_word[:, :whole].reshape(-1, size // WORD).sum(axis=1, dtype=np.int64)
        return counts

    def pairs(self, lag: int) -> Pairs:
        """How many disjoint pairs of entries `lag` apart in flat order were both, one and not kept.

        Entries are taken in blocks of 2·lag or a little more, those in front paired with those behind; within each
        word where a block fits into one, else within each call.
        """
        whole, part = divmod(lag, WORD)
        if 2 * lag <= WORD and self.entries % WORD == 0:
            return self._pairs_in_words(lag)
        size = 2 * whole + (2 if part else 0)  # words of a block
        blocks = self.entries // WORD // size
        if not blocks:
            return self._pairs_one_by_one(lag)
        words = self.words[:, : blocks * size].reshape(self.calls, blocks, size)
        if not part:
            kept = int(self.by_word[:, : blocks * size].sum(dtype=np.int64))
            return _pairs(_count(words[:, :, :whole] & words[:, :, whole:]), kept, self.calls * blocks * lag)
        left = words[:, :, : whole + 1].copy()
        left[:, :, whole] &= ALL >> np.uint64(WORD - part)  # entries from `lag` on are the others' partners
        right = words[:, :, whole : 2 * whole + 1] >> np.uint64(part)
        right |= words[:, :, whole + 1 :] << np.uint64(WORD - part)
        right[:, :, whole] &= ALL >> np.uint64(WORD - part)
        return _pairs(_count(left & right), _count(left) + _count(right), self.calls * blocks * lag)

    def _pairs_in_words(self, lag: int) -> Pairs:
        first = np.uint64(sum(((1 << lag) - 1) << start for start in range(0, WORD - 2 * lag + 1, 2 * lag)))
        both = self.words >> np.uint64(lag)
        both &= self.words
        both &= first
        entries = first | first << np.uint64(lag)
        kept = self.kept if entries == ALL else _count(self.words & entries)
        return _pairs(_count(both), kept, self.words.size * int(first).bit_count())

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
        if shift < 0:
            left, right, shift = right, left, -shift
        whole_words, part = divmod(shift, WORD)
        width = left.shape[1] - whole_words - (part > 0)
        moved = right[:, whole_words : whole_words + width]
        if part:
            following = right[:, whole_words + 1 : whole_words + 1 + width]
            moved = moved >> np.uint64(part) | following << np.uint64(WORD - part)
        left = left[:, :width]
        entries = width * WORD
        if entries > self.entries - shift:  # the last word of a call that no 64 divides: its padding is no entry
            spare = entries - (self.entries - shift)
            last = np.uint64(ALL >> np.uint64(spare))
            left, moved = left.copy(), moved.copy()
            left[:, -1] &= last
            moved[:, -1] &= last
            entries -= spare
        return _pairs(_count(left & moved), _count(left) + _count(moved), len(left) * entries)

    def columns(self) -> npt.NDArray[np.int64]:
        """(64,) how often each bit of a word was kept, over all words; every entry if 64 divides a call."""
        return column_counts(np.ascontiguousarray(self.words).ravel())

    @cached_property
    def octets(self) -> npt.NDArray[np.int64]:
        """(256,) how often each pattern of 8 disjoint neighbours occurred; bit k of a pattern is its k-th entry."""
        whole = self.entries // 8
        return np.bincount(self.words.view(np.uint8)[:, :whole].ravel(), minlength=256)

    def leading_drops(self) -> npt.NDArray[np.uint8]:
        """For each word the number of entries before its first kept one; 64 if there is none."""
        lowest = self.words & (~self.words + np.uint64(1))
        return np.bitwise_count(lowest - np.uint64(1))


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
    return sum(
        (plane.sum(axis=0, dtype=np.int64) << digit for digit, plane in enumerate(bits)), np.zeros(WORD, np.int64)
    )


def _count(words: Words) -> int:
    return int(np.bitwise_count(words).sum(dtype=np.int64))


def _pairs(both: int, kept: int, pairs: int) -> Pairs:
    """Both, one and none kept, from how many entries of the pairs were kept in all."""
    one = kept - 2 * both
    return both, one, pairs - both - one
