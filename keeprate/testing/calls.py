"""One function as an operator `(x, p, train)`: how it wants to be called, and layers and factories of layers."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

from keeprate.harness.errors import NoVerdictError, UsageError
from keeprate.harness.untrusted_text import briefly, shown
from keeprate.testing.asking import RATE
from keeprate.testing.names import name_of
from keeprate.testing.parameters import MODES, RATES, refuse_opposites

Operator = Callable[..., Any]
Context = AbstractContextManager[Any] | Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Called:
    """A function as an operator.

    Args:
        operator: called as `(x, p, train)`, and with `inplace=True` where that is offered.
        inplace: whether it is.
        layer: makes a layer of p, where that was given.
        forget: lets layers be made again.
    """

    operator: Operator
    inplace: bool = False
    layer: Callable[[float], Any] | None = None
    forget: Callable[[], None] = lambda: None


def called(fn: Callable[..., Any], context: Context | None = None) -> Called:
    """How `fn` is called, in `context`.

    Raises:
        UsageError: it can't be called as an operator, or makes no layer.
    """
    if not callable(fn):
        raise UsageError(
            f"{shown(fn)} can't be called: assert_dropout takes a function (x, p, train), or a layer's class"
        )
    inner = getattr(fn, "func", fn)
    if not inspect.isclass(inner) and callable(getattr(fn, "train", None)) and callable(getattr(fn, "eval", None)):
        raise UsageError(f"{shown(fn)} is a layer with a p of its own: give {_factory(type(fn))}")
    found = _layered(fn) if inspect.isclass(inner) else _function(fn)
    if context is None:
        return found
    enter = _entering(context)

    def within(*arguments: Any, **options: Any) -> Any:
        with enter():
            return found.operator(*arguments, **options)

    return Called(within, found.inplace, found.layer, found.forget)


def _factory(layer: type) -> str:
    """What makes layers like one of this class, in words."""
    first = next(iter(inspect.signature(layer).parameters), "")
    made = f"what makes it of p, lambda p: {layer.__name__}(…)"
    return f"its class, {layer.__name__}" if first in RATES else made


def _entering(context: Context) -> Callable[[], AbstractContextManager[Any]]:
    if isinstance(context, contextlib._GeneratorContextManager):
        raise UsageError("context is used up after one call: give the function that makes it, without parentheses")
    if isinstance(context, AbstractContextManager):
        return lambda: context
    if not callable(context):
        raise UsageError(f"context = {shown(context)} is neither a context manager nor a function that returns one")
    return context


def _function(fn: Callable[..., Any]) -> Called:
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):  # some functions in C don't say
        return Called(fn)
    name, parameters = name_of(fn), [*signature.parameters.values()]
    wrap = f"wrap it: lambda x, p, train: {name}(…)"
    if any(one.kind is Parameter.VAR_POSITIONAL for one in parameters):
        return Called(fn)
    places = [one for one in parameters if one.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)]
    named = [one for one in parameters if one.kind is Parameter.KEYWORD_ONLY]
    rate = next((one for one in (*places[1:2], *named) if one in places or one.name in RATES), None)
    mode = next((one for one in (*places[2:], *named) if one.name in MODES), None)
    if len(places) == 1 and rate is None and (made := _made(fn)) is not None:
        return made
    refuse_opposites(name, [*places[1:], *named], wrap)
    if not places or rate is None:
        raise UsageError(f"{name}{signature} takes no p: it is called as {name}(x, p, train); {wrap}")
    needed = [one for one in (*places[1:], *named) if one.default is Parameter.empty or one is rate]
    if strange := [one.name for one in needed if one is not mode and (one is not rate or rate.name not in RATES)]:
        raise UsageError(
            f"{name}{signature} can't be called as {name}(x, p, train): '{strange[0]}' is neither a name of p "
            f"({', '.join(RATES)}) nor one of the mode ({', '.join(MODES)}); {wrap}"
        )
    inplace = "inplace" in signature.parameters
    if [rate, mode] == places[1:3]:
        return Called(fn, inplace)

    def operator(x: Any, p: float, train: bool, **options: Any) -> Any:
        if mode is not None:
            options[mode.name] = train
        elif not train:
            raise NotImplementedError(f"{name}{signature} is told no mode")
        return fn(x, p, **options) if rate in places else fn(x, **{rate.name: p}, **options)

    return Called(operator, inplace)


def _made(factory: Callable[..., Any]) -> Called | None:
    """What a function of p makes, if that is a layer."""
    try:
        layer = factory(RATE)
    except Exception:  # noqa: BLE001 - it is a function of x: which says so in its own words
        return None
    return _layered(factory) if callable(layer) else None


def _layered(factory: Callable[..., Any]) -> Called:
    """Layers, one for each p; each is switched before it is called."""
    try:
        layer = factory(RATE)
    except Exception as error:
        raise UsageError(f"{name_of(factory)}({RATE}) did not make a layer: it raised {briefly(error)}") from error
    if not callable(layer):
        raise UsageError(f"{name_of(factory)}({RATE}) makes {shown(layer)}, which can't be called")
    modes = callable(getattr(layer, "train", None)) and callable(getattr(layer, "eval", None))
    made = functools.lru_cache(maxsize=64)(factory)

    def operator(x: Any, p: float, train: bool) -> Any:
        layer = made(p) if type(p) is float else factory(p)
        if modes:
            (layer.train if train else layer.eval)()
        elif not train:
            raise NotImplementedError(f"a layer of {name_of(factory)} has no train() and eval()")
        return layer(x)

    return Called(operator, layer=factory if modes else None, forget=made.cache_clear)


def refused(name: str, error: BaseException, on: str, shape: tuple[int, ...], hint: str) -> NoVerdictError:
    """Why a first call says nothing."""
    return NoVerdictError(
        f"{name} raised {briefly(error)}, called with an array of {on} of shape {shape}, p = {RATE}, in training{hint}"
    )
