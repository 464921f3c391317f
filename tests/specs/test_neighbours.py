"""What stands beside an operator changes nothing, in any framework; where it would, nobody is accused."""

import numpy as np
import pytest

from keeprate.harness.errors import NotOffered
from keeprate.harness.judging.gate import answer
from keeprate.harness.judging.request import ask
from keeprate.harness.protocol.case import Case
from keeprate.harness.workers.pool import InProcess
from keeprate.impl.backends import mlx, torch
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.gradients import gradients
from keeprate.specs.dropout.inputs import cotangent, filled
from keeprate.specs.dropout.sample import masks

BACKENDS = pytest.mark.parametrize("backend", [mlx, torch], ids=["mlx", "torch"])


def plainly(backend):
    """The backend, whose functions are compiled to what they are."""
    names = {name: item for name, item in vars(backend).items() if not name.startswith("_")}
    made = type("Plainly", (), {name: staticmethod(item) if callable(item) else item for name, item in names.items()})
    made.compile = staticmethod(lambda fn: fn)
    return made


def case(study="masks", op="dropout", shape=(5, 70)):
    findings = (f"{op}/outcomes/-/-/-/fused", f"{op}/keep_rate/-/-/-/fused")
    return Case(op, "float32", {"p": 0.3}, shape, "fused", study, 3 * 350, None, findings)


@BACKENDS
@pytest.mark.parametrize("op", ["dropout", "dropout1d"])
def test_nothing_is_changed_and_each_call_has_a_gradient_of_its_own(backend, op):
    contract = CONTRACTS[op]
    for dtype in backend.dtypes:
        caller = Caller(plainly(backend), contract, dtype, "fused")
        shape = (4, 6, 5)
        x, ct = filled(contract, dtype, shape), cotangent(shape, dtype, seed=0)
        native, given = caller.native(x), caller.native(ct)
        for train, p in ((False, 0.3), (True, 0.0)):
            for _ in range(4):
                np.testing.assert_array_equal(caller.values(caller.call(native, p, train)), x)
                out, gradient = caller.vjp(native, p, train, given)
                np.testing.assert_array_equal(caller.values(out), x)
                np.testing.assert_array_equal(caller.values(gradient), ct)


@BACKENDS
def test_masks_and_gradients_of_a_faithful_backend_are_read(backend):
    for sample in masks(case(), plainly(backend), 1):
        assert not sample.outcomes.broken
        assert sample.mask.draws
    for sample in gradients(case("gradients"), plainly(backend), 1):
        assert not sample.gradient.broken
        assert sample.gradient.exact


class NoSquare(np.ndarray):
    """An array that nobody can ask for the gradient of its square."""

    def __mul__(self, other):
        if other is self:
            raise TypeError("no squares")
        return super().__mul__(other)


class Small:
    """NumPy arrays, and a gradient of dropout alone."""

    name, layout, dtypes = "small", "channels_first", ("float32",)

    def __init__(self):
        self.seed(0)

    def seed(self, value):
        self.random, self.noise = np.random.default_rng(value), 1

    def asarray(self, x, dtype):
        return np.array(x, dtype).view(NoSquare)

    def asnumpy(self, x):
        return np.asarray(x)

    def dtype_of(self, x):
        return str(x.dtype)

    def compile(self, fn):
        return fn

    def dropout(self, x, p, train):
        self.noise = np.where(self.random.random(x.shape) >= p, np.float32(1) / np.float32(1 - p), np.float32(0))
        return x * self.noise if train else x

    def vjp(self, fn, x, cotangent):
        self.noise = 1
        return fn(x), cotangent * self.noise


def test_gradients_that_are_wrong_without_the_operator_are_not_offered():
    assert all(not sample.outcomes.broken for sample in masks(case(), Small(), 1))
    with pytest.raises(NotOffered, match="a network without the operator, with nothing compiled, gives other"):
        list(gradients(case("gradients"), Small(), 1))


class Opaque:
    def __init__(self, x):
        self.x = x


class NoOperators(Small):
    """Arrays that have no operators of their own."""

    def asarray(self, x, dtype):
        return Opaque(np.array(x, dtype))

    def asnumpy(self, x):
        return x.x

    def dtype_of(self, x):
        return str(x.x.dtype)


class Wide(np.ndarray):
    def __mul__(self, other):
        return np.ndarray.__mul__(self, other.astype(float) if other.dtype == bool else other)


class Widening(Small):
    """A product with a comparison is wider than both."""

    def asarray(self, x, dtype):
        return np.array(x, dtype).view(Wide)


@pytest.mark.parametrize(
    ("backend", "says"),
    [(NoOperators, "a network without the operator raised AttributeError"), (Widening, "gives other values")],
)
def test_arrays_that_no_network_can_be_written_in_are_not_accused(backend, says):
    with pytest.raises(NotOffered, match=says):
        list(masks(case(), backend(), 1))


def test_what_is_not_offered_is_counted_and_said():
    request = ask("", profile="quick", ops=["dropout"]).alone()
    fused = {text: one for text, one in request.promises.items() if one.id.context == "fused"}
    assert fused
    verdict = answer(request.among(fused), InProcess(Small(), request.suite, request.names))
    assert {finding.law: finding.status for finding in verdict}["gradient"] == "not_offered"
    assert verdict.conforms
