"""Runs jobs: in killable child processes, or in this one for a backend that is an object."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, Protocol

from harness import backend as backends
from harness.backend import Offer
from harness.engine import Job, Result, picture, run
from harness.errors import NoVerdictError, UsageError
from harness.limits import Limits, Watch
from harness.offspring import MARK, end_all
from harness.suite import Look, Suite

# The workers themselves use the cores; and no result may depend on how many there are.
SINGLE_THREADED = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
LONGEST = 1 << 24  # characters of an answer: a thousand times what a case gives
NO_ANSWER = "the worker process gave an answer that is none"  # the backend has written to its pipe
GRACE = 2.0  # seconds between the end of the answers and the end of the process
AHEAD = 2  # jobs that are taken for each child, so that none waits while results are looked at


class Runner(Protocol):
    """Whatever runs jobs."""

    isolated: bool
    count: int

    def offers(self) -> tuple[Offer, Offer | None]:
        """What the backend offers, and what the reference does, if the suite has one."""

    def check(self) -> list[Look]:
        """What the suite finds of the adapter alone."""

    def map(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Results in whatever order they come."""

    def picture(self, job: Job) -> list[str]:
        """Lines of text that show what `job` draws; none if nothing can be shown."""

    def close(self) -> None:
        """Ends everything that was started."""


class _ChildDiedError(Exception):
    """The child ended before it answered; says how.

    Args:
        limit: it was ended, because it went beyond a limit.
    """

    def __init__(self, how: str, *, limit: bool) -> None:
        super().__init__(how)
        self.limit = limit


class _Child:
    """A spawned process that takes one message at a time and can be killed; started when first asked."""

    def __init__(self, setup: dict[str, Any], limits: Limits) -> None:
        self._setup = setup
        self._limits = limits
        self._process: subprocess.Popen[str] | None = None
        self._greeted = False  # the answer to the setup has come
        self._mark = secrets.token_hex(8)
        self._closed = False
        self._clearing = threading.Lock()
        self._lifeline, self._alive = os.pipe()  # its end that stays here closes with this process, however that ends

    def start(self) -> None:
        """Lets it load the backend while others do something else; `offers` waits for the answer."""
        if self._closed:
            raise _ChildDiedError("the run was ended", limit=False)
        self._process = self._spawn()
        self._send(self._setup)

    def offers(self) -> tuple[Offer, Offer | None]:
        if self._process is None:
            self.start()
        answer = self._receive(self._limits.for_draws(0))
        try:
            offer, reference = Offer.from_json(answer["offer"]), answer["reference"]
            offers = offer, Offer.from_json(reference) if reference else None
        except (AttributeError, LookupError, TypeError):
            raise self._death(NO_ANSWER) from None
        self._greeted = True
        return offers

    def check(self) -> list[Look]:
        if not self._greeted:
            self.offers()
        self._send({"check": True})
        return [Look(**look) for look in self._receive(self._limits.for_draws(0))["looks"]]

    def picture(self, job: Job) -> list[str]:
        if not self._greeted:
            self.offers()
        self._send({"picture": job.to_json()})
        lines: list[str] = self._receive(self._limits.for_draws(job.case.draws))["lines"]
        return lines

    def run(self, job: Job) -> Result:
        if not self._greeted:
            self.offers()
        self._send(job.to_json())
        answer = self._receive(self._limits.for_draws(job.case.draws))
        try:
            return result_of(answer, job)
        except ValueError:
            raise self._death(NO_ANSWER) from None

    def _spawn(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.child", str(self._lifeline)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a backend may print without end
            text=True,
            encoding="utf-8",
            errors="replace",  # in what a backend may have written to the pipe
            env={**os.environ, **SINGLE_THREADED, MARK: self._mark},
            pass_fds=[self._lifeline],
            start_new_session=True,  # a group of its own, so that what it starts ends with it, and Ctrl-C is ours
        )

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process is not None and self._process.stdin
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._death() from None

    def _receive(self, seconds: float) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout
        with Watch(self._process.pid, seconds, self._limits.memory, self._end) as watch:
            line = self._process.stdout.readline(LONGEST)
        if watch.exceeded:
            raise self._death(watch.exceeded, limit=True)
        if not line:
            raise self._death()
        try:
            answer = dict(json.loads(line))
        except (ValueError, TypeError, RecursionError):
            raise self._death(NO_ANSWER) from None
        if "fault" in answer:
            raise RuntimeError(f"a fault of keeprate, in a worker:\n{answer['fault']}")
        if "refused" in answer:
            raise (UsageError if answer["code"] == UsageError.exit_code else NoVerdictError)(answer["refused"])
        return answer

    def _end(self) -> None:
        """Kills the process and everything that it has started."""
        if process := self._process:
            end_all(process.pid, self._mark)

    def _death(self, how: str = "", *, limit: bool = False) -> _ChildDiedError:
        """Ends what is left of the process, and says how it ended; `how`, where that is known."""
        process = self._process
        if process is None:
            return _ChildDiedError("the worker process was ended", limit=False)
        try:
            process.wait(0 if how else GRACE)
        except subprocess.TimeoutExpired:
            how = how or "the worker process closed its pipe and went on"
        self._clear()
        code = process.returncode
        ended = f"was ended by {_signal_name(-code)}" if code < 0 else f"exited with code {code}"
        return _ChildDiedError(how or f"the worker process {ended}", limit=limit)

    def _clear(self) -> None:
        """Ends the process, if there is one; what it started may still be there without it."""
        with self._clearing:  # a run that is interrupted ends what a thread is still waiting for
            process, self._process, self._greeted = self._process, None, False
            if process is None:
                return
            assert process.stdin and process.stdout
            end_all(process.pid, self._mark)
            process.wait()
            with contextlib.suppress(BrokenPipeError):  # of what was written and never read
                process.stdin.close()
            process.stdout.close()

    def kill(self) -> None:
        """Ends the process for good; it may be asked twice."""
        self._closed, before = True, self._closed
        self._clear()
        if not before:
            os.close(self._lifeline)
            os.close(self._alive)


