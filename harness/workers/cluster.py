"""Runs jobs on a Dask cluster that is there already: a case is a task, and what comes back is a few kilobytes.

A task hands its case to a killable child of the Dask worker, as on one machine, so that a crash or a hang of a backend
ends one case and not the worker. Dask gives the tasks of a worker that was lost to another; a job has one name, and
one result, however often it was run.

Dask's client has locks of Python's own, which an interrupt would leave taken: only threads that no interrupt reaches
call it, and `threading`, which has such locks too, doesn't start them.
"""

from __future__ import annotations

import _thread
import contextlib
import logging
import queue
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from keeprate.harness.errors import KeeprateError, NoVerdictError, UsageError
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.engine import Job, Result
from keeprate.harness.protocol.suite import AdapterCheck, Picture
from keeprate.harness.workers.limits import Limits, limits
from keeprate.harness.workers.pool import AHEAD, Children

if TYPE_CHECKING:
    from distributed import Client, Future

SCHEME = "dask://"
SECONDS = 10  # to reach the scheduler
_over: set[str] = set()  # in a Dask worker: runs that have ended
ENDING = 60  # seconds for all workers to end their children, or they are left to the next run
Value = TypeVar("Value")
_children: dict[int, tuple[str, Children]] = {}  # in a Dask worker, for each of its threads: for which run, and a child


