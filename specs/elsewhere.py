"""Other processes: fresh interpreters that load the same backend and make calls when they are asked to.

Run as `python -P -m specs.elsewhere BACKEND`: a line of JSON on standard input asks for some calls; the answer is a
line of JSON and, if nothing was raised, the outputs as one array in NumPy's own format. Before it reads the first line
it makes a call of each operator, unseeded.
"""

from __future__ import annotations

import functools
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from harness.backend import load_backend, name_of
from harness.case import Case
from harness.errors import BackendError, NotOffered
from specs.bench import Bench, Seen
from specs.contracts import CONTRACTS, Contract
from specs.inputs import filled, thousand

UNSEEDED = 0.5  # the p of the unseeded calls


class Elsewhere:
    """A process of its own with the backend called `name`; it ends when this one does."""

    def __init__(self, name: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "specs.elsewhere", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def calls(self, case: Case, seed: int, number: int) -> list[Seen]:
        """The outputs of `number` calls after seeding there, on the probe values."""
        return self._ask({"case": case.to_json(), "seed": seed, "number": number})

    def unseeded(self, case: Case) -> Seen:
        """What the first call of the operator gave there, before any seeding, on 1,024 mask entries."""
        return self._ask({"case": case.to_json(), "seed": None, "number": 1})[0]

    def _ask(self, question: dict[str, Any]) -> list[Seen]:
        ask, answers = self._process.stdin, self._process.stdout
        assert ask is not None and answers is not None
        try:
            ask.write(json.dumps(question).encode() + b"\n")
            ask.flush()
            head = json.loads(answers.readline() or '{"raised": "it ended"}')
        except BrokenPipeError:
            head = {"raised": "it ended"}
        if "raised" in head:
            raise BackendError(f"in another process: {head['raised']}")
        array = np.load(io.BytesIO(answers.read(head["bytes"])), allow_pickle=False)
        return [Seen(values, head["dtype"]) for values in array]


def two(backend: Any) -> tuple[Elsewhere, Elsewhere]:
    """Two other processes with `backend`, the same ones whenever they are asked for.

    Raises:
        NotOffered: the backend is an object that only this process has.
    """
    name = name_of(backend)
    if not name:
        raise NotOffered("an object can't be loaded in another process: judge a backend that has a name")
    return _two(name)


@functools.cache
def _two(name: str) -> tuple[Elsewhere, Elsewhere]:
    return Elsewhere(name), Elsewhere(name)


def main() -> None:
    """Answers every line of standard input, until it ends."""
    source = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "wb")
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)  # whatever the backend prints goes where the errors go
    sys.path.append(os.getcwd())
    backend = load_backend(sys.argv[1])
    first = {(op, dtype): outputs for op, dtype, outputs in _unseeded(backend)}
    for line in source:
        question = json.loads(line)
        case, seed = Case.from_json(question["case"]), question["seed"]
        try:
            if seed is None:
                outputs = first[case.op, case.dtype]
            else:
                outputs = _calls(Bench(backend, CONTRACTS[case.op], case.dtype), case, seed, question["number"])
            if isinstance(outputs, BackendError):
                raise outputs
        except BackendError as error:
            answers.write(json.dumps({"raised": str(error)}).encode() + b"\n")
        else:
            _send(answers, outputs)
        answers.flush()


def _unseeded(backend: Any) -> Iterator[tuple[str, str, list[Seen] | BackendError]]:
    for op, contract in CONTRACTS.items():
        for dtype in backend.dtypes if hasattr(backend, op) else ():
            yield op, dtype, _first(Bench(backend, contract, dtype))


def _first(bench: Bench) -> list[Seen] | BackendError:
    try:
        return [bench.seen(bench.call(bench.native(_small(bench.contract, bench.dtype)), UNSEEDED))]
    except BackendError as error:
        return error


def _small(contract: Contract, dtype: str) -> Any:
    return filled(contract, dtype, thousand(contract))


def _calls(bench: Bench, case: Case, seed: int, number: int) -> list[Seen]:
    assert case.p is not None
    x = filled(bench.contract, case.dtype, case.shape)
    bench.seed(seed)
    natives = (bench.native(x) for _ in range(number))  # one each, for the operator may write to it
    return [bench.seen(bench.call(native, case.p)) for native in natives]


def _send(answers: IO[bytes], outputs: list[Seen]) -> None:
    array = io.BytesIO()
    np.save(array, np.stack([one.values for one in outputs]), allow_pickle=False)
    answers.write(json.dumps({"dtype": outputs[0].dtype, "bytes": array.tell()}).encode() + b"\n")
    answers.write(array.getbuffer())


if __name__ == "__main__":
    main()
