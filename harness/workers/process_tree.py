"""What a worker has started, however it tried to get away: found by a mark in the environment, and ended."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import time
from collections.abc import Iterator
from itertools import count, takewhile

import psutil

MARK = "KEEPRATE_WORKER"  # inherited by whatever a worker forks or starts, in a session of its own too
ROUNDS = 20  # a process that forks while it is looked for is found in the next one


def carry(mark: str) -> None:
    """Has this process carry `mark`, as long a one, in place of the mark that its program was started with.

    Linux shows the environment of a process as it lies in memory where the program began, of which a fork has a copy.
    """
    import ctypes  # here, for not every Python has it

    ctypes.memmove(_where(), mark.encode(), len(mark))
    os.environ[MARK] = mark


@functools.cache  # the environment that a program changes is elsewhere from then on
def _where() -> int:
    """The address of the mark."""
    import ctypes

    name = f"{MARK}=".encode()
    variables = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
    each = takewhile(bool, map(variables.__getitem__, count()))
    return int(next(address + len(name) for address in each if ctypes.string_at(address).startswith(name)))


def end_all(group: int, mark: str) -> None:
    """Kills the process group `group`, and then every process of this user that carries `mark`."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # ended already; macOS refuses where all are zombies
        os.killpg(group, signal.SIGKILL)
    for number in range(ROUNDS):
        found = list(_marked(mark))
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        if not found:
            return
        time.sleep(min(0.1, 0.001 * 2**number))  # until they are dead, and no longer: init may be slow to bury them


def family(pid: int, mark: str) -> list[psutil.Process]:
    """The process `pid` and what it has started: its descendants, and what carries `mark` and is nobody's child."""
    found = {process.pid: process for process in _marked(mark)}
    with contextlib.suppress(psutil.Error):  # it has ended
        process = psutil.Process(pid)
        found |= {one.pid: one for one in (process, *process.children(recursive=True))}
    return list(found.values())


def _marked(mark: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it has ended, or is somebody else's
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                yield process
