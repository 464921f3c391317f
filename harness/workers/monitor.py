"""Waits for what a worker says, and watches meanwhile what it takes of its limits."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import IO, Protocol

import psutil

from keeprate.harness import interrupts
from keeprate.harness.interrupts import LOOK
from keeprate.harness.workers.limits import Limits, size_text
from keeprate.harness.workers.process_tree import end_all, family

LONGEST = 1 << 24  # bytes of a line: a thousand times what a case gives
CHUNK = 1 << 16  # bytes that a pipe holds
WIDE = 10  # every so many looks all that it has started is looked for; that takes milliseconds


class LimitError(Exception):
    """A worker has gone beyond a limit; says which."""


class Process(Protocol):
    """What is watched: its number, and what it writes to."""

    pid: int
    stdout: IO[bytes] | None


def line_of(process: Process, unread: bytearray, mark: str, seconds: float, limits: Limits) -> bytes:
    """The next line that `process` writes; without an end, where it ends before, or goes on for too long.

    Args:
        unread: what was read of it beyond the line before; takes what is read beyond this one.
        mark, seconds: as for `looks`.

    Raises:
        LimitError: it has gone beyond a limit.
        KeyboardInterrupt, Terminated: a signal has come.
    """
    assert process.stdout
    pipe, ready = process.stdout.fileno(), select.poll()
    ready.register(pipe, select.POLLIN)
    watched, due = looks(process.pid, mark, seconds, limits), time.monotonic() + LOOK
    while b"\n" not in unread and len(unread) < LONGEST:
        if ready.poll(1000 * LOOK):
            chunk = os.read(pipe, CHUNK)
            if not chunk:
                break
            unread += chunk
        if time.monotonic() >= due:
            due = time.monotonic() + LOOK
            interrupts.check()
            if ended(process.pid):  # and its pipe not: what it has started keeps that open
                end_all(process.pid, mark)
            elif exceeded := next(watched):
                raise LimitError(exceeded)
    line, end, rest = unread.partition(b"\n")
    unread[:] = rest
    return bytes(line + end)


def looks(pid: int, mark: str, seconds: float, limits: Limits) -> Iterator[str]:
    """The limit that a process has gone beyond, at one look after another, in words; empty if none.

    Args:
        mark: what the process and all that it starts carry in their environment.
        seconds: how long it may take; while it waits for a core that others have, the time stands still.
    """
    processes: list[psutil.Process] = []
    charged, since, before = 0.0, time.monotonic(), Schedule({})
    for look in count(1):
        if look % WIDE == 0:
            processes = family(pid, mark)
        elif not processes:
            with contextlib.suppress(psutil.NoSuchProcess):  # it was ended just now
                processes = [psutil.Process(pid)]
        if resident(processes) > limits.memory:
            yield f"used more than {size_text(limits.memory)} of memory (--memory)"
        now = time.monotonic()
        if look % WIDE == 1 or charged + now - since > seconds:
            latest = Schedule(dict(threads(process.pid for process in processes)))
            charge = latest.charge(now - since, before)
            if charged + charge > seconds:
                yield f"gave no answer within {round(seconds, 1):g} s (--case-timeout)"
            if look % WIDE == 1:  # no oftener, for a wait is only told of when it is over
                charged, since, before = charged + charge, now, latest
        yield ""


class Schedule:
    """How long each thread of a worker has run and has waited for a core, in seconds, at one moment."""

    def __init__(self, threads: Mapping[str, tuple[float, float]]) -> None:
        self._threads = threads

    def charge(self, elapsed: float, before: Schedule) -> float:
        """Seconds of the `elapsed` ones since `before` in which the worker could have got on.

        All of them, less those that its threads have waited for a core; and no less than they have run, for threads
        that keep one another waiting are nobody's fault but the worker's. Where the system doesn't say, all of them.
        """
        ran = waited = 0.0
        for thread, (run, wait) in self._threads.items():
            run_before, wait_before = before._threads.get(thread, (run, wait))
            ran += run - run_before
            waited += wait - wait_before
        return min(elapsed, max(elapsed - waited, ran))


def threads(pids: Iterable[int]) -> Iterator[tuple[str, tuple[float, float]]]:
    """The threads of processes, and for how many seconds each has run and has waited; nothing but on Linux.

    Source: Documentation/scheduler/sched-stats.rst of Linux, /proc/<pid>/schedstat.
    """
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended, or the system has no such folder
            for thread in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    run, wait, _ = (thread / "schedstat").read_text().split()
                    yield thread.name, (int(run) / 1e9, int(wait) / 1e9)


def ended(pid: int) -> bool:
    """Whether a process has ended, seen to or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def resident(processes: Iterable[psutil.Process]) -> int:
    """Bytes that processes hold in memory; those that have ended hold none."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total
