"""A worker's process ends whenever the run does, however early or late that is."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from keeprate.harness.judging.gate import open_runner
from keeprate.harness.judging.request import ask
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.workers import child as killable
from keeprate.harness.workers.child import Child, ChildDiedError
from keeprate.harness.workers.limits import Limits
from keeprate.harness.workers.resources import Resources

HERE = Path(__file__).parent
SETUP = {
    "backend": f"{HERE}/coins.py:Fair",
    "suite": f"{HERE}/coin.py",
    "names": ["toss"],
    "alone": False,
    "device": None,
}


LISTENS = "from keeprate.harness.workers.child_main import main; main()"
HAS_NO_CHOICE = f"import fcntl; vars(fcntl).pop('F_SETSIG', None); {LISTENS}"  # of the signal, as on macOS
HANGS = f"{HERE.parent}/faults/hangs.py:IgnoresSignals"


@pytest.fixture(params=[LISTENS, HAS_NO_CHOICE], ids=["signal", "thread"])
def child_of(request):
    """A child's process at the end of a lifeline."""
    started = []

    def start(lifeline):
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", request.param, str(lifeline)],
            stdin=subprocess.PIPE,  # and stays open, as it does while a copy of the parent lives
            stdout=subprocess.PIPE,
            pass_fds=[lifeline],
            start_new_session=True,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_child_whose_parent_was_gone_before_it_looked_ends_at_once(child_of):
    lifeline, alive = os.pipe()
    os.close(alive)
    child = child_of(lifeline)
    os.close(lifeline)
    assert child.wait(60) == -signal.SIGKILL


def test_a_child_whose_parent_goes_ends_in_the_middle_of_a_case_and_not_before(child_of):
    lifeline, alive = os.pipe()
    child = child_of(lifeline)
    os.close(lifeline)
    offer = msgspec.convert(told(child, {**SETUP, "backend": HANGS})["offer"], Offer)
    todo = ask(HANGS, suite=f"{HERE}/coin.py", profile="quick").given(offer).jobs()
    hangs = next(job for job in todo if (job.case.op, job.case.parameters) == ("toss", {"p": 0.25}))
    tell(child, msgspec.to_builtins(hangs))
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.5)
    os.close(alive)
    assert child.wait(60) == -signal.SIGKILL


def tell(child, message):
    child.stdin.write(json.dumps(message) + "\n")
    child.stdin.flush()


def told(child, message):
    tell(child, message)
    return json.loads(child.stdout.readline())


def test_a_child_that_is_closed_while_it_starts_is_ended():
    starting, closing = threading.Event(), threading.Event()
    spawned = []

    class Slow(Child):
        def _spawn(self):
            starting.set()
            closing.wait(1)  # until it is being closed, which then has to wait
            spawned.append(super()._spawn())
            return spawned[0]

    child = Slow(SETUP, Limits(60.0, 1 << 30))
    thread = threading.Thread(target=start, args=(child,))
    thread.start()
    starting.wait()
    closer = threading.Thread(target=child.kill)
    closer.start()
    closing.set()
    thread.join()
    closer.join()
    try:
        spawned[0].wait(10)  # raises where it is still there
    finally:
        spawned[0].kill()


def test_a_process_that_gathers_threads_is_replaced_by_another(tmp_path, monkeypatch):
    """A framework may keep a thread for each that has called it: a night makes more than a machine has room for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(killable, "THREADS", 20)
    monkeypatch.setattr(killable, "OFTEN", 4)
    request = ask(f"{HERE}/coins.py:Gathering", suite=f"{HERE}/coin.py", profile="quick")
    with open_runner(request, Resources(workers=1)) as runner:
        todo = [job.replace(seed=seed) for seed in range(20) for job in request.given(*runner.offers()).jobs()]
        results = list(runner.map(todo))
    assert [result.error for result in results] == [""] * len(todo)
    seen = [tuple(map(int, line.split())) for line in Path("gathered").read_text(encoding="utf-8").splitlines()]
    assert len(seen) == len(todo) == 80
    assert len({process for process, _ in seen}) == 3  # each had 28 cases, and the last one what was left
    assert max(threads for _, threads in seen) < 30


def start(child):
    with pytest.raises(ChildDiedError, match="was ended"):
        child.offers()
