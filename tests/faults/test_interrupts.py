"""Ctrl-C once and twice, a request to end, a kill: a sentence, the exit code of the signal, and nothing left behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from keeprate.harness import interrupts
from keeprate.harness.ledger.store import Ledger
from keeprate.harness.workers.fork_main import NAME

HERE = Path(__file__).parent
SCRIPT = str(Path(sys.executable).with_name("keeprate"))
SUITE = ("--suite", str(HERE.parent / "harness" / "coin.py"))
BACKEND = f"{HERE}/hangs.py:IgnoresSignals"
UNLOADABLE = f"{HERE}/unloadable.py:HangsAtOnce"
HANGS = ("--backend", BACKEND, *SUITE, "--profile", "quick")
GATE_IN_A_PROGRAM = f"""
from keeprate.harness.judging.gate import answer, open_runner
from keeprate.harness.judging.request import ask
from keeprate.harness.workers.resources import Resources

request = ask({BACKEND!r}, suite={SUITE[1]!r}, profile="quick")
with open_runner(request, Resources(workers=2)) as runner:
    answer(request, runner)
"""
LOOKS_AT_NO_FLAG = """
from keeprate.harness import interrupts
from keeprate.harness.commands.entry import main

interrupts.check = lambda: None
main()
"""
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "keeprate.plugin", "--noconftest")
COMMANDS = {  # each waits for a worker that hangs and takes no signal
    "gate": (SCRIPT, "gate", *HANGS, "-n", "2", "--json", "v.json"),
    "replay": (SCRIPT, "replay", "toss/fair/float32/p0.25/-/eager", *HANGS, "--json", "v.json", "--snippet", "s.py"),
    "plan": (SCRIPT, "plan", "--backend", UNLOADABLE, *SUITE),
    "check": (SCRIPT, "check", UNLOADABLE, *SUITE),
    "nightly": (SCRIPT, "nightly", *HANGS, "--ledger", "night.db", "--budget", "1h", "--out", "pages"),
    "program": (sys.executable, "-P", "-c", GATE_IN_A_PROGRAM),
    "pytest": (*PYTEST, *HANGS, "--json", "v.json", "-p", "no:xdist"),
    "pytest -n": (*PYTEST, *HANGS, "--json", "v.json", "-n", "2"),
}
DEAF = {name: (sys.executable, "-P", "-c", LOOKS_AT_NO_FLAG, *COMMANDS[name][1:]) for name in ("gate", "nightly")}


def hanging(name, busy=0.5, commands=COMMANDS):
    """A command whose worker hangs, once it does: it has computed for more than `busy` seconds, past its start."""
    process = subprocess.Popen(commands[name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: any(seconds(worker) > busy for worker in workers(process)))
    except BaseException:
        process.kill()  # its workers end with it; left alone they would take the cores from every other test
        process.communicate()
        raise
    return process


def workers(process):
    return [child for child in psutil.Process(process.pid).children(recursive=True) if is_worker(child)]


def is_worker(process):
    """Spawned, or forked from a process that bears another name; it may have ended just now."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.name() == NAME or "keeprate.harness.workers.child_main" in process.cmdline()
    return False


def seconds(process):
    with contextlib.suppress(psutil.NoSuchProcess):
        return sum(process.cpu_times()[:2])
    return 0.0


def until(condition):
    deadline = time.monotonic() + 300  # of a machine that may be busy
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


INTERRUPTED = 130, "error: interrupted; nothing was concluded\n"
TERMINATED = 143, "error: terminated; nothing was concluded\n"


@pytest.mark.parametrize(
    ("name", "signals", "ends"),
    [
        ("gate", [signal.SIGINT], INTERRUPTED),
        *((name, [signal.SIGINT, signal.SIGINT], INTERRUPTED) for name in ("gate", "replay", "plan", "check")),
        *((name, [signal.SIGTERM], TERMINATED) for name in ("gate", "replay", "plan", "check")),
    ],
)
def test_a_signal_ends_the_run_and_its_workers(left_behind, name, signals, ends):
    process = hanging(name)
    for number in signals:
        process.send_signal(number)
        time.sleep(0.01)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err.lstrip(), out) == (*ends, "")  # a new line after the ^C of a terminal
    assert left_behind() == ([], [])


