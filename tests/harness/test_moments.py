"""Sums of two-valued draws: the guarantees of `test_tally`, for the mean.

Chances of a false failure: as there, once in a million runs for each random test.
"""

import json
import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, kstest, norm

from keeprate.harness.evidence.moments import UNIT, Moments

MILLION = 6.0  # log10 e: faithful moments get here once in a million runs
VALUES = norm.ppf((np.arange(64) + 0.5) / 64)


def outcomes(q):
    """Two outcomes of each value that lie unevenly about 0, with a promised mean of 0."""
    kept, dropped = VALUES + 1.7 * (1 - q), np.full(64, -1.7 * q)
    return kept, dropped


def drawn(rng, q, per_value, off=0.0, slack=0.0):
    kept, dropped = outcomes(q)
    first = rng.binomial(per_value, q, 64)
    total = float((first * (kept + off) + (per_value - first) * (dropped + off)).sum())
    draws = np.full((1, 64), per_value)
    return Moments([q], [kept], [dropped], draws, (round(total / UNIT),), (math.ceil(slack / UNIT),))


def small(first, draws, kept, dropped, q, slack=0, moved=0):
    """Of one group, with outcomes that are multiples of 2^-40, where `first` draws gave the first outcome."""
    total = sum(k * a + (n - k) * b for k, n, a, b in zip(first, draws, kept, dropped, strict=True))
    return Moments([q], [kept], [dropped], [draws], (round(total / UNIT) + moved,), (slack,))


quarters = st.integers(-12, 12).map(lambda x: x / 4)


@settings(max_examples=25, deadline=None)
@given(
    draws=st.lists(st.integers(0, 3), min_size=3, max_size=3),
    kept=st.lists(quarters, min_size=3, max_size=3),
    dropped=st.lists(quarters, min_size=3, max_size=3),
    q=st.floats(1e-3, 1 - 1e-3),
)
def test_e_has_mean_one_over_all_samples(draws, kept, dropped, q):
    dropped[0] = kept[0] + 1
    mean = mean_of_worst = 0.0
    for first in product(*(range(n + 1) for n in draws)):
        chance = math.prod(binom.pmf(k, n, q) for k, n in zip(first, draws, strict=True))
        mean += chance * 10 ** small(first, draws, kept, dropped, q).log10_e
        slack = 2**39  # half a unit of the output: a great part of what is observed
        rounded = [small(first, draws, kept, dropped, q, slack, moved).log10_e for moved in (-slack, 0, slack)]
        mean_of_worst += chance * 10 ** max(rounded)
    assert mean == pytest.approx(1, abs=1e-6)
    assert mean_of_worst <= 1 + 1e-6  # whoever rounds may choose the direction after looking


@settings(max_examples=25, deadline=None)
@given(draws=st.lists(st.integers(0, 3), min_size=3, max_size=3), q=st.floats(1e-3, 1 - 1e-3), data=st.data())
def test_rounding_within_slack_never_adds_evidence(draws, q, data):
    kept, dropped = [1.0, 0.5, -2.0], [0.0, -1.0, 3.0]
    first = [data.draw(st.integers(0, n)) for n in draws]
    slack = data.draw(st.integers(0, 2**42))
    moved = data.draw(st.integers(-slack, slack))
    exact = small(first, draws, kept, dropped, q)
    assert small(first, draws, kept, dropped, q, slack, moved).log10_e <= exact.log10_e + 1e-9


def test_e_has_mean_one_over_all_samples_of_two_groups():
    mean, q = 0.0, (0.3, 0.9)
    for first in product(range(5), range(4)):
        parts = [
            small(first[:1], [4], [1.0], [-0.5], q[0]),
            small(first[1:], [3], [0.25], [2.0], q[1]),
        ]
        chance = binom.pmf(first[0], 4, q[0]) * binom.pmf(first[1], 3, q[1])
        mean += chance * 10 ** Moments.pool(parts, ["a", "b"]).log10_e
    assert mean == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("seen", [0, 1])
def test_e_has_mean_one_whichever_group_of_a_plan_is_drawn(seen):
    mean, q = 0.0, (0.3, 0.9)[seen]
    for first in range(5):
        part = small((first,), [4], [1.0], [-0.5], q)
        mean += binom.pmf(first, 4, q) * 10 ** Moments.pool([part], [""], planned=2).log10_e
    assert mean == pytest.approx(1, abs=1e-6)


