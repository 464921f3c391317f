"""What the tests of faults share: a place to run in, and a look at what is left there."""

import os
import secrets

import psutil
import pytest

MARK = "KEEPRATE_FAULT"


@pytest.fixture
def left_behind(monkeypatch, tmp_path):
    """An empty folder to run in; says what processes and files are there afterwards."""
    value = secrets.token_hex(8)
    monkeypatch.setenv(MARK, value)  # every process started from now on inherits it
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def look():
        running = [process for process in psutil.process_iter() if environment(process).get(MARK) == value]
        _, alive = psutil.wait_procs(running, timeout=30)  # what was killed may take a moment
        return alive, list(tmp_path.iterdir()) if tmp_path.exists() else []  # a backend may have removed it

    return look


def environment(process):
    try:
        return process.environ() if process.pid != os.getpid() else {}
    except psutil.Error:
        return {}
