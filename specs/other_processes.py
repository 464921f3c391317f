"""Other processes: fresh interpreters that load the same backend and make calls when they are asked to.

Each runs as `python -P -m keeprate.specs.SUITE.other_process BACKEND`, where a suite says how it makes calls: a line of
JSON on standard input asks for some; the answer is a line of JSON and, if nothing was raised, the outputs as one array
in NumPy's own format. A crash or a hang there is an error of the case that asked: nothing is called on behalf of
another, and the next case finds other processes.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np

from keeprate.specs.foreign import Seen
from keeprate.suite import BackendError, Case, NotOffered, load_backend, load_suite, name_of

TOGETHER = 16  # calls that another process makes at a time
Calls = Callable[[Any, Case, int | None, int], list[Seen]]  # of a backend, as a case says, after a seed, so many


class OtherProcess:
    """A process of its own with the backend called `name`, which a suite calls; it ends when this one does."""

    def __init__(self, suite: str, name: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"keeprate.specs.{suite}.other_process", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    @property
    def alive(self) -> bool:
        """False once it has ended."""
        return self._process.poll() is None

    def calls(self, case: Case, seed: int, number: int) -> list[Seen]:
        """The outputs of `number` calls after seeding there."""
        return self._ask({"case": msgspec.to_builtins(case), "seed": seed, "number": number})

    def unseeded(self, case: Case) -> Seen:
        """What a call of the operator gives there without seeding."""
        return self._ask({"case": msgspec.to_builtins(case), "seed": None, "number": 1})[0]

    def end(self) -> None:
        """Ends it; what was asked of it is lost."""
        self._process.kill()
        self._process.wait()
        for pipe in filter(None, (self._process.stdin, self._process.stdout)):
            with contextlib.suppress(BrokenPipeError):  # of what was written and never read
                pipe.close()

    def _ask(self, request: dict[str, Any]) -> list[Seen]:
        ask, answers = self._process.stdin, self._process.stdout
        assert ask is not None and answers is not None
        try:
            ask.write(json.dumps(request).encode() + b"\n")
            ask.flush()
            line = answers.readline()
            head = dict(json.loads(line)) if line else {}
            array = np.load(io.BytesIO(answers.read(head["bytes"])), allow_pickle=False) if "bytes" in head else ()
            seen = [Seen(values, head["dtype"]) for values in array]
        except BrokenPipeError:
            line, head, seen = b"", {}, []
        except (EOFError, LookupError, TypeError, ValueError):  # the backend has written to its pipe
            head, seen = {}, []
        if "lacking" in head:
            raise NotOffered(str(head["lacking"]))
        if "raised" in head:
            raise BackendError(f"in another process: {head['raised']}", str(head["kind"]))
        if not seen:
            self.end()
            raise BackendError(f"in another process: {'it sent a malformed reply' if line else 'it ended'}")
        return seen


_pairs: dict[tuple[str, str, str], tuple[OtherProcess, OtherProcess]] = {}


def two(suite: str, backend: Any) -> tuple[OtherProcess, OtherProcess]:
    """Two other processes with `backend`, the same ones whenever they are asked for, unless one has ended.

    Those that were asked without a seed before, if there are no others yet.

    Raises:
        NotOffered: the backend is an object that only this process has.
    """
    return _pair(suite, backend, "seeded")


def two_unseeded(suite: str, backend: Any) -> tuple[OtherProcess, OtherProcess]:
    """The same, for calls that no seeding has gone before; once they are seeded there are two others.

    Raises:
        NotOffered: the backend is an object that only this process has.
    """
    return _pair(suite, backend, "unseeded")


def _pair(suite: str, backend: Any, kind: str) -> tuple[OtherProcess, OtherProcess]:
    name = name_of(backend)
    if not name:
        raise NotOffered("an object can't be loaded in another process: judge a backend that has a name")
    pair = _pairs.get((suite, name, kind)) or _pairs.pop((suite, name, "unseeded"), None)
    if pair is None or not all(one.alive for one in pair):
        for one in pair or ():
            one.end()
        pair = OtherProcess(suite, name), OtherProcess(suite, name)
    _pairs[suite, name, kind] = pair
    return pair


def by_turns(suite: str, backend: Any, case: Case, entries: int, seed: int) -> Iterator[list[Seen]]:
    """Outputs of calls after neighbouring seeds in two other processes, one's and the other's by turns.

    After seeds n and n + 1 of an even n and of an odd one, since two seeds may be rounded to one either way.

    Args:
        entries: of one mask; as many calls are made as the case's draws take.

    Raises:
        NotOffered: the backend is an object that only this process has.
    """
    one, other = two(suite, backend)
    left, base = -(-case.draws // entries), seed >> 1
    together = min(TOGETHER, -(-left // 2))
    while left > 0:
        number = min(together, left)
        pairs = zip(one.calls(case, base, number), other.calls(case, base + 1, number), strict=True)
        yield [output for pair in pairs for output in pair]
        left, base = left - number, base + 3


def serve(suite: str, calls: Calls) -> None:
    """Answers every line of standard input, until it ends; for a process that was started to do so."""
    source = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "wb")
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)  # whatever the backend prints goes where the errors go
    with contextlib.suppress(FileNotFoundError):  # as in the worker
        sys.path.append(os.getcwd())
    process = os.getpid()
    backend = load_backend(sys.argv[1], load_suite(suite))
    for line in source:
        request = json.loads(line)
        case = msgspec.convert(request["case"], Case)
        try:
            answer = _packed(calls(backend, case, request["seed"], request["number"]))
        except BackendError as error:
            answer = json.dumps({"raised": str(error), "kind": error.kind}).encode() + b"\n"
        except NotOffered as reason:
            answer = json.dumps({"lacking": str(reason)}).encode() + b"\n"
        if os.getpid() != process:  # a copy of this process, which the backend made and let go on
            os._exit(0)
        answers.write(answer)
        answers.flush()


def _packed(outputs: list[Seen]) -> bytes:
    array = io.BytesIO()
    np.save(array, np.stack([one.values for one in outputs]), allow_pickle=False)
    head = json.dumps({"dtype": outputs[0].dtype, "bytes": array.tell()}).encode()
    return head + b"\n" + array.getvalue()
