"""Reading masks off outputs: what is right is read, what is wrong is counted, with the place of the first."""

import types
from pathlib import Path

import numpy as np
import pytest

from keeprate.harness.errors import BackendError, NotOffered
from keeprate.harness.evidence.moments import UNIT
from keeprate.harness.protocol.case import Case
from keeprate.harness.protocol.lookup import find
from keeprate.specs.dropout import reference
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.gradients import gradients
from keeprate.specs.dropout.inputs import indices, probes
from keeprate.specs.dropout.laws.moments import moments
from keeprate.specs.dropout.sample import SPARED, Masks, masks
from keeprate.specs.dropout.streams import mixed
from keeprate.specs.dropout.suite import suite
from keeprate.specs.dropout.sums import Summing

MUTANTS = Path(__file__).parents[1] / "mutants"
FINDING = "{op}/moments:mean/float32/-/-/eager"


def case(op="dropout", shape=(8, 64), p=0.3, study="masks", context="eager", draws=4096):
    return Case(op, "float32", {"p": p}, shape, context, study, draws, draws, (FINDING.format(op=op),))


def backend(operator, layout="channels_first", op="dropout", **rest):
    """A NumPy backend with one operator, `operator(x, random)` in training at p = 0.3."""
    made = types.SimpleNamespace(name="one", layout=layout, dtypes=("float32",), **rest)
    made.seed = lambda value: setattr(made, "random", np.random.default_rng(value))
    made.asarray = lambda x, dtype: np.array(x, dtype)
    made.asnumpy = lambda x: x
    made.dtype_of = lambda x: str(x.dtype)
    setattr(made, op, lambda x, p, train: operator(x, made.random))
    return made


def scaled(x, random):
    return x * np.where(random.random(x.shape) < 0.7, np.float32(1) / np.float32(0.7), np.float32(0))


def collected(made, **where) -> list[Masks]:
    return list(masks(case(**where), made, 1))


@pytest.mark.parametrize("findings", [(FINDING.format(op="dropout"),), ()], ids=["one by one", "together"])
@pytest.mark.parametrize("strides", ["", "step2", "transposed", "stride0"])
def test_masks_are_read_as_they_were_drawn(strides, findings, fresh_seed):
    drawn = []

    def operator(x, random):
        drawn.append(random.random(x.shape) < 0.7)
        return x * np.where(drawn[-1], np.float32(1) / np.float32(0.7), np.float32(0))

    samples = list(masks(case().replace(strides=strides, findings=findings), backend(operator), fresh_seed))
    read = np.concatenate([sample.mask.unpack() for sample in samples])
    assert np.array_equal(read, np.reshape(drawn, (len(drawn), -1)))
    assert sum(sample.mask.entries * sample.mask.calls for sample in samples) >= 4096
    assert all(not sample.outcomes.broken and sample.outcomes.exact == sample.outcomes.checked for sample in samples)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_every_dtype_is_read_exactly(dtype):
    def operator(x, random):
        kept = np.asarray(random.random(x.shape) < 0.5, x.dtype)
        return x * kept * x.dtype.type(2)

    asked = case(p=0.5).replace(dtype=dtype, findings=())
    read = list(masks(asked, backend(operator), 1))
    assert sum(one.mask.draws for one in read) == 4096
    assert all(one.outcomes.exact == one.outcomes.checked for one in read)


@pytest.mark.parametrize("scale", [(1 + 2e-7) / 0.7, 1.0, 1 / 0.3, 0.001, 1 / 0.49], ids=str)
def test_a_wrong_scale_is_reported_and_the_mask_is_read_all_the_same(scale, fresh_seed):
    drawn = []

    def operator(x, random):
        drawn.append(random.random(x.shape) < 0.7)
        return x * np.where(drawn[-1], np.float32(scale * (1 + 1e-6)), np.float32(0))

    samples = list(masks(case(), backend(operator), fresh_seed))
    read = np.concatenate([sample.mask.unpack() for sample in samples])
    assert np.array_equal(read, np.reshape(drawn, (len(drawn), -1)))
    assert all(sample.outcomes.broken for sample in samples)


