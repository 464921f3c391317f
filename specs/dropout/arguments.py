"""Studies of what an operator is given: what PyTorch refuses, and p as NumPy has it and where the scale overflows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from keeprate.specs.dropout import reference
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.contracts import CONTRACTS, Contract
from keeprate.specs.dropout.counterexamples import Call, call, mode
from keeprate.specs.dropout.inputs import SHAPES, filled, ordinary
from keeprate.specs.dropout.observations import Calls, Observation, observe, offered
from keeprate.specs.dropout.outcome import exactly
from keeprate.specs.rounding import DTYPES
from keeprate.suite import Case

REFUSED_RATES = (-0.1, -1e-9, 1 + 1e-9, 1.5, float("inf"), float("nan"))
OTHER_DTYPES = ("int32", "int64", "uint8", "bool", "complex64")
RATE = 0.3
SCALARS: tuple[Callable[[float], Any], ...] = (np.float64, np.float32)  # in which p must be taken
MAY_BE_REFUSED: dict[Callable[[float], Any], str] = {
    np.float16: "p as numpy.float16 is refused",  # 2**32 is out of its range
    np.array: "",  # as PyTorch does
}
OVERFLOWING = 1 - 1e-5  # the scale is more than the largest half float
LARGE = 8  # times a probe: divided by 1 − OVERFLOWING it overflows too


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
    refused = [one for one in seen if one.expected is None]  # in whatever words
    taken = offered(one for one in seen if one.expected is not None)
    yield Calls(caller.contract, case.dtype, (*refused, *taken), remark=remark)


def probabilities(case: Case, backend: Any, seed: int) -> Iterator[Calls]:
    """Calls in training with p as NumPy's scalars and arrays, and with a p so near 1 that the scale overflows.

    In p's own type 1/(1 − p) has few digits, and outputs may be as far off; infinity times 0 is NaN. Both are remarked.
    """
    caller = _seeded(case, backend, seed)
    contract, dtype, x = caller.contract, case.dtype, filled(caller.contract, case.dtype, _apart(caller.contract))
    seen, remarks = [], []
    for of_type in (*SCALARS, *MAY_BE_REFUSED):
        p, name = of_type(RATE), f"numpy.{of_type.__name__}"
        rounding = dtype if p.dtype == np.float64 else "bfloat16"
        expected = reference.outcomes(contract, dtype, float(p), x, rounding)
        what = call("training at p = {p} as {type}", p=RATE, type=name)
        one = observe(caller, what, x, expected, partial(caller.call, p=p))
        if one.raised is not None and of_type in MAY_BE_REFUSED:
            remarks.append(MAY_BE_REFUSED[of_type])
        else:
            seen.append(replace(one, p=float(p)))
    if dtype == "float16":
        x, what = LARGE * x, call("training at p = {p}", p=OVERFLOWING)
        expected = reference.outcomes(contract, dtype, OVERFLOWING, x)
        one = observe(caller, what, x, expected, partial(caller.call, p=OVERFLOWING))
        if one.y is not None and np.isinf(expected.kept).any() and np.isnan(one.y).any():
            remarks.append(f"at p = {OVERFLOWING} NaN is dropped, not 0: infinity, the scale in float16, times 0")
            one = replace(one, y=np.where(np.isnan(one.y), 0, one.y))
        seen.append(one)
    yield Calls(contract, dtype, offered(seen), remark="; ".join(filter(None, remarks)) or None)


def _seeded(case: Case, backend: Any, seed: int) -> Caller:
    caller = Caller(backend, CONTRACTS[case.op], case.dtype, case.context)
    caller.seed(seed)
    return caller


def _apart(contract: Contract) -> tuple[int, ...]:
    """A shape of 4,096 mask entries, each of one element."""
    return (64, 64) + (1,) * (max(contract.ranks) - 2)


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
