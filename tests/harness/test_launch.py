"""Where system and suite allow it, workers are forked from a process that has loaded what they have in common."""

import json
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from keeprate.harness.judging.gate import answer, open_runner
from keeprate.harness.judging.request import ask
from keeprate.harness.workers.fork_main import NAME
from keeprate.harness.workers.launch import kept
from keeprate.harness.workers.resources import Resources

HERE = Path(__file__).parent
FORKS = sys.platform == "linux"
SUITES = f"""
import sys
import time
import threading

sys.path.append({str(HERE)!r})
from coin import Coin


class Unforkable(Coin):
    forkable = False


class Threaded(Coin):
    def __init__(self):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
"""


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Two workers that judge coins which note where they are, by a suite."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "suites.py").write_text(SUITES)

    def opened(suite=f"{HERE}/coin.py", kind="Telling"):
        request = ask(f"{HERE}/coins.py:{kind}", suite=suite, profile="quick")
        return request, open_runner(request, Resources(workers=2))

    return opened


def told():
    """What the workers have noted, by their processes."""
    notes = [json.loads(line) for line in Path("told").read_text(encoding="utf-8").splitlines()]
    return {note["process"]: note for note in notes}


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def children():
    """Processes of this one that work for it; one that commands are forked from is none of them."""
    return [each for each in psutil.Process().children() if "keeprate.harness.workers" in " ".join(each.cmdline())]


def server():
    """The process that workers are forked from."""
    (found,) = children()
    return found


@pytest.mark.skipif(not FORKS, reason="elsewhere workers are spawned")
def test_workers_are_forked_into_sessions_with_marks_and_random_states_of_their_own(opened):
    request, runner = opened()
    with runner as workers:
        assert answer(request, workers).conforms
        forked = {process.pid for process in server().children()}
        assert server().num_threads() == 1
    found = told()
    assert forked == found.keys()
    assert {note["name"] for note in found.values()} == {NAME}
    assert {note["threads"] for note in found.values()} == {1}
    assert all(note["session"] == number for number, note in found.items())
    assert all(one == other for one, other in (note["marks"] for note in found.values()))
    for drawn in zip(*(note["draws"] + note["marks"] for note in found.values()), strict=True):
        assert len(set(drawn)) == 2
    assert children() == []


@pytest.mark.skipif(not FORKS, reason="elsewhere workers are spawned")
def test_runs_may_share_the_process_that_their_workers_are_forked_from(opened):
    with kept(f"{HERE}/coin.py"):
        one = server()
        for _ in range(2):
            request, runner = opened()
            with runner as workers:
                assert answer(request, workers).conforms
                assert len(one.children()) == 2
            assert server() == one
            until(lambda: not one.children())
    assert len(told()) == 4
    assert children() == []


@pytest.mark.parametrize("kind", ["Unforkable", "Threaded"])
def test_where_a_suite_is_not_to_be_forked_workers_are_spawned(opened, kind):
    request, runner = opened(f"suites.py:{kind}")
    with runner as workers:
        assert answer(request, workers).conforms
        assert {process.pid for process in children()} == told().keys()
    assert NAME not in {note["name"] for note in told().values()}


@pytest.mark.skipif(not FORKS, reason="elsewhere workers are spawned")
def test_a_run_outlives_the_process_that_its_workers_were_forked_from(opened):
    request, runner = opened(kind="Crashing")
    with runner as workers:
        todo = request.given(*workers.offers()).jobs()
        server().kill()
        results = list(workers.map(todo))
    assert len(results) == 4
    (error,) = {result.error for result in results} - {""}
    assert error in ("the worker process exited with code 9", "the worker process was ended by SIGKILL")  # nobody knows


@pytest.mark.skipif(not FORKS, reason="elsewhere workers are spawned")
def test_the_number_of_a_worker_that_has_ended_is_no_other_s_until_it_is_let_go(opened):
    _, runner = opened()
    with runner as workers:
        workers.offers()
        workers.check()
        process = workers._workers[0].child._process
        process.kill()
        assert process.wait(60) == process.wait() == -signal.SIGKILL
        assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
        workers._workers[0].child.end()
        until(lambda: not psutil.pid_exists(process.pid))
        process.kill()  # nobody's any more
