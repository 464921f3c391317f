"""Runs jobs on a Dask cluster that is there already: a case is a task, and what comes back is a few kilobytes.

A task hands its case to a killable child of the Dask worker, as on one machine, so that a crash or a hang of a backend
ends one case and not the worker. Dask gives the tasks of a worker that was lost to another; a job has one name, and
one result, however often it was run.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future as Promised
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from keeprate.harness import interrupts
from keeprate.harness.errors import UsageError
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.description import AdapterCheck, Picture
from keeprate.harness.protocol.engine import Job, Result
from keeprate.harness.workers.limits import Limits, limits
from keeprate.harness.workers.pool import Children, all_of, run_ahead
from keeprate.harness.workers.resources import Resources

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

    def __init__(self, backend: str, suite: str, names: Iterable[str], resources: Resources) -> None:
        """Connects to the scheduler at `resources.executor`.

        Raises:
            UsageError: Dask isn't installed, no scheduler answers, or it has no workers.
        """
        address = resources.executor
        try:
            from distributed import Client
        except ImportError:
            raise UsageError(f"--executor {address} needs Dask: pip install 'keeprate[dask]'") from None
        self._setup: dict[str, Any] = {"run": secrets.token_hex(8), "backend": backend, "suite": suite}
        self._setup |= {"names": sorted(names), "resources": resources}
        for logger in ("distributed", "distributed.client"):  # a lost worker is a line of ours, or none
            logging.getLogger(logger).setLevel(logging.CRITICAL)
        place = f"tcp://{address.removeprefix(SCHEME)}"
        try:
            connected = _aside(partial(Client, place, timeout=SECONDS, set_as_default=False))
            self._client: Client = interrupts.result(connected)
        except (OSError, ValueError):
            raise UsageError(f"no Dask scheduler answers at {address} within {SECONDS} s") from None
        threads: Counter[str] = Counter()
        for worker, number in interrupts.result(_aside(self._client.nthreads)).items():
            threads[_host(worker)] += number
        self._setup["threads"] = dict(threads)
        self.count = threads.total()
        if not self.count:
            self._client.close()
            raise UsageError(f"the Dask cluster at {address} has no workers")

    def offers(self) -> tuple[Offer, Offer | None]:
        """What the backend offers, and what the reference does.

        Raises:
            UsageError: there is no such backend.
            NoVerdictError: it can't be loaded.
        """
        return self._told(Children.offers)

    def check(self) -> list[AdapterCheck]:
        """What the suite finds of the adapter alone.

        Raises:
            NoVerdictError: the adapter takes its process down.
        """
        return self._told(Children.check)

    def map(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Runs `jobs` on all workers; results in whatever order they come, one for each job."""
        done: SimpleQueue[tuple[Future, Job]] = SimpleQueue()

        def start(more: list[Job]) -> None:  # at once, and so are results fetched: each would be a message otherwise
            keys = [f"{self._setup['run']}-{job.role}-{job.case.id}-{job.seed}" for job in more]
            futures = self._client.map(partial(_run, self._setup), more, key=keys, pure=False)
            for future, job in zip(futures, more, strict=True):
                future.add_done_callback(lambda future, job=job: done.put((future, job)))

        return run_ahead(jobs, self.count, start, lambda: interrupts.result(_aside(partial(self._fetch, all_of(done)))))

    def _fetch(self, ended: list[tuple[Future, Job]]) -> list[Result | BaseException]:
        """What tasks gave or raised, in the order in which they ended."""
        from distributed import KilledWorker

        good = [future for future, _ in ended if future.status == "finished"]
        found: dict[str, Result] = {}
        with contextlib.suppress(KilledWorker):  # one that was done, until its worker was lost with what it gave
            found = dict(zip((future.key for future in good), self._client.gather(good), strict=True))
        results: list[Result | BaseException] = []
        for future, job in ended:
            try:
                results.append(found[future.key] if future.key in found else future.result())
            except KilledWorker as lost:  # one after another: the scheduler has given it up
                why = f"its workers were lost: {lost}"
                results.append(Result(job.role, job.case.id, error=why, error_kind="lost workers"))
            except Exception as fault:  # noqa: BLE001 - it is raised where the results are waited for
                results.append(fault)
            future.release()
        return results

    def aside(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """The same: there is no ledger."""
        return self.map(jobs)

    def picture(self, job: Job) -> Picture | None:
        """What `job` draws; None if nothing can be shown, or it takes its process down."""
        return self._told(Children.picture, job)

    def close(self) -> None:
        """Ends the children on the cluster, and leaves it; what was still to do is dropped."""
        with contextlib.suppress(OSError, TimeoutError):
            _aside(self._leave).result(ENDING)

    def _leave(self) -> None:
        self._client.run(_end, self._setup["run"])
        self._client.close()

    def _told(self, method: Callable[..., Value], *arguments: Job) -> Value:
        """What a method of a child says in one of the workers."""
        future = self._client.submit(_tell, self._setup, method, *arguments, pure=False)
        told: Value = interrupts.result(_aside(future.result))
        return told


def _aside(function: Callable[[], Value]) -> Promised[Value]:
    """What `function` gives in a thread of its own, for which neither a signal nor the end of Python waits."""
    promised: Promised[Value] = Promised()

    def work() -> None:
        try:
            promised.set_result(function())
        except BaseException as fault:  # noqa: BLE001 - it is raised where the value is waited for
            promised.set_exception(fault)

    threading.Thread(target=work, daemon=True).start()
    return promised


def _child(setup: dict[str, Any]) -> Children:
    """The child of this thread of this Dask worker; a new run begins with a new one."""
    run, child = _children.get(threading.get_ident(), ("", None))
    if child is None or run != setup["run"]:
        if child is not None:
            child.close()
        device = setup["resources"].device
        child = Children(setup["backend"], setup["suite"], setup["names"], 1, _limits(setup), device=device)
        _children[threading.get_ident()] = setup["run"], child
        if setup["run"] in _over:  # it was ended before this task of it began
            child.close()
    return child


def _limits(setup: dict[str, Any]) -> Limits:
    """In a Dask worker: what a case may take here, where all threads of the cluster share this machine's memory."""
    from distributed import get_worker

    here = get_worker()
    sharing = max(setup["threads"].get(_host(here.address), 0), here.state.nthreads)  # a worker may have come later
    return limits(sharing, setup["resources"])


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


def _run(setup: dict[str, Any], job: Job) -> Result:
    """In a Dask worker: one case."""
    (result,) = _child(setup).map([job])
    return result


def _tell(setup: dict[str, Any], method: Callable[..., Value], *arguments: Job) -> Value:
    """In a Dask worker: what a method of the child says; what it raises is raised where it was asked."""
    return method(_child(setup), *arguments)