def result_of(answer: dict[str, Any], job: Job) -> Result:
    """The result in a worker's answer.

    Raises:
        ValueError: it is none, or not of `job`: the backend has written to the worker's pipe.
    """
    try:
        result = Result.from_json(answer["result"])
        texts = [result.error, *result.unreadable.values(), *result.not_offered.values()]
    except (AttributeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"no result: {error!r}") from None
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("no result: its reasons are no texts")
    if (result.role, result.case) != (job.role, job.case.id):
        raise ValueError(f"the result of {result.case}, not of {job.case.id}")
    return result


def _signal_name(number: int) -> str:
    """Real-time signals have no name."""
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


class _Patience:
    """How many workers were lost, and when that is enough: one takes seconds to replace, and minutes to wait for.

    An operator is given up after eight lost workers, or three that had to be ended at a limit; the whole backend, if no
    case has given an answer by then.
    """

    ENOUGH, LIMIT = 8, 3

    def __init__(self) -> None:
        self.answered = False
        self._lost: Counter[tuple[str, str]] = Counter()
        self._last = ""

    def note(self, job: Job, how: _ChildDiedError) -> None:
        """Takes a lost worker."""
        self._lost[job.role, job.case.op] += self.ENOUGH // self.LIMIT + 1 if how.limit else 1
        self._last = str(how)

    def ended(self, job: Job) -> str:
        """Why `job` is not to be run; empty if it is."""
        if not self.answered and self._lost.total() >= self.ENOUGH:
            return f"given up: every case so far ended the same way; the last one {self._last}"
        if self._lost[job.role, job.case.op] >= self.ENOUGH:
            return f"given up: too many cases of {job.case.op} ended their worker; the last one {self._last}"
        return ""


class Children:
    """`count` child processes that judge the backend called `backend`."""

    isolated = True

    def __init__(self, backend: str, suite: str, names: Iterable[str], count: int, limits: Limits) -> None:
        setup = {"backend": backend, "suite": suite, "names": sorted(names)}
        self.count = count
        self._name = backend
        self._patience = _Patience()
        self._children = [_Child(setup, limits) for _ in range(count)]

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

    def check(self) -> list[Look]:
        """What the suite finds of the adapter alone.

        Raises:
            NoVerdictError: the adapter takes its process down.
        """
        try:
            return self._children[0].check()
        except _ChildDiedError as how:
            raise NoVerdictError(f"backend {self._name} can't be checked: {how}") from None

    def run(self, job: Job) -> Result:
        """One job, on the first child, whatever became of others before."""
        try:
            return self._children[0].run(job)
        except _ChildDiedError as how:
            return Result(job.role, job.case.id, error=str(how))

    def picture(self, job: Job) -> list[str]:
        """Lines of text that show what `job` draws; none if it takes its process down."""
        try:
            return self._children[0].picture(job)
        except _ChildDiedError:
            return []

    def map(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Runs `jobs` on all children, each taken when a child is about to be free; results as they come."""
        idle: queue.SimpleQueue[_Child] = queue.SimpleQueue()
        for child in self._children:
            idle.put(child)

        def work(job: Job) -> Result:
            child = idle.get()
            try:
                if self._patience.ended(job):
                    return Result(job.role, job.case.id, error=self._patience.ended(job))
                result = child.run(job)
                self._patience.answered = True
            except _ChildDiedError as how:
                self._patience.note(job, how)
                result = Result(job.role, job.case.id, error=str(how))
            finally:
                idle.put(child)
            return result

        with ThreadPoolExecutor(len(self._children)) as threads:
            ahead = iter(jobs)
            running: set[Future[Result]] = set()
            try:
                while running := running | {
                    threads.submit(work, job) for job in islice(ahead, AHEAD * self.count - len(running))
                }:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
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

    def check(self) -> list[Look]:
        """What the suite finds of the adapter alone."""
        return list(self._suite.check(self._backends["backend"]))

    def map(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Runs `jobs` one after another."""
        for job in jobs:
            yield run(self._suite, self._backends[job.role], job)

    def picture(self, job: Job) -> list[str]:
        """Lines of text that show what `job` draws."""
        return picture(self._suite, self._backends[job.role], job)

    def close(self) -> None:
        """Nothing was started."""
