"""Calls in forked processes, of a backend that says that it can be forked."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from keeprate.specs.dropout import reference
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.counterexamples import call
from keeprate.specs.dropout.inputs import EVEN, filled, thousand
from keeprate.specs.dropout.observations import Calls, Observation, Relation
from keeprate.suite import BackendError, Case, NotOffered

SECONDS = 20  # that a call in a forked process may take


def forked(case: Case, backend: Any, seed: int) -> Iterator[Calls]:
    """A call in each of two forked processes, and one in their parent.

    Raises:
        NotOffered: this system has no fork.
    """
    if not hasattr(os, "fork"):
        raise NotOffered("this system can't fork a process")
    contract = CONTRACTS[case.op]
    caller = Caller(backend, contract, case.dtype)
    x = filled(contract, case.dtype, thousand(contract))
    expected = reference.outcomes(contract, case.dtype, EVEN, x)

    def observed(relation: Relation, what: str, y: Any) -> Observation:
        return Observation(call(what), x, y, None, case.dtype, x, expected, relation)

    caller.seed(seed)
    caller.call(caller.native(x), EVEN)
    one, other = (_in_a_fork(caller, x) for _ in range(2))
    own = caller.values(caller.call(caller.native(x), EVEN))
    seen = (
        observed("", "in a forked process", one),
        observed("other", "in another forked process", other),
        observed("other", "in the parent", own),
        observed("", "in the parent", own),
        observed("other", "in the second forked process", other),
    )
    yield Calls(contract, case.dtype, seen)


def _in_a_fork(caller: Caller, x: Any) -> Any:
    """The values of a call in a process that is forked from this one, channels first.

    Raises:
        BackendError: it gave no answer.
    """
    given, taken = os.pipe()
    process = os.fork()
    if process == 0:
        with contextlib.suppress(BaseException):  # whatever happens, this copy of the judge goes no further
            os.write(taken, caller.values(caller.call(caller.native(x), EVEN)).tobytes())
        os._exit(0)
    os.close(taken)
    answer, until = b"", time.monotonic() + SECONDS
    try:
        while select.select([given], [], [], max(0.0, until - time.monotonic()))[0]:
            if not (part := os.read(given, x.nbytes)):
                break
            answer += part
    finally:
        os.close(given)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    if len(answer) != x.nbytes:
        raise BackendError(f"a forked process gave no answer in {SECONDS} s", "no answer")
    return np.frombuffer(answer).reshape(x.shape)