def test_faithful_moments_are_quiet(fresh_seed):
    rng = np.random.default_rng(fresh_seed)
    highest = max(drawn(rng, q, 10**5).log10_e for q in (1e-5, 0.1, 0.7, 0.999) for _ in range(500))
    assert highest < MILLION + math.log10(2000)


def test_many_rounded_outputs_raise_no_alarm(fresh_seed):
    # Each of 6.4e9 outputs is rounded up by 1e-3, as far as it may be: 80 standard errors of the mean.
    rng, rounding = np.random.default_rng(fresh_seed), 1e-3
    moved = drawn(rng, 0.7, 10**8, off=rounding, slack=64 * 10**8 * rounding)
    assert moved.log10_e < MILLION
    assert drawn(rng, 0.7, 10**8, off=rounding).log10_e > 100
    assert drawn(rng, 0.7, 10**8, off=2 * rounding, slack=64 * 10**8 * rounding).log10_e > 100


def test_p_values_of_faithful_moments_are_uniform(fresh_seed):
    rng = np.random.default_rng(fresh_seed)
    assert kstest([drawn(rng, 0.7, 10**5).p_value for _ in range(2000)], "uniform").pvalue > 1e-6


@pytest.mark.parametrize("off", [1, -1])
@pytest.mark.parametrize(("q", "per_value"), [(0.7, 10**5), (0.999, 10**4), (0.5, 30), (1e-3, 10**5)])
def test_a_shift_is_caught_at_what_is_called_detectable(q, per_value, off, fresh_seed):
    rng, alpha = np.random.default_rng(fresh_seed), 1e-9
    shift = drawn(rng, q, per_value).detectable(alpha)
    caught = sum(drawn(rng, q, per_value, off=off * shift).log10_e >= 9 for _ in range(500))
    assert binomtest(caught, 500, 0.99, alternative="less").pvalue > 1e-6


def test_a_shift_of_one_group_is_caught_at_what_all_call_detectable(fresh_seed):
    rng, names = np.random.default_rng(fresh_seed), ("p0.3", "p0.9", "p0.1")

    def sample(shift):
        parts = [drawn(rng, 0.7, 10**5), drawn(rng, 0.1, 10**4, off=shift), drawn(rng, 0.9, 10**6)]
        return Moments.pool(parts, names)

    shift = sample(0).detectable(1e-9)
    samples = [sample(shift) for _ in range(500)]
    assert binomtest(sum(m.log10_e >= 9 for m in samples), 500, 0.99, alternative="less").pvalue > 1e-6
    assert samples[0].where == "p0.9"


@settings(max_examples=40, deadline=None)
@given(
    per_value=st.integers(1, 10**7),
    q=st.floats(1e-3, 1 - 1e-3),
    standard_errors=st.floats(-12, 12),
    alpha=st.sampled_from([1e-3, 1e-6, 1e-9]),
    rounding=st.sampled_from([0, 1e-6, 1e-3]),
)
def test_the_interval_leaves_the_promise_out_exactly_when_it_is_broken(per_value, q, standard_errors, alpha, rounding):
    kept, dropped = outcomes(q)
    n = 64 * per_value
    total = standard_errors * math.sqrt(per_value * q * (1 - q) * ((kept - dropped) ** 2).sum())
    draws = np.full((1, 64), per_value)
    slack = round(n * rounding / UNIT)
    moments = Moments([q], [kept], [dropped], draws, (round(total / UNIT),), (slack,))
    low, high = moments.interval(alpha)
    assert low <= moments.estimate <= high
    assert (not low <= moments.expected <= high) == (moments.log10_e >= -math.log10(alpha))


def test_the_interval_is_exact_next_to_the_threshold(fresh_seed):
    moments = drawn(np.random.default_rng(fresh_seed), 0.7, 10**6, off=0.002)
    for factor in (1 - 1e-12, 1, 1 + 1e-12):
        alpha = 10 ** (-moments.log10_e * factor)
        low, high = moments.interval(alpha)
        assert (not low <= moments.expected <= high) == (moments.log10_e >= -math.log10(alpha))


def test_the_estimate_is_the_mean_that_was_seen(fresh_seed):
    moments = drawn(np.random.default_rng(fresh_seed), 0.7, 10**6, off=-1.558)
    low, high = moments.interval(1e-6)
    assert moments.estimate == pytest.approx(moments.total[0] * UNIT / moments.n)
    assert moments.expected == pytest.approx(0, abs=1e-12)
    assert low < moments.estimate < high < 0


