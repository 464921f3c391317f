"""When a backend that takes its workers down is given up."""

import pytest

from keeprate.harness.workers.circuit_breaker import CircuitBreaker

SLOW = "gave no answer within 120 s (--case-timeout)"
OPS = tuple(f"op{number}" for number in range(9))


@pytest.fixture
def breaker():
    return CircuitBreaker()


def run(breaker, jobs, fails, *, limit):
    """How many workers are lost to `jobs`, of which those that fail end theirs."""
    lost = 0
    for op in jobs:
        if breaker.ended(op):
            continue
        if op in fails:
            lost += 1
            breaker.lost(op, SLOW, limit=limit)
        else:
            breaker.answered()
    return lost


@pytest.mark.parametrize(("limit", "most"), [(True, 3), (False, 8)])
def test_a_backend_that_never_answers_is_given_up_as_a_whole(breaker, limit, most):
    assert run(breaker, OPS * 20, OPS, limit=limit) == most
    assert breaker.ended("another") == f"given up: every case so far ended the same way; the last one: {SLOW}"


@pytest.mark.parametrize(("limit", "most"), [(True, 3), (False, 8)])
def test_an_operator_is_given_up_and_the_others_are_not(breaker, limit, most):
    assert run(breaker, ["good", *["bad", "good"] * 20], {"bad"}, limit=limit) == most
    assert breaker.ended("bad") == f"given up: too many cases of bad ended their worker; the last one: {SLOW}"
    assert breaker.ended("good") == ""


@pytest.mark.parametrize("jobs", [OPS * 20, sorted(OPS * 20)], ids=["by turns", "one after another"])
def test_a_backend_that_answered_and_then_always_hangs_costs_few_limits(breaker, jobs):
    breaker.answered()
    assert run(breaker, [*jobs, "good"], OPS, limit=True) <= len(OPS) + 2
    assert all(breaker.ended(op).startswith("given up: ") for op in OPS)
    assert breaker.ended("good") == ""
