"""What a case may take before its worker is ended: seconds and bytes."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from harness.errors import UsageError

SECONDS = 120.0  # beside what the draws take
PER_DRAW = 1e-6  # seconds: eighty times what MLX takes on one core
SHARE = 0.8  # of the machine's memory, for all workers together
LOOK = 0.1  # seconds between two looks at a worker's memory
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Limits:
    """What one case may take.

    Args:
        seconds: beside a microsecond for each draw, so that no long case is ended for being long.
        memory: bytes that are resident in a worker and in the processes that it has started.
    """

    seconds: float
    memory: int

    def for_draws(self, draws: int) -> float:
        """Seconds for a case of so many draws."""
        return self.seconds + PER_DRAW * draws


def limits(workers: int, seconds: float | None = None, memory: str | None = None) -> Limits:
    """The limits that a person asked for; where none was named, one that a faithful backend stays far below.

    Raises:
        UsageError: a limit is not positive, or `memory` is not a size as in 4G or 512M.
    """
    if seconds is not None and not 0 < seconds < float("inf"):
        raise UsageError(f"case timeout = {seconds!r} is not a positive number of seconds")
    size = int(SHARE * psutil.virtual_memory().total / workers) if memory is None else parse_size(memory)
    return Limits(SECONDS if seconds is None else seconds, size)


def parse_size(text: str) -> int:
    """Bytes from a text like 4G, 512M or 1.5GiB.

    Raises:
        UsageError: it is none, or not positive.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    wanted = float(found[1]) * UNITS[found[2].upper()] if found else 0.0
    size = int(wanted) if wanted < float("inf") else 0
    if size <= 0:
        raise UsageError(f"memory = '{text}' is not a size as in 4G or 512M")
    return size


def size_text(size: int) -> str:
    """Bytes as people read them."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


class Watch:
    """Watches one process while it works on one thing, and calls `end` once it exceeds a limit, or has ended by itself.

    A context manager.
    """

    def __init__(self, pid: int, seconds: float, memory: int, end: Callable[[], None]) -> None:
        self.exceeded = ""
        self._pid, self._seconds, self._memory, self._end = pid, seconds, memory, end
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        deadline = time.monotonic() + self._seconds
        look = 0
        while not self.exceeded and not self._done.wait(LOOK):
            if ended(self._pid):  # and yet no end of its answers: what it has started keeps the pipe open
                break
            if resident(self._pid, alone=look % 10 > 0) > self._memory:
                self.exceeded = f"used more than {size_text(self._memory)} of memory (--memory)"
            elif time.monotonic() > deadline:
                self.exceeded = f"gave no answer within {self._seconds:g} s (--case-timeout)"
            look += 1
        if not self._done.is_set():
            self._end()


def ended(pid: int) -> bool:
    """Whether a process has ended, seen to or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def resident(pid: int, *, alone: bool) -> int:
    """Bytes that a process, unless `alone` with its descendants, holds in memory; 0 if it has ended."""
    total = 0
    with contextlib.suppress(psutil.Error):  # any of them may end meanwhile
        process = psutil.Process(pid)
        total = process.memory_info().rss
        for one in () if alone else process.children(recursive=True):  # this looks at every process of the machine
            total += one.memory_info().rss
    return total
