"""What some operators of a backend have, and others don't: dtypes and optional names, each by operator."""

from types import SimpleNamespace

import pytest

import keeprate
from keeprate.harness.judging.request import ask
from keeprate.harness.protocol.backend import Offer, check, offer
from keeprate.harness.protocol.suite import load_suite
from keeprate.impl.backends import numpy as plain

HALF_OF_ONE = {"dropout": ("float32", "float16"), "dropout2d": ["float32"]}


def backend(**changed):
    return SimpleNamespace(**{**vars(plain), **changed})


def test_a_dtype_that_one_operator_has_is_not_asked_of_another():
    request = ask("", profile="smoke", ops=["dropout", "dropout2d"])
    given = request.given(offer(backend(dtypes=HALF_OF_ONE), request.names))
    assert given.offer.dtypes == ("float32", "float16")
    assert {(job.case.op, job.case.dtype) for job in given.jobs() if job.role == "backend"} == {
        ("dropout", "float32"),
        ("dropout", "float16"),
        ("dropout2d", "float32"),
    }
    lacking = {given.lacking(text) for text, promise in given.promises.items() if not promise.cases}
    assert {"the backend has no float16 for dropout2d", "the backend has no float64"} <= lacking


def test_an_in_place_form_that_some_operators_have_is_not_asked_of_the_others():
    request = ask("", profile="smoke", ops=["dropout", "dropout2d"], dtypes=["float32"])
    given = request.given(offer(backend(inplace=("dropout",)), request.names))
    inplace = {job.case.op for job in given.jobs() if "inplace" in job.case.needs}
    assert inplace == {"dropout"}
    lacking = {given.lacking(text) for text, promise in given.promises.items() if not promise.cases}
    assert "the backend has no inplace for dropout2d" in lacking


def test_a_backend_with_dtypes_by_operator_is_judged(fresh_seed):
    verdict = keeprate.judge(backend(dtypes=HALF_OF_ONE), profile="smoke", ops="dropout2d", seed=fresh_seed)
    assert verdict.conforms, str(verdict)


@pytest.mark.parametrize("dtypes", [{}, {"dropout": ()}, {"dropout": "float32"}, {"dropout": ["float31"]}])
def test_dtypes_that_are_none_are_refused(dtypes):
    with pytest.raises(
        keeprate.NoVerdictError, match=r"is not a list of some of float32, .*, nor one for each operator"
    ):
        check(backend(dtypes=dtypes), "mine", load_suite("dropout"))


def test_of_two_offers_each_operator_has_what_either_gives_it():
    some = Offer("mine", "1", "", ("float32",), ("dropout", "vjp"), {"vjp": ("dropout",), "float32": ("dropout",)})
    more = Offer("mine", "1", "", ("float32",), ("dropout2d", "vjp"), {"vjp": ("dropout2d",)})
    both = some.joined(more)
    assert [both.has("vjp", op) for op in ("dropout", "dropout1d", "dropout2d")] == [True, False, True]
    assert both.has("float32", "dropout1d")  # the second has it for all
    assert both.has("dropout", "dropout") and both.has("dropout2d", "dropout2d")