@pytest.mark.parametrize(
    "small",
    [lambda x, random: x * np.float32(1e-3), lambda x, random: x * random.random(x.shape).astype(np.float32)],
    ids=["dropped to a thousandth", "some of each"],
)
def test_what_cannot_be_told_apart_is_unreadable(small, fresh_seed):
    def operator(x, random):
        return np.where(random.random(x.shape) < 0.7, x / np.float32(0.7), small(x, random))

    assert all(sample.bits is None and sample.outcomes.broken for sample in collected(backend(operator)))


def test_another_rounding_is_read_as_well_and_counted_as_inexact():
    (one, *_) = collected(backend(lambda x, random: np.where(random.random(x.shape) < 0.7, x / np.float32(0.7), 0)))
    assert not one.outcomes.broken
    assert 0 < one.outcomes.exact < one.outcomes.checked
    assert one.mask.draws == 3 * 512


def test_a_sum_is_forgiven_two_ulp_for_each_of_its_inexact_outputs_and_no_more():
    def operator(x, random):
        kept = random.random((*x.shape[:2], 1, 1)) < 0.7
        return np.where(kept, x / np.float32(0.7), np.float32(0))

    where = {"op": "dropout2d", "shape": (4, 32, 3, 5), "draws": 256}
    (one, *_) = collected(backend(operator, op="dropout2d"), **where)
    assert 0 < one.sums.inexact < one.sums.draws.sum()  # of one element of each channel, for one is summed
    two_ulp = 2 * 2.0**-19  # of the largest output, 16/0.7
    assert moments(one, "mean").slack == (one.sums.inexact * round(two_ulp / UNIT),)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_exact_outputs_are_summed_by_their_counts_to_the_same_as_one_by_one(dtype, fresh_seed):
    contract, which = CONTRACTS["feature_alpha_dropout"], indices((16, 64))
    table = reference.table(contract, dtype, 0.3, probes(contract, dtype))
    counted, added = Summing(table, which), Summing(table, which)
    random = np.random.default_rng(fresh_seed)
    for _ in range(3):
        mask = random.random(which.shape) < 0.7
        counted.add_exact(mask)
        added.add(np.where(mask, table.kept[which], table.dropped[which]).astype(dtype))
    one, other = counted.result(), added.result()
    assert (one.total, one.squares, one.inexact) == (other.total, other.squares, other.inexact)
    assert np.array_equal(one.draws, other.draws)
    assert one.draws.sum() == 3 * which.size


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_a_channel_mask_is_read_in_the_backends_layout(layout):
    axis = 1 if layout == "channels_first" else -1

    def operator(x, random):
        size = tuple(length if place in (0, axis % x.ndim) else 1 for place, length in enumerate(x.shape))
        return x * np.where(random.random(size) < 0.7, np.float32(1) / np.float32(0.7), np.float32(0))

    where = {"op": "dropout2d", "shape": (4, 32, 3, 5), "draws": 1024}
    (one, *_) = collected(backend(operator, layout, "dropout2d"), **where)
    assert not one.constancy.broken
    assert one.mask.shape == (4, 32)


