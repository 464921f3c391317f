"""Runs a few jobs on workers, interrupted at one moment after another; each time in a process that ends or is ended.

With `flag` a real signal sets it, at one step after another of the code that waits, hands over and ends. With `python`
nobody listens to signals, and Python raises at the moments at which it does, which are tried by chance.

Prints how many moments were tried, and the first of them after which the process didn't end by itself, or lost the
interrupt.
"""

import json
import os
import random
import signal
import sys
import threading
import time
from contextlib import closing
from types import SimpleNamespace

from interrupt import Interrupt

from keeprate.harness import interrupts
from keeprate.harness.protocol.engine import Result
from keeprate.harness.workers.limits import Limits
from keeprate.harness.workers.pool import Children

FILES = ("harness/workers/pool.py", "harness/interrupts.py", "/threading.py")
JOBS = [SimpleNamespace(role="backend", case=SimpleNamespace(op="toss", id=str(number))) for number in range(6)]
SAMPLE = 60  # moments: a process takes some hundredths of a second
LONG = 0.01  # seconds: twice what a run takes
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


def run():
    with closing(children):
        assert len(list(children.map(JOBS))) == len(JOBS)


def at_step(step):
    """Has a signal come at this step of a run; how many steps were left to it."""
    interrupts.listen()
    with Interrupt(step, *FILES, come=lambda: signal.raise_signal(signal.SIGINT)) as interrupt:
        run()
    interrupts.check()  # as at the end of a command, of what came once nothing was waited for any more
    return interrupt.left


def after(seconds):
    """Has Python raise so long after the beginning of run after run."""
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    while True:
        run()


def ends_well(come, moment):
    """Whether a process that is interrupted at this moment ends by itself, and with the interrupt."""
    process = os.fork()
    if not process:
        try:
            left = come(moment)
        except BaseException as raised:  # noqa: BLE001
            while raised and not isinstance(raised, KeyboardInterrupt):  # which `Thread.start` may stumble over
                raised = raised.__context__
            sys.exit(not raised)
        sys.exit("the interrupt was lost" if left < 0 else 0)  # else it had fewer steps: more results came at once
    deadline = time.monotonic() + HANGS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.001)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return False


def steps(first):
    """A sample of all steps."""
    number = MANY - at_step(MANY)
    while threading.active_count() > 1:  # only this one goes on in a copy of the process
        time.sleep(0.01)
    stride = max(1, number // SAMPLE)
    return range(first % stride, number, stride)


if __name__ == "__main__":
    how, seed = sys.argv[1], int(sys.argv[2])
    children = Children("", "", (), 2, Limits(60.0, 1 << 30))
    children._workers = [Worker(), Worker()]
    chance = random.Random(seed)
    by_chance = [chance.uniform(1e-6, LONG) for _ in range(SAMPLE)]
    come, moments = (at_step, steps(seed)) if how == "flag" else (after, by_chance)
    bad = next((moment for moment in moments if not ends_well(come, moment)), None)
    print(json.dumps({"moments": len(moments), "bad": bad}))
