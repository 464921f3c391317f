"""How often an entry is kept: in all, at each place, and from call to call."""

from __future__ import annotations

import functools
import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import scipy

from keeprate.specs.masks.packed_masks import WORD, column_counts
from keeprate.specs.masks.sample import Sample
from keeprate.suite import Tally, law

KEPT = ("kept", "dropped")
PARTS = 64
RARE, GRID = 1e-5, 2.0**-24  # up to such a p it is promised to within a step of 24-bit uniforms, which many draw
FIRST, LAST = 256, 64  # positions that are looked at one by one
# Windows are sorted into these quantiles of the binomial law: the outer ones show a spread that is too wide.
QUANTILES = (0.01, 0.1, 0.35, 0.65, 0.9, 0.99)
SPREAD = ("lowest 1 %", "1 to 10 %", "10 to 35 %", "35 to 65 %", "65 to 90 %", "90 to 99 %", "highest 1 %")


@law(
    promise="An entry is kept with probability 1 − p.",
    catches=("a mask drawn in a narrow dtype", "p and 1 − p swapped", "a keep rate rounded to 8 bits"),
    blind_to=(
        "where the drops fall: see `positions` and `neighbours`",
        "a rate that is off by 2⁻²⁴ where p is at most 10⁻⁵",
    ),
    source="torch.nn.functional.dropout: an entry is zeroed with probability p",
)
def keep_rate(sample: Sample) -> Tally:
    """Counts what was kept and dropped over all calls."""
    kept = sample.mask.kept
    within = (GRID,) if sample.p <= RARE else ()
    return Tally(KEPT, (kept, sample.mask.draws - kept), _probabilities(sample), departure="rate", within=within)


@law(
    promise="No position is favoured: each is kept with probability 1 − p.",
    catches=("a tail that is kept or copied", "an index taken modulo a vector's width", "a thread that has no mask"),
    blind_to=("favoured positions that change from call to call",),
    source="torch.nn.functional.dropout: every element has the same probability",
)
def positions(sample: Sample) -> Tally:
    """Counts kept and dropped over the calls at each of the first 256 and the last 64 positions, and between them.

    There by the position modulo 64 and modulo 8 in even calls by turns, and by 64 parts of the mask in odd calls, so
    that no entry counts twice.
    """
    bits = sample.mask
    assert bits.entries % WORD == 0, f"positions of a mask of {bits.entries} entries, which {WORD} does not divide"
    head, tail = FIRST // WORD, LAST // WORD
    ends = np.concatenate([bits.words[:, :head], bits.words[:, -tail:]], axis=1)
    single = np.unpackbits(ends.view(np.uint8), axis=1, bitorder="little").sum(axis=0, dtype=np.int64)
    fine, coarse = (column_counts(bits.words[first::4, head:-tail].reshape(-1)) for first in (0, 2))
    parts = _by_part(bits.by_word[1::2, head:-tail])
    kept = np.concatenate([single, fine, coarse.reshape(-1, 8).sum(axis=0), parts])
    dropped = _drawn(bits.calls, bits.words.shape[1] - head - tail) - kept
    places = _places(bits.entries)
    return Tally(KEPT, np.stack([kept, dropped], axis=1), _probabilities(sample), places, departure="rate")


