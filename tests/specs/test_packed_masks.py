"""Counts on packed bits against the same counts on plain arrays."""

import math

import numpy as np
import pytest

from keeprate.specs.masks.packed_masks import PackedMasks, column_counts, pairs_between

SHAPES = [(64, 64), (3, 5, 79), (7,), (1031,), (2, 96)]
LAGS = (1, 2, 3, 4, 8, 9, 32, 33, 64, 79, 128, 320, 640)
FITTING = [(shape, lag) for shape in SHAPES for lag in LAGS if lag < math.prod(shape)]


@pytest.fixture(params=SHAPES, ids=str)
def packed(request, fresh_seed):
    masks = np.random.default_rng(fresh_seed).random((10, *request.param)) < 0.7
    return PackedMasks.of(masks), masks.reshape(10, -1)


def both_one_none(left, right):
    both, total = int((left & right).sum()), int(left.sum()) + int(right.sum())
    return both, total - 2 * both, left.size - total + both


def test_bits_come_back_as_they_went_in(packed):
    bits, masks = packed
    assert np.array_equal(bits.unpack(), masks)
    assert bits.kept == masks.sum()


def parts(masks, number):
    """Parts of the calls, or of the words of a single one, as plain arrays."""
    if len(masks) > 1:
        return np.split(masks, [part * len(masks) // number for part in range(1, number)])
    words = -(-masks.shape[1] // 64)
    return np.split(masks, [part * words // number * 64 for part in range(1, number)], axis=1)


def turned(masks):
    """Whole words of each third, from another entry on."""
    moved = [part[:, skip:] for part, skip in zip(parts(masks, 3), (0, 21, 42), strict=True)]
    return np.concatenate([part[:, : part.shape[1] // 64 * 64].reshape(-1, 64) for part in moved])


@pytest.mark.parametrize("calls", [10, 3, 1])
@pytest.mark.parametrize(("packed", "lag"), FITTING, indirect=["packed"], ids=str)
def test_pairs_are_those_of_disjoint_blocks_by_turns(packed, lag, calls):
    bits, masks = packed
    bits, masks = bits.take(slice(calls)), masks[:calls]
    size = masks.shape[1]
    if lag in (1, 2, 4, 8, 32) and turned(masks).size:
        blocks = turned(masks).reshape(-1, 2, lag)
        assert bits.pairs(lag) == both_one_none(blocks[:, 0], blocks[:, 1])
        return
    left, right = [], []
    for number, part in enumerate(parts(masks, 2) if lag * (4 if calls == 1 else 2) < size else [masks]):
        size, skip = part.shape[1], number * lag
        whole = (size - skip) // lag // 2
        if lag % 64 == 0 and whole > 4:  # pairs of whole blocks
            size = skip + whole * 2 * lag
        first = [place for place in range(skip, size - lag) if (place - skip) // lag % 2 == 0]
        left.append(part[:, first].ravel())
        right.append(part[:, np.add(first, lag).astype(int)].ravel())
    assert bits.pairs(lag) == both_one_none(np.concatenate(left), np.concatenate(right))


@pytest.mark.parametrize("calls", [3, 1])
@pytest.mark.parametrize("lag", [1, 2, 4, 8, 9, 16, 32, 33, 64, 96, 128])
def test_any_two_entries_a_lag_apart_are_a_pair_in_some_call_or_place(lag, calls):
    period = 128 * lag
    masks = np.ones((calls, 6 * period), dtype=bool)
    for place in range(0, period, lag // 2 + 5):
        twin = masks.copy()  # two entries of each period are dropped, and no two others a lag apart
        for start in range(place, 6 * period - lag, period):
            twin[:, [start, start + lag]] = False
        assert PackedMasks.of(twin).pairs(lag)[2] > 0


@pytest.mark.parametrize("shift", [0, 1, -1, 5, 64, -64, 70])
def test_pairs_of_calls_are_shifted(packed, shift):
    bits, masks = packed
    size = masks.shape[1]
    moved = min(abs(shift), size)  # no pair fits where the shift is as long as a call
    for counts, calls in ((bits.related_pairs(shift), [0, 2, 4, 6, 8]), (bits.call_pairs(shift), [0, 2, 5, 7])):
        left, right = masks[calls], masks[np.add(calls, 1)]
        if shift < 0:
            left, right = right, left
        assert counts == both_one_none(left[:, : size - moved], right[:, moved:])


@pytest.mark.parametrize("calls", [*range(12), 27, 28])
def test_pairs_of_calls_take_turns_and_no_call_is_in_two(calls):
    first = PackedMasks.empty(calls, (64,)).first_of_pairs
    both = np.concatenate([first, first + 1])
    assert len(set(both)) == both.size <= calls
    assert both.size >= calls - 2
    assert both.size == 0 or both.max() < calls
    assert set(first % 2) == ({0, 1} if calls >= 6 else {0} if calls >= 2 else set())


@pytest.mark.parametrize("shift", [-99, -64, -5, 0, 3, 64, 70, 127])
def test_pairs_of_masks_of_two_sizes_are_shifted(shift, fresh_seed):
    random = np.random.default_rng(fresh_seed)
    one, other = (random.random((5, size)) < 0.7 for size in (100, 130))
    left, right = one[:, max(0, -shift) :], other[:, max(0, shift) :]
    pairs = min(left.shape[1], right.shape[1])
    found = pairs_between(PackedMasks.of(one), PackedMasks.of(other), shift)
    assert found == both_one_none(left[:, :pairs], right[:, :pairs])


@pytest.mark.parametrize("calls", [10, 3, 1])
@pytest.mark.parametrize("size", [1, 2, 4, 8, 16])
def test_patterns_are_those_of_disjoint_neighbours_by_turns(packed, size, calls):
    bits, masks = packed
    bits, values = bits.take(slice(calls)), turned(masks[:calls]).reshape(-1, size) @ (1 << np.arange(size))
    assert np.array_equal(bits.patterns(size), np.bincount(values, minlength=2**size))


def test_columns_and_windows_count_what_is_there(fresh_seed):
    words = np.random.default_rng(fresh_seed).integers(0, 2**64, 70001, dtype=np.uint64)
    plain = np.unpackbits(words.view(np.uint8), bitorder="little").reshape(-1, 64)
    assert np.array_equal(column_counts(words), plain.sum(axis=0))
    bits = PackedMasks(words[:70000].reshape(10, 7000), (7000 * 64,))
    assert np.array_equal(bits.windows(256), plain[:70000].reshape(10, -1, 256).sum(axis=2).ravel())
    assert not column_counts(words[:0]).any()


def test_leading_drops_end_at_the_first_kept_entry():
    words = np.array([0, 1, 2, 8, 2**63, 2**64 - 1], dtype=np.uint64)
    assert PackedMasks(words[None], (384,)).leading_drops().tolist() == [[64, 0, 1, 3, 63, 0]]


def test_runs_leave_out_what_pads_the_last_word():
    bits = PackedMasks.of(np.ones((2, 100), dtype=bool))
    assert bits.leading_drops().tolist() == [[0], [0]]
