"""A process that has loaded a suite and its reference, and nothing foreign, and is forked for each worker of a run.

Started as `python -P -m keeprate.harness.workers.fork_main LIFELINE SUITE ALONE`, with a socket as its standard input
and a pipe as its output. It says first whether it can be forked, and then the number of each worker's process. How a
worker ends is told on a pipe of its own; the worker keeps its number until nobody reads there any more.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
from pathlib import Path

import numpy as np

from keeprate.harness.protocol.suite import load_suite
from keeprate.harness.workers import child_main
from keeprate.harness.workers.process_tree import MARK, carry

PIPES = 4  # of a worker: its standard input and output, its lifeline, and where its end is told
NAME = "keeprate worker"  # in `ps`, which shows no longer one


def main() -> None:
    """Forks a worker for each message, as long as there is somebody to send one."""
    gc.disable()  # what is loaded is loaded for good, and collecting it in a fork would copy it
    lifeline, name, alone = sys.argv[1:]
    child_main.end_with_parent(int(lifeline))
    child_main.find_own_files()
    suite = load_suite(name)
    prepared = child_main.Prepared(suite, alone=alone == "True") if suite.forkable else None
    if prepared is None or len(os.listdir("/proc/self/task")) > 1:  # a fork has none of the threads, but their locks
        os.write(1, b"no\n")
        return
    _appear("keeprate forks", os.environ[MARK])  # where that fails, nothing can be forked either
    gc.freeze()
    os.write(1, b"yes\n")
    if not forked(int(lifeline)):
        os._exit(0)
    gc.enable()
    np.random.seed()  # Python sees to its own generator
    suite.forked()
    child_main.answer_all(prepared)


def forked(lifeline: int) -> bool:
    """True in every worker, False in this process, once no more of them are wanted."""
    requests, ready = socket.socket(fileno=0), select.poll()
    running: dict[int, int] = {}  # descriptors of processes, and where the end of each is told
    owned: dict[int, int] = {}  # and their numbers, by where it is told
    ready.register(requests, select.POLLIN)
    while True:
        for descriptor, _ in ready.poll():
            if descriptor == requests.fileno():
                mark, pipes, *_ = socket.recv_fds(requests, 64, PIPES, socket.MSG_CMSG_CLOEXEC)
                if not mark:
                    for number in owned.values():
                        _end(number)
                    return False
                *theirs, told = pipes
                number = os.fork()
                if not number:
                    requests.close()
                    for each in (lifeline, told, *running, *owned):
                        os.close(each)
                    _begin(mark.decode(), *theirs)
                    return True
                for each in theirs:
                    os.close(each)
                os.write(1, b"%d\n" % number)
                process = os.pidfd_open(number)
                running[process], owned[told] = told, number
                ready.register(process, select.POLLIN)
                ready.register(told, 0)  # it is reported whenever nobody reads there
            elif descriptor in running:
                told = running.pop(descriptor)
                with contextlib.suppress(ChildProcessError, BrokenPipeError):  # it was let go, a moment ago or just now
                    os.write(told, b"%d\n" % _code(descriptor))
                ready.unregister(descriptor)
                os.close(descriptor)
            else:
                _end(owned.pop(descriptor))
                ready.unregister(descriptor)
                os.close(descriptor)


def _code(process: int) -> int:
    """The exit code of a process that has ended, or, below zero, the signal that ended it; its number stays its own."""
    end = os.waitid(os.P_PIDFD, process, os.WEXITED | os.WNOWAIT)
    assert end is not None
    return end.si_status if end.si_code == os.CLD_EXITED else -end.si_status


def _end(number: int) -> None:
    os.kill(number, signal.SIGKILL)
    os.waitpid(number, 0)


def _begin(mark: str, reads: int, writes: int, lifeline: int) -> None:
    """Makes this process what a spawned worker is when it begins."""
    os.setsid()
    child_main.end_with_parent(lifeline)
    _appear(NAME, mark)
    for standard, pipe in enumerate((reads, writes)):
        os.dup2(pipe, standard)
        os.close(pipe)
    sys.argv = [child_main.__file__, str(lifeline)]


def _appear(name: str, mark: str) -> None:
    """Has the system show this process by `name`, and with `mark`."""
    Path("/proc/self/comm").write_text(name)
    carry(mark)


if __name__ == "__main__":
    main()
