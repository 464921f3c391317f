"""Runs jobs: in killable child processes, or in this one for a backend that is an object."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from keeprate.harness import interrupts
from keeprate.harness.errors import NoVerdictError
from keeprate.harness.protocol import backend as backends
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.description import AdapterCheck, Picture
from keeprate.harness.protocol.engine import GIVEN_UP, Job, Result, decided, picture, run
from keeprate.harness.protocol.suite import Suite
from keeprate.harness.workers.child import Child, ChildDiedError
from keeprate.harness.workers.circuit_breaker import CircuitBreaker
from keeprate.harness.workers.launch import ForkServer, forks_of, leave
from keeprate.harness.workers.limits import Limits

Value = TypeVar("Value")
TOGETHER = 256  # results that are handed on before more jobs are started, at most: a tenth of a second's work
AHEAD = 2  # jobs that are taken for each child, so that none waits while results are looked at


class _Worker:
    """A child that has the backend and the reference, and one that has the reference alone, started if need be.

    A backend lives beside the reference and can spoil its cases. So one that fails is run again without the backend,
    with the same draws, and so are those that come after it.
    """

    def __init__(self, setup: dict[str, Any], limits: Limits, forks: ForkServer) -> None:
        self.child = Child(setup, limits, forks)
        self._alone = Child({**setup, "backend": None}, limits, forks)
        self._apart = False

    def run(self, job: Job) -> Result:
        """What `job` gives.

        Raises:
            ChildDiedError: it takes its process down, or none can be had for it.
        """
        if job.role == "backend":
            return self._on_device(job)
        if not self._apart:
            with contextlib.suppress(ChildDiedError):
                result = self.child.run(job)
                if not result.error and not decided(result.evidence, job):
                    return result
            self._apart = True
        return self._alone.run(job)

    def _on_device(self, job: Job) -> Result:
        """The same where a device may be lost after an assertion: then alone, in a process that has it anew."""
        result = self.child.run(job)
        if self.child.lost:
            self.child.end()
            result = self.child.run(job)
        if why := self.child.lost:
            self.child.end()
            raise ChildDiedError(f"the worker process lost its device: {why}", limit=False, kind="a lost device")
        return result

    def kill(self) -> None:
        """Ends both."""
        self.child.kill()
        self._alone.kill()


class Children:
    """`count` child processes that judge the backend called `backend`, beside the suite's reference where there is one.

    Args:
        names: what may be asked of a backend.
        alone: without the reference, whose framework may take longer to load than an adapter to be looked at.
        device: where the backend computes; None for where it does unless told.
    """

    isolated = True

    def __init__(
        self,
        backend: str,
        suite: str,
        names: Iterable[str],
        count: int,
        limits: Limits,
        *,
        alone: bool = False,
        device: str | None = None,
    ) -> None:
        setup = {"backend": backend, "suite": suite, "names": sorted(names), "alone": alone, "device": device}
        self.count = count
        self._name = backend
        self._breakers = _breakers()
        self._forks = forks_of(suite, alone=alone)
        self._workers = [_Worker(setup, limits, self._forks) for _ in range(count)]
        self._offers: tuple[Offer, Offer | None] | None = None

    def offers(self) -> tuple[Offer, Offer | None]:
        """What the backend offers, and what the reference does; asked when a run begins, which gives nothing up yet.

        Raises:
            UsageError: there is no such backend.
            NoVerdictError: it can't be loaded, or takes its process down.
        """
        self._breakers = _breakers()
        if self._offers is None:
            self._offers = self._load()
        return self._offers

    def _load(self) -> tuple[Offer, Offer | None]:
        first, *others = (worker.child for worker in self._workers)
        try:
            for child in (first, *others):
                child.start()
            try:
                return first.offers()
            except NoVerdictError:
                if not others:
                    raise
            for child in others:  # one of which may have what only one process can have
                child.end()
            return first.offers()
        except ChildDiedError as how:
            raise NoVerdictError(f"backend {self._name} can't be loaded: {how}") from None

    def check(self) -> list[AdapterCheck]:
        """What the suite finds of the adapter alone.

        Raises:
            NoVerdictError: the adapter takes its process down.
        """
        try:
            return self._workers[0].child.check()
        except ChildDiedError as how:
            raise NoVerdictError(f"backend {self._name} can't be checked: {how}") from None

    def calls(self, names: list[str] | None = None) -> dict[str, str]:
        """What the suite's calls give, as in `in_order`, on the first child.

        Raises:
            NoVerdictError: one takes its process down.
        """
        try:
            return self._workers[0].child.calls(names)
        except ChildDiedError as how:
            raise NoVerdictError(f"backend {self._name} can't be checked: {how}") from None

    def run(self, job: Job) -> Result:
        """One job, on the first child, whatever became of others before."""
        try:
            return self._workers[0].run(job)
        except ChildDiedError as how:
            return Result(job.role, job.case.id, error=str(how), error_kind=how.kind)

    def picture(self, job: Job) -> Picture | None:
        """What `job` draws; None if nothing can be shown, or it takes its process down."""
        try:
            return self._workers[0].child.picture(job)
        except ChildDiedError:
            return None

    def map(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Runs `jobs` on all children, each taken when a child is about to be free; results as they come."""
        # Queues in C: where Python itself raises KeyboardInterrupt, it never does so in the middle of one.
        todo: SimpleQueue[Job | None] = SimpleQueue()
        done: SimpleQueue[Result | BaseException] = SimpleQueue()

        def start(more: list[Job]) -> None:
            for job in more:
                todo.put(job)

        try:
            for worker in self._workers:
                threading.Thread(target=self._work, args=(worker, todo, done), daemon=True).start()
            yield from run_ahead(jobs, self.count, start, lambda: all_of(done))
        except BaseException:  # an interrupt or a fault: nothing more is to be started
            self.close()
            raise
        finally:
            for _ in self._workers:
                todo.put(None)

    def aside(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """The same: there is no ledger."""
        return self.map(jobs)

    def _work(self, worker: _Worker, todo: SimpleQueue[Job | None], done: SimpleQueue[Result | BaseException]) -> None:
        """In a thread of its own: has `worker` run jobs until there are none, or it is found to be one too many."""
        while (job := todo.get()) is not None:
            try:
                result = self._judged(worker, job)
            except BaseException as fault:  # noqa: BLE001 - it is raised where the results are waited for
                done.put(fault)
                return
            if result is None:
                todo.put(job)  # for another
                return
            done.put(result)

    def _judged(self, worker: _Worker, job: Job) -> Result | None:
        """What `job` gives; None if `worker` can't load the backend beside one that could.

        A lock, a port or a device that only one process can have is no fault: then there is one worker less.
        """
        breaker, op = self._breakers[job.role], job.case.op
        if ended := breaker.ended(op):
            return Result(job.role, job.case.id, error=ended, error_kind=GIVEN_UP)
        started = time.monotonic()
        try:
            result = worker.run(job)
        except ChildDiedError as how:
            if not worker.child.serves and any(other.child.serves for other in self._workers):
                return None
            breaker.lost(op, str(how), limit=how.limit)
            seconds = round(time.monotonic() - started, 6)
            return Result(job.role, job.case.id, error=str(how), error_kind=how.kind, seconds=seconds)
        breaker.answered()
        return result

    def close(self) -> None:
        """Kills all children."""
        for worker in self._workers:
            worker.kill()
        leave(self._forks)


def run_ahead(
    jobs: Iterable[Job],
    count: int,
    start: Callable[[list[Job]], None],
    come: Callable[[], Sequence[Result | BaseException]],
) -> Iterator[Result]:
    """Results as they come, of jobs that are started shortly before one of `count` workers is free.

    What has come is yielded before more jobs are asked for, and these before anything is waited for.

    Args:
        come: waits for a result, and gives all that are there; a fault is raised after what came before it.
    """
    ahead, running = iter(jobs), 0
    while True:
        if more := list(islice(ahead, AHEAD * count - running)):
            running += len(more)
            start(more)
        if not running:
            return
        results = come()
        running -= len(results)
        for result in results:
            if isinstance(result, BaseException):
                raise result
            yield result


def all_of(done: SimpleQueue[Value]) -> list[Value]:
    """Waits for an item of a queue, and gives all that are there, if they are not too many.

    Raises:
        KeyboardInterrupt, Terminated: a signal has come.
    """
    items = [interrupts.get(done)]
    with contextlib.suppress(Empty):
        while len(items) < TOGETHER:
            items.append(done.get_nowait())
    return items


def _breakers() -> dict[str, CircuitBreaker]:
    return {"reference": CircuitBreaker(), "backend": CircuitBreaker()}


class InProcess:
    """Judges a backend that was handed over as an object, in this very process: it can't be sent to a child."""

    isolated = False
    count = 1

    def __init__(self, backend: Any, suite: Suite, names: Iterable[str], device: str | None = None) -> None:
        reference = backends.load_backend(suite.reference, suite) if suite.reference else None
        backend = backends.placed(backend, repr(backend), device, reference)
        backends.check(backend, repr(backend), suite)
        self._suite = suite
        self._names = set(names)
        self._backends = {"backend": backend} | ({"reference": reference} if suite.reference else {})

    def offers(self) -> tuple[Offer, Offer | None]:
        """What the backend offers, and what the reference does."""
        reference = self._backends.get("reference")
        return (
            backends.offer(self._backends["backend"], self._names),
            backends.offer(reference, self._names) if reference else None,
        )

    def check(self) -> list[AdapterCheck]:
        """What the suite finds of the adapter alone."""
        return list(self._suite.check(self._backends["backend"]))

    def map(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Runs `jobs` one after another."""
        for job in jobs:
            interrupts.check()
            yield run(self._suite, self._backends[job.role], job)

    def aside(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """The same of jobs that may cost no verdict, whatever is raised in them."""
        for job in jobs:
            interrupts.check()
            try:
                yield run(self._suite, self._backends[job.role], job)
            except Exception as error:  # noqa: BLE001 - as in a child, which says that this case failed
                yield Result(job.role, job.case.id, error=type(error).__name__, error_kind="a fault of keeprate")

    def picture(self, job: Job) -> Picture | None:
        """What `job` draws; None if nothing can be shown."""
        return picture(self._suite, self._backends[job.role], job)
