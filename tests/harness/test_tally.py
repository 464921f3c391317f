"""The tally's two guarantees, by enumeration and by simulation, and its bookkeeping.

Chances of a false failure: a test that looks at e-values of faithful tallies fails once in a million runs, by
Markov's inequality; one that looks at a p-value, once in a million too. Enumerations never fail by chance.
"""

import json
import math
import time
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, kstest, multinomial

from keeprate.harness.evidence.likelihood import draws_to_detect
from keeprate.harness.evidence.tally import Tally

MILLION = 6.0  # log10 e: a faithful tally gets here once in a million runs
RATE = ("kept", "dropped")
PAIR = ("both", "one", "none")


def rate(counts, q, **more):
    return Tally(RATE, counts, np.stack([q, 1 - np.asarray(q)], axis=-1), departure="rate", **more)


def pair_cells(q, rho=0.0):
    move = rho * q * (1 - q)
    return np.array([q * q + move, 2 * q * (1 - q) - 2 * move, (1 - q) ** 2 + move])


def cell_names(number):
    return tuple(f"cell {i}" for i in range(number))


@st.composite
def probability_rows(draw, cells):
    weights = draw(st.lists(st.floats(1e-3, 1.0), min_size=cells, max_size=cells))
    return np.array(weights) / sum(weights)


@st.composite
def tables(draw, groups=3, cells=3, most=10**6):
    counts = draw(st.lists(st.integers(0, most), min_size=groups * cells, max_size=groups * cells))
    return np.array(counts).reshape(groups, cells)


def compositions(n, cells):
    return [row for row in product(range(n + 1), repeat=cells) if sum(row) == n]


# A kept promise is called broken


@settings(max_examples=25, deadline=None)
@given(cells=st.integers(2, 4), n=st.integers(0, 7), data=st.data())
def test_e_has_mean_one_over_all_samples_of_one_group(cells, n, data):
    q = data.draw(probability_rows(cells))
    mean = sum(
        multinomial.pmf(row, n, q) * 10 ** Tally(cell_names(cells), row, q).log10_e for row in compositions(n, cells)
    )
    assert mean == pytest.approx(1, abs=1e-6)


@settings(max_examples=10, deadline=None)
@given(cells=st.integers(2, 3), draws=st.tuples(st.integers(0, 4), st.integers(1, 4)), data=st.data())
def test_e_has_mean_one_over_all_samples_of_two_groups(cells, draws, data):
    q = np.stack([data.draw(probability_rows(cells)) for _ in draws])
    mean = 0.0
    for table in product(*(compositions(n, cells) for n in draws)):
        chance = math.prod(multinomial.pmf(row, sum(row), own) for row, own in zip(table, q, strict=True))
        mean += chance * 10 ** Tally(cell_names(cells), table, q).log10_e
    assert mean == pytest.approx(1, abs=1e-6)


PLAN = (0.3, 0.5, 0.9)  # groups of two cells, of which any may be drawn


def pooled(counts):
    """The evidence of those groups that have counts."""
    parts = [rate(row, q) for row, q in zip(counts, PLAN, strict=True) if row is not None]
    return Tally.pool(parts, [str(number) for number in range(len(parts))], len(PLAN))


@pytest.mark.parametrize("drawn", [each for each in product((0, 3), repeat=len(PLAN)) if any(each)])
def test_e_has_mean_one_whichever_groups_of_a_plan_are_drawn(drawn):
    mean = 0.0
    for heads in product(*(range(n + 1) for n in drawn)):
        rows = [(kept, n - kept) if n else None for kept, n in zip(heads, drawn, strict=True)]
        chance = math.prod(binom.pmf(kept, n, q) for kept, n, q in zip(heads, drawn, PLAN, strict=True))
        mean += chance * 10 ** pooled(rows).log10_e
    assert mean == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("level", [1.2, 2.0, 5.0, math.inf])
