"""Runs a few jobs on workers, interrupted at one step after another; each time in a process that ends or is ended.

Prints how many steps there are, and the first of a sample after which the process didn't end by itself or lost the
interrupt.
"""

import _thread
import contextlib
import json
import os
import signal
import sys
import time
from types import SimpleNamespace

from interrupt import Interrupt

from keeprate.harness.protocol.engine import Result
from keeprate.harness.workers.limits import Limits
from keeprate.harness.workers.pool import Children

FILES = ("harness/workers/pool.py", "/threading.py", "concurrent/futures/_base.py", "concurrent/futures/thread.py")
JOBS = [SimpleNamespace(role="backend", case=SimpleNamespace(op="toss", id=str(number))) for number in range(6)]
SAMPLE = 60  # steps: a process takes some hundredths of a second
HANGS = 20  # seconds: many times what one takes
MANY = 10**9  # steps: more than there are


class Worker:
    """Without a process."""

    serves = True

    def __init__(self):
        self.child = self

    def run(self, job):
        time.sleep(0.001)
        return Result(job.role, job.case.id)

    def kill(self):
        pass


def run(at):
    """Runs the jobs; how many steps were left to the interrupt."""
    children = Children("", "", (), 2, Limits(60.0, 1 << 30))
    children._workers = [Worker(), Worker()]
    try:
        with Interrupt(at, *FILES) as interrupt:
            assert len(list(children.map(JOBS))) == len(JOBS)
    finally:
        children.close()
    return interrupt.left


def ends_well(at):
    """Whether a process that is interrupted at this step ends by itself, and with the interrupt."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    signal.alarm(HANGS)
    with contextlib.suppress(KeyboardInterrupt):
        run(at)
    sys.exit(0)  # or it had fewer steps this time


if __name__ == "__main__":
    steps = MANY - run(MANY)
    while _thread._count():  # only this one goes on in a copy of the process
        time.sleep(0.01)
    stride = max(1, steps // SAMPLE)
    bad = next((step for step in range(int(sys.argv[1]) % stride, steps, stride) if not ends_well(step)), None)
    print(json.dumps({"steps": steps, "bad": bad}))
