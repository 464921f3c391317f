"""Entries are independent of one another, within a mask and between the masks of different calls."""

from __future__ import annotations

import functools
from itertools import pairwise

import numpy as np

from keeprate.specs.masks.packed_masks import WORD, Pairs
from keeprate.specs.masks.sample import BERNOULLI, Sample
from keeprate.suite import Check, Tally, Unreadable, law

PAIR = ("both kept", "one kept", "none kept")
RUNS = (0, 1, 2, 3, 4, 6, 9, 14, 22, 36)  # the shortest run of drops of each cell; the last has no end
LENGTHS = tuple(f"{shortest} drops or more" for shortest in RUNS)


def pair_tally(counts: Pairs, p: float) -> Tally:
    """Pairs of independent entries: both kept with probability q², one 2qp, none p²."""
    q = 1 - p
    return Tally(PAIR, counts, (q * q, 2 * q * p, p * p), departure="correlation")


@law(
    promise="Entries some way apart in one mask are kept independently.",
    catches=("a mask shared by the samples of a batch", "one draw used for several entries", "rows seeded alike"),
    blind_to=("correlations at distances that are not tested: see `all_lags`",),
    source=BERNOULLI,
)
def neighbours(sample: Sample, lag: str) -> Tally:
    """Counts disjoint pairs of entries along the flat order: both kept, one, none."""
    bits = sample.mask
    return pair_tally(bits.pairs(bits.entries // 2 if lag == "half" else int(lag)), sample.p)


@law(
    promise="Neighbouring entries are kept independently, jointly and not in pairs alone.",
    catches=("weak generators", "a parity that is fixed", "shared draws"),
    blind_to=("dependence over longer distances",),
    source=BERNOULLI,
)
def blocks(sample: Sample, size: str) -> Tally:
    """Counts the patterns of disjoint blocks of neighbours."""
    bits, entries = sample.mask, int(size)
    # A block of 9 leads each 16 entries: the counts of these are there, and blocks of 9 that follow closely cost more.
    counts = bits.patterns(16).reshape(-1, 512).sum(axis=0) if entries == 9 else bits.patterns(entries)
    cells, probabilities = _patterns(entries, sample.p)
    return Tally(cells, counts, probabilities)


@functools.cache
def _patterns(entries: int, p: float) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """The names and probabilities of all patterns; the first character of a name is the first entry."""
    kept = np.bitwise_count(np.arange(2**entries, dtype=np.uint64)).astype(int)
    probabilities = (1 - p) ** kept * p ** (entries - kept)
    cells = tuple(f"{pattern:0{entries}b}"[::-1] for pattern in range(2**entries))
    return cells, tuple((probabilities / probabilities.sum()).tolist())


@law(
    promise="Runs of drops are as long as independent drops make them.",
    catches=("drops that come in bursts, or that avoid one another", "generators with long memory"),
    blind_to=("runs that begin later in a window",),
    source=BERNOULLI,
)
def runs(sample: Sample) -> Tally:
    """Takes the run of drops that leads each disjoint window of 64 entries: its length is geometric."""
    lengths = sample.mask.leading_drops()
    at_least = [*(int(np.count_nonzero(lengths >= shortest)) for shortest in RUNS), 0]
    longer = [*(float(sample.p**shortest) for shortest in RUNS), 0.0]  # the probability of a run at least as long
    probabilities = tuple(one - other for one, other in pairwise(longer))
    return Tally(LENGTHS, [one - other for one, other in pairwise(at_least)], probabilities)


@law(
    promise="Masks of calls that follow one another are independent.",
    catches=(
        "a mask cached from the first call",
        "a generator that is reseeded",
        "entries that are occasionally reused",
    ),
    blind_to=("shifted masks: see `all_shifts`", "calls further apart: see `no_stretch_twice`"),
    source=BERNOULLI,
)
def calls(sample: Sample, shift: str) -> Tally:
    """Counts pairs of entries of two calls in a row, one moved by `shift`; by turns, so that no entry is in two."""
    return pair_tally(sample.mask.call_pairs(int(shift)), sample.p)


@law(
    promise="At each position the masks of different calls are independent.",
    catches=("a generator that is reseeded in each call at some positions alone", "first entries that hardly change"),
    blind_to=("later positions",),
    source=BERNOULLI,
)
def calls_by_position(sample: Sample) -> Tally:
    """Counts pairs of calls, for each of the first 64 positions on its own, over many small calls."""
    bits = sample.mask
    calls = bits.first_of_pairs
    entries = np.unpackbits(bits.words[:, :1].copy().view(np.uint8), axis=1, bitorder="little")
    one, other = entries[calls], entries[calls + 1]
    both = (one & other).sum(axis=0, dtype=np.int64)
    kept = one.sum(axis=0, dtype=np.int64) + other.sum(axis=0, dtype=np.int64)
    counts = np.stack([both, kept - 2 * both, len(one) - kept + both], axis=1)
    p, q = sample.p, 1 - sample.p
    labels = tuple(f"position {place}" for place in range(WORD))
    return Tally(PAIR, counts, (q * q, 2 * q * p, p * p), labels, departure="correlation")


@law(
    promise="Masks that are made first and read later, the last one first, are independent as well.",
    catches=("lazy arrays that share one random state", "a state that is read when the array is"),
    blind_to=("masks that are read as they are made: see `calls`",),
    source="MLX, JAX and other lazy frameworks: a random array is decided when it is made, not when it is read",
)
def reading_order(sample: Sample) -> Tally:
    """Makes eight outputs before it reads one, and counts pairs of entries of two of them."""
    return pair_tally(sample.mask.call_pairs(0), sample.p)


@law(
    promise="No mask comes twice.",
    catches=("a generator with a short period", "a mask from a pool", "a seed taken from a coarse clock"),
    blind_to=("masks that partly agree",),
    source=BERNOULLI,
)
def no_mask_twice(sample: Sample) -> Check:
    """Looks for the first 4,096 entries of each mask among those of all earlier calls.

    Independent masks agree there with a probability below 10⁻⁹⁰.
    """
    if sample.repeats is None or not sample.repeats.checked:
        raise Unreadable(sample.unreadable or "no mask was read")
    return sample.repeats


@law(
    promise="Masks of neighbouring seeds, of threads, of processes and of unlike calls are independent.",
    catches=(
        "a row that is seeded with seed + row",
        "a counter added to the seed",
        "a seed truncated to fewer bits",
        "threads or layers that start with the same masks",
    ),
    blind_to=(
        "seeds that are far apart: see `no_mask_twice`",
        "the high bits of a seed, beyond 32, which PyTorch's CPU generator ignores: `seeding` notes who does so too",
    ),
    source="torch.manual_seed, jax.random.key, mlx.core.random.seed: different seeds give unrelated random numbers",
)
def streams(sample: Sample, kind: str) -> Tally:
    """Counts pairs of entries of two masks that were drawn on related occasions, also when one is moved by a row."""
    which, _, moved = kind.partition(".")
    bits = sample.related(which)
    row = bits.shape[-1]
    return pair_tally(bits.related_pairs({"": 0, "row": row, "-row": -row}[moved]), sample.p)


laws = (neighbours, blocks, runs, calls, calls_by_position, reading_order, no_mask_twice, streams)
