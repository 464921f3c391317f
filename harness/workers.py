"""Runs jobs: in killable child processes, or in this one for a backend that is an object."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any, Protocol

from harness import backend as backends
from harness.backend import Offer
from harness.engine import Job, Result, run
from harness.errors import NoVerdictError, UsageError
from harness.suite import Suite

# The workers themselves use the cores; and no result may depend on how many there are.
SINGLE_THREADED = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class Runner(Protocol):
    """Whatever runs jobs."""

    isolated: bool
    count: int

    def offers(self) -> tuple[Offer, Offer | None]:
        """What the backend offers, and what the reference does, if the suite has one."""

    def map(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """Results in whatever order they come."""

    def close(self) -> None:
        """Ends everything that was started."""


class _ChildDiedError(Exception):
    """The child ended before it answered; says how."""


class _Child:
    """A spawned process that takes one message at a time and can be killed; started when first asked."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self._setup = setup
        self._process: subprocess.Popen[str] | None = None
        self._greeted = False  # the answer to the setup has come
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by kill, as long as the child itself

    def start(self) -> None:
        """Lets it load the backend while others do something else; `offers` waits for the answer."""
        self._process = self._spawn()
        self._greeted = False
        self._send(self._setup)

    def offers(self) -> tuple[Offer, Offer | None]:
        if self._process is None:
            self.start()
        answer = self._receive()
        self._greeted = True
        reference = answer["reference"]
        return Offer.from_json(answer["offer"]), Offer.from_json(reference) if reference else None

    def run(self, job: Job) -> Result:
        try:
            if not self._greeted:
                self.offers()
            self._send(job.to_json())
            return Result.from_json(self._receive()["result"])
        except _ChildDiedError as how:
            return Result(job.role, job.case.id, error=str(how))

    def _spawn(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            env={**os.environ, **SINGLE_THREADED},
        )

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process is not None and self._process.stdin
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise _ChildDiedError(self._how_it_died()) from None

    def _receive(self) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise _ChildDiedError(self._how_it_died())
        answer: dict[str, Any] = json.loads(line)
        if "fault" in answer:
            raise RuntimeError(f"a fault of keeprate, in a worker:\n{answer['fault']}")
        if "refused" in answer:
            raise (UsageError if answer["code"] == UsageError.exit_code else NoVerdictError)(answer["refused"])
        return answer

    def _how_it_died(self) -> str:
        assert self._process is not None
        self._process.communicate()
        code = self._process.returncode
        self._process, self._greeted = None, False
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        return f"the worker process {how}"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
        self._errors.close()


class Children:
    """`count` child processes that judge the backend called `backend`."""

    isolated = True

    def __init__(self, backend: str, suite: str, names: Iterable[str], count: int) -> None:
        setup = {"backend": backend, "suite": suite, "names": sorted(names)}
        self.count = count
        self._name = backend
        self._children = [_Child(setup) for _ in range(count)]

    def offers(self) -> tuple[Offer, Offer | None]:
        """What the backend offers, and what the reference does.

        Raises:
            UsageError: there is no such backend.
            NoVerdictError: it can't be loaded, or takes its process down.
        """
        try:
            for child in self._children:
                child.start()
            return self._children[0].offers()
        except _ChildDiedError as how:
            raise NoVerdictError(f"backend {self._name} can't be loaded: {how}") from None

    def map(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """Runs `jobs` on all children; results in whatever order they come."""
        idle: queue.SimpleQueue[_Child] = queue.SimpleQueue()
        for child in self._children:
            idle.put(child)

        def work(job: Job) -> Result:
            child = idle.get()
            try:
                return child.run(job)
            finally:
                idle.put(child)

        with ThreadPoolExecutor(len(self._children)) as threads:
            futures: list[Future[Result]] = [threads.submit(work, job) for job in jobs]
            try:
                for future in as_completed(futures):
                    yield future.result()
            except BaseException:  # an interrupt or a fault: nothing more is to be started
                threads.shutdown(wait=False, cancel_futures=True)
                self.close()
                raise

    def close(self) -> None:
        """Kills all children."""
        for child in self._children:
            child.kill()


class InProcess:
    """Judges a backend that was handed over as an object, in this very process: it can't be sent to a child."""

    isolated = False
    count = 1

    def __init__(self, backend: Any, suite: Suite, names: Iterable[str]) -> None:
        backends.check(backend, repr(backend))
        self._suite = suite
        self._names = set(names)
        self._backends = {"backend": backend}
        if suite.reference:
            self._backends["reference"] = backends.load_backend(suite.reference)

    def offers(self) -> tuple[Offer, Offer | None]:
        """What the backend offers, and what the reference does."""
        reference = self._backends.get("reference")
        return (
            backends.offer(self._backends["backend"], self._names),
            backends.offer(reference, self._names) if reference else None,
        )

    def map(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """Runs `jobs` one after another."""
        for job in jobs:
            yield run(self._suite, self._backends[job.role], job)

    def close(self) -> None:
        """Nothing was started."""