@pytest.mark.parametrize("q", [1e-6, 0.5, 1 - 1e-6])
def test_cumulants_neither_overflow_nor_cancel(q):
    mpmath = pytest.importorskip("mpmath")
    draws, kept, dropped = 10**9, 1.5, -0.25
    total = round(draws * (q * kept + (1 - q) * dropped) * 1.0001 / UNIT)
    sd = math.sqrt(q * (1 - q)) * (kept - dropped)
    with mpmath.workdps(50):
        k, d, p = mpmath.mpf(kept), mpmath.mpf(dropped), mpmath.mpf(q)
        terms = []
        for j in range(21):
            for tilt in (mpmath.mpf(2) ** -j / sd, -(mpmath.mpf(2) ** -j) / sd):
                ln = mpmath.log(p * mpmath.exp(tilt * k) + (1 - p) * mpmath.exp(tilt * d))
                terms.append(mpmath.exp(tilt * total * mpmath.mpf(UNIT) - draws * ln))
        exact = float(mpmath.log10(sum(terms) / 42))
    moments = Moments([q], [[kept]], [[dropped]], [[draws]], (total,), (0,))
    assert moments.log10_e == pytest.approx(exact, rel=1e-9, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    total=st.lists(st.integers(-(10**25), 10**25), min_size=2, max_size=2),
    draws=st.lists(st.integers(0, 10**11), min_size=2, max_size=2),
)
def test_moments_add_exactly_and_travel_as_json(total, draws):
    def of(total, draws, slack):
        return Moments([0.3], [[1.25, 0.1]], [[0.5, -1]], [[draws, 7]], (total,), (slack,), ("p0.7",))

    added = of(total[0], draws[0], 5) + of(total[1], draws[1], 6)
    assert (added.total, added.slack, added.n) == ((sum(total),), (11,), sum(draws) + 14)
    again = Moments.from_json(json.loads(json.dumps(added.to_json())))
    assert again == added
    assert again.log10_e == added.log10_e


def test_moments_of_nothing_say_nothing():
    empty = Moments([0.3], [[1.0, 2.0]], [[0.0, -3.0]], [[0, 0]], (0,), (0,))
    assert empty.log10_e == pytest.approx(0, abs=1e-12)
    assert (empty.n, empty.statistic, empty.p_value) == (0, 0, 1)
    assert empty.interval(1e-6) == (-math.inf, math.inf)
    assert empty.detectable(1e-6) == 5
    assert math.isnan(empty.estimate)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"keep": [1.0]}, r"in \(0, 1\)"),
        ({"kept": [[1.0, math.inf]]}, "finite"),
        ({"dropped": [[1.0, 2.0]]}, "differ"),
        ({"draws": [[1, -1]]}, "non-negative integers"),
        ({"draws": [[1, 2, 3]]}, "three times"),
        ({"total": (0.5,)}, "an int for each"),
        ({"slack": (0, 0)}, "an int for each"),
        ({"slack": (-1,)}, "negative"),
        ({"groups": ("a", "b")}, "one for each"),
    ],
)
def test_what_is_no_moments_is_refused(change, words):
    given_ = {"keep": [0.3], "kept": [[1.0, 2.0]], "dropped": [[0.0, 0.0]], "draws": [[5, 5]]}
    with pytest.raises(ValueError, match=words):
        Moments(**{**given_, "total": (0,), "slack": (0,), **change})


def test_only_moments_of_one_promise_add_or_stack():
    one = Moments([0.3], [[1.0]], [[0.0]], [[5]], (0,), (0,))
    two = Moments([0.4], [[1.0, 2.0]], [[0.0, 0.0]], [[5, 5]], (0,), (0,))
    with pytest.raises(ValueError, match="can be added"):
        one + two
    with pytest.raises(ValueError, match="can be pooled"):
        Moments.pool([one, two], ["a", "b"])
    with pytest.raises(ValueError, match="alpha"):
        one.detectable(2)


def test_moments_cannot_be_changed():
    one = Moments([0.3], [[1.0]], [[0.0]], [[5]], (0,), (0,))
    with pytest.raises(AttributeError):
        one.total = (1,)
    with pytest.raises(ValueError, match="read-only"):
        one.draws[0, 0] = 8
