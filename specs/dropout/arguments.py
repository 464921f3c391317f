"""Studies of what an operator is given: what PyTorch refuses, and some beside that it takes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from keeprate.specs.dropout import reference
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.counterexamples import Call, call, mode
from keeprate.specs.dropout.inputs import SHAPES, filled, ordinary
from keeprate.specs.dropout.observations import Calls, Observation, observe
from keeprate.specs.dropout.outcome import exactly
from keeprate.specs.dropout.rounding import DTYPES
from keeprate.suite import Case

REFUSED_RATES = (-0.1, -1e-9, 1 + 1e-9, 1.5, float("inf"), float("nan"))
OTHER_DTYPES = ("int32", "int64", "uint8", "bool", "complex64")
RATE = 0.3


def arguments(case: Case, backend: Any, seed: int) -> Iterator[Calls]:
    """Calls that PyTorch refuses, and some beside them that it takes; other dtypes are asked for once."""
    caller = _seeded(case, backend, seed)
    seen = [*_rates_and_ranks(caller)]
    ones, unmade = np.ones(ordinary(caller.contract)), []
    for name in OTHER_DTYPES if case.dtype == DTYPES[0] else ():
        native = caller.of_dtype(ones, name)
        if native is None:
            unmade.append(name)
        elif reference.refuses(caller.contract, name, RATE, ones.shape, train=True):
            what = call("{dtype} input, training at p = {p}", dtype=name, p=RATE)
            seen.append(Observation(what, ones, None, caller.refusal(native, RATE), "", ones, None))
    remark = f"asarray makes no inputs of {', '.join(unmade)}" if unmade else None
    yield Calls(caller.contract, case.dtype, tuple(seen), remark=remark)


def _seeded(case: Case, backend: Any, seed: int) -> Caller:
    caller = Caller(backend, CONTRACTS[case.op], case.dtype, case.context)
    caller.seed(seed)
    return caller


def _rates_and_ranks(caller: Caller) -> Iterator[Observation]:
    shape = ordinary(caller.contract)
    for train in (True, False):
        for p in (*REFUSED_RATES, 0.0, RATE, 1.0, 0, 1):
            yield _refusal(caller, call("p = {p}, {mode}", p=p, mode=mode(train)), shape, p, train)
        for rank in caller.contract.refused:
            what = call("rank {rank}, {mode}", rank=rank, mode=mode(train))
            yield _refusal(caller, what, SHAPES[rank][0], RATE, train)


def _refusal(caller: Caller, what: Call, shape: tuple[int, ...], p: float, train: bool) -> Observation:
    x = filled(caller.contract, caller.dtype, shape)
    refused = reference.refuses(caller.contract, caller.dtype, p, shape, train)
    return observe(caller, what, x, None if refused else exactly(x), partial(caller.call, p=p, train=train))
