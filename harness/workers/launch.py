"""How a worker's process comes to be: spawned, or forked from one that has loaded all that workers have in common."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import IO

from keeprate.harness.workers.limits import Limits
from keeprate.harness.workers.monitor import LimitError, line_of
from keeprate.harness.workers.process_tree import MARK

# The workers themselves use the cores; and no result may depend on how many there are.
SINGLE_THREADED = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
# Arrays of a few megabytes come and go with every call: the C library of Linux gives each back, page by page.
KEEPS_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 27), "MALLOC_TRIM_THRESHOLD_": str(1 << 28)}


def spawned(
    module: str, lifeline: int, *arguments: str, mark: str, stdin: int = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    """A fresh interpreter that runs a module of this package.

    Args:
        lifeline: its end of a pipe whose other end closes with this process, however that ends.
        mark: what it carries in its environment, and what it starts inherits.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-m", f"keeprate.harness.workers.{module}", str(lifeline), *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a backend may print without end
        env={**KEEPS_MEMORY, **os.environ, **SINGLE_THREADED, MARK: mark},
        pass_fds=[lifeline],
        start_new_session=True,  # a group of its own: what it starts ends with it, and Ctrl-C is ours
    )


GRACE = 2.0  # seconds that a process has to end by itself


class Forked:
    """A worker that was forked, as `subprocess.Popen` shows one that was spawned."""

    def __init__(self, number: int, stdin: int, stdout: int, told: int) -> None:
        self.pid = number
        self.stdin: IO[bytes] | None = os.fdopen(stdin, "wb")
        self.stdout: IO[bytes] | None = os.fdopen(stdout, "rb")
        self.returncode: int | None = None
        self._told = told  # where its end is told
        self._letting_go = threading.Lock()

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, or, below zero, the signal that ended it.

        Args:
            timeout: seconds; None for as long as it takes.

        Raises:
            subprocess.TimeoutExpired: it hasn't ended by then.
        """
        if self.returncode is None:
            ready = select.poll()
            ready.register(self._told, select.POLLIN)
            if not ready.poll(None if timeout is None else 1000 * timeout):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self.returncode = int(os.read(self._told, 8) or -signal.SIGKILL)  # nobody is left to say how it ended
        return self.returncode

    def kill(self) -> None:
        """Kills it, unless it was let go."""
        with self._letting_go, contextlib.suppress(ProcessLookupError):
            if self._told >= 0:
                os.kill(self.pid, signal.SIGKILL)

    def let_go(self) -> None:
        """Ends it; from now on its number may be another's."""
        with self._letting_go:
            os.close(self._told)
            self._told = -1


class ForkServer:
    """Forks workers from a process that has loaded the suite called `suite`, and its reference unless it is `alone`.

    Several threads may ask it. Where the system or the suite doesn't allow it, or that process is gone, workers have to
    be spawned.
    """

    def __init__(self, suite: str, *, alone: bool) -> None:
        self._arguments = suite, str(alone)
        self._open = sys.platform == "linux" and hasattr(os, "pidfd_open")
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._lifeline = -1
        self._mark = secrets.token_hex(8)
        self._unread = bytearray()
        self._asking = threading.RLock()

    def start(self) -> None:
        """Lets that process load while others do something else."""
        with self._asking:
            if self._open and self._process is None:
                theirs, self._lifeline = os.pipe()
                self._requests, asked = socket.socketpair()
                with os.fdopen(theirs), asked:
                    self._process = spawned(
                        "fork_main", theirs, *self._arguments, mark=self._mark, stdin=asked.fileno()
                    )

    def fork(self, mark: str, lifeline: int, limits: Limits) -> Forked | None:
        """A worker that carries `mark` and has that lifeline; None where it has to be spawned.

        Raises:
            KeyboardInterrupt, Terminated: a signal has come.
        """
        with self._asking:
            worker = None
            try:
                self.start()
                if self._process is not None:
                    self._ready = self._ready or self._says(limits) == b"yes\n"
                    worker = self._forked(mark, lifeline, limits) if self._ready else None
            finally:
                if worker is None:  # and what it would say next is not known
                    self.close()
            return worker

    def _forked(self, mark: str, lifeline: int, limits: Limits) -> Forked | None:
        (read, stdin), (stdout, write), (told, end) = os.pipe(), os.pipe(), os.pipe()
        done = [read, write, end, stdin, stdout, told]
        try:
            with contextlib.suppress(ConnectionError):  # it is gone
                socket.send_fds(self._requests, [mark.encode()], [read, write, lifeline, end])
                if number := self._says(limits):
                    del done[3:]
                    return Forked(int(number), stdin, stdout, told)
            return None
        finally:
            for each in done:
                os.close(each)

    def _says(self, limits: Limits) -> bytes:
        """Its next line; empty where it ends before, or goes beyond a limit."""
        assert self._process is not None
        with contextlib.suppress(LimitError):
            return line_of(self._process, self._unread, self._mark, limits.seconds, limits)
        return b""

    def close(self) -> None:
        """Ends that process for good; it may be asked twice, and while another thread waits for a worker."""
        self._open = False
        if not self._asking.acquire(blocking=False):
            if process := self._process:
                process.kill()
            self._asking.acquire()
        try:
            if process := self._process:
                self._process = None
                self._requests.close()  # which it answers by seeing to its workers, that their time be counted as ours
                if not self._ready:
                    process.kill()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE)
                process.kill()
                process.wait()
                assert process.stdout
                process.stdout.close()
                os.close(self._lifeline)
        finally:
            self._asking.release()


_kept: dict[str, ForkServer] = {}


@contextlib.contextmanager
def kept(suite: str) -> Iterator[None]:
    """Has all runs by `suite` in this `with` fork their workers from one process, which begins to load at once."""
    server = _kept[suite] = ForkServer(suite, alone=False)
    try:
        server.start()
        yield
    finally:
        del _kept[suite]
        server.close()


def forks_of(suite: str, *, alone: bool) -> ForkServer:
    """What workers are forked by: one that is kept, or else a new one."""
    return ForkServer(suite, alone=alone) if alone or suite not in _kept else _kept[suite]


def leave(server: ForkServer) -> None:
    """Ends it, unless it is kept."""
    if server not in _kept.values():
        server.close()
