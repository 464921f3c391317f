"""Jobs are run on all workers as these become free, and an interrupt ends that at any step."""

import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace

import pytest

from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.engine import GIVEN_UP, Result
from keeprate.harness.workers.child import ChildDiedError
from keeprate.harness.workers.circuit_breaker import ENOUGH
from keeprate.harness.workers.limits import Limits
from keeprate.harness.workers.pool import AHEAD, Children, all_of, run_ahead

HERE = Path(__file__).parent


class Worker:
    """Without a process; runs `answer`."""

    def __init__(self, answer, serves=True):
        self.child, self.serves, self.answer, self.killed = self, serves, answer, False

    def run(self, job):
        return self.answer(job)

    def kill(self):
        self.killed = True


def jobs(number):
    return [SimpleNamespace(role="backend", case=SimpleNamespace(op="toss", id=str(count))) for count in range(number)]


def quick(job):
    return Result(job.role, job.case.id)


@pytest.fixture
def children():
    """Children that have the workers given."""

    def made(*workers):
        children = Children("", "", (), len(workers), Limits(60.0, 1 << 30))
        children.close()  # none was started
        children._workers = list(workers)
        return children

    return made


def cases(results):
    return sorted(int(result.case) for result in results)


def test_every_job_is_run_once_and_none_taken_before_a_worker_is_about_to_be_free(children):
    taken, seen = [], []

    def ahead():
        for job in jobs(40):
            taken.append(job)
            assert len(taken) - len(seen) <= AHEAD * 2
            yield job

    for result in children(Worker(quick), Worker(quick)).map(ahead()):
        seen.append(result)
    assert cases(seen) == list(range(40))


def test_all_results_that_have_come_are_handed_on_before_more_jobs_are_started():
    done, started, seen = SimpleQueue(), [], []

    def start(more):
        started.append(len(more))
        for job in more:
            done.put(quick(job))

    def ahead():
        for number, job in enumerate(jobs(AHEAD * 2 + 1)):
            assert len(seen) == (AHEAD * 2 if number == AHEAD * 2 else 0)
            yield job

    for result in run_ahead(ahead(), 2, start, lambda: all_of(done)):
        seen.append(result)
    assert started == [AHEAD * 2, 1]
    assert cases(seen) == list(range(AHEAD * 2 + 1))


def test_results_that_have_come_with_a_fault_are_handed_on_before_it_is_raised():
    done, seen = SimpleQueue(), []

    def start(more):
        for number, job in enumerate(more):
            done.put(OSError("no more files") if number == 2 else quick(job))

    with pytest.raises(OSError, match="no more files"):
        seen.extend(run_ahead(jobs(4), 2, start, lambda: all_of(done)))
    assert cases(seen) == [0, 1]


def test_workers_run_jobs_side_by_side(children):
    together = threading.Barrier(2, timeout=60)

    def meet(job):
        together.wait()
        return quick(job)

    assert cases(children(Worker(meet), Worker(meet)).map(jobs(10))) == list(range(10))


def test_a_worker_that_can_not_load_beside_one_that_can_is_one_less(children):
    def die(job):
        raise ChildDiedError("the port is taken", limit=False)

    def slow(job):
        time.sleep(0.01)  # so that the other gets one as well
        return quick(job)

    results = list(children(Worker(die, serves=False), Worker(slow)).map(jobs(10)))
    assert cases(results) == list(range(10))
    assert {result.error for result in results} == {""}


def fail(*_):
    raise ZeroDivisionError


def failing_jobs():
    yield from jobs(3)
    fail()


@pytest.mark.parametrize(("answer", "todo"), [(fail, jobs(3)), (quick, failing_jobs())], ids=["worker", "jobs"])
def test_a_fault_reaches_who_waits_and_ends_all_workers(children, answer, todo):
    runner = children(Worker(answer), Worker(answer))
    with pytest.raises(ZeroDivisionError):
        list(runner.map(todo))
    assert all(worker.killed for worker in runner._workers)


def test_whoever_wants_no_more_results_ends_all_workers(children):
    runner = children(Worker(quick), Worker(quick))
    results = runner.map(jobs(10))
    next(results)
    results.close()
    assert all(worker.killed for worker in runner._workers)


def test_a_run_asks_again_what_the_one_before_has_given_up(children):
    def die(job):
        raise ChildDiedError("it crashes", limit=False, kind="SIGABRT")

    runner = children(Worker(die))
    runner._offers = Offer("coin", "1", "thumb", (), ()), None  # they are loaded
    for _ in range(2):
        runner.offers()
        kinds = Counter(result.error_kind for result in runner.map(jobs(ENOUGH + 4)))
        assert kinds == {"SIGABRT": ENOUGH, GIVEN_UP: 4}


@pytest.mark.parametrize("how", ["flag", "python"])
def test_an_interrupt_at_any_moment_ends_the_run(process, fresh_seed, how):
    """At a sample of the steps, those of the threads included: a lock that is left taken would keep it from ending."""
    run = process(sys.executable, HERE / "interrupted_map.py", how, fresh_seed)
    assert run.code == 0, run.err
    found = json.loads(run.out)
    assert found["moments"] >= 60
    assert found["bad"] is None