def test_e_has_mean_one_where_the_next_group_and_the_end_are_chosen_by_what_was_seen(level):
    """A night: each draw is of the group that is furthest from its promise, until e is large enough."""
    mean = 0.0
    for outcomes in product((0, 1), repeat=9):
        counts, chance = [[0, 0] for _ in PLAN], 1.0
        for kept in outcomes:
            seen = [row if sum(row) else None for row in counts]
            if any(seen) and pooled(seen).log10_e >= math.log10(level):
                chance *= 0.5  # what would have come then is not looked at
                continue
            off = [abs(row[0] - sum(row) * q) if sum(row) else 1.0 for row, q in zip(counts, PLAN, strict=True)]
            group = int(np.argmax(off))
            counts[group][1 - kept] += 1
            chance *= PLAN[group] if kept else 1 - PLAN[group]
        mean += chance * 10 ** pooled([row if sum(row) else None for row in counts]).log10_e
    assert mean == pytest.approx(1, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(counts=tables(groups=2, cells=2, most=10**4))
def test_a_group_that_was_left_out_counts_as_one_that_was_not_drawn(counts):
    left_out, empty = pooled([*counts, None]), pooled([*counts, (0, 0)])
    assert left_out.log10_e == pytest.approx(empty.log10_e, abs=1e-9)
    assert left_out.interval(1e-6) == pytest.approx(empty.interval(1e-6))


@pytest.mark.parametrize("q", [1e-6, 0.001, 0.3, 0.99])
def test_e_has_mean_one_over_all_counts_of_a_rate(q):
    n = 300
    log10_e = np.array([rate((k, n - k), q).log10_e for k in range(n + 1)])
    log_chance = binom.logpmf(np.arange(n + 1), n, q)
    assert np.exp(log_chance + log10_e * math.log(10)).sum() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("truth", [0.25, 0.2501, 0.2719, 0.3, 0.3437, 0.35])
def test_e_has_mean_one_at_most_at_every_rate_that_is_promised(truth):
    n = 300
    near = [rate((k, n - k), 0.3, within=(0.05,)) for k in range(n + 1)]
    log_chance = binom.logpmf(np.arange(n + 1), n, truth)
    assert np.exp(log_chance + np.array([each.log10_e for each in near]) * math.log(10)).sum() <= 1 + 1e-6


@pytest.mark.parametrize("truth", list(product((0.25, 0.28, 0.35), (0.5,))))
def test_e_has_mean_one_at_most_where_one_of_two_groups_is_promised_to_an_interval(truth):
    n, mean = 12, 0.0
    for counts in product(range(n + 1), repeat=2):
        rows = [(k, n - k) for k in counts]
        chance = math.prod(binom.pmf(k, n, q) for k, q in zip(counts, truth, strict=True))
        mean += chance * 10 ** rate(rows, [0.3, 0.5], within=(0.05, 0.0)).log10_e
    assert mean <= 1 + 1e-6


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 10**6), q=st.floats(0.1, 0.9), part=st.floats(0, 1), within=st.floats(1e-6, 0.09))
def test_e_of_an_interval_is_the_least_of_those_of_its_rates(n, q, part, within):
    kept = round(n * part)
    least = min(rate((kept, n - kept), each).log10_e for each in np.linspace(q - within, q + within, 41))
    assert rate((kept, n - kept), q, within=(within,)).log10_e <= least + 0.01  # halves are not least at one rate
    if abs(kept / n - q) > within:
        assert rate((kept, n - kept), q, within=(within,)).log10_e == pytest.approx(least, abs=0.05)


def test_a_step_of_the_grid_is_no_evidence_and_what_is_further_off_is():
    step, n = 2.0**-24, 10**13
    for dropped, reached in ((17 * step, False), (1e-6 + step, False), (1.1e-6, True), (0.9e-6, True)):
        kept = n - round(n * dropped)
        near = rate((kept, n - kept), 1 - 1e-6, within=(step,))
        assert near.reaches(MILLION) == reached
        assert rate((kept, n - kept), 1 - 1e-6).reaches(MILLION)
        nearest = np.clip(near.estimate, near.expected - step, near.expected + step)
        assert (near.interval(1e-6).low <= nearest <= near.interval(1e-6).high) == (not reached)


