"""A worker is charged for its own time, and not for the time in which others have the cores."""

import os
import subprocess
import sys
import time

import pytest

from keeprate.harness.interrupts import LOOK
from keeprate.harness.workers.limits import Limits
from keeprate.harness.workers.monitor import Schedule, looks

SPIN = "print(flush=True)\nwhile True: pass"
WORK = "import time\nprint(flush=True)\ninput()\nwhile time.process_time() < {}: pass"
NOBODY = "0"  # a mark that no process carries
LIMIT = 2.0  # seconds


def charge(elapsed, *threads):
    """What is charged for threads that have run and waited for so many seconds since."""
    before = Schedule({str(number): (5.0, 7.0) for number in range(len(threads))})
    after = Schedule({str(number): (5.0 + ran, 7.0 + waited) for number, (ran, waited) in enumerate(threads)})
    return after.charge(elapsed, before)


@pytest.mark.parametrize(
    ("threads", "charged"),
    [
        ([(0.0, 0.0)], 1.0),  # it sleeps
        ([(1.0, 0.0)], 1.0),  # it runs
        ([(0.25, 0.75)], 0.25),  # it is let run a quarter of the time
        ([(0.25, 0.5)], 0.5),  # and sleeps another quarter
        ([(0.25, 0.75), (0.0, 0.0)], 0.25),  # beside a thread that sleeps
        ([(0.25, 0.75)] * 2, 0.5),  # two have half a core between them
        ([(0.25, 0.75)] * 8, 1.0),  # eight have two cores, and keep one another waiting
        ([], 1.0),  # nobody knows
    ],
)
def test_waiting_for_a_core_is_not_charged(threads, charged):
    assert charge(1.0, *threads) == pytest.approx(charged)


def test_a_thread_that_is_new_is_charged_in_full():
    assert Schedule({"1": (0.1, 0.9)}).charge(1.0, Schedule({})) == 1.0


@pytest.fixture
def starved():
    """A program on a core that six others want, let go once these run; they are ended afterwards."""
    core = min(os.sched_getaffinity(0))
    started = []

    def start(program):
        pipe = subprocess.PIPE
        process = subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, text=True)
        os.sched_setaffinity(process.pid, {core})
        started.append(process)
        process.stdout.readline()  # it has begun
        return process

    def run(program):
        process = start(program)
        for _ in range(6):
            start(SPIN)
        process.stdin.write("\n")
        process.stdin.flush()
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def seen(process, seconds):
    """What is said at the first look that has something to say; empty if the process ends before."""
    watched, exceeded = looks(process.pid, NOBODY, seconds, Limits(LIMIT, 1 << 40)), ""
    while not exceeded and process.poll() is None:
        time.sleep(LOOK)
        exceeded = next(watched)
    return exceeded


@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="the system doesn't say who waited for a core")
def test_a_program_that_is_starved_gets_its_time_and_no_more(starved):
    process = starved(WORK.format(LIMIT / 4))
    started = time.monotonic()
    assert seen(process, LIMIT) == ""
    assert process.wait(60) == 0
    assert time.monotonic() - started > LIMIT  # or it was not starved, and nothing is shown


@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="the system doesn't say who waited for a core")
def test_a_program_that_is_starved_and_hangs_is_ended(starved):
    process = starved(SPIN)
    assert seen(process, LIMIT / 4) == f"gave no answer within {LIMIT / 4:g} s (--case-timeout)"
