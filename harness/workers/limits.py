"""How many workers there are, and what a case may take before its worker is ended: seconds and bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

import psutil

from keeprate.harness.errors import UsageError
from keeprate.harness.workers.cgroups import GROUPS, OWN, folders, words
from keeprate.harness.workers.machine import cores
from keeprate.harness.workers.resources import Resources

MANY = 64  # workers that may be asked for on any machine
SECONDS = 120.0  # beside what the draws take
PER_DRAW = 1e-6  # seconds: eighty times what a fast framework takes on one core
SHARE = 0.8  # of the memory that there is, for all workers together
WORKER = 2**30  # bytes of memory for each worker, unless somebody says how many there are; 683 MiB were measured
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Limits:
    """What one case may take.

    Args:
        seconds: beside a microsecond for each draw, so that no long case is ended for being long. Time in which a
            worker waits for a core is not counted, where the system tells it.
        memory: bytes that are resident in a worker and in the processes that it has started.
    """

    seconds: float
    memory: int

    def for_draws(self, draws: int) -> float:
        """Seconds for a case of so many draws."""
        return self.seconds + PER_DRAW * draws


def counted(resources: Resources) -> int:
    """The number of workers that was asked for; one for each core unless one was, or fewer where memory is short.

    A device that was asked for is shared by all workers: there is one unless asked otherwise.

    Raises:
        UsageError: it is less than 1, or out of proportion.
    """
    workers, most = resources.workers, max(MANY, 4 * cores())
    if workers is None:
        return 1 if resources.device is not None else max(1, min(cores(), total_memory() // WORKER))
    if not isinstance(workers, Integral) or isinstance(workers, bool) or not 1 <= workers <= most:
        raise UsageError(f"workers = {workers!r} is not between 1 and {most}: here are {cores()} cores")
    return int(workers)


def limits(sharing: int, resources: Resources) -> Limits:
    """The limits that a person asked for; where none was named, one that a faithful backend stays far below.

    Args:
        sharing: workers that share the memory of this machine.

    Raises:
        UsageError: a limit is not positive, or the memory is not a size as in 4G or 512M.
    """
    seconds, memory = resources.case_timeout, resources.memory
    if seconds is not None and not 0 < seconds < float("inf"):
        raise UsageError(f"case timeout = {seconds!r} is not a positive number of seconds")
    size = int(SHARE * total_memory() / sharing) if memory is None else parse_size(memory)
    return Limits(SECONDS if seconds is None else seconds, size)


def total_memory(own: Path = OWN, groups: Path = GROUPS) -> int:
    """Bytes of memory that this process may have: the machine's, or less in a container.

    Args:
        own: lists the control groups of this process.
        groups: where control groups are mounted.
    """
    sizes = [psutil.virtual_memory().total]
    for folder in folders("memory", own, groups):
        for name in ("memory.max", "memory.limit_in_bytes"):
            sizes += [int(word) for word in words(folder / name) if word.isdigit()]  # and not `max`
    return min(sizes)


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
