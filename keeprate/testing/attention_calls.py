"""One function as attention `(q, k, v, p, causal, train)` of (B, H, L, D): how it wants to be called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Any

from keeprate.harness.errors import UsageError
from keeprate.harness.untrusted_text import shown
from keeprate.testing.names import name_of
from keeprate.testing.parameters import MODES, RATES, refuse_opposites

HIDING = ("causal", "is_causal")
PYTORCHS = "scaled_dot_product_attention"  # written in C, which doesn't say its parameters
LAYOUTS = ("bhsd", "bshd")  # of arrays: batch, heads, sequence, channels
ARGUMENTS = "q, k, v, p, causal, train"
Function = Callable[..., Any]


def attention_of(fn: Function, layout: str, *, causal: bool, grouped: bool) -> Function:
    """`fn` as a backend has it.

    Args:
        layout: "bhsd" or "bshd".
        causal: whether it has a causal mask.
        grouped: whether heads may share keys.

    Raises:
        UsageError: it can't be called, has no p, or has parameters that aren't understood.
    """
    call = _called(fn)

    def attention(q: Any, k: Any, v: Any, p: float, hidden: bool, train: bool) -> Any:
        if hidden and not causal:
            raise NotImplementedError("causal=False: it has no causal mask")
        shared = q.shape[1] != k.shape[1]
        if shared and not grouped:
            raise NotImplementedError("grouped=False: it takes no groups of heads")
        if layout == "bhsd":
            return call(q, k, v, p, hidden, train, shared)
        out = call(*(x.swapaxes(1, 2) for x in (q, k, v)), p, hidden, train, shared)
        return out.swapaxes(1, 2) if getattr(out, "ndim", 0) > 2 else out  # else it is no such array

    return attention


def _called(fn: Function) -> Function:
    """`fn` of (q, k, v, p, causal, train, shared), with its own names of these."""
    if not callable(fn):
        raise UsageError(f"{shown(fn)} can't be called: it is to be a function of queries, keys and values")
    name, parameters = name_of(fn), _parameters(fn)
    wrap = f"wrap it: lambda {ARGUMENTS}: {name}(…)"
    refuse_opposites(name, [*parameters.values()], wrap)
    rate, hiding, mode = (next((one for one in parameters if one in known), "") for known in (RATES, HIDING, MODES))
    if strange := [one.name for one in parameters.values() if _is_needed(one) and one.name not in (rate, hiding, mode)]:
        raise UsageError(
            f"{name} can't be called as {name}({ARGUMENTS}): '{strange[0]}' is neither a name of p ({', '.join(RATES)})"
            f", nor of the causal flag ({', '.join(HIDING)}), nor of the mode ({', '.join(MODES)}); {wrap}"
        )
    if not rate and all(one.kind is not Parameter.VAR_POSITIONAL for one in parameters.values()):
        raise UsageError(f"{name} has no p: none of its parameters is called {', '.join(RATES)}; {wrap}")

    def call(q: Any, k: Any, v: Any, p: float, causal: bool, train: bool, shared: bool) -> Any:
        if not rate:
            return fn(q, k, v, p, causal, train)
        options: dict[str, Any] = {rate: p if train or mode else 0.0}
        if mode:
            options[mode] = train
        if hiding:
            options[hiding] = causal
        elif causal:
            raise NotImplementedError(f"{name} has no parameter for a causal mask")
        if "enable_gqa" in parameters:
            options["enable_gqa"] = shared
        return fn(q, k, v, **options)

    return call


def _parameters(fn: Function) -> Mapping[str, Parameter]:
    """Those behind queries, keys and values."""
    try:
        found = [*inspect.signature(fn).parameters.values()]
    except (TypeError, ValueError):  # some functions in C don't say
        if name_of(fn) != PYTORCHS:
            return {"any": Parameter("any", Parameter.VAR_POSITIONAL)}
        names = ("dropout_p", "is_causal", "enable_gqa")
        return {name: Parameter(name, Parameter.KEYWORD_ONLY, default=None) for name in names}
    places = [one for one in found if one.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)]
    return {one.name: one for one in found if one not in places[:3]}


def _is_needed(parameter: Parameter) -> bool:
    kinds = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return parameter.default is Parameter.empty and parameter.kind not in kinds