def test_a_torn_channel_is_named():
    (one, *_) = collected(backend(scaled, op="dropout1d"), op="dropout1d", shape=(4, 32, 2), draws=256)
    assert one.constancy.broken
    assert one.constancy.first.words["first"].startswith("channel (")
    assert one.bits is None


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_of_eight_large_plain_calls_seven_have_one_element_in_each_channel(layout):
    sizes = []

    def operator(x, random):
        sizes.append(x.size)
        kept = np.ones(x.shape, x.dtype)
        if len(sizes) == 4 and x.size == 2 * SPARED:  # the first after three calls that named a lag
            kept.reshape(-1)[-1] = 0
        return x * kept * (np.float32(1) / np.float32(0.7))

    where = {"op": "dropout2d", "shape": (256, 256, 1, 2), "draws": 12 * SPARED}
    read = collected(backend(operator, layout, "dropout2d"), **where)
    assert [size // SPARED for size in sizes] == [2, 1, 1, 2, *([1] * 7), 2]
    assert [one.constancy.checked // SPARED for one in read] == [1, 2]
    assert [one.outcomes.checked // SPARED for one in read] == [4, 11]
    assert [one.constancy.wrong for one in read] == [0, 1]
    assert all(one.sums.draws.sum() == SPARED * calls for one, calls in zip(read, (3, 9), strict=True))


def test_a_write_to_the_input_is_seen_in_a_spared_call():
    def operator(x, random):
        if x.size == SPARED:
            x[0] += 1
        return scaled(x, random)

    where = {"op": "dropout2d", "shape": (256, 256, 1, 2), "draws": 2 * SPARED}
    (one,) = collected(backend(operator, op="dropout2d"), **where)
    assert one.purity.broken


def test_a_wrong_value_is_counted_and_its_place_is_channels_first():
    def operator(x, random):
        y = x.copy()  # channels last: (2, 1, 3, 8)
        y[:] = np.float32(0)
        y[1, 0, 2, 5] = 99
        return y

    made = backend(operator, "channels_last", "dropout2d")
    (one, *_) = collected(made, op="dropout2d", shape=(2, 8, 1, 3), draws=16)
    assert one.outcomes.wrong == 1
    assert "at (1, 5, 0, 2) gave 99" in one.outcomes.first.words["first"]


@pytest.mark.parametrize(
    "operator",
    [
        lambda x, random: x[:-1],
        lambda x, random: np.full_like(x, np.nan),
        lambda x, random: x * 3,
    ],
    ids=["shape", "nan", "scale"],
)
def test_what_can_not_be_read_is_broken_and_unreadable(operator):
    (one, *_) = collected(backend(operator))
    assert one.outcomes.broken
    assert one.bits is None
    assert "outcomes" in one.unreadable


@pytest.mark.parametrize("given", [None, "text", np.arange(3), [1.0]], ids=repr)
def test_what_is_no_array_of_floats_is_an_error_of_the_backend(given):
    with pytest.raises(BackendError, match="not floats"):
        collected(backend(lambda x, random: given))


def test_an_operator_that_raises_is_an_error_with_its_first_line():
    def operator(x, random):
        raise KeyError("first line\nsecond line")

    with pytest.raises(BackendError, match="dropout raised KeyError: 'first line"):
        collected(backend(operator))


class MuteError(ValueError):
    def __str__(self):
        raise ZeroDivisionError


def test_an_operator_that_raises_what_has_no_text_is_an_error_of_the_backend_too():
    def operator(x, random):
        raise MuteError

    with pytest.raises(BackendError, match=r"dropout raised MuteError: \(its text can't be had: ZeroDivisionError\)"):
        collected(backend(operator))


@pytest.mark.parametrize("given", [None, abs, 3], ids=repr)
def test_a_layer_that_has_no_modes_is_an_error_of_the_backend(given):
    with pytest.raises(BackendError, match=r"train raised AttributeError: '\w+' object has no"):
        collected(backend(scaled, module=lambda op, p: given), context="module")


def test_an_input_that_comes_back_as_a_number_is_not_the_input():
    made = backend(scaled, vmap=lambda fn: lambda x: np.stack([fn(row) for row in x]))
    made.asnumpy = lambda x: x if len(x) == 3 and (x == 0).any() else np.float32(1)  # only what was dropped from
    assert any(one.purity.broken for one in collected(made, context="vmap"))


def test_a_write_to_the_input_is_seen():
    def operator(x, random):
        y = scaled(x, random)
        x[0, 0] = 7
        return y

    assert any(one.purity.broken for one in collected(backend(operator)))


@pytest.mark.parametrize("strides", ["", "step2", "transposed"])
@pytest.mark.parametrize(("op", "right"), [("dropout_", True), ("dropout", False)])
def test_what_is_written_to_memory_that_an_adapter_shares_is_not_written_to_the_judges_own(op, right, strides):
    def write(x, random):
        x[...] = scaled(x, random)
        return x

    made = backend(write, op=op)
    made.asarray = lambda x, dtype: x.astype(dtype, copy=False)
    first = next(masks(case(op).replace(strides=strides), made, 1))
    assert (first.unreadable == "") == right
    assert right or first.purity.broken


def test_one_wrong_output_among_many_small_ones_is_seen():
    def operator(x, random):
        y = scaled(x, random)
        y.flat[9] += random.random() < 0.2
        return y

    samples = list(masks(case().replace(findings=()), backend(operator), 1))
    assert sum(one.outcomes.wrong for one in samples) > 0
    assert sum(one.outcomes.checked for one in samples) == 4096
    assert samples[0].unreadable


def test_one_torn_channel_among_many_small_outputs_is_seen():
    def operator(x, random):
        kept = np.broadcast_to(random.random((*x.shape[:2], 1, 1)) < 0.7, x.shape).copy()
        kept[0, 0, 0, 0] ^= random.random() < 0.2
        return x * np.where(kept, np.float32(1) / np.float32(0.7), np.float32(0))

    asked = case("dropout2d", (4, 8, 2, 2)).replace(findings=())
    torn = sum(one.constancy.wrong for one in masks(asked, backend(operator, op="dropout2d"), 1))
    assert 0 < torn < 128


def test_a_repeated_mask_is_seen_across_chunks():
    def operator(x, random):
        return scaled(x, np.random.default_rng(len(calls.append(0) or calls) % 6))

    calls = []
    asked = case().replace(findings=("dropout/no_mask_twice/-/-/-/eager",))
    assert sum(one.repeats.wrong for one in masks(asked, backend(operator), 1)) == 2


def test_masks_that_are_read_in_reverse_come_from_the_same_calls():
    lazy = case().replace(study="lazy")
    (one,) = suite.sample(lazy, backend(scaled), 1)
    assert one.mask.calls == 8


def test_a_call_that_the_backend_lacks_is_named():
    made = backend(scaled)
    unlike = case().replace(study="mixed", findings=())
    (one,) = suite.sample(unlike, made, 1)
    assert one.related("shape").calls == 2 * 8
    lacks = {"dtype": "one dtype alone", "op": "no other operator that drops elements", "grad": "no vjp"}
    for kind, what in lacks.items():
        with pytest.raises(NotOffered, match=f"the backend has {what}"):
            one.related(kind)


def passes(vjp, op="dropout", shape=(8, 66)):
    made = backend(scaled, op=op, vjp=vjp)
    where = case(op, shape, study="gradients", context="grad", draws=1).replace(findings=(f"{op}/data/-/-/-/grad",))
    return list(gradients(where, made, 1))


def faithful(fn, x, ct):
    ones = np.ones_like(x)
    seed = np.random.default_rng(3)
    noise = np.where(seed.random(x.shape) < 0.7, np.float32(1) / np.float32(0.7), np.float32(0)) * ones
    with np.errstate(invalid="ignore"):
        return x * noise, ct * noise


def test_a_gradient_with_the_outputs_mask_is_pytorchs():
    (one,) = passes(faithful)
    assert not one.gradient.broken
    assert not one.outcomes.broken
    assert one.gradient.exact == one.gradient.checked
    kept, draws = one.by_value
    assert draws.sum() == 8 * 66
    assert 0 < kept[-5:].sum() < draws[-5:].sum()  # ±0, ±inf and NaN, read off the gradient


def test_a_gradient_with_another_mask_or_scale_is_broken():
    def other(fn, x, ct):
        y, g = faithful(fn, x, ct)
        return y, np.roll(g, 1, axis=0)

    def unscaled(fn, x, ct):
        y, g = faithful(fn, x, ct)
        return y, np.where(g != 0, ct, 0)

    for vjp in (other, unscaled):
        (one,) = passes(vjp)
        assert one.gradient.broken
        assert "PyTorch" in one.gradient.first.words


def test_a_mask_read_off_the_output_shows_where_the_input_is_zero():
    def from_output(fn, x, ct):
        y, _ = faithful(fn, x, ct)
        return y, np.where((y != 0) & ~np.isnan(y), ct / np.float32(0.7), 0).astype(np.float32)

    (one,) = passes(from_output)
    assert not one.gradient.broken
    kept, _ = one.by_value
    zeros = [place for place, value in enumerate(one.values) if value == 0]
    assert kept[zeros].sum() == 0


def test_contracts_cover_the_eight_operators():
    assert len([contract for contract in CONTRACTS.values() if not contract.optional]) == 8


def test_of_two_operators_that_are_called_by_turns_the_faulty_one_is_accused_alone(fresh_seed):
    mutant = find(f"{MUTANTS / 'scale.py'}:NotScaled", group="", kind="backend")
    for op, accused in (("alpha_dropout", False), ("dropout", True)):
        finding = f"{op}/streams:op/-/-/-/eager"
        where = Case(op, "float32", {"p": 0.9}, (64, 64), "eager", "mixed", 4 * 4096, None, (finding,))
        (one,) = mixed(where, mutant, fresh_seed)
        assert one.outcomes.broken is accused
