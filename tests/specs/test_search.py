"""Lags and shifts that nobody listed are named by the first masks and decided by later ones; no stretch comes twice."""

import functools
import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from keeprate.harness.protocol.lookup import find
from keeprate.specs.masks import search, stretches
from keeprate.specs.masks.independence import pair_tally
from keeprate.specs.masks.packed_masks import PackedMasks
from keeprate.specs.masks.sample import Sample, chunks, sampled
from keeprate.specs.masks.search import all_lags, all_shifts, named_by, searched
from keeprate.specs.masks.stretches import LENGTH, Stretches, anchored, no_stretch_twice

bernoulli = find(str(Path(__file__).parents[1] / "simulated.py"), group="", kind="module").bernoulli
MILLION = 6.0  # log10 e: by Markov's inequality faithful masks get here once in a million runs
RATES = (0.1, 0.3, 0.5, 0.9)


def everything(law):
    return True


def judged(law, masks, p, beside=None):
    """What a law says of the masks of one case, chunk by chunk; `beside`, if any, are the calls in between."""
    sizes = chunks(masks.size, masks[0].size)
    ends = np.cumsum([0, *sizes])
    parts = [slice(start, end) for start, end in itertools.pairwise(ends)]
    samples = [
        Sample(p, PackedMasks.of(masks[part]), beside=None if beside is None else PackedMasks.of(beside[part]))
        for part in parts
    ]
    first, *others = (law(sample) for sample in searched(samples, everything))
    return sum(others, first)


def independent(seed, p, calls, entries):
    return np.random.default_rng(seed).random((calls, entries)) >= p