class Cluster:
    """The workers of a Dask cluster, that judge the backend called `backend`."""

    isolated = True

    def __init__(
        self,
        address: str,
        backend: str,
        suite: str,
        names: Iterable[str],
        case_timeout: float | None = None,
        memory: str | None = None,
    ) -> None:
        """Connects.

        Args:
            address: `dask://HOST:PORT` of the scheduler.
            case_timeout, memory: the limits of a case that were asked for; the others follow from each machine.

        Raises:
            UsageError: Dask isn't installed, there is no scheduler at `address`, or it has no workers.
        """
        try:
            from distributed import Client
        except ImportError:
            raise UsageError(f"--executor {address} needs Dask: pip install 'keeprate[dask]'") from None
        self._setup: dict[str, Any] = {"run": secrets.token_hex(8), "backend": backend, "suite": suite}
        self._setup |= {"names": sorted(names), "case_timeout": case_timeout, "memory": memory}
        for logger in ("distributed", "distributed.client"):  # a lost worker is a line of ours, or none
            logging.getLogger(logger).setLevel(logging.CRITICAL)
        try:
            self._client: Client = _aside(
                lambda: Client(f"tcp://{address.removeprefix(SCHEME)}", timeout=SECONDS, set_as_default=False)
            )
        except (OSError, ValueError):
            raise UsageError(f"no Dask scheduler answers at {address} within {SECONDS} s") from None
        threads: Counter[str] = Counter()
        for worker, number in _aside(self._client.nthreads).items():
            threads[_host(worker)] += number
        self._setup["threads"] = dict(threads)
        self.count = threads.total()
        if not self.count:
            _aside(self._client.close)
            raise UsageError(f"the Dask cluster at {address} has no workers")

    def offers(self) -> tuple[Offer, Offer | None]:
        """What the backend offers, and what the reference does.

        Raises:
            UsageError: there is no such backend.
            NoVerdictError: it can't be loaded.
        """
        mine, reference = self._ask("offers")
        return msgspec.convert((mine, reference), tuple[Offer, Offer | None])

    def check(self) -> list[AdapterCheck]:
        """What the suite finds of the adapter alone.

        Raises:
            NoVerdictError: the adapter takes its process down.
        """
        return msgspec.convert(self._ask("check"), list[AdapterCheck])

    def map(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Runs `jobs` on all workers; results in whatever order they come, one for each job."""
        todo: queue.SimpleQueue[list[Job]] = queue.SimpleQueue()
        done: queue.SimpleQueue[Result | BaseException] = queue.SimpleQueue()
        _thread.start_new_thread(self._hand_on, (todo, done))
        ahead = iter(jobs)
        some = list(islice(ahead, AHEAD * self.count))
        todo.put(some)
        running = len(some)
        while running:
            result = done.get()
            if isinstance(result, BaseException):
                raise result
            some = list(islice(ahead, 1))
            todo.put(some)
            running += len(some) - 1
            yield result

    def _hand_on(self, todo: queue.SimpleQueue[list[Job]], done: queue.SimpleQueue[Result | BaseException]) -> None:
        """In a thread of its own: hands on the first list of jobs, and another for each result."""
        from distributed import KilledWorker, as_completed

        asked: dict[Future, Job] = {}

        def submit(jobs: list[Job]) -> list[Future]:
            some = {self._submit(job): job for job in jobs}
            asked.update(some)
            return list(some)

        try:
            running = as_completed(submit(todo.get()), loop=self._client.loop)
            for future in running:
                job = asked.pop(future)
                try:
                    done.put(Result.from_json(future.result()))
                except KilledWorker as lost:  # one after another: the scheduler has given it up
                    how = f"its workers were lost: {lost}"
                    done.put(Result(job.role, job.case.id, error=how, error_kind="lost workers"))
                future.release()
                running.update(submit(todo.get()))
        except BaseException as fault:  # noqa: BLE001 - it is raised where the results are waited for
            done.put(fault)

    def picture(self, job: Job) -> Picture | None:
        """What `job` draws; None if nothing can be shown, or it takes its process down."""
        return msgspec.convert(self._told(_picture, msgspec.to_builtins(job)), Picture | None)

    def close(self) -> None:
        """Ends the children on the cluster, and leaves it; what was still to do is dropped."""
        with contextlib.suppress(OSError, TimeoutError):
            _aside(self._leave, ENDING)

    def _leave(self) -> None:
        self._client.run(_end, self._setup["run"])
        self._client.close()

    def _submit(self, job: Job) -> Future:
        key = f"{self._setup['run']}-{job.role}-{job.case.id}-{job.seed}"
        return self._client.submit(_run, self._setup, msgspec.to_builtins(job), key=key, pure=False)

    def _ask(self, what: str) -> Any:
        answer = self._told(_tell, what)
        if "refused" in answer:
            raise (UsageError if answer["code"] == UsageError.exit_code else NoVerdictError)(answer["refused"])
        return answer["told"]

    def _told(self, function: Callable[..., Any], what: Any) -> Any:
        """What `function` says of `what` in one of the workers."""
        return _aside(lambda: self._client.submit(function, self._setup, what, pure=False).result())


def _aside(function: Callable[[], Value], seconds: float | None = None) -> Value:
    """What `function` gives in a thread of its own, for which an interrupt doesn't wait.

    Raises:
        TimeoutError: it gives nothing within `seconds`.
        BaseException: whatever it raises.
    """
    done: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            done.put((function(), None))
        except BaseException as fault:  # noqa: BLE001 - it is raised where the value is waited for
            done.put((None, fault))

    _thread.start_new_thread(work, ())
    try:
        found = done.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    value: Value
    value, fault = found
    if fault is not None:
        raise fault
    return value


def _child(setup: dict[str, Any]) -> Children:
    """The child of this thread of this Dask worker; a new run begins with a new one."""
    run, child = _children.get(threading.get_ident(), ("", None))
    if child is None or run != setup["run"]:
        if child is not None:
            child.close()
        child = Children(setup["backend"], setup["suite"], setup["names"], 1, _limits(setup))
        _children[threading.get_ident()] = setup["run"], child
        if setup["run"] in _over:  # it was ended before this task of it began
            child.close()
    return child


def _limits(setup: dict[str, Any]) -> Limits:
    """In a Dask worker: what a case may take here, where all threads of the cluster share this machine's memory."""
    from distributed import get_worker

    here = get_worker()
    sharing = max(setup["threads"].get(_host(here.address), 0), here.state.nthreads)  # a worker may have come later
    return limits(sharing, setup["case_timeout"], setup["memory"])


def _host(address: str) -> str:
    """The machine in `tcp://HOST:PORT`."""
    return address.rpartition(":")[0]


def _end(run: str) -> None:
    """In a Dask worker: ends the children of a run, and those that its last tasks would start."""
    _over.add(run)
    for thread, (owner, child) in list(_children.items()):
        if owner == run:
            child.close()
            del _children[thread]


def _run(setup: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    """In a Dask worker: one case."""
    (result,) = _child(setup).map([msgspec.convert(job, Job)])
    return result.to_json()


def _picture(setup: dict[str, Any], job: dict[str, Any]) -> Any:
    """In a Dask worker: what one case draws."""
    return msgspec.to_builtins(_child(setup).picture(msgspec.convert(job, Job)))


def _tell(setup: dict[str, Any], what: str) -> dict[str, Any]:
    """In a Dask worker: what the child says of the backend, or why it can't."""
    try:
        child = _child(setup)
        if what == "check":
            return {"told": msgspec.to_builtins(child.check())}
        mine, reference = child.offers()
        return {"told": msgspec.to_builtins([mine, reference])}
    except KeeprateError as error:
        return {"refused": str(error), "code": error.exit_code}
