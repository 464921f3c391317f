"""A worker seen from outside: a child process that takes a message at a time, is held to limits, and can be killed."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import threading
from typing import Any, TypeVar

import msgspec
import psutil

from keeprate.harness.errors import KeeprateError, NoVerdictError, UsageError
from keeprate.harness.evidence.decoding import converted
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.description import AdapterCheck, Picture
from keeprate.harness.protocol.engine import Job, Result
from keeprate.harness.workers.launch import GRACE, Forked, ForkServer, spawned
from keeprate.harness.workers.limits import Limits, size_text
from keeprate.harness.workers.monitor import LimitError, line_of
from keeprate.harness.workers.process_tree import end_all

NO_ANSWER = "the worker process sent a malformed reply"  # the backend has written to its pipe
THREADS = 200  # that a process may gather: beside a thousand, small calls of a framework may take twice the time
Answer = TypeVar("Answer")
OFTEN = 16  # cases between two looks at how many it has, which take a tenth of a millisecond


class ChildDiedError(Exception):
    """The child ended before it answered; says how.

    Args:
        limit: it was ended, because it went beyond a limit.
        kind: what two such ends have in common; `how` unless given.
    """

    def __init__(self, how: str, *, limit: bool, kind: str = "") -> None:
        super().__init__(how)
        self.limit, self.kind = limit, kind or how


class Child:
    """A process that judges; started when first asked, and again when asked after it has ended.

    One thread asks it at a time; another may `kill` it meanwhile.

    Args:
        setup: what it loads: `suite`, the `names` that are asked for, `backend`, None for the reference alone,
            whether the backend is `alone`, without the reference, and the `device` where it computes.
        forks: what it is forked by, where that is possible.
    """

    def __init__(self, setup: dict[str, Any], limits: Limits, forks: ForkServer | None = None) -> None:
        self.serves = False  # it has loaded the backend at least once
        self.lost = ""  # why its device can't be used any more, after the last case
        self._setup = setup
        self._limits = limits
        self._forks = forks
        self._process: subprocess.Popen[bytes] | Forked | None = None
        self._lifeline = -1  # the end of a pipe that closes with this process, however that ends
        self._unread = bytearray()
        self._greeted = False  # the answer to the setup has come
        self._answers = 0
        self._began_with = 0  # threads, at the first look at how many it has; 0 before
        self._mark = secrets.token_hex(8)
        self._killed = False
        self._asking = threading.RLock()

    def start(self) -> None:
        """Lets it load the backend while others do something else; `offers` waits for the answer."""
        with self._asking:
            if not self._killed:
                self._process = self._spawn()
            if self._killed:  # before, or meanwhile by another thread
                self.end()
                raise ChildDiedError("the run was ended", limit=False)
            self._send(self._setup)

    def offers(self) -> tuple[Offer, Offer | None]:
        """What the backend offers, and what the reference does.

        Raises:
            UsageError: there is no such backend.
            NoVerdictError: it can't be loaded.
            ChildDiedError: it takes its process down.
        """
        if self._process is None:
            self.start()
        answer = self._receive(0)
        if "refused" in answer:
            self.end()
            raise (UsageError if answer["code"] == UsageError.exit_code else NoVerdictError)(answer["refused"])
        _pass_on(answer)
        try:
            offers = converted((answer["offer"], answer["reference"]), tuple[Offer, Offer | None])
        except (LookupError, msgspec.ValidationError):
            raise self._death(NO_ANSWER) from None
        self.serves = self._greeted = True
        return offers

    def check(self) -> list[AdapterCheck]:
        """What the suite finds of the adapter alone.

        Raises:
            ChildDiedError: the adapter takes its process down.
        """
        if not self._greeted:
            self.offers()
        answer = self._ask({"check": True}, 0)
        _pass_on(answer)
        return self._converted(answer.get("checks"), list[AdapterCheck])

    def calls(self, names: list[str] | None) -> dict[str, str]:
        """What the suite's calls give, as in `in_order`.

        Raises:
            ChildDiedError: one takes its process down.
        """
        if not self._greeted:
            self.offers()
        answer = self._ask({"in_order": names}, 0)
        _pass_on(answer)
        return self._converted(answer.get("in_order"), dict[str, str])

    def picture(self, job: Job) -> Picture | None:
        """What `job` draws; None if nothing can be shown.

        Raises:
            ChildDiedError: that takes its process down.
        """
        self._load_again()
        answer = self._ask({"picture": msgspec.to_builtins(job)}, job.case.draws)
        if "picture" not in answer:
            raise self._death(NO_ANSWER)
        return None if answer["picture"] is None else self._converted(answer["picture"], Picture)

    def _converted(self, answer: Any, type: type[Answer]) -> Answer:
        """The answer as a `type`; a backend that has written to the pipe may have put anything in its place."""
        try:
            return converted(answer, type)
        except msgspec.ValidationError:
            raise self._death(NO_ANSWER) from None

    def run(self, job: Job) -> Result:
        """What `job` gives.

        Raises:
            ChildDiedError: it takes its process down, or none can be had for it.
        """
        self._load_again()
        answer = self._ask(msgspec.to_builtins(job), job.case.draws)
        if "fault" in answer:  # around the case, for what goes wrong in it is a result already
            last = (str(answer["fault"]).strip().splitlines() or [""])[-1][:200]
            raise self._death(f"keeprate itself failed in this case: {last}")
        try:
            result = result_of(answer, job)
            self.lost, held = converted((answer["lost"], answer["held"]), tuple[str, int])
        except (ValueError, LookupError):  # which a ValidationError is too
            raise self._death(NO_ANSWER) from None
        if held > self._limits.memory:
            how = f"used more than {size_text(self._limits.memory)} of its device's memory (--memory)"
            raise self._death(how, limit=True)
        self._answers += 1
        if self._answers % OFTEN == 0:
            self._renew()
        return result

    def _renew(self) -> None:
        """Ends a process that has gathered threads, as with a framework that keeps one for each that has called it."""
        with contextlib.suppress(psutil.Error):  # it has ended by itself, which the next request finds out
            if process := self._process:
                threads = psutil.Process(process.pid).num_threads()
                self._began_with = self._began_with or threads  # a framework may have a pool as wide as the machine
                if threads - self._began_with > THREADS:
                    self.end()

    def _load_again(self) -> None:
        """Sees to it that the backend is loaded; whether it can be at all was found out before."""
        if self._greeted:
            return
        try:
            self.offers()
        except KeeprateError as refused:
            raise self._death(f"couldn't load the backend again: {refused}") from None
        except ChildDiedError as died:
            raise ChildDiedError(f"couldn't load the backend again: {died}", limit=died.limit, kind=died.kind) from None

    def _spawn(self) -> subprocess.Popen[bytes] | Forked:
        theirs, self._lifeline = os.pipe()
        with os.fdopen(theirs):
            forked = self._forks.fork(self._mark, theirs, self._limits) if self._forks else None
            return forked or spawned("child_main", theirs, mark=self._mark)

    def _ask(self, message: dict[str, Any], draws: int) -> dict[str, Any]:
        with self._asking:
            self._send(message)
            return self._receive(draws)

    def _send(self, message: dict[str, Any]) -> None:
        if self._process is None:
            raise self._death()
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._death() from None

    def _receive(self, draws: int) -> dict[str, Any]:
        with self._asking:
            if self._process is None:
                raise self._death()
            try:
                line = line_of(self._process, self._unread, self._mark, self._limits.for_draws(draws), self._limits)
            except LimitError as limit:
                raise self._death(str(limit), limit=True) from None
            if not line:
                raise self._death()
            try:
                return dict(json.loads(line))
            except (ValueError, TypeError, RecursionError):
                raise self._death(NO_ANSWER) from None

    def _death(self, how: str = "", *, limit: bool = False) -> ChildDiedError:
        """Ends what is left of the process, and says how it ended; `how`, where that is known."""
        process = self._process
        if process is None:
            return ChildDiedError(how or "the worker process was ended", limit=False)
        try:
            process.wait(0 if how else GRACE)
        except subprocess.TimeoutExpired:
            how = how or "the worker process closed its pipe and went on"
        self.end()
        code = process.wait()
        kind, way = f"code {code}", f"exited with code {code}"
        if code < 0:
            kind, way = _signal_name(-code), f"was ended by {_signal_name(-code)}"
        kind = "a limit" if limit else how or kind
        return ChildDiedError(how or f"the worker process {way}", limit=limit, kind=kind)

    def end(self) -> None:
        """Ends the process, if there is one, and what it has started; the next request starts another."""
        with self._asking:
            process, self._process, self._greeted = self._process, None, False
            self._began_with = 0
            if process is None:
                return
            assert process.stdin and process.stdout
            end_all(process.pid, self._mark)
            process.kill()  # which a fork that doesn't lead its group yet has escaped
            process.wait()
            with contextlib.suppress(BrokenPipeError):  # of what was written and never read
                process.stdin.close()
            process.stdout.close()
            os.close(self._lifeline)
            if isinstance(process, Forked):
                process.let_go()
            self._unread.clear()

    def kill(self) -> None:
        """Ends the process for good, whoever waits for its answer; it may be asked twice."""
        self._killed = True
        if process := self._process:
            process.kill()
        self.end()


def _pass_on(answer: dict[str, Any]) -> None:
    """Raises what a worker says is a fault of ours, with its whole traceback."""
    if "fault" in answer:
        raise RuntimeError(f"a fault of keeprate, in a worker:\n{answer['fault']}")


def result_of(answer: dict[str, Any], job: Job) -> Result:
    """The result in a worker's answer.

    Raises:
        ValueError: it is none, or not of `job`: the backend has written to the worker's pipe.
    """
    try:
        result = Result.from_json(answer["result"])
    except (AttributeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"no result: {error!r}") from None
    if (result.role, result.case) != (job.role, job.case.id):
        raise ValueError(f"the result of {result.case}, not of {job.case.id}")
    return result


def _signal_name(number: int) -> str:
    """Real-time signals have no name."""
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