@pytest.mark.parametrize("p", RATES)
@pytest.mark.parametrize(("calls", "entries"), [(14, 65_536), (400, 1215), (700, 7), (2, 64), (1, 5)])
def test_faithful_masks_are_quiet_whatever_their_size(p, calls, entries, fresh_seed):
    masks = independent(fresh_seed, p, calls, entries)
    assert judged(all_lags, masks, p).log10_e < MILLION
    assert judged(all_shifts, masks, p).log10_e < MILLION
    assert (
        judged(all_shifts, masks[::2], p, beside=independent(fresh_seed + 1, p, -(-calls // 2), 99)).log10_e < MILLION
    )
    assert not judged(no_stretch_twice, masks, p).broken


def test_what_is_chosen_after_looking_costs_nothing(monkeypatch):
    """E[e] over all outcomes of three chunks of two calls of two entries, the choice of lag or shift among them."""
    monkeypatch.setattr(search, "OVERLAP", 0)
    p, laws = 0.3, (all_lags, all_shifts)
    chosen, mean = set(), dict.fromkeys(laws, 0.0)
    for outcome in np.array(list(itertools.product([False, True], repeat=12))):
        samples = [Sample(p, PackedMasks.of(masks)) for masks in outcome.reshape(3, 2, 2)]
        found = list(searched(samples, everything))
        chosen |= {sample.shift for sample in found}
        for law in laws:
            counts = sum(law(sample).counts for sample in found)
            chance = (1 - p) ** outcome.sum() * p ** (12 - outcome.sum())
            mean[law] += chance * e_value(p, *counts[0].tolist())
    assert len(chosen) > 3
    assert max(mean.values()) <= 1 + 1e-6


@functools.cache
def e_value(p, *counts):
    return 10 ** pair_tally(counts, p).log10_e


def test_a_period_is_named_by_the_first_masks_and_judged_on_others(fresh_seed):
    random, masks = np.random.default_rng(fresh_seed), independent(fresh_seed, 0.3, 14, 65_536)
    again = random.random((14, 65_536 - 1217)) < 0.03
    masks[:, 1217:][again] = masks[:, :-1217][again]
    lags, _ = named_by(Sample(0.3, PackedMasks.of(masks[:3])), lags=True, shifts=False)
    assert lags[0] == 1217
    assert judged(all_lags, masks, 0.3).log10_e >= MILLION
    assert all_lags(Sample(0.3, PackedMasks.of(masks))).n == 0


@pytest.mark.parametrize(
    ("calls", "entries", "overlap", "p"),
    [
        *((300, 1215, 911, p) for p in RATES),
        *((14, 65_537, 1500, p) for p in RATES),
        *((300, 1215, 7, p) for p in (0.3, 0.5)),
        *((700, 7, 3, p) for p in (0.3, 0.5)),
    ],
)
def test_masks_of_one_stream_that_overlap_are_caught(calls, entries, overlap, p, fresh_seed):
    stream = independent(fresh_seed, p, 1, calls * (entries - overlap) + overlap)[0]
    masks = np.lib.stride_tricks.sliding_window_view(stream, entries)[:: entries - overlap]
    assert judged(all_shifts, masks, p).log10_e >= MILLION


def test_up_to_three_numbers_that_serve_two_calls_are_caught(fresh_seed):
    stream = independent(fresh_seed, 0.3, 1, 4000 * 1215)[0]
    masks = np.stack([stream[(start := 1215 * call // 4 * 4) : start + 1215] for call in range(3999)])
    assert judged(all_shifts, masks, 0.3).log10_e >= MILLION


@pytest.mark.parametrize("after", ["small", "large"])
def test_calls_of_two_sizes_that_overlap_are_caught(after, fresh_seed):
    large, small = independent(fresh_seed, 0.3, 30, 4097), independent(fresh_seed + 1, 0.3, 30, 511)
    if after == "large":
        small[:, :200] = large[:, -200:]
    else:
        large[1:, 1000:1200] = small[:-1, :200]
    assert judged(all_shifts, large, 0.3, beside=small).log10_e >= MILLION


@pytest.mark.parametrize("p", [*RATES, 0.7])
def test_anchors_are_all_places_with_their_pattern(p, fresh_seed):
    masks = independent(fresh_seed, p, 3, 20_003)
    calls, starts = anchored(PackedMasks.of(masks), p)
    rarer, commoner = min(p, 1 - p), max(p, 1 - p)
    between = round(math.log(2**-11 / rarer**2) / math.log(commoner))
    rare = masks if p > 0.5 else ~masks
    pattern = np.array([True, *[False] * between, True])
    windows = np.lib.stride_tricks.sliding_window_view(rare, pattern.size, axis=1)
    call, place = np.nonzero((windows == pattern).all(axis=2))
    whole = place + pattern.size + LENGTH <= 20_003
    assert sorted(zip(calls, starts, strict=True)) == list(zip(call[whole], place[whole] + pattern.size, strict=True))
    assert 0.5 < 2.0**11 * rarer**2 * commoner**between < 2


@pytest.mark.parametrize("p", RATES)
def test_a_tail_of_two_calls_before_is_caught_wherever_it_stands(p, fresh_seed):
    masks = independent(fresh_seed, p, 8, 65_536)
    masks[5, 77:20_000] = masks[3, 10_001 : 10_001 + 20_000 - 77]
    check = judged(no_stretch_twice, masks, p)
    assert check.broken
    assert "of call 4" in check.where
    assert "of call 6" in check.where


def test_a_large_call_that_begins_again_is_caught(fresh_seed):
    half = independent(fresh_seed, 0.3, 1, 1 << 19)
    assert judged(no_stretch_twice, np.concatenate([half, half], axis=1), 0.3).broken


def test_what_is_remembered_of_stretches_is_bounded(fresh_seed, monkeypatch):
    monkeypatch.setattr(stretches, "REMEMBERED", 10)
    seen = Stretches()
    bits = bernoulli(np.random.default_rng(fresh_seed), 0.7, 4, (64, 1024))
    assert not seen.look(Sample(0.3, bits)).broken
    assert seen.look(Sample(0.3, bits)).broken
    assert len(seen._seen) == 10


def test_the_first_chunk_names_and_is_a_small_part():
    assert chunks(282 * 65_536, 65_536)[:3] == [17, 27, 43]
    assert chunks(12 * 65_536, 65_536) == [3, 9]
    assert chunks(4000 * 1215, 1215)[0] == 251
    assert chunks(700 * 7, 7) == [175, 525]
    assert chunks(2 << 24, 1 << 24) == [2]
    for draws, entries in itertools.product((1, 5000, 10**7), (1, 7, 1215, 65_536, 10**6)):
        assert sum(chunks(draws, entries)) == -(-draws // entries)


def test_samples_that_no_law_asks_about_are_left_alone():
    samples = list(sampled(10 * 64, 64, lambda calls: Sample(0.3, PackedMasks.empty(calls, (64,)))))
    assert list(searched(samples, lambda law: False)) == samples
