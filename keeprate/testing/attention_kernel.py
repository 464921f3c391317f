"""A backend of one function of attention: what is its own, and what its framework lends it. Tried by small calls."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np

from keeprate.harness.errors import NoVerdictError
from keeprate.harness.untrusted_text import briefly
from keeprate.testing.arrays import Glue, framework_of, glue_of, imported
from keeprate.testing.asking import RATE
from keeprate.testing.attention_calls import ARGUMENTS, LAYOUTS, attention_of
from keeprate.testing.kernel import kind, mixed, needed_device, several

OPTIONAL = ("vjp", "compile", "vmap", "checkpoint")
LENGTHS = ((5, 7), (32, 32))  # of queries and keys: unlike each other and the heads; or such as most kernels take
CHANNELS = (16, 64, 128)  # of a head that may have any number: the first is tried first
HEADS = 4  # the same
Function = Callable[..., Any]


@dataclass(frozen=True)
class Takes:
    """What a function takes, as its caller says.

    Args:
        layout: "bhsd" or "bshd".
        dtypes: those that are judged.
        heads: of queries; None for any number.
        kv_heads: of keys and values; None for any number.
        head_dim: channels of a head; None for any number.
        causal: whether it has a causal mask.
        grouped: whether heads may share keys.
    """

    layout: str
    dtypes: tuple[str, ...]
    heads: int | None
    kv_heads: int | None
    head_dim: int | None
    causal: bool
    grouped: bool

    def attention(self, fn: Function) -> Function:
        """A function as a backend has it."""
        return attention_of(fn, self.layout, causal=self.causal, grouped=self.grouped)

    def counts(self, *, grouped: bool = False) -> tuple[int, int]:
        """Heads of queries and of keys of a small call; where any may be given, they share keys if they are to."""
        heads = self.heads or HEADS
        return heads, self.kv_heads or (heads // 2 if grouped else heads)

    def arrays(self, glue: Glue, lengths: tuple[int, int], *, grouped: bool = False) -> list[Any]:
        """Small queries, keys and values."""
        (heads, kv_heads), (queries, keys) = self.counts(grouped=grouped), lengths
        size = self.head_dim or CHANNELS[0]
        shapes = (1, heads, queries, size), (1, kv_heads, keys, size), (1, kv_heads, keys, size)
        return [glue["asarray"](np.ones(shape, np.float32), self.dtypes[0]) for shape in shapes]

    def others(self, dtypes: tuple[str, ...]) -> Iterator[tuple[dict[str, str], Takes]]:
        """What else it may take, with the options that say so: first what differs in one, then in more of them.

        Args:
            dtypes: those that its framework has.
        """
        # Half precision is what kernels are for, if they aren't for float32.
        alone = [dtype for dtype in ("float16", "bfloat16", "float32", "float64") if dtype in dtypes]
        options: dict[str, tuple[Any, ...]] = {
            "layout": (self.layout, *(layout for layout in LAYOUTS if layout != self.layout)),
            "dtypes": (self.dtypes, *((dtype,) for dtype in alone if dtype != self.dtypes[0])),
            "head_dim": (self.head_dim, *(CHANNELS[1:] if self.head_dim is None else ())),
            "kv_heads": (self.kv_heads, *({self.heads} - {self.kv_heads})),
        }
        ways = [dict(zip(options, values, strict=True)) for values in product(*options.values())]
        for way in sorted(ways, key=lambda way: sum(getattr(self, name) != value for name, value in way.items())):
            unlike = {name: repr(value) for name, value in way.items() if getattr(self, name) != value}
            if unlike:
                yield unlike, replace(self, **way)


def backend_of(name: str, fn: Function, on: Any, takes: Takes, own: Mapping[str, Any]) -> SimpleNamespace:
    """What is judged: the function, and what the framework lends it that it can stand.

    Args:
        name: what the function is called in messages.
        fn: the function.
        on: whose arrays it takes; None to find out.
        takes: which of them.
        own: what stands in place of the framework's; False for what it doesn't have.

    Raises:
        UsageError: `on` is no framework, or the function can't be called as attention.
        NoVerdictError: no arrays are what it takes and returns.
    """
    attention, tried = takes.attention(fn), {}
    lenders = imported() if on is None else {str(getattr(on, "__name__", on)): glue_of(on)}
    for framework, glue in lenders.items():
        lent = {**glue, **{key: value for key, value in own.items() if value is not None}}
        if own.get("vjp") is not None:  # which stands for all gradients
            lent.pop("linearize", None)
        try:
            x, out = _tried(attention, takes, lent)
        except Exception as error:  # noqa: BLE001 - it is of another framework, or wrong
            tried[framework] = error
            continue
        if (wrong := _wrong(name, x, out)) is not None:
            if isinstance(out, tuple | list):
                raise wrong
            if on is not None or framework_of(out) == framework_of(x):
                raise NoVerdictError(f"{wrong}{_hint(fn, takes, lent)}")
            tried[framework] = NoVerdictError(f"returned {kind(out)}")
            continue
        backend = SimpleNamespace(**{key: value for key, value in lent.items() if value is not False})
        backend.name, backend.attention, backend.head_dim = name, attention, takes.head_dim
        for key in OPTIONAL:
            if hasattr(backend, key) and not _stands(backend, key, takes):
                delattr(backend, key)
        return backend
    raise _refused(name, fn, takes, lenders, tried, told=on is not None)


def _tried(attention: Function, takes: Takes, glue: Glue) -> tuple[Any, Any]:
    """Queries, and what came back for them; of lengths that it takes, if it says that it doesn't take some."""
    for lengths in LENGTHS:
        q, k, v = takes.arrays(glue, lengths)
        try:
            return q, _quietly(attention, q, k, v)
        except NotImplementedError:
            if lengths == LENGTHS[-1]:
                raise
    raise AssertionError