@functools.cache
def _drawn(calls: int, words: int) -> npt.NDArray[np.int64]:
    """How often `positions` counts each of its places, where there are `words` words between the ends."""
    fine, coarse, odd = (len(range(first, calls, step)) for first, step in ((0, 4), (2, 4), (1, 2)))
    sizes = (
        np.full(FIRST + LAST, calls),
        np.full(WORD, fine * words),
        np.full(8, coarse * words * WORD // 8),
        odd * _part_sizes(words),
    )
    return np.concatenate(sizes)


@functools.cache
def _places(entries: int) -> tuple[str, ...]:
    return (
        *(f"position {place}" for place in range(FIRST)),
        *(f"position {entries - LAST + place}" for place in range(LAST)),
        *(f"positions {place} mod {WORD}" for place in range(WORD)),
        *(f"positions {place} mod 8" for place in range(8)),
        *(f"part {place + 1} of {PARTS}" for place in range(PARTS)),
    )


@law(
    promise="After any seed each of the first entries is kept with probability 1 − p.",
    catches=("a state that seeding hardly mixes", "first numbers that depend on the magnitude of the seed"),
    blind_to=("later entries", "how seeds are related: see `streams`"),
    source="torch.manual_seed: any seed gives random numbers of the same law",
)
def first_positions(sample: Sample) -> Tally:
    """Counts kept and dropped at each of the first 64 positions, over the first masks after many seeds."""
    kept = column_counts(sample.mask.words[:, 0])
    labels = tuple(f"position {place}" for place in range(WORD))
    counts = np.stack([kept, sample.mask.calls - kept], axis=1)
    return Tally(KEPT, counts, _probabilities(sample), labels, departure="rate")


@law(
    promise="A large call is kept with probability 1 − p throughout.",
    catches=("a kernel that stops at a grid's limit", "a counter that wraps", "an offset that overflows"),
    blind_to=("faults that begin at larger sizes than are tested",),
    source="torch.nn.functional.dropout: every element has the same probability, in arrays of every size",
)
def segments(sample: Sample) -> Tally:
    """Counts kept and dropped in each 64th part of a call above 2²¹ entries."""
    bits = sample.mask
    assert bits.entries % WORD == 0, f"segments of a mask of {bits.entries} entries, which {WORD} does not divide"
    kept, draws = _by_part(bits.by_word), bits.calls * _part_sizes(bits.words.shape[1])
    labels = tuple(f"part {place + 1} of {PARTS}" for place in range(PARTS))
    return Tally(KEPT, np.stack([kept, draws - kept], axis=1), _probabilities(sample), labels, departure="rate")


@law(
    promise="The number of entries kept in a window has a binomial distribution.",
    catches=(
        "a fixed number of drops in each call",
        "a rate that wanders from call to call",
        "rows that are dropped together",
    ),
    blind_to=("the order within a window",),
    source="torch.nn.functional.dropout: independent Bernoulli samples, so the number kept is binomial",
)
def spread(sample: Sample, scope: str) -> Tally:
    """Sorts what was kept in each disjoint window, or call, into quantiles of the binomial law."""
    bits = sample.mask
    size = bits.entries if scope == "call" else int(scope)
    kept = bits.by_word.sum(axis=1, dtype=np.uint32) if scope == "call" else bits.windows(size)
    edges, probabilities = _binomial_bins(size, 1 - sample.p)
    up_to = [0, *(int(np.count_nonzero(kept <= edge)) for edge in edges), kept.size]
    return Tally(SPREAD, [upper - lower for lower, upper in pairwise(up_to)], probabilities)


@functools.cache
def _binomial_bins(size: int, q: float) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The most that is kept in each bin but the last, and the probability of each bin."""
    # The quantiles lie within four standard deviations.
    middle, reach = size * q, 4 * math.sqrt(size * q * (1 - q)) + 4
    first = max(0, int(middle - reach))
    cumulative = scipy.special.bdtr(np.arange(first, min(size, int(middle + reach))), size, q)
    places = np.searchsorted(cumulative, QUANTILES)
    edges = tuple((first + places).tolist())
    assert sorted(set(edges)) == [*edges], f"windows of {size} are too small for their quantiles at q = {q}"
    below = np.concatenate([[0.0], cumulative[places]])
    above = float(scipy.special.bdtrc(edges[-1], size, q))  # 1 − cumulative would round
    return edges, (*np.diff(below).tolist(), above)


def _starts(words: int) -> npt.NDArray[np.int64]:
    """The first word of each of the parts of a mask."""
    starts: npt.NDArray[np.int64] = np.arange(PARTS) * words // PARTS
    return starts


def _by_part(by_word: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """(PARTS,) kept entries."""
    calls = by_word.sum(axis=0, dtype=np.uint32)
    kept: npt.NDArray[np.int64] = np.add.reduceat(calls, _starts(calls.size), dtype=np.int64)
    return kept


def _part_sizes(words: int) -> npt.NDArray[np.int64]:
    """(PARTS,) entries of one mask, in whole words."""
    sizes: npt.NDArray[np.int64] = np.diff(_starts(words), append=words) * WORD
    return sizes


def _probabilities(sample: Sample) -> tuple[float, float]:
    return 1 - sample.p, sample.p


laws = (keep_rate, positions, spread, segments, first_positions)
