"""Passes forward and back: what is right is seen to be right without a replay, and what is wrong never is."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keeprate.harness.errors import BackendError
from keeprate.harness.evidence.check import Check
from keeprate.harness.protocol.backend import load_backend
from keeprate.harness.protocol.case import Case
from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import load_suite
from keeprate.specs.dropout import gradients as module
from keeprate.specs.dropout import reference
from keeprate.specs.dropout.aims import ENDS, MAIN
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.gradients import REPLAYED, gradients
from keeprate.specs.dropout.pair import pair
from keeprate.specs.rounding import DTYPES, ulp

plain, faithful = (
    find(str(Path(__file__).parents[1] / "mutants" / f"{name}.py"), group="", kind="module")
    for name in ("plain", "faithful")
)
PASSES = 12  # fewer than there are from one replay to the next
ELEMENT, CHANNEL = ("dropout", "alpha_dropout"), ("dropout2d", "feature_alpha_dropout")
EVERY_DTYPE = pytest.mark.parametrize("dtype", DTYPES)
pytestmark = pytest.mark.usefixtures("one_thread")


def case(op, dtype="float32", p=0.3, passes=PASSES, context="grad"):
    shape = (12, 9, *(1,) * (max(CONTRACTS[op].ranks) - 3), 7) if CONTRACTS[op].by_channel else (12, 65)
    draws = passes * int(np.prod(CONTRACTS[op].mask_shape(shape)))
    asked = () if CONTRACTS[op].by_channel else (f"{op}/data/-/-/-/grad",)
    return Case(op, dtype, {"p": p}, shape, context, "gradients", draws, draws, asked)


def sampled(*where):
    with warnings.catch_warnings(action="ignore"):  # as in a run
        return list(gradients(*where))


def checks(samples):
    return [
        sum(parts, Check(0, 0)) for parts in zip(*((s.outcomes, s.gradient, s.purity) for s in samples), strict=True)
    ]


class Departing(plain.Plain):
    """Departs in some passes: `depart` changes the values of a gradient, given where it may and what is kept there."""

    number = 0

    def __init__(self, depart, *passes):
        super().__init__()
        self.depart, self.passes = depart, passes

    def vjp(self, fn, x, cotangent):
        out, gradient = super().vjp(fn, x, cotangent)
        if self.number in self.passes:
            told = np.isfinite(x.values) & (x.values != 0)  # elsewhere an output may be that of either mask
            kept = plain.rounded(cotangent.values * out.slope.max(), x.dtype)
            self.depart(gradient.values, told, kept, x.dtype)
        self.number += 1
        return out, gradient


class Single:
    """Changes one element, and remembers which."""

    def __init__(self, seed, change):
        self.random, self.change, self.at = np.random.default_rng(seed), change, ()

    def __call__(self, values, told, kept, dtype):
        places = np.argwhere(told & (values != 0) if self.change is off else told)
        self.at = tuple(self.random.choice(places).tolist())
        values[self.at] = self.change(values[self.at], kept[self.at], dtype)


def off(value, kept, dtype):
    """By the first step that rounding does not explain."""
    return value + 3 * ulp(np.float64(value), dtype)


def masked_otherwise(value, kept, dtype):
    return 0 if value else kept


def not_a_number(value, kept, dtype):
    return np.nan


@EVERY_DTYPE
@pytest.mark.parametrize("change", [off, masked_otherwise, not_a_number])
@pytest.mark.parametrize("op", [*ELEMENT, *CHANNEL, "feature_dropout", "dropout1d"])
def test_one_wrong_element_of_a_later_pass_is_found(op, change, dtype, fresh_seed):
    single = Single(fresh_seed, change)
    backend = Departing(single, 1 + fresh_seed % (PASSES - 1))
    outcomes, gradient, purity = checks(sampled(case(op, dtype), backend, fresh_seed))
    assert (gradient.wrong, gradient.exact) == (1, gradient.checked - 1)
    assert gradient.first.at == single.at
    assert outcomes.exact == outcomes.checked == gradient.checked
    assert purity.exact == purity.checked == 2 * gradient.checked  # of input and cotangent


@EVERY_DTYPE
@pytest.mark.parametrize("op", [*ELEMENT, *CHANNEL])
def test_kept_gradients_off_by_more_than_rounding_are_all_wrong_in_a_later_pass(op, dtype, fresh_seed):
    def depart(values, told, kept, dtype):
        wrong.append(np.count_nonzero(values))
        values[...] = np.where(values, values + 3 * ulp(values, dtype), values)

    wrong = []
    _, gradient, _ = checks(sampled(case(op, dtype), Departing(depart, PASSES - 1), fresh_seed))
    assert [gradient.wrong] == wrong
    assert wrong[0] > 0


@EVERY_DTYPE
@pytest.mark.parametrize("op", [*ELEMENT, *CHANNEL])
def test_a_gradient_with_another_mask_is_wrong_wherever_the_masks_differ(op, dtype, fresh_seed):
    def depart(values, told, kept, dtype):
        other = told & ((values != 0) != np.roll(values != 0, 1, axis=1))
        values[other] = np.where(values, 0, kept)[other]
        wrong.append(np.count_nonzero(other))

    wrong = []
    _, gradient, _ = checks(sampled(case(op, dtype), Departing(depart, 5, 7), fresh_seed))
    assert gradient.wrong == sum(wrong) > 0


@pytest.mark.parametrize("op", ["dropout", "dropout2d"])
def test_an_output_of_another_scale_in_a_later_pass_ends_its_sample_and_is_read(op, fresh_seed):
    class Halved(plain.Plain):
        number = 0

        def scaled(self, x, mask, p):
            values, noise = super().scaled(x, mask, p)
            self.number += 1
            return (values / 2 if self.number == 4 else values), noise

    first, after = sampled(case(op), Halved(), fresh_seed)
    assert [first.mask.calls, after.mask.calls] == [4, PASSES - 4]
    assert first.outcomes.broken and not first.gradient.broken
    assert not after.outcomes.broken


def test_where_a_gradient_is_wrong_no_mask_is_read_off_it(fresh_seed):
    class Ones(plain.Plain):
        def vjp(self, fn, x, ct):
            y, g = super().vjp(fn, x, ct)
            return y, self.asarray(np.ones_like(self.asnumpy(g)), "float32")

    samples = sampled(case("dropout"), Ones(), fresh_seed)
    assert all(sample.gradient.broken and not sample.outcomes.broken for sample in samples)
    assert {sample.unreadable for sample in samples} == {"no mask could be read: gradient is broken here"}


def test_an_output_that_is_no_outcome_in_a_later_pass_ends_its_sample(fresh_seed):
    class Shifted(plain.Plain):
        number = 0

        def scaled(self, x, mask, p):
            values, noise = super().scaled(x, mask, p)
            self.number += 1
            return (values + 1 if self.number == 4 else values), noise

    before, wrong, after = sampled(case("dropout"), Shifted(), fresh_seed)
    assert [before.mask.calls, after.mask.calls] == [3, PASSES - 4]
    assert [before.outcomes.broken, wrong.outcomes.broken, after.outcomes.broken] == [False, True, False]
    assert wrong.bits is None


def test_a_torn_channel_of_a_later_pass_is_found(fresh_seed):
    class Torn(plain.Plain):
        number = 0

        def scaled(self, x, mask, p):
            values, noise = super().scaled(x, mask, p)
            self.number += 1
            if self.number == 5:
                noise = np.broadcast_to(noise, values.shape).copy()
                told = np.isfinite(x.values) & (x.values != 0)
                told[..., 0] = False  # where masks are read
                torn[:] = random.choice(np.argwhere(told)).tolist()
                noise[*torn] = noise.max() - noise[*torn]
                values = x.values * noise
            return values, noise

    random, torn = np.random.default_rng(fresh_seed), []
    outcomes, gradient, _ = checks(sampled(case("dropout2d"), Torn(), fresh_seed))
    assert (outcomes.wrong, gradient.wrong) == (1, 1)
    assert outcomes.first.at == gradient.first.at == tuple(torn)


def test_an_input_that_is_written_to_in_a_later_pass_is_found(fresh_seed):
    class Writes(plain.Plain):
        number = 0

        def vjp(self, fn, x, cotangent):
            answer = super().vjp(fn, x, cotangent)
            self.number += 1
            if self.number == 6:
                x.values[2, 3] += 1
            return answer

    first, *_ = sampled(case("dropout"), Writes(), fresh_seed)
    assert (first.mask.calls, first.purity.wrong) == (6, 1)


def test_passes_before_one_that_raises_count(fresh_seed):
    class Raises(plain.Plain):
        number = 0

        def vjp(self, fn, x, cotangent):
            self.number += 1
            if self.number == 9:
                raise ArithmeticError("no more")
            return super().vjp(fn, x, cotangent)

    samples = gradients(case("dropout"), Raises(), fresh_seed)
    assert next(samples).mask.calls == 8
    with pytest.raises(BackendError, match="no more"):
        next(samples)


class Near(plain.Plain):
    """Rounds gradients otherwise: now and then by one step."""

    def gradient(self, out, cotangent):
        gradient = super().gradient(out, cotangent)
        step = np.where(np.arange(gradient.values.size) % 3 == 0, ulp(gradient.values, gradient.dtype).ravel(), 0)
        values = gradient.values + np.where(gradient.values, step.reshape(gradient.values.shape), 0)
        return plain.Array(values.astype(gradient.values.dtype), gradient.dtype)


class Negative(plain.Plain):
    """What is dropped is −0."""

    def scaled(self, x, mask, p):
        values, noise = super().scaled(x, mask, p)
        return np.where(values == 0, values.dtype.type(-0.0), values), noise


class Wide(plain.Plain):
    """Hands out float64, whatever the dtype."""

    def asnumpy(self, x):
        return x.values.astype(np.float64)


class Narrow(plain.Plain):
    """Hands out float16, whatever the dtype."""

    def asnumpy(self, x):
        with np.errstate(over="ignore"):
            return x.values.astype(np.float16)


BACKENDS = {
    **{one.__name__: one for one in (plain.Plain, faithful.Selecting, Near, Negative, Wide, Narrow)},
    **{name: lambda name=name: load_backend(name, load_suite("dropout")) for name in ("mlx", "torch")},
}


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("op", [*ELEMENT, *CHANNEL, "dropout1d", "variational_dropout"])
def test_outcomes_say_what_replays_say(op, name, fresh_seed, monkeypatch):
    backend = BACKENDS[name]()
    random = np.random.default_rng(fresh_seed)
    for dtype in backend.dtypes:
        where = case(op, dtype, float(random.choice((*MAIN, *ENDS))))
        if not CONTRACTS[op].by_channel:
            shape, strides = (((), ""), ((1026,), "step2"), ((12, 65), "transposed"))[random.integers(3)]
            where = where.replace(shape=shape, strides=strides, draws=PASSES * int(np.prod(shape)))
        print(where.id)
        one, other = [], []
        for every, samples in (REPLAYED, one), (1, other):
            monkeypatch.setattr(module, "REPLAYED", every)
            samples += sampled(where, backend, fresh_seed)
        assert checks(one) == checks(other)
        for mine, replayed in zip(one, other, strict=True):
            assert (mine.by_value is None) == (replayed.by_value is None)
            assert mine.by_value is None or np.array_equal(mine.by_value, replayed.by_value)
            assert (mine.bits is None) == (replayed.bits is None)
            assert mine.bits is None or np.array_equal(mine.bits.words, replayed.bits.words)
        if name in ("mlx", "torch"):
            assert all(check.exact == check.checked > 0 for check in checks(one))
        assert not checks(one)[1].broken or name == "Narrow"


def test_few_passes_are_replayed(fresh_seed, monkeypatch):
    replays, replay = [], reference.replay
    monkeypatch.setattr(reference, "replay", lambda *given: replays.append(given) or replay(*given))
    (sample,) = sampled(case("dropout2d", passes=2 * REPLAYED, p=0.25), plain.Plain(), fresh_seed)
    assert sample.mask.calls == 2 * REPLAYED
    assert len([given for given in replays if isinstance(given[4], np.ndarray)]) == 2


def test_outcomes_that_a_replay_contradicts_are_not_believed(fresh_seed, monkeypatch):
    """Neither for a backend nor against it: each pass is replayed then."""
    settle = module._setting

    def wrong(*where):
        setting = settle(*where)
        kept = np.where(np.isnan(setting.x), 1, -1) * setting.slopes[0]
        return replace(setting, slopes=(kept, setting.slopes[1]))

    def depart(values, told, kept, dtype):
        values[told] *= -1

    monkeypatch.setattr(module, "_again", wrong)
    _, right, _ = checks(sampled(case("alpha_dropout"), plain.Plain(), fresh_seed))
    assert right.exact == right.checked
    _, found, _ = checks(sampled(case("alpha_dropout"), Departing(depart, 6), fresh_seed))
    assert found.broken


def test_outcomes_are_told_bit_by_bit_and_any_nan_is_one():
    for dtype in (np.float64, np.float32, np.float16):
        both = pair(np.array([0.5, np.inf, np.nan, 2.0]), np.array([0.0, np.nan, np.nan, 0.0]), np.dtype(dtype))
        y = np.array([[0.5, np.inf, -np.nan, 2.0], [0.0, np.nan, np.nan, np.nextafter(dtype(2), dtype(0))]], dtype)
        kept, dropped = both.look(y)
        assert kept.tolist() == [[True] * 4, [False, False, True, False]]
        assert dropped.tolist() == [[False, False, True, False], [True, True, True, False]]
