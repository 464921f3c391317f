"""Every statistical law on masks that NumPy draws: quiet on faithful ones, loud on the fault that it is meant for."""

from pathlib import Path

import numpy as np
import pytest

from keeprate.harness.errors import BackendError, NotOffered, Unreadable
from keeprate.harness.evidence.check import Check, passed
from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import load_suite
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.counterexamples import call
from keeprate.specs.dropout.gradients import Gradients
from keeprate.specs.dropout.laws.streams import data, seeding
from keeprate.specs.dropout.observations import Calls, Observation
from keeprate.specs.dropout.outcome import Outcomes, comes_again, exactly
from keeprate.specs.masks.independence import (
    blocks,
    calls,
    calls_by_position,
    neighbours,
    no_mask_twice,
    reading_order,
    runs,
    streams,
)
from keeprate.specs.masks.linear import rank
from keeprate.specs.masks.packed_masks import PackedMasks
from keeprate.specs.masks.rate import first_positions, keep_rate, positions, segments, spread
from keeprate.specs.masks.sample import CHUNK, LONGEST, Repeats, Sample, chunks, sampled
from keeprate.specs.masks.search import all_lags, all_shifts, searched
from keeprate.specs.masks.slices import slices
from keeprate.specs.masks.stretches import Stretches, no_stretch_twice

bernoulli = find(str(Path(__file__).parents[1] / "simulated.py"), group="", kind="module").bernoulli
MILLION = 6.0  # log10 e: by Markov's inequality a faithful mask gets here once in a million runs
SHAPE = (64, 1024)
LAWS = [
    (keep_rate, ""),
    (positions, ""),
    (segments, ""),
    *((spread, scope) for scope in ("64", "256", "1024", "4096", "16384", "call")),
    *((neighbours, lag) for lag in ("1", "2", "3", "32", "64", "79", "1024", "half")),
    *((blocks, size) for size in ("1", "2", "4", "8", "9")),
    (runs, ""),
    (first_positions, ""),
    *((rank, size) for size in ("64", "192")),
    *((calls, shift) for shift in ("0", "1", "-1")),
    (calls_by_position, ""),
    (reading_order, ""),
    (all_lags, ""),
    (all_shifts, ""),
]
NAMES = [f"{law.name}:{parameter}".rstrip(":") for law, parameter in LAWS]


def drawn(seed, p=0.3, number=32, shape=SHAPE):
    return bernoulli(np.random.default_rng(seed), 1 - p, number, shape)


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize(("law", "parameter"), LAWS, ids=NAMES)
def test_a_law_is_quiet_on_a_faithful_mask(law, parameter, p, fresh_seed):
    assert law(Sample(p, drawn(fresh_seed, p), lag=77, shift=(0, -77)), parameter).log10_e < MILLION


@pytest.mark.parametrize(("law", "parameter"), LAWS, ids=NAMES)
def test_samples_of_a_law_add_and_pool(law, parameter, fresh_seed):
    one, other = (law(Sample(0.3, drawn(fresh_seed + i)), parameter) for i in (0, 1))
    assert (one + other).n == one.n + other.n


def caught(law, masks, parameter="", p=0.3, **rest):
    return law(Sample(p, PackedMasks.of(masks), **rest), parameter).log10_e >= MILLION


@pytest.fixture
def masks(fresh_seed):
    return np.random.default_rng(fresh_seed).random((32, *SHAPE)) < 0.7


def test_a_rate_that_is_off_is_caught(fresh_seed):
    assert keep_rate(Sample(0.3, drawn(fresh_seed, 0.305))).log10_e >= MILLION


def test_a_rate_is_promised_to_a_step_of_24_bits_where_drops_are_rare(fresh_seed):
    for p, within in ((1e-6, (2.0**-24,)), (1e-5, (2.0**-24,)), (0.001, ())):
        assert keep_rate(Sample(p, drawn(fresh_seed, p))).within == within


def test_a_favoured_position_is_caught(masks):
    for place in (0, 255, -1, -64):
        marked = masks.copy()
        marked.reshape(32, -1)[:, place] = True
        marked = np.concatenate([marked] * 4)  # 128 calls: a position is seen once in each
        assert caught(positions, marked)