def test_a_departure_is_detectable_from_the_edge_of_what_is_promised_on(fresh_seed):
    exact, near = rate((700_000, 300_000), 0.7), rate((700_000, 300_000), 0.7, within=(0.001,))
    delta = near.detectable(1e-6)
    assert 0.001 < delta - exact.detectable(1e-6) < 0.00101
    rng = np.random.default_rng(fresh_seed)
    caught = sum(
        rate((k, 10**6 - k), 0.7, within=(0.001,)).reaches(MILLION) for k in rng.binomial(10**6, 0.7 - delta, 400)
    )
    assert binomtest(caught, 400, 0.99, alternative="less").pvalue > 1e-6


def test_faithful_tallies_are_quiet(fresh_seed):
    rng = np.random.default_rng(fresh_seed)
    highest = max(
        [rate(np.stack([k := rng.binomial(10**6, 0.7, 1), 10**6 - k], axis=-1), [0.7]).log10_e for _ in range(1000)]
        + [Tally(PAIR, rng.multinomial(10**5, pair_cells(0.9)), pair_cells(0.9)).log10_e for _ in range(500)]
        + [
            Tally(cell_names(64), rng.multinomial(10**5, np.full(64, 1 / 64), 8), np.full(64, 1 / 64)).log10_e
            for _ in range(500)
        ]
    )
    assert highest < MILLION + math.log10(2000)  # the highest of 2,000: once in a million runs


@pytest.mark.parametrize(
    ("q", "n", "groups"),
    [
        ((0.7, 0.3), 10**6, 1),
        ((0.7, 0.3), 10**4, 20),
        (tuple(pair_cells(0.7)), 10**5, 1),
        ((1 / 16,) * 16, 10**4, 3),
    ],
)
def test_p_values_of_faithful_tallies_are_uniform(q, n, groups, fresh_seed):
    rng = np.random.default_rng(fresh_seed)
    samples = rng.multinomial(n, q, size=(2000, groups))
    p_values = [Tally(cell_names(len(q)), table, q).p_value for table in samples]
    assert kstest(p_values, "uniform").pvalue > 1e-6


# A broken promise is called kept


def caught(tallies, alpha):
    return sum(tally.log10_e >= -math.log10(alpha) for tally in tallies)


def assert_caught_in_99_of_100(tallies, alpha):
    assert binomtest(caught(tallies, alpha), len(tallies), 0.99, alternative="less").pvalue > 1e-6


@pytest.mark.parametrize(
    ("q", "n", "sign"),
    [
        (0.7, 10**6, 1),
        (0.7, 10**6, -1),
        (0.999, 10**6, 1),
        (0.999, 10**6, -1),
        (0.5, 200, 1),
        (0.5, 200, -1),
        (1 - 1e-6, 10**8, -1),  # the other way there is no room
    ],
)
def test_a_rate_is_caught_at_what_it_calls_detectable(q, n, sign, fresh_seed):
    rng, alpha = np.random.default_rng(fresh_seed), 1e-6
    moved = q + sign * rate((n, 0), q).detectable(alpha)
    assert 0 < moved < 1
    assert_caught_in_99_of_100([rate((k, n - k), q) for k in rng.binomial(n, moved, 500)], alpha)


@pytest.mark.parametrize("sign", [1, -1])
def test_one_group_among_forty_is_caught_at_what_they_call_detectable(sign, fresh_seed):
    rng, alpha, q = np.random.default_rng(fresh_seed), 1e-9, np.repeat([0.7, 0.9], 20)
    draws = np.where(np.arange(40) < 20, 20_000, 3_000)

    def sample(rates):
        kept = rng.binomial(draws, rates)
        return rate(np.stack([kept, draws - kept], axis=1), q)

    delta = sample(q).detectable(alpha)
    moved = q + sign * delta * (np.arange(40) == 25)
    assert_caught_in_99_of_100([sample(moved) for _ in range(500)], alpha)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("q", [0.1, 0.5, 0.7])
