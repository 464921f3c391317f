"""What is asked of odd arguments: other dtypes where they can be made, p in other types, a scale that overflows."""

from types import SimpleNamespace

import numpy as np
import pytest

from keeprate.harness.protocol.case import Case
from keeprate.impl.backends import numpy as plain
from keeprate.specs.dropout.arguments import OTHER_DTYPES, arguments, probabilities
from keeprate.specs.dropout.laws.modes import arguments as law


def backend(**changed):
    return SimpleNamespace(**{**vars(plain), **changed})


def case(dtype, study):
    return Case(
        op="dropout",
        dtype=dtype,
        parameters={},
        shape=(),
        context="eager",
        study=study,
        draws=0,
        reference_draws=0,
        findings=("dropout/arguments/-/-/-/eager",),
    )


def no_integers(x, dtype):
    if dtype not in ("float32", "bool"):
        raise ValueError(f"no {dtype}")
    return np.array(x, dtype)


def taken(x, p, train):
    """Refuses nothing but rates, and computes in whatever dtype."""
    return plain.dropout(x if x.dtype.kind == "f" else x.real.astype(np.float32), p, train).astype(x.dtype)


def test_other_dtypes_are_asked_for_once_and_must_be_refused(fresh_seed):
    (asked,) = arguments(case("float32", "arguments"), backend(dropout=taken), fresh_seed)
    check = law(asked)
    assert check.wrong == len(OTHER_DTYPES)
    assert check.first.words["call"] == "int32 input, training at p = 0.3"
    (asked,) = arguments(case("float16", "arguments"), backend(dropout=taken), fresh_seed)
    assert not law(asked).broken


def test_what_can_not_be_made_is_remarked(fresh_seed):
    (asked,) = arguments(case("float32", "arguments"), backend(asarray=no_integers), fresh_seed)
    check = law(asked)
    assert not check.broken
    assert check.remark == "asarray makes no inputs of int32, int64, uint8, complex64"


@pytest.mark.parametrize(("dtype", "number"), [("float32", 4), ("float64", 4), ("float16", 5)])
def test_p_is_given_in_four_types_and_near_1(dtype, number, fresh_seed):
    (asked,) = probabilities(case(dtype, "probabilities"), backend(), fresh_seed)
    assert len(asked.observations) == number
    assert asked.remark is None
    assert not asked.outcomes.broken
    assert not law(asked).broken


def test_nan_where_the_scale_overflows_is_remarked_and_nothing_else_is_let_pass(fresh_seed):
    def multiplied(x, p, train):
        mask = np.where(plain.dropout(np.ones_like(x), p, train) > 0, x.dtype.type(1), x.dtype.type(0))
        with np.errstate(over="ignore", invalid="ignore"):
            return x * (mask * x.dtype.type(1 / (1 - float(p))))

    (asked,) = probabilities(case("float16", "probabilities"), backend(dropout=multiplied), fresh_seed)
    assert not asked.outcomes.broken
    assert "NaN is dropped" in asked.outcomes.remark
    doubled = backend(dropout=lambda x, p, train: multiplied(x, p, train) * 2)
    (asked,) = probabilities(case("float16", "probabilities"), doubled, fresh_seed)
    assert asked.outcomes.broken