def test_a_favoured_residue_and_a_favoured_part_are_caught(masks):
    marked = masks.copy()
    marked[..., 7::8] |= np.random.default_rng().random(marked[..., 7::8].shape) < 0.2
    assert caught(positions, marked)
    marked = masks.copy()
    marked[1::2, 40] = True
    assert caught(positions, marked)


def test_a_segment_that_is_never_drawn_is_caught(masks):
    masks[:, -1] = True
    assert caught(segments, masks)


def test_a_fixed_number_of_drops_is_caught(fresh_seed):
    random = np.random.default_rng(fresh_seed)
    fixed = random.permuted(np.resize(np.arange(64) < 45, (32, 1024, 64)), axis=2).reshape(32, *SHAPE)
    assert caught(spread, fixed, "64")


def test_a_rate_that_wanders_between_calls_is_caught(fresh_seed):
    random = np.random.default_rng(fresh_seed)
    rates = random.uniform(0.6, 0.8, (32, 1, 1))
    assert caught(spread, random.random((32, *SHAPE)) < rates, "call")


@pytest.mark.parametrize("lag", [1, 3, 64, 79, 1024])
def test_shared_draws_are_caught_at_their_lag(masks, lag):
    flat = masks.reshape(32, -1)
    flat[:, lag:] = np.where(np.random.default_rng().random(flat[:, lag:].shape) < 0.05, flat[:, :-lag], flat[:, lag:])
    assert caught(neighbours, flat.reshape(masks.shape), str(lag))


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_slices_of_faithful_masks_differ(p, fresh_seed):
    """Any two agree with a probability below 10⁻¹⁶."""
    check = slices(Sample(p, drawn(fresh_seed, p)))
    assert (check.checked, check.wrong) == (64 + 1024, 0)


@pytest.mark.parametrize("axis", [0, 1])
def test_two_slices_that_are_one_are_caught_along_either_axis(masks, axis):
    along = np.moveaxis(masks, axis + 1, 0)
    along[60] = along[7]
    check = slices(Sample(0.3, PackedMasks.of(masks)))
    assert check.wrong == 1
    assert check.first.words["first"].startswith(f"slices 7 and 60 along axis {axis} are one, in each of ")


def test_slices_too_short_to_be_told_apart_are_not_judged(masks):
    small = PackedMasks.of(masks[:2, :, :1])
    with pytest.raises(Unreadable, match="too short"):
        slices(Sample(0.3, small))


def test_a_fixed_parity_is_caught_by_blocks_alone(masks):
    half = np.random.default_rng().random((32, *SHAPE)) < 0.5
    half[..., 3::4] = half[..., 0::4] ^ half[..., 1::4] ^ half[..., 2::4]
    assert caught(blocks, half, "4", p=0.5)
    assert not caught(neighbours, half, "1", p=0.5)


def test_bursts_of_drops_are_caught(masks):
    flat = masks.reshape(-1)
    starts = np.flatnonzero(~flat)[::20]
    for step in range(1, 6):
        flat[np.minimum(starts + step, flat.size - 1)] = False
    assert caught(runs, masks)


@pytest.mark.parametrize("first", [0, 1], ids=["even", "odd"])
@pytest.mark.parametrize("shift", [0, 1, -1])
def test_calls_that_repeat_or_roll_are_caught_at_their_shift_alone(masks, shift, first):
    flat = masks.reshape(32, -1)
    flat[first + 1 :: 2] = np.roll(flat[first:-1:2], shift, axis=1)
    assert {moved for moved in (0, 1, -1) if caught(calls, masks, str(moved))} == {shift}
    assert caught(all_shifts, masks, shift=(0, shift))


def test_a_first_entry_that_hardly_depends_on_the_seed_is_caught(fresh_seed):
    small = np.random.default_rng(fresh_seed).random((500, 8, 16)) < 0.7
    small[:400, 0, 0] = False
    assert caught(first_positions, small)


