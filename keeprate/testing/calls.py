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

# Third parameters that a mode isn't to be given for.
NO_MODE = (
    "seed",
    "key",
    "rng",
    "generator",
    "mask",
    "scale",
    "inplace",
    "offset",
    "deterministic",
    "inference",
    "eval",
)
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
        raise UsageError(f"{shown(fn)} is a layer with a p of its own: give its class, {type(fn).__name__}")
    found = _layered(fn) if inspect.isclass(inner) else _function(fn)
    if context is None:
        return found
    enter = _entering(context)

    def within(*arguments: Any, **options: Any) -> Any:
        with enter():
            return found.operator(*arguments, **options)

    return Called(within, found.inplace, found.layer, found.forget)


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
    name, parameters = name_of(fn), signature.parameters
    places = [
        one for one in parameters.values() if one.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    ]
    needed = [one.name for one in places if one.default is Parameter.empty]
    needed += [
        one.name for one in parameters.values()
        if one.kind is Parameter.KEYWORD_ONLY and one.default is Parameter.empty and "train" not in one.name
    ]  # fmt: skip
    wrap = f"wrap it: lambda x, p, train: {name}(…)"
    if any(one.kind is Parameter.VAR_POSITIONAL for one in parameters.values()):
        return Called(fn)
    if len(places) == 1 and (made := _made(fn)) is not None:
        return made
    if len(places) < 2:
        raise UsageError(f"{name}{signature} takes no p: it is called as {name}(x, p, train); {wrap}")
    if "keep" in places[1].name:
        raise UsageError(f"{name}{signature}: p is the probability of dropping, not of keeping; {wrap}")
    if len(needed) > 3 or any(word in needed[2:] for word in NO_MODE):
        raise UsageError(f"{name}{signature} can't be called as {name}(x, p, train); {wrap}")
    mode = next(
        (one for one in parameters.values() if one.kind is Parameter.KEYWORD_ONLY and "train" in one.name), None
    )
    if mode is not None:
        operator: Operator = lambda x, p, train, **options: fn(x, p, **{mode.name: train}, **options)  # noqa: E731
    elif len(places) > 2 and (places[2].name in needed or "train" in places[2].name):
        operator = fn
    else:
        operator = _untold(fn, f"{name}{signature} is told no mode")
    return Called(operator, inplace="inplace" in parameters)


def _untold(fn: Callable[..., Any], reason: str) -> Operator:
    """`fn(x, p)`, which has no evaluation."""

    def operator(x: Any, p: float, train: bool, **options: Any) -> Any:
        if not train:
            raise NotImplementedError(reason)
        return fn(x, p, **options)

    return operator


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


def refused(name: str, error: BaseException, on: str, shape: tuple[int, ...]) -> NoVerdictError:
    """Why a first call says nothing."""
    return NoVerdictError(
        f"{name} raised {briefly(error)}, called with an array of {on} of shape {shape}, p = {RATE}, in training"
    )
