"""Bits of a generator that is linear over GF(2) depend on one another, though any few of them look independent."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from keeprate.specs.masks.packed_masks import WORD, Words
from keeprate.specs.masks.sample import BERNOULLI, Sample
from keeprate.suite import Tally, law

SQUARES = 20  # of each sample, at most: what is linear shows in sixteen
SHORT = (0.2887880950866, 0.5775761901732)  # probability of full rank and of one less, exact to 10⁻¹² from 64 on


@law(
    promise="At p = 1/2 squares of entries are singular over GF(2) as often as random bits are.",
    catches=("shift registers and xorshift generators with fewer bits of state than a square has rows",),
    blind_to=("linear generators of more state, as a Mersenne Twister is", "other rates than p = 1/2"),
    source=BERNOULLI,
)
def rank(sample: Sample, size: str) -> Tally:
    """Counts the ranks of disjoint squares, each of `size` rows (a multiple of 64) of as many entries."""
    side = int(size)
    bits, words = sample.mask, side * side // WORD
    drawn = bits.words[:, : bits.entries // WORD].reshape(-1)
    number = min(SQUARES, drawn.size // words)
    squares = drawn[: number * words].reshape(number, side, side // WORD)
    short = side - ranks(squares)
    counts = [int(np.count_nonzero(short == 0)), int(np.count_nonzero(short == 1)), int(np.count_nonzero(short > 1))]
    return Tally((f"rank {side}", f"rank {side - 1}", "less"), counts, (*SHORT, 1 - sum(SHORT)))


def ranks(squares: Words) -> npt.NDArray[np.int64]:
    """(squares,) the rank of each of (squares, rows, words) matrices of bits, by elimination."""
    left = squares.transpose(2, 0, 1).copy()
    found = np.zeros(len(squares), dtype=np.int64)
    every = np.arange(len(squares))
    while len(left):  # the columns of one word after another
        for bit in range(WORD):
            marked = left[0] >> np.uint64(bit) & np.uint64(1)
            first = marked.argmax(axis=1)
            found += marked[every, first].astype(np.int64)
            pivots = left[:, every, first]
            left ^= np.negative(marked) & pivots[:, :, None]  # from itself as well, as it is done with
        left = left[1:]
    return found


laws = (rank,)
