"""Calls of every kind, each after the same seed: what one gives must not depend on which were made before it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from keeprate.specs.dropout.contracts import CONTRACTS, Contract
from keeprate.specs.dropout.inputs import filled
from keeprate.specs.foreign import dtypes_of
from keeprate.specs.transforms import TRANSFORMS

SEED, RATE = 1, 0.5
Call = Callable[[], str]
Function = Callable[..., Any]


def calls(backend: Any) -> dict[str, Call]:
    """Plain calls and gradients of all operators, then transformed ones; each says what it gave, or raised."""
    there = [
        contract
        for name, contract in CONTRACTS.items()
        if callable(getattr(backend, name, None)) and dtypes_of(backend, name)
    ]
    return {what: call for kinds in (_plain, _transformed) for one in there for what, call in kinds(backend, one)}


def _plain(backend: Any, contract: Contract) -> Iterator[tuple[str, Call]]:
    operator, x = getattr(backend, contract.name), _Input(backend, contract)
    yield contract.name, _said(backend, lambda: operator(x.native(), RATE, True))
    yield f"{contract.name} in evaluation", _said(backend, lambda: operator(x.native(), RATE, False))
    if callable(getattr(backend, "vjp", None)):
        yield f"{contract.name}'s gradient", _said(backend, partial(_gradient, backend, _training(operator), x))


def _transformed(backend: Any, contract: Contract) -> Iterator[tuple[str, Call]]:
    function, x = _training(getattr(backend, contract.name)), _Input(backend, contract)
    for name in TRANSFORMS if not contract.writes else ():
        if not callable(transform := getattr(backend, name, None)):
            continue
        what, mapped = f"{contract.name} under {name}", name == "vmap"
        yield what, _said(backend, partial(_output, transform, function, x, mapped))
        if not mapped and callable(getattr(backend, "vjp", None)):
            yield f"{what}, its gradient", _said(backend, partial(_gradient, backend, function, x, transform))


def _training(operator: Function) -> Function:
    return lambda x: operator(x, RATE, True)


def _output(transform: Function, function: Function, x: _Input, mapped: bool) -> Any:
    return transform(function)(x.native(mapped))


def _gradient(backend: Any, function: Function, x: _Input, transform: Function | None = None) -> Any:
    return backend.vjp(transform(function) if transform else function, x.native(), x.native())[1]


class _Input:
    """An input with an odd number of mask entries, which leaves something over in whatever draws several at once."""

    def __init__(self, backend: Any, contract: Contract) -> None:
        self._backend, self._dtype = backend, dtypes_of(backend, contract.name)[0]
        shape = (33, 31) + (1,) * (max(contract.ranks) - 2)
        x = filled(contract, self._dtype, shape).astype(np.float64 if self._dtype == "float64" else np.float32)
        channel = contract.moved_axis(x.ndim) if backend.layout == "channels_last" else None
        self._x = x if channel is None else np.ascontiguousarray(np.moveaxis(x, channel, -1))

    def native(self, stacked: bool = False) -> Any:
        """A native array, fresh as an operator may write to it; two of them stacked, to be mapped over."""
        x = np.stack([self._x] * 2) if stacked else self._x.copy()
        return self._backend.asarray(x, self._dtype)


def _said(backend: Any, call: Callable[[], Any]) -> Call:
    def said() -> str:
        try:
            backend.seed(SEED)
            values = np.array(backend.asnumpy(call()), order="C")
        except Exception as error:  # noqa: BLE001 - a backend may raise anything, and does so in either order
            return f"raises {type(error).__name__}"  # whose text may tell an address
        if values.dtype.kind != "f":
            return "gives no floats"
        return f"gives output {hashlib.blake2b(values.tobytes(), digest_size=3).hexdigest()}"

    return said
