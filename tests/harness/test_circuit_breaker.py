"""When a backend that takes its workers down is given up."""

import threading
import time

import pytest

from keeprate.harness.workers.circuit_breaker import ENOUGH, CircuitBreaker

SLOW = "gave no answer within 120 s (--case-timeout)"
OPS = tuple(f"op{number}" for number in range(9))


@pytest.fixture
def breaker():
    return CircuitBreaker()


def run(breaker, jobs, fails, *, limit=False):
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


class SlowToCompare(str):
    """A name that takes a moment to be looked up, in which another thread goes on."""

    def __hash__(self):
        time.sleep(0.001)
        return super().__hash__()


def test_no_lost_worker_is_forgotten_where_several_are_lost_at_once(breaker):
    arguments = breaker, [SlowToCompare("bad")], {"bad"}
    threads = [threading.Thread(target=run, args=arguments) for _ in range(ENOUGH - 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert breaker.ended("bad") == ""
    breaker.lost("bad", SLOW, limit=False)
    assert breaker.ended("bad").startswith("given up: ")


@pytest.mark.parametrize("jobs", [OPS * 20, sorted(OPS * 20)], ids=["by turns", "one after another"])
def test_a_backend_that_answered_and_then_always_hangs_costs_few_limits(breaker, jobs):
    breaker.answered()
    assert run(breaker, [*jobs, "good"], OPS, limit=True) <= len(OPS) + 2
    assert all(breaker.ended(op).startswith("given up: ") for op in OPS)
    assert breaker.ended("good") == ""
