"""A worker's process ends whenever the run does, however early or late that is."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.killable import Child, ChildDiedError
from harness.limits import Limits

HERE = Path(__file__).parent
SETUP = {"backend": f"{HERE}/coins.py:Fair", "suite": f"{HERE}/coin.py", "names": ["toss"], "alone": False}


def test_a_child_whose_parent_was_gone_before_it_looked_ends_at_once():
    lifeline, alive = os.pipe()
    os.close(alive)
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "harness.child", str(lifeline)],
        stdin=subprocess.PIPE,  # and stays open, as it does while a copy of the parent lives
        stdout=subprocess.DEVNULL,
        pass_fds=[lifeline],
        start_new_session=True,
    )
    try:
        assert child.wait(60) == -signal.SIGKILL
    finally:
        child.kill()
        child.communicate()
        os.close(lifeline)


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


def start(child):
    with pytest.raises(ChildDiedError, match="was ended"):
        child.offers()