def _quietly(attention: Function, *arrays: Any, hidden: bool = False) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return attention(*arrays, RATE, hidden, True)


def _wrong(name: str, x: Any, out: Any) -> NoVerdictError | None:
    """What is wrong with what came back; None if nothing is."""
    if (error := several(name, out, ARGUMENTS)) is not None:
        return error
    if type(out) is not type(x) and (framework_of(out) is None or framework_of(out) != framework_of(x)):
        return mixed(name, out, x)
    if tuple(out.shape) != tuple(x.shape):
        return NoVerdictError(f"{name} returned shape {tuple(out.shape)} for queries of {tuple(x.shape)}")
    return None


def _hint(fn: Function, takes: Takes, glue: Glue) -> str:
    """The options with which one call gives what it should, in words; empty if none do."""
    for options, other in takes.others(glue.get("dtypes", ())):
        try:
            x, out = _tried(other.attention(fn), other, glue)
        except Exception:  # noqa: BLE001, S112 - that isn't it, either
            continue
        if _wrong("", x, out) is None:
            said = ", ".join(f"{name}={value}" for name, value in options.items())
            return f"; with {said} a call gives what it should: if that is what it takes, say so"
    return ""


def _refused(
    name: str, fn: Function, takes: Takes, lenders: Mapping[str, Glue], tried: Mapping[str, Exception], *, told: bool
) -> NoVerdictError:
    """Why there is no verdict, and the way out.

    Args:
        lenders: the frameworks that lend arrays.
        tried: what came of them.
        told: whether the framework was given.
    """
    if not tried:
        return NoVerdictError(f"{name} took no array: no framework is imported; say whose arrays it takes: on=")
    for error in tried.values():
        if needs := needed_device(str(error)):
            return NoVerdictError(f"{name} needs {needs}, and there is none here: it {_came(error)}")
    hints = {framework: _hint(fn, takes, glue) for framework, glue in lenders.items()}
    if found := next((framework for framework, hint in hints.items() if hint), ""):
        return NoVerdictError(f"{name} {_came(tried[found])}, called with arrays of {found}{hints[found]}")
    shapes = ", ".join(str(tuple(x.shape)) for x in takes.arrays(next(iter(lenders.values())), LENGTHS[0])[:2])
    ways = "layout=, dtypes=, head_dim=, heads= and kv_heads= say what it takes"
    ways += "" if told else ", and on= whose arrays"
    came = "; of ".join(f"{framework} it {_came(error)}" for framework, error in tried.items())
    return NoVerdictError(f"{name} took no {takes.dtypes[0]} arrays of {shapes}: of {came}; {ways}")


def _came(error: Exception) -> str:
    """What came of a call, in words."""
    return str(error) if isinstance(error, NoVerdictError) else f"raised {briefly(error)}"


def raised(backend: SimpleNamespace, takes: Takes, *, grouped: bool = False, hidden: bool = False) -> str:
    """What a small call raises, where heads share keys or under a causal mask; empty if nothing."""
    try:
        _quietly(backend.attention, *takes.arrays(vars(backend), LENGTHS[1], grouped=grouped), hidden=hidden)
    except NotImplementedError:  # which isn't held against it
        return ""
    except Exception as error:  # noqa: BLE001 - foreign code may raise anything
        return briefly(error)
    return ""


def _stands(backend: SimpleNamespace, key: str, takes: Takes) -> bool:
    """Whether the function can be called under a transform, as one call shows; a fault is for the laws to find."""
    heads, kv_heads = takes.counts()
    ends = heads, heads + kv_heads

    def packed(x: Any) -> Any:
        return backend.attention(x[:, : ends[0]], x[:, ends[0] : ends[1]], x[:, ends[1] :], RATE, False, True)

    lead = (2, 1) if key == "vmap" else (1,)
    size = takes.head_dim or CHANNELS[0]
    x, ct = (
        backend.asarray(np.ones((*lead, number, LENGTHS[1][0], size), np.float32), takes.dtypes[0])
        for number in (heads + 2 * kv_heads, heads)
    )
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