@pytest.mark.parametrize("name", ["gate", "check"])
@pytest.mark.parametrize(
    ("signals", "ends"),
    [([signal.SIGTERM], [TERMINATED]), ([signal.SIGTERM, signal.SIGINT], [TERMINATED, INTERRUPTED])],
)
def test_what_comes_while_it_is_stopped_ends_it_as_well(left_behind, name, signals, ends):
    """Then the system may give a signal to any thread, and two of them at once."""
    process = hanging(name)
    for number in (signal.SIGSTOP, *signals, signal.SIGCONT):
        process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err.lstrip()) in ends
    assert out == ""
    assert left_behind() == ([], [])


def test_what_comes_after_the_first_signal_changes_nothing(left_behind):
    process = hanging("gate")
    process.send_signal(signal.SIGTERM)
    until(lambda: len(workers(process)) < 2)  # it was heard: two of them at the same moment have no order
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err, out) == (*TERMINATED, "")
    assert left_behind() == ([], [])


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a backend may keep what ends it waiting")
@pytest.mark.parametrize("name", DEAF)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_a_run_at_once_that_goes_on_after_the_first(left_behind, name, number):
    process = hanging(name, busy=2.0, commands=DEAF)
    process.send_signal(number)
    time.sleep(interrupts.TOGETHER / 2)
    process.send_signal(number)  # a key that is pressed twice
    time.sleep(interrupts.TOGETHER)
    assert process.poll() is None
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (128 + number, "", "")
    alive, files = left_behind()
    assert alive == []
    assert [path.name for path in files if not path.name.startswith("night.db")] == []
    if name == "nightly":
        with Ledger(Path("night.db")) as ledger:
            assert [tuple(row) for row in ledger.db.execute("PRAGMA integrity_check")] == [("ok",)]
            assert ledger.drawn(1)[1]


def test_an_interrupt_of_a_program_that_judges_ends_its_workers(left_behind):
    process = hanging("program")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert left_behind() == ([], [])


@pytest.mark.parametrize("name", ["pytest", "pytest -n"])
def test_an_interrupted_pytest_ends_its_workers_and_writes_nothing(left_behind, name):
    process = hanging(name)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, out + err
    assert "keeprate: conforms" not in out
    alive, files = left_behind()
    assert alive == []
    assert [path.name for path in files if not path.name.startswith("pytest-of-")] == []  # its own folder


@pytest.mark.parametrize(
    ("signals", "code", "says"),
    [
        ([signal.SIGINT], 0, ""),  # what was judged before is kept
        ([signal.SIGINT, signal.SIGINT], 0, ""),
        ([signal.SIGTERM], 143, "error: terminated; what was drawn is concluded\n"),
    ],
)
def test_a_night_that_is_ended_keeps_a_whole_ledger(left_behind, signals, code, says):
    process = hanging("nightly", busy=2.0)  # other cases have been judged by then
    for number in signals:
        process.send_signal(number)
        time.sleep(0.01)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err.lstrip()) == (code, says), out
    assert ("interrupted; " if code == 0 else "terminated; ") in out
    alive, files = left_behind()
    assert alive == []
    assert {path.name for path in files} == {"night.db", "pages"}
    Ledger(Path("night.db")).close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a backend may keep what ends it waiting")
@pytest.mark.parametrize(
    ("name", "number"),
    [*((name, signal.SIGKILL) for name in COMMANDS), ("pytest", signal.SIGTERM), ("pytest -n", signal.SIGTERM)],
)  # pytest doesn't listen to SIGTERM
def test_a_killed_run_takes_its_workers_along(left_behind, name, number):
    process = hanging(name)
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    alive, files = left_behind()
    assert alive == []
    assert [path.name for path in files if not path.name.startswith(("night.db", "pytest-of-"))] == []
