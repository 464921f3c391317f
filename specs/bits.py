"""Masks as packed bits: 64 entries a word, so that a law on top of a sample costs next to nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
WORD = 64


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
    def kept(self) -> int:
        """Entries that were kept, in all."""
        return int(np.bitwise_count(self.words).sum(dtype=np.int64))

    def pairs(self, lag: int) -> npt.NDArray[np.int64]:
        """How many disjoint pairs of entries `lag` apart in flat order were both, one and not kept.

        Entries are taken in blocks of 2·lag, the first half of a block paired with the second; within each call, or
        within each word where a block fits into one.
        """
        if 2 * lag <= WORD and self.entries % WORD == 0:
            ones = (1 << lag) - 1
            first = np.uint64(sum(ones << start for start in range(0, WORD - 2 * lag + 1, 2 * lag)))
            left, right = self.words & first, (self.words >> np.uint64(lag)) & first
            return _both_one_none(left, right, self.words.size * int(first).bit_count())
        if lag % WORD == 0:
            blocks = self.entries // (2 * lag)
            halves = self.words[:, : blocks * 2 * lag // WORD].reshape(self.calls, blocks, 2, lag // WORD)
            return _both_one_none(halves[:, :, 0], halves[:, :, 1], self.calls * blocks * lag)
        blocks = self.entries // (2 * lag)
        unpacked = self.unpack()[:, : blocks * 2 * lag].reshape(self.calls, blocks, 2, lag)
        both = int((unpacked[:, :, 0] & unpacked[:, :, 1]).sum(dtype=np.int64))
        total = int(unpacked.sum(dtype=np.int64))
        return np.array([both, total - 2 * both, self.calls * blocks * lag - total + both])


def _both_one_none(left: Words, right: Words, pairs: int) -> npt.NDArray[np.int64]:
    both = int(np.bitwise_count(left & right).sum(dtype=np.int64))
    one = int(np.bitwise_count(left ^ right).sum(dtype=np.int64))
    return np.array([both, one, pairs - both - one])