def test_a_correlation_is_caught_at_what_it_calls_detectable(q, sign, fresh_seed):
    rng, alpha, n = np.random.default_rng(fresh_seed), 1e-9, 10**6
    delta = Tally(PAIR, (n, 0, 0), pair_cells(q), departure="correlation").detectable(alpha)
    samples = rng.multinomial(n, pair_cells(q, sign * delta), size=500)
    assert_caught_in_99_of_100([Tally(PAIR, row, pair_cells(q)) for row in samples], alpha)


@pytest.mark.parametrize("sign", [1, -1])
def test_one_cell_of_many_is_caught_at_what_they_call_detectable(sign, fresh_seed):
    rng, alpha, n, q = np.random.default_rng(fresh_seed), 1e-9, 10**6, np.full(64, 1 / 64)
    delta = Tally(cell_names(64), np.eye(1, 64, dtype=int)[0] * n, q).detectable(alpha)
    moved = np.full(64, (1 - q[0] - sign * delta) / 63)
    moved[17] = q[17] + sign * delta
    samples = rng.multinomial(n, moved / moved.sum(), size=500)
    assert_caught_in_99_of_100([Tally(cell_names(64), row, q) for row in samples], alpha)


def test_nothing_is_detectable_in_few_draws_or_none():
    assert rate((3, 2), 0.5).detectable(1e-9) == 1
    assert Tally(RATE, [[0, 0], [700_000, 300_000]], (0.7, 0.3)).detectable(1e-9) == 1
    assert Tally(PAIR, (1, 1, 1), pair_cells(0.5), departure="correlation").detectable(1e-9) == 1


@pytest.mark.parametrize(("departure", "groups"), [("rate", 1), ("rate", 64), ("correlation", 1), ("cell", 3)])
def test_draws_to_detect_is_where_detectable_reaches_delta(departure, groups):
    q = (0.7, 0.3) if departure == "rate" else tuple(pair_cells(0.7))
    draws = draws_to_detect(q, 0.01, 1e-9, departure=departure, groups=groups)

    def detectable(n):
        counts = np.zeros((groups, len(q)), dtype=np.int64)
        counts[:, 0] = n
        return Tally(cell_names(len(q)), counts, q, departure=departure).detectable(1e-9)

    assert detectable(draws) <= 0.01 < detectable(draws - draws // 500)


@given(st.integers(1, 8), st.integers(2, 12), st.data())
def test_evidence_is_never_above_its_bound(groups, cells, data):
    counts = data.draw(
        st.lists(st.lists(st.integers(0, 10**12), min_size=cells, max_size=cells), min_size=groups, max_size=groups)
    )
    weights = np.array(data.draw(st.lists(st.integers(1, 1000), min_size=cells, max_size=cells)))
    tally = Tally([str(cell) for cell in range(cells)], counts, weights / weights.sum())
    assert tally.log10_e <= tally.log10_e_bound + 1e-6 * (1 + abs(tally.log10_e_bound))


def test_a_rate_off_by_a_thousandth_costs_at_most_1_3_times_walds_bound(fresh_seed):
    # A test that knows the alternative needs ln(1/alpha) / KL draws on average (Wald 1945). Of 3,000 runs the
    # median was 1.18 times that; medians of 100 were 1.19 +- 0.046, and 0.4 % of them above 1.3: three such
    # in a row come up once in ten million runs.
    alpha, q, chunk, rng = 1e-9, 0.7, 2**18, np.random.default_rng(fresh_seed)
    r = q + 0.001
    wald = -math.log(alpha) / (r * math.log(r / q) + (1 - r) * math.log((1 - r) / (1 - q)))

    def draws_until_caught():
        kept, draws = 0, 0
        while True:
            kept, draws = kept + int(rng.binomial(chunk, r)), draws + chunk
            if rate((kept, draws - kept), q).log10_e >= -math.log10(alpha):
                return draws

    assert any(np.median([draws_until_caught() for _ in range(100)]) <= 1.3 * wald for _ in range(3))


# Intervals


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 10**7),
    q=st.floats(1e-4, 1 - 1e-4),
    standard_errors=st.floats(-12, 12),
    alpha=st.sampled_from([1e-3, 1e-6, 1e-9]),
)
def test_the_interval_leaves_the_promise_out_exactly_when_it_is_broken(n, q, standard_errors, alpha):
    kept = int(np.clip(round(n * q + standard_errors * math.sqrt(n * q * (1 - q))), 0, n))
    tally = rate((kept, n - kept), q)
    low, high = tally.interval(alpha)
    assert 0 <= low <= tally.estimate <= high <= 1
    assert (not low <= tally.expected <= high) == (tally.log10_e >= -math.log10(alpha))