@pytest.mark.parametrize(("size", "most"), [("64", 62), ("192", 190)])
def test_bits_of_fewer_independent_ones_are_caught(size, most, fresh_seed):
    random = np.random.default_rng(fresh_seed)
    rows = random.integers(0, 2, (64, int(size), most)) @ random.integers(0, 2, (64, most, int(size))) % 2 == 1
    assert caught(rank, rows, size, p=0.5)


def test_a_position_that_never_changes_is_caught(fresh_seed):
    small = np.random.default_rng(fresh_seed).random((2000, 3, 5, 79)) < 0.7
    small[1::2, 0, 0, 5] = small[::2, 0, 0, 5]
    assert caught(calls_by_position, small)


def test_masks_that_are_one_mask_when_read_late_are_caught(masks):
    masks[:] = masks[0]
    assert caught(reading_order, masks)


def test_related_seeds_are_caught_at_the_shift_of_their_relation(masks):
    flat = masks.reshape(32, -1)
    flat[1::2, :-1024] = flat[::2, 1024:]  # the next seed's mask is this one's, moved up by a row
    bits = PackedMasks.of(masks)
    sample = Sample(0.3, bits, pairs={"next": bits, "high": "no seed is that high"})
    assert streams(sample, "next.-row").log10_e >= MILLION
    assert streams(sample, "next").log10_e < MILLION
    assert streams(sample, "next.row").log10_e < MILLION
    with pytest.raises(NotOffered, match="no seed is that high"):
        streams(sample, "high")


def test_a_value_that_is_dropped_more_is_caught(fresh_seed):
    values = (1.0, 2.0, 0.0)
    draws = np.array([100_000] * 3)
    kept = np.random.default_rng(fresh_seed).binomial(draws, [0.7, 0.7, 0.7])
    bits = drawn(fresh_seed, number=1)
    checks = {name: passed() for name in ("outcomes", "gradient", "purity")}
    sample = Gradients(0.3, bits, values=values, by_value=(kept, draws), **checks)
    assert data(sample).log10_e < MILLION
    kept[2] = 0
    found = data(sample)
    assert found.log10_e >= MILLION
    assert "input 0" in found.where


def test_what_could_not_be_read_is_not_judged():
    blind = Sample(0.3, None, unreadable="outcomes is broken here")
    for law, parameter in LAWS:
        with pytest.raises(Unreadable, match="outcomes is broken here"):
            law(blind, parameter)
    for law in (slices, no_mask_twice, no_stretch_twice):
        with pytest.raises(Unreadable):
            law(blind)


@pytest.mark.parametrize(("y", "raised"), [(None, BackendError("dropout raised OverflowError")), (np.ones(3), None)])
def test_a_call_that_gives_no_mask_breaks_the_promise_of_seeds(y, raised):
    x = np.ones(4)

    def seen(relation, what, output, why):
        return Observation(call(what), x, output, why, "float32", x, exactly(x), relation)

    right = seen("", "after seed 1", x, None), seen("same", "seed 1 again", x, None)
    for observations in (
        (*right, seen("same", "seed 1, other data", y, raised)),
        (seen("", "after seed 1", y, raised), *right),
    ):
        check = seeding(Calls(CONTRACTS["dropout"], "float32", observations))
        assert (check.checked, check.wrong) == (2, 1)
        assert check.first.words["first"] == (str(raised) if raised else "an output of another shape than its input")
    assert not seeding(Calls(CONTRACTS["dropout"], "float32", right)).broken


@pytest.mark.parametrize(
    ("seeds", "wrong", "remark"),
    [
        ((0, 1, 2**32), 0, "seeds with the same low 32 bits give the same mask"),
        ((0, 1, 2**48), 0, "seeds with the same low 48 bits give the same mask"),
        ((1, 0, 2**31), 1, None),
        ((0, 1, 2**32 + 1), 1, None),
    ],
)
def test_seeds_may_be_one_where_their_low_32_bits_are(seeds, wrong, remark, fresh_seed):
    """The first and the last have one mask; a mask of 4,096 entries is 0.08 off in half once in 10²⁰ runs."""
    first, other = drawn(fresh_seed, 0.5, 2, (4096,)).unpack()
    x = np.ones(4096)
    seen = [
        Observation(call(""), x, x * mask, None, "float32", x, Outcomes(x, x * 0, x, x, x * 0, x * 0), seed=seed)
        for seed, mask in zip(seeds, (first, other, first), strict=True)
    ]
    check = seeding(Calls(CONTRACTS["dropout"], "float32", tuple(seen)))
    assert (check.checked, check.wrong, check.remark) == (3, wrong, remark)
    assert Check.from_json(check.to_json()) == check


