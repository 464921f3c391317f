"""Ctrl-C once and twice, a request to end, a kill: a sentence, the exit code of the signal, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

HERE = Path(__file__).parent
SCRIPT = str(Path(sys.executable).with_name("keeprate"))
GATE = ("--suite", str(HERE.parent / "harness" / "coin.py"), "--profile", "quick", "-n", "2", "--json", "v.json")


def hanging(kind):
    """A gate whose first case hangs, once it does."""
    command = [SCRIPT, "gate", "--backend", f"{HERE}/hangs.py:{kind}", *GATE]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: workers(process) and max(seconds(worker) for worker in workers(process)) > 1.0)  # past its start
    return process


def workers(process):
    return [child for child in psutil.Process(process.pid).children() if "harness.child" in " ".join(child.cmdline())]


def seconds(process):
    return sum(process.cpu_times()[:2])


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("signals", "code", "says"),
    [
        ([signal.SIGINT], 130, "error: interrupted; nothing was concluded\n"),
        ([signal.SIGINT, signal.SIGINT], 130, "error: interrupted; nothing was concluded\n"),
        ([signal.SIGTERM], 143, "error: terminated; nothing was concluded\n"),
        ([signal.SIGTERM, signal.SIGINT], 143, "error: terminated; nothing was concluded\n"),
    ],
)
def test_a_signal_ends_the_run_and_its_workers(left_behind, signals, code, says):
    process = hanging("IgnoresSignals")
    for number in signals:
        process.send_signal(number)
        time.sleep(0.01)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.lstrip()) == (code, "", says)  # a new line after the ^C of a terminal
    assert left_behind() == ([], [])


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a backend may ignore the signal that ends it")
def test_a_killed_run_takes_its_workers_along(left_behind):
    process = hanging("IgnoresSignals")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert left_behind() == ([], [])