def test_the_interval_is_exact_next_to_the_threshold():
    tally = rate((2_808_000, 1_192_000), 0.7)
    for factor in (1 - 1e-12, 1, 1 + 1e-12):
        alpha = 10 ** (-tally.log10_e * factor)
        low, high = tally.interval(alpha)
        assert (not low <= 0.7 <= high) == (tally.log10_e >= -math.log10(alpha))


def test_an_end_of_the_interval_is_a_rate_with_evidence_of_one_over_alpha():
    low, high = rate((2_808_000, 1_192_000), 0.7).interval(1e-9)
    assert rate((2_808_000, 1_192_000), low).log10_e == pytest.approx(9, abs=1e-4)
    assert rate((2_808_000, 1_192_000), high).log10_e == pytest.approx(9, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(counts=tables(most=2000), data=st.data())
def test_of_several_groups_a_promise_outside_the_interval_is_broken(counts, data):
    tally = Tally(cell_names(3), counts, data.draw(probability_rows(3)))
    low, high = tally.interval(1e-6)
    if not low <= tally.expected <= high:
        assert tally.log10_e >= MILLION


# Counts


@settings(max_examples=40, deadline=None)
@given(one=tables(), two=tables(), data=st.data())
def test_tallies_add_count_by_count(one, two, data):
    q = data.draw(probability_rows(3))
    total = Tally(cell_names(3), one, q) + Tally(cell_names(3), two, q)
    assert total == Tally(cell_names(3), one + two, q)
    assert total.n == one.sum() + two.sum()


@settings(max_examples=40, deadline=None)
@given(counts=tables(), order=st.permutations(range(3)), data=st.data())
def test_evidence_does_not_depend_on_the_order_of_cells_or_groups(counts, order, data):
    q = np.stack([data.draw(probability_rows(3)) for _ in range(3)])
    one, two = (
        Tally(cell_names(3), counts, q),
        Tally(cell_names(3), counts[:, order][order], q[:, order][order]),
    )
    assert one.log10_e == pytest.approx(two.log10_e, rel=1e-9, abs=1e-9)
    assert one.statistic == pytest.approx(two.statistic, rel=1e-9, abs=1e-9)


def test_equally_rare_cells_are_pooled_alike():
    """With a cell that is rarer than both, either is beyond the pool that the other fills."""
    q = (0.03, 0.485, 0.485)
    one, two = (Tally(cell_names(3), counts, q) for counts in ((0, 1, 20), (0, 20, 1)))
    assert one.statistic == two.statistic


@pytest.mark.parametrize("n", [100, 10**5, 10**11])
def test_evidence_is_that_of_exact_arithmetic(n):
    mpmath = pytest.importorskip("mpmath")
    kept = n * 7 // 10 + 2 * math.isqrt(n)
    counts, q = (kept, n - kept), (0.7, 0.3)
    with mpmath.workdps(50):
        rates = [mpmath.mpf(x) / (mpmath.mpf(q[0]) + mpmath.mpf(q[1])) for x in q]

        def ratio(c):
            log = mpmath.loggamma(c) - mpmath.loggamma(c + n)
            for k, r in zip(counts, rates, strict=True):
                log += mpmath.loggamma(k + c * r) - mpmath.loggamma(c * r) - k * mpmath.log(r)
            return mpmath.exp(log)

        dense = sum(ratio(mpmath.mpf(2 * 4**j)) for j in range(14)) / 14
        sparse = sum(ratio(mpmath.mpf(2 * 16**j)) for j in range(6)) / 6
        exact = float(mpmath.log10((dense + sparse) / 2))
    assert Tally(RATE, counts, q).log10_e == pytest.approx(exact, abs=1e-8)


def test_a_tally_of_nothing_says_nothing():
    empty = rate((0, 0), 0.3)
    assert empty.log10_e == pytest.approx(0, abs=1e-12)
    assert (empty.n, empty.statistic, empty.p_value, empty.interval(1e-6)) == (0, 0, 1, (0, 1))
    assert math.isnan(empty.estimate)
    busy = Tally(RATE, [[700, 300], [0, 0]], (0.7, 0.3))
    assert busy.p_value == pytest.approx(1)


def test_one_group_of_two_cells_has_the_binomial_p_value():
    for kept in (0, 3, 50, 64, 100):
        exact = min(binomtest(kept, 100, 0.5, alternative=side).pvalue for side in ("less", "greater"))
        assert rate((kept, 100 - kept), 0.5).p_value == pytest.approx(min(1, 2 * exact))


def test_rare_cells_are_pooled_for_chi_square():
    tally = Tally(cell_names(4), (90, 2, 3, 5), (0.9, 0.03, 0.03, 0.04))  # 3, 3 and 4 make the least that counts
    assert tally.statistic == pytest.approx(0)
    assert Tally(cell_names(4), (80, 7, 6, 7), (0.9, 0.03, 0.03, 0.04)).statistic == pytest.approx(100 / 90 + 10)


def test_a_group_of_rare_cells_alone_is_not_left_out_of_chi_square():
    counts, probabilities = [[99_400, 600], [2_000_000, 20], [1_000_000, 10]], [1 - 1e-5, 1e-5]
    assert Tally(RATE, counts, [probabilities] * 3).p_value < 1e-300
    assert Tally(RATE, [[99_999, 1], *counts[1:]], [probabilities] * 3).p_value > 0.9


def test_the_furthest_cell_is_named_by_group_and_cell():
    tally = Tally(RATE, [[700, 300], [600, 400], [705, 295]], (0.7, 0.3), ("row 0", "row 1", "row 2"))
    assert (tally.where, tally.estimate, tally.expected) == ("row 1, kept", 0.6, 0.7)
    assert Tally(PAIR, (480, 420, 100), (0.49, 0.42, 0.09)).where == "none"
    assert rate((1, 3), 0.5).estimate == 0.25


def test_stacked_tallies_keep_their_groups_under_a_label():
    one, two = rate([[7, 3], [6, 4]], [0.7, 0.7]), rate([[5, 5], [4, 6]], [0.5, 0.5], groups=("a", "b"))
    stacked = Tally.pool([one, two], ["p0.3", "p0.5"], planned=3)
    assert stacked.groups == ("p0.3 group 0", "p0.3 group 1", "p0.5 a", "p0.5 b")
    assert stacked.counts.tolist() == [[7, 3], [6, 4], [5, 5], [4, 6]]
    assert stacked.probabilities[:, 0].tolist() == [0.7, 0.7, 0.5, 0.5]
    assert (stacked.departure, stacked.planned, stacked.within) == ("rate", 6, ())
    assert Tally.pool([one, rate([[7, 3], [6, 4]], [0.7, 0.7], within=(0.1, 0.0))], ["a", "b"]).within == (0, 0, 0.1, 0)


@settings(max_examples=30, deadline=None)
@given(counts=tables(most=10**11), data=st.data())
def test_a_tally_travels_as_json(counts, data):
    q = np.stack([data.draw(probability_rows(3)) for _ in range(3)])
    for probabilities in (q, q[0]):
        tally = Tally(cell_names(3), counts, probabilities, ("a", "b", "c"), "correlation")
        again = Tally.from_json(json.loads(json.dumps(tally.to_json())))
        assert again == tally
        assert again.log10_e == tally.log10_e


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"counts": (1.5, 2.5)}, "non-negative integers"),
        ({"counts": (-1, 2)}, "non-negative integers"),
        ({"counts": (1, 2, 3)}, "one a column"),
        ({"probabilities": (0.7, 0.2)}, "sum to 1"),
        ({"probabilities": (1.0, 0.0)}, r"in \(0, 1\)"),
        ({"probabilities": (math.nan, 0.3)}, r"in \(0, 1\)"),
        ({"probabilities": (0.2, 0.3, 0.5)}, "do not fit"),
        ({"groups": ("a", "b")}, "one for each"),
        ({"departure": "correlation"}, "three cells"),
        ({"departure": "size"}, "'size'"),
        ({"within": (-0.1,)}, "within"),
        ({"within": (0.3,)}, "within"),
        ({"within": (0.1, 0.1)}, "within"),
        ({"cells": PAIR, "counts": (1, 2, 1), "probabilities": (0.25, 0.5, 0.25), "within": (0.1,)}, "within"),
    ],
)
def test_what_is_no_tally_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        Tally(**{"cells": RATE, "counts": (7, 3), "probabilities": (0.7, 0.3), **change})


