"""`assert_attention_dropout`: one function of queries, keys and values, judged in this process as in a gate."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np

from keeprate.harness.errors import NoVerdictError, UsageError
from keeprate.harness.untrusted_text import briefly
from keeprate.testing.asking import RATE, Told, apart, dtype_names, number_of, settle
from keeprate.testing.names import name_of, written

OPTIONAL = ("vjp", "compile", "vmap", "checkpoint")
NAMES = {  # of parameters, as libraries have them
    "p": ("p", "dropout_p", "dropout", "dropout_rate", "dropout_prob"),
    "causal": ("causal", "is_causal"),
    "train": ("train", "training"),
}
TURNED = ("deterministic", "inference", "evaluation", "eval_mode", "is_test")  # modes that are on in evaluation
LEAST, OF_GRADIENTS = 16, 32  # channels of a head, at least, that masks are read by, and gradients
Function = Callable[..., Any]


def assert_attention_dropout(
    fn: Function,
    *,
    on: Any = None,
    layout: Literal["bhsd", "bshd"] = "bhsd",
    head_dim: int | None = None,
    causal: bool = True,
    grouped: bool = True,
    dtypes: Iterable[str] = ("float32",),
    profile: str = "quick",
    alpha: float = 1e-6,
    seed: int | Function | None = None,
    repeat: int | None = None,
    vjp: Function | Literal[False] | None = None,
    compile: Function | Literal[False] | None = None,
    vmap: Function | Literal[False] | None = None,
    checkpoint: Function | Literal[False] | None = None,
) -> None:
    """Passes in silence if `fn` drops attention weights as PyTorch does; a sound one fails once in a million times.

    Args:
        fn: called with queries, keys and values, and with p, causal and train by the names that its own parameters
            have: dropout_p, is_causal, training, …; in this order where none has such a name. Without a mode it is
            given p = 0 in evaluation.
        on: whose arrays fn takes: "torch", "numpy", "mlx", "jax", …; unless given, told from what fn returns.
        layout: "bhsd", (batch, heads, sequence, channels), or "bshd".
        head_dim: the channels of a head, where fn takes no others; gradients are read where there are 32 or more.
        causal: False where fn has no causal mask.
        grouped: False where fn takes as many heads of keys as of queries alone.
        dtypes: those that are judged, by name.
        profile: "smoke", "quick", "gate" or "deep": how small a departure is caught.
        alpha: upper bound on the probability that a conforming function fails.
        seed: a number repeats a run; a function of a number sets what fn draws from.
        repeat: the number that repeats a run, where seed is a function.
        vjp: as in a backend, in place of the framework's; False for a function without a gradient.
        compile: the same; False where fn isn't meant to be compiled.
        vmap: the same; False where fn isn't meant to be mapped.
        checkpoint: the same; False where fn isn't meant to be computed again, as with a generator of its own.

    Raises:
        AssertionError: a promise is broken; says which, and how to repeat it.
        UsageError: an option names what doesn't exist, or fn can't be called so.
        NoVerdictError: fn couldn't be judged at all: its first call raised, or gave back no such array.
    """
    __tracebackhide__ = True

    def judge() -> Told:
        from keeprate.harness.judging.gate import answer
        from keeprate.harness.judging.known import Known
        from keeprate.harness.judging.request import ask
        from keeprate.harness.workers.pool import InProcess

        if layout not in ("bhsd", "bshd"):
            raise UsageError(f"layout = {layout!r} is neither 'bhsd' nor 'bshd'")
        own = {"vjp": vjp, "compile": compile, "vmap": vmap, "checkpoint": checkpoint}
        _check(head_dim, own, causal=causal, grouped=grouped)
        number, names = number_of(seed, repeat), dtype_names(dtypes)
        request = ask("", profile=profile, alpha=alpha, seed=number, suite="attention", ops=["attention"], dtypes=names)
        attention = _attention(fn, layout, causal=causal, grouped=grouped)
        own["seed"] = seed if callable(seed) else None
        first = next(iter(request.promises.values())).cases[0].dtype
        with apart():
            backend = _backend(name_of(fn), attention, on, (first, head_dim), own)
            again = f"assert_attention_dropout({written(fn)}, seed={request.seed}, …)"
            request = replace(request, known=Known(getattr(backend, "deviations", ())), again=again)
            return Told(answer(request, InProcess(backend, request.suite, request.names)))

    settle(judge)


def _check(head_dim: Any, own: Mapping[str, Any], **flags: Any) -> None:
    """Refuses options of the wrong kind, and heads of so few channels that gradients would go unread.

    Raises:
        UsageError: says which.
    """
    for name, value in own.items():
        if value not in (None, False) and not callable(value):
            raise UsageError(f"{name} = {value!r} is neither a function nor False")
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise UsageError(f"{name} = {value!r} is neither True nor False")
    if head_dim is None:
        return
    if not isinstance(head_dim, int) or head_dim < LEAST:
        raise UsageError(f"head_dim = {head_dim!r} is not a number of channels that shows a mask: {LEAST} or more")
    if head_dim < OF_GRADIENTS and own["vjp"] is not False:
        raise UsageError(
            f"head_dim = {head_dim}: gradients are read where heads have {OF_GRADIENTS} channels or more; "
            "give more, or say vjp=False to leave gradients out"
        )


def _attention(fn: Function, layout: str, *, causal: bool, grouped: bool) -> Function:
    """`fn` as a backend has it: (q, k, v, p, causal, train) of (B, H, L, D)."""
    call = _called(fn)

    def attention(q: Any, k: Any, v: Any, p: float, hidden: bool, train: bool) -> Any:
        if hidden and not causal:
            raise NotImplementedError("causal=False: it has no causal mask")
        if q.shape[1] != k.shape[1] and not grouped:
            raise NotImplementedError("grouped=False: it takes no groups of heads")
        if layout == "bhsd":
            return call(q, k, v, p, hidden, train)
        return call(*(x.swapaxes(1, 2) for x in (q, k, v)), p, hidden, train).swapaxes(1, 2)

    return attention


def _called(fn: Function) -> Function:
    """`fn` with its own names of p, causal and train.

    Raises:
        UsageError: it can't be called, or has no p.
    """
    if not callable(fn):
        raise UsageError(f"{fn!r} can't be called: it is to be a function of queries, keys and values")
    try:
        parameters = inspect.signature(fn).parameters
    except (TypeError, ValueError):  # PyTorch's own, in C
        parameters = dict.fromkeys(("dropout_p", "is_causal", "enable_gqa"))  # type: ignore[assignment]
    own = {kind: next((name for name in names if name in parameters), "") for kind, names in NAMES.items()}
    wrap = "wrap it: lambda q, k, v, p, causal, train: …"
    if turned := [name for name in TURNED if name in parameters and not own["train"]]:
        raise UsageError(f"{name_of(fn)} has a mode that is on in evaluation, '{turned[0]}'; {wrap}")
    if keeps := [name for name in parameters if "keep" in name and not own["p"]]:
        raise UsageError(f"{name_of(fn)}: p is the probability of dropping, not of keeping, '{keeps[0]}'; {wrap}")
    if not own["p"]:
        if len(parameters) < 6:
            raise UsageError(
                f"{name_of(fn)} has no p: none of its parameters is called {', '.join(NAMES['p'])}; {wrap}"
            )
        return fn

    def call(q: Any, k: Any, v: Any, p: float, causal: bool, train: bool) -> Any:
        options: dict[str, Any] = {own["p"]: p if train or own["train"] else 0.0}
        if own["train"]:
            options[own["train"]] = train
        if own["causal"]:
            options[own["causal"]] = causal
        elif causal:
            raise NotImplementedError(f"{name_of(fn)} has no parameter for a causal mask")
        if "enable_gqa" in parameters:
            options["enable_gqa"] = q.shape[1] != k.shape[1]
        return fn(q, k, v, **options)

    return call


def _backend(
    name: str, attention: Function, on: Any, takes: tuple[str, int | None], own: Mapping[str, Any]
) -> SimpleNamespace:
    """What is judged: the function, and what the framework lends it that it can stand.

    Args:
        name: what it is called in messages.
        attention: as a backend has it.
        on: whose arrays it takes; None to find out.
        takes: a dtype that is judged, and the channels of a head, if no others are taken.
        own: what stands in place of the framework's.

    Raises:
        NoVerdictError: no framework's arrays are what it takes and returns.
    """
    from keeprate.testing.arrays import framework_of, glue_of, imported

    tried, (dtype, head_dim) = [], takes
    size = head_dim or 16
    for framework, glue in imported().items() if on is None else ((str(on), glue_of(on)),):
        lent = {**glue, **{key: value for key, value in own.items() if value is not None}}
        backend = SimpleNamespace(**{key: value for key, value in lent.items() if value is not False})
        backend.name, backend.attention, backend.head_dim = name, attention, head_dim
        try:
            x = backend.asarray(np.ones((1, 2, 4, size), np.float32), dtype)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                out = attention(x, x, x, RATE, False, True)
        except Exception as error:  # noqa: BLE001 - it is of another framework, or wrong
            tried.append(f"of {framework} it raised {briefly(error)}")
            continue
        if isinstance(out, tuple | list):
            raise NoVerdictError(
                f"{name} returned a {type(out).__name__}, not an array: hand over what takes one out of it"
            )
        if type(out) is type(x) or framework_of(out) == framework_of(x):
            if tuple(out.shape) != tuple(x.shape):
                raise NoVerdictError(f"{name} returned shape {tuple(out.shape)} for queries of {tuple(x.shape)}")
            for key in OPTIONAL:
                if hasattr(backend, key) and not _stands(backend, key, (dtype, size)):
                    delattr(backend, key)
            return backend
        tried.append(f"of {framework} it returned a {type(out).__name__}")
    raise NoVerdictError(f"{name} took no array: {'; '.join(tried) or 'no framework is imported'}. Give on=")


def _stands(backend: SimpleNamespace, key: str, takes: tuple[str, int]) -> bool:
    """Whether the function can be called under a transform, as one call shows; a fault is for the laws to find."""

    def packed(x: Any) -> Any:
        return backend.attention(x[:, :2], x[:, 2:4], x[:, 4:], RATE, False, True)

    dtype, size = takes
    lead = (2, 1) if key == "vmap" else (1,)
    x, ct = (backend.asarray(np.ones((*lead, heads, 4, size), np.float32), dtype) for heads in (6, 2))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if key == "vjp":
                backend.vjp(packed, x, ct)
            else:
                transformed = getattr(backend, key)(packed)
                transformed(x)
                if key == "vmap" and hasattr(backend, "vjp"):  # what is checkpointed inside can't be mapped and go back
                    backend.vjp(transformed, x, ct)
    except Exception as error:  # noqa: BLE001 - foreign code may raise anything
        return key == "vjp" and not isinstance(error, NotImplementedError)
    return True
