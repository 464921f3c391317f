"""Where single calls are made, and on what: threads after seeds, containers, slices, subnormal numbers."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch

from keeprate.harness.protocol.lookup import find
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.inputs import subnormal
from keeprate.specs.dropout.laws.modes import concurrency, inplace, modes
from keeprate.specs.dropout.laws.outcomes import outcomes
from keeprate.specs.dropout.observations import Calls
from keeprate.specs.dropout.single_calls import STUDIES
from keeprate.specs.rounding import DTYPES, least_normal, representable

MUTANTS = Path(__file__).parents[1] / "mutants"
mutation = find(str(MUTANTS.parent / "mutation.py"), group="", kind="module")
plain = find(str(MUTANTS / "plain.py"), group="", kind="module")
Array, Plain = plain.Array, plain.Plain


def calls(backend, study, op="dropout", dtype="float32", context="eager"):
    caller = Caller(backend, CONTRACTS[op], dtype, context)
    with np.errstate(all="ignore"):  # bounds of the largest numbers overflow
        return Calls(CONTRACTS[op], dtype, tuple(STUDIES[study](caller)))


def words(sample):
    return {str(one.what) for one in sample.observations}


def first(check):
    return check.first.words


# Threads


def test_a_thread_after_a_seed_is_told_from_calls_at_once():
    mutant = find(str(MUTANTS / "contexts.py"), group="", kind="module").ThreadsSeededApart
    check = concurrency(calls(mutant(), "concurrency", context="thread"))
    assert check.wrong == 1
    assert first(check)["call"] == "seed 1 again, in a fresh thread"
    assert first(check)["first"] == "another mask than after seed 1, in a fresh thread"
    assert not concurrency(calls(Plain(), "concurrency", context="thread")).broken


@pytest.mark.parametrize("name", ["SeedIgnored", "AlwaysOneSeed", "NotRenewed"])
def test_a_seed_without_effect_explains_what_threads_show(name):
    """Each seed has a mask of 1,024 entries."""
    mutant = getattr(find(str(MUTANTS / "seeds.py"), group="", kind="module"), name)
    request = mutation.ask("", profile="quick", ops=["dropout"], dtypes=["float32"]).alone()
    wanted = {text: one for text, one in request.promises.items() if one.id.family in ("seeding", "concurrency")}
    verdict = mutation.judged(mutant, request.among(wanted))
    print(f"seed = {verdict.seed}")
    cause = verdict.causes[0]
    assert cause.id in ("seed_ignored", "seed_one", "not_renewed")
    assert "dropout/concurrency/-/-/-/thread" in {finding.id for finding in verdict if finding.status == "broken"}
    assert "dropout/concurrency/-/-/-/thread" in cause.explains, str(verdict)


# Containers


class Switched(torch.nn.Module):
    """A layer as PyTorch's own are."""

    def __init__(self, operator, p):
        super().__init__()
        self.operator, self.p = operator, p

    def forward(self, x):
        return self.operator(x, self.p, self.training)


class Layers(Plain):
    def module(self, op, p):
        return Switched(getattr(self, op), p)


def test_a_layer_of_pytorchs_is_called_in_a_container_and_no_other_is():
    inside = "in a container, evaluation after training"
    sample = calls(Layers(), "modes", context="module")
    assert inside in words(sample)
    assert not modes(sample).broken
    assert inside not in words(calls(Plain(), "modes", context="module"))
    assert inside not in words(calls(Layers(), "modes", context="compile+module"))


# Slices


class Unsliced(Plain):
    """Arrays without slices."""

    def asarray(self, x, dtype):
        made = super().asarray(x, dtype)
        return type("Whole", (Array,), {"__getitem__": None})(made.values, made.dtype)


class Copied(Plain):
    """Slices are copies, as some frameworks have them."""

    def asarray(self, x, dtype):
        made = super().asarray(x, dtype)
        copied = lambda self, index: Array(self.values[index].copy(), self.dtype)  # noqa: E731
        return type("Apart", (Array,), {"__getitem__": copied})(made.values, made.dtype)


@pytest.mark.parametrize("op", ["dropout_", "feature_dropout", "alpha_dropout"])
@pytest.mark.parametrize(("backend", "looked"), [(Plain, True), (Copied, True), (Unsliced, False)])
def test_slices_are_written_to_where_there_are_any(backend, looked, op):
    sample = calls(backend(), "inplace", op)
    assert ("in place, training at p = 0.3 on the second half of an array" in words(sample)) == looked
    assert not inplace(sample).broken


def test_what_lies_before_a_slice_is_looked_at():
    mutant = find(str(MUTANTS / "inplace.py"), group="", kind="module").WritesBeforeItsSlice
    check = inplace(calls(mutant(), "inplace", "dropout_"))
    assert check.wrong == 1
    assert first(check)["call"] == "in place, training at p = 0.3 on the second half of an array: the first half"


# Subnormal numbers

SMALL = "training at p = 0.3 on subnormal numbers"


def flushed(values, dtype):
    return np.where(np.abs(values) < least_normal(dtype), values * 0, values)


class Flushing(Plain):
    """The operator takes subnormal numbers for 0."""

    def scaled(self, x, mask, p):
        return super().scaled(Array(flushed(x.values, x.dtype), x.dtype), mask, p)


class AllFlushed(Flushing):
    """So does every other product of the framework."""

    def asarray(self, x, dtype):
        made = super().asarray(x, dtype)
        times = lambda self, number: Array(flushed(self.values, dtype) * number, dtype)  # noqa: E731
        return type("Flushed", (Array,), {"__mul__": times})(made.values, made.dtype)


class DropsAll(Plain):
    def draw(self, shape, p):
        return np.zeros(shape, bool)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", ["dropout", "dropout2d", "dropout_"])
def test_subnormal_numbers_are_judged_where_the_framework_keeps_them(op, dtype):
    kept, broken, left = (calls(one(), "specials", op, dtype) for one in (Plain, Flushing, AllFlushed))
    assert SMALL in words(kept) & words(broken)
    assert not outcomes(kept).broken
    assert first(outcomes(broken))["call"] == SMALL
    assert SMALL not in words(left)
    assert not outcomes(left).broken


def test_where_nothing_is_kept_at_all_it_is_no_flush():
    assert not outcomes(calls(DropsAll(), "specials")).broken


def test_a_reference_that_flushes_leaves_nothing_to_be_judged():
    with flush_denormal():
        assert SMALL not in words(calls(Plain(), "specials"))


@contextlib.contextmanager
def flush_denormal():
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor can't flush them")
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("dtype", DTYPES)
def test_subnormal_inputs_are_subnormal_when_scaled_too(dtype):
    x = subnormal(dtype, (8,))
    assert np.array_equal(representable(x, dtype), x)
    assert (np.abs(x) > 0).all() and (np.abs(x / 0.7) < least_normal(dtype)).all()
    assert (np.abs(2 * x) < least_normal(dtype)).all()
