"""Watches a worker while it works on one thing: what it takes of the limits, and the end that it is put to."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import psutil

from keeprate.harness.workers.limits import Limits, size_text
from keeprate.harness.workers.process_tree import family

LOOK = 0.1  # seconds between two looks at a worker
WIDE = 10  # every so many looks all that it has started is looked for; that takes milliseconds


class Monitor:
    """Watches the process `pid`, and calls `end` once it exceeds a limit, or has ended by itself.

    A context manager.

    Args:
        mark: what the process and all that it starts carry in their environment.
        seconds: how long it may take; while it waits for a core that others have, the time stands still.
    """

    def __init__(self, pid: int, mark: str, seconds: float, limits: Limits, end: Callable[[], None]) -> None:
        self.exceeded = ""
        self._pid, self._mark, self._seconds, self._memory, self._end = pid, mark, seconds, limits.memory, end
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Monitor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        look, charged, since, before = 0, 0.0, time.monotonic(), Schedule({})
        if self._done.wait(LOOK):  # as in most cases
            return
        processes = [psutil.Process(self._pid)] if psutil.pid_exists(self._pid) else []
        while not self.exceeded and not self._done.wait(LOOK):
            if ended(self._pid):  # and yet no end of its answers: what it has started keeps the pipe open
                break
            look += 1
            if look % WIDE == 0:
                processes = family(self._pid, self._mark)
            if resident(processes) > self._memory:
                self.exceeded = f"used more than {size_text(self._memory)} of memory (--memory)"
                break
            now = time.monotonic()
            if look % WIDE == 1 or charged + now - since > self._seconds:
                latest = Schedule(dict(threads(process.pid for process in processes)))
                charge = latest.charge(now - since, before)
                if charged + charge > self._seconds:
                    self.exceeded = f"gave no answer within {self._seconds:g} s (--case-timeout)"
                if look % WIDE == 1:  # no oftener, for a wait is only told of when it is over
                    charged, since, before = charged + charge, now, latest
        if not self._done.is_set():
            self._end()


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