def test_only_tallies_of_one_promise_add_or_stack():
    with pytest.raises(ValueError, match="can be added"):
        rate((7, 3), 0.7) + rate((7, 3), 0.5)
    with pytest.raises(ValueError, match="can be added"):
        rate((7, 3), 0.7) + Tally(RATE, (7, 3), (0.7, 0.3), departure="cell")
    with pytest.raises(ValueError, match="can be pooled"):
        Tally.pool([rate((7, 3), 0.7), Tally(PAIR, (1, 2, 1), pair_cells(0.5))], ["a", "b"])
    with pytest.raises(ValueError, match="can be pooled"):
        Tally.pool([rate((7, 3), 0.7), rate([(7, 3), (5, 5)], [0.7, 0.5])], ["a", "b"])
    with pytest.raises(ValueError, match="alpha"):
        rate((7, 3), 0.7).interval(0)


def test_a_tally_cannot_be_changed():
    tally = rate((7, 3), 0.7)
    with pytest.raises(AttributeError):
        tally.cells = ("a", "b")
    with pytest.raises(ValueError, match="read-only"):
        tally.counts[0, 0] = 8
    with pytest.raises(ValueError, match="read-only"):
        tally.probabilities[0, 0] = 0.5


def seconds(compute):
    times = []
    for _ in range(5):
        start = time.perf_counter()
        compute()
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.mark.parametrize(("groups", "cells"), [(512, 2), (1, 512), (170, 3)])
def test_512_cells_cost_under_5_ms_and_their_power_under_20(groups, cells, fresh_seed):
    # Measured on one core: 1.3 and 3 ms. The least of five, so that other load seldom matters.
    q = np.full(cells, 1 / cells)
    counts = np.random.default_rng(fresh_seed).multinomial(10**6, q, groups)
    tally = Tally(cell_names(cells), counts, q)
    assert seconds(lambda: Tally(cell_names(cells), counts, q).log10_e) < 0.005
    assert seconds(lambda: tally.detectable(1e-9)) < 0.02