def test_a_seed_after_which_all_is_kept_is_told_with_how_much_is():
    x = np.ones(4096)
    seen = Observation(call("after seed 0"), x, x, None, "float32", x, exactly(x), seed=0)
    check = seeding(Calls(CONTRACTS["dropout"], "float32", (seen,)))
    assert check.first.words["first"] == "100.00% were kept where 50% are to be"


def test_what_masks_show_rests_on_laws_that_the_suite_has():
    laws = load_suite("dropout").by_name
    resting = {name for name, law in laws.items() if law.rests_on}
    exact = {"slices", "no_mask_twice", "no_stretch_twice"}
    assert {law.name for law, _ in LAWS} | exact | {"streams", "data"} == resting
    assert {name for law in laws.values() for name in law.rests_on} <= set(laws) - resting


@pytest.mark.parametrize(("draws", "entries"), [(1, 7), (10**8, 65536), (4000 * 1215, 1215), (3 * 2**24, 2**24)])
def test_chunks_are_all_calls_and_none_is_too_long(draws, entries):
    first, *others = chunks(draws, entries)
    assert first * entries <= CHUNK or first <= 2
    assert first + sum(others) == -(-draws // entries)
    assert all(calls % 2 or calls == 2 for calls in (first, *others)[:-1])
    assert all(calls * entries <= LONGEST or calls <= 2 for calls in others)
    assert all(calls * entries <= CHUNK or calls <= 2 for calls in others[:1])


@pytest.mark.parametrize("period", [0, 3], ids=["fair", "three masks"])
def test_masks_that_no_dropout_drew_are_judged_as_well(period, fresh_seed):
    random, repeats = np.random.default_rng(fresh_seed), Repeats()
    pool = random.random((max(1, period), 256, 64)) < 0.7

    def read(calls):
        bits = PackedMasks.of(pool[np.arange(calls) % period] if period else random.random((calls, 256, 64)) < 0.7)
        seen = sum((repeats.look(bits, number) for number in range(calls)), Check(0, 0))
        return Sample(0.3, bits, repeats=seen, pairs={"twin": bits})

    samples = list(searched(sampled(200 * 16384, 16384, read), lambda law: True))
    assert (
        [sample.lag is None for sample in samples]
        == [sample.shift is None for sample in samples]
        == [True, False, False]
    )
    assert sum(no_mask_twice(sample).wrong for sample in samples) == (197 if period else 0)
    assert (sum(no_stretch_twice(sample).wrong for sample in samples) > 100) == bool(period)
    for law, parameter in ((keep_rate, ""), (neighbours, "1"), (all_lags, ""), (all_shifts, ""), (streams, "twin")):
        assert period or sum(law(sample, parameter).log10_e for sample in samples) < MILLION


def test_masks_without_a_stretch_to_look_at_are_no_departure():
    """An anchor has a probability of 2⁻¹¹: a few thousand entries may well have none."""
    never = PackedMasks.of(np.zeros((2, 2000), dtype=bool))
    check = Stretches().look(Sample(p=0.3, bits=never))
    assert check is not None
    assert (check.checked, check.wrong) == (2, 0)


def test_two_masks_that_keep_as_good_as_all_or_nothing_are_not_known_to_be_one():
    mask, few = np.arange(1024) % 2 == 0, np.arange(1024) < 2
    assert comes_again(mask, mask) is True
    assert comes_again(mask, ~mask) is False
    assert [comes_again(one, one) for one in (few, ~few, mask & False, mask | True)] == [None] * 4
