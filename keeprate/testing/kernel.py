"""A backend of one function: what is its own, and what its framework lends it. Tried by one small call."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from keeprate.harness.errors import NoVerdictError, UsageError
from keeprate.harness.judging.request import Request
from keeprate.harness.protocol.lookup import similar
from keeprate.harness.untrusted_text import briefly, shown
from keeprate.specs.dropout.contracts import CONTRACTS, Contract
from keeprate.specs.dropout.inputs import filled, ordinary
from keeprate.specs.dropout.suite import LAYOUTS
from keeprate.specs.transforms import TRANSFORMS
from keeprate.testing.arrays import DERIVATIVES, GLUE, STATE, Glue, framework_of, glue_of, imported
from keeprate.testing.asking import RATE
from keeprate.testing.calls import Called, refused
from keeprate.testing.ranks import of_ranks, of_ranks_alone

OPTIONAL = (*DERIVATIVES, *TRANSFORMS)


def backend_of(
    name: str,
    called: Called,
    op: str,
    on: Any,
    given: Mapping[str, Any],
    asked: Request,
    ranks: Collection[int] = (),
) -> SimpleNamespace:
    """What is judged.

    Args:
        name: the function's.
        op: the operator's.
        on: whose arrays it takes; None to find out.
        given: names of the protocol in place of what is lent; False for what it doesn't have.
        ranks: those that it takes; empty for all of the operator's.
        asked: the request: other dtypes aren't tried, and a transform that its plan doesn't need isn't loaded.

    Raises:
        UsageError: something of the protocol is missing, or there is no such layout.
        NoVerdictError: the function can't be called, or gives no array for an array.
    """
    contract = _of_ranks_alone(CONTRACTS[op], ranks)
    own = {key: value for key, value in given.items() if value is not None}
    lent = (
        glue_of(on) if on is not None else {} if {"asarray", "asnumpy"} <= own.keys() else _told(name, called, contract)
    )
    glue = {"layout": "channels_first", "dtype_of": lambda x: str(x.dtype).rpartition(".")[2], **lent, **own}
    unasked = {key for key in OPTIONAL if key not in asked.names}
    unasked |= {key for key in STATE if "seed" in own}  # whose state is another
    glue = {key: value for key, value in glue.items() if value is not False and key not in unasked}
    if (layout := glue["layout"]) not in LAYOUTS:
        either = " or ".join(map(repr, LAYOUTS))
        raise UsageError(f"layout = {shown(layout)} is not {either}.{similar(str(layout), LAYOUTS)}")
    if missing := [key for key in GLUE if key not in glue and key != "dtypes"]:
        raise UsageError(f"{', '.join(missing)}: nothing lends {'them' if missing[1:] else 'it'}; give {missing[0]}=")
    if other := [dtype for dtype in asked.dtypes if dtype not in glue.get("dtypes", asked.dtypes)]:
        raise UsageError(f"dtypes: there is no {other[0]} of its framework, but {', '.join(glue['dtypes'])}")
    glue["dtypes"] = asked.dtypes
    if ranks:
        called = replace(called, operator=of_ranks(called.operator, ranks, CONTRACTS[op], glue["layout"]))
    _try(name, called, contract, glue, checked=not own.keys() & set(GLUE))
    seed = glue["seed"]

    def seeded(value: int) -> None:
        called.forget()
        seed(value)

    backend = SimpleNamespace(**glue)
    backend.name, backend.seed = name, seeded
    setattr(backend, op, called.operator)
    if called.inplace and not contract.writes:
        form = lambda x, p, train: called.operator(x, p, train, inplace=True)  # noqa: E731
        setattr(backend, contract.inplace, contract.inplace == "inplace" or form)
    if (layer := called.layer) is not None:
        backend.module = lambda _, p: layer(p)
    for key in OPTIONAL:
        if key in glue:
            setattr(backend, key, _as_far_as_it_goes(backend, key, contract))
    return backend


def _of_ranks_alone(contract: Contract, ranks: Collection[int]) -> Contract:
    """A contract of the ranks that a function takes.

    Raises:
        UsageError: the operator takes no such rank.
    """
    if other := [rank for rank in ranks if rank not in contract.ranks]:
        known = ", ".join(map(str, contract.ranks))
        raise UsageError(f"ranks: {contract.name} takes no array of rank {shown(other[0])}, but of {known}")
    return replace(contract, ranks=tuple(ranks)) if ranks else contract


def ranks_taken(operator: Callable[..., Any], contract: Contract, glue: Glue) -> list[int]:
    """The ranks of which `operator` takes an array, of those that it should take, as one call each shows."""
    found = []
    for rank in contract.ranks:
        with contextlib.suppress(Exception):  # whatever it raises, it doesn't take it
            _call(operator, _small(replace(contract, ranks=(rank,)), glue))
            found.append(rank)
    return found


def _small(contract: Contract, glue: Glue) -> Any:
    """A native array of the operator's rank."""
    x = filled(contract, "float32", ordinary(contract)).astype(np.float32)
    moved = contract.moved_axis(x.ndim)
    if moved is not None and glue["layout"] == "channels_last":
        x = np.moveaxis(x, moved, -1)
    dtypes = glue.get("dtypes", ("float32",))
    return glue["asarray"](np.array(x, order="C"), "float32" if "float32" in dtypes else dtypes[0])


def _told(name: str, called: Called, contract: Contract) -> Glue:
    """Whose arrays a function takes: those that it returns, tried on NumPy's first, then on what is imported."""
    tried, given_back = {}, {}
    for framework, glue in imported().items():
        try:
            y, new = _new(called, _small(contract, glue), glue)
        except Exception as error:  # noqa: BLE001 - it is of another framework, or wrong
            tried[framework] = briefly(error)
            continue
        if (found := framework_of(y)) is not None:
            if found != framework:
                return _of_another(name, called, contract, glue, y)
            if new:
                return glue
            given_back[framework] = glue
            continue
        if y is None:
            raise NoVerdictError(
                f"{name} returned None, not an array; one that writes to x and returns it is like='dropout_'"
            )
        raise several(name, y, "x, p, train") or NoVerdictError(
            f"{name} returned {kind(y)}, which doesn't tell the framework: give on=, or asarray= and asnumpy="
        )
    if len(given_back) == 1:
        return next(iter(given_back.values()))
    takers = ", ".join(given_back or tried)
    if given_back:
        raise NoVerdictError(f"{name} gave back its input, of {takers}: say whose arrays it takes, on=")
    for glue in imported().values():
        if taken := ranks_taken(called.operator, contract, glue):
            raise NoVerdictError(f"{name} took no array of rank {max(contract.ranks)}: {of_ranks_alone(taken)}")
    needs = needed_device(" ".join(tried.values()))
    hint = f"it needs {needs}, and there is none here" if needs else "say whose arrays it takes: on="
    if len({*tried.values()}) == 1:
        hint = f"if it takes another framework's, {hint}" if not needs else hint
        raise NoVerdictError(f"{name} raised {tried.popitem()[1]}, called with an array of {takers}; {hint}")
    raised = "; of ".join(f"{framework}: {said}" for framework, said in tried.items())
    raise NoVerdictError(f"{name} took no array of {takers}; {hint}. It raised, of {raised}")


def _new(called: Called, x: Any, glue: Glue) -> tuple[Any, bool]:
    """What comes of x, and whether it is anything else than x: if not, any array might have come back.

    Then the mode may be inverted, or the first call another than later ones: so it is called twice more.
    """
    before = np.array(glue["asnumpy"](x))
    for train in (True, False, True):
        with contextlib.suppress(NotImplementedError) if not train else contextlib.nullcontext():
            y = _call(called.operator, x, train=train)
        if framework_of(y) != framework_of(x) or not np.array_equal(before, glue["asnumpy"](y)):
            return y, True
    return y, False


def several(name: str, y: Any, arguments: str) -> NoVerdictError | None:
    """What to say of several values where one array is wanted; None of one.

    Args:
        name: the function's.
        y: what it returned.
        arguments: what it is called with, in words.
    """
    if not isinstance(y, tuple | list | Mapping):
        return None
    places = y.items() if isinstance(y, Mapping) else enumerate(y)
    place = next((shown(place) for place, value in places if framework_of(value) is not None), "")
    hint = f"; wrap it: lambda {arguments}: {name}({arguments})[{place}]" if place else ""
    return NoVerdictError(f"{name} returned a {type(y).__name__} where one array is wanted{hint}")


def _of_another(name: str, called: Called, contract: Contract, tried: Glue, y: Any) -> Glue:
    """Of the framework that y is of, if arrays of it come back as such; NumPy's are taken by many."""
    glue = glue_of(framework_of(y))
    with contextlib.suppress(Exception):  # of another framework's function
        if framework_of(_call(called.operator, _small(contract, glue))) == framework_of(y):
            return glue
    raise mixed(name, y, _small(contract, tried))


def mixed(name: str, y: Any, x: Any) -> NoVerdictError:
    """What to say of another framework's array than was given."""
    return NoVerdictError(f"{name} returned {kind(y)} for {kind(x)}: an operator gives back the framework's own arrays")


def needed_device(said: str) -> str:
    """The device that an error asks for; empty if none, or if it is there."""
    import torch

    return "CUDA" if ("CUDA" in said or "cuda" in said or "NVIDIA" in said) and not torch.cuda.is_available() else ""


def _call(operator: Callable[..., Any], x: Any, *, train: bool = True) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return operator(x, RATE, train)


def _try(name: str, called: Called, contract: Contract, glue: Glue, *, checked: bool) -> None:
    """One call, before any other."""
    x = _small(contract, glue)
    shape, whose = tuple(x.shape), framework_of(x) or kind(x)
    try:
        y = _call(called.operator, x)
    except Exception as error:
        if needs := needed_device(str(error)):
            raise NoVerdictError(f"{name} needs {needs}, and there is none here: it raised {briefly(error)}") from error
        taken = ranks_taken(called.operator, contract, glue)
        hint = f"; {of_ranks_alone(taken)}" if taken else ""
        raise refused(name, error, str(whose), shape, hint) from error
    if (error_of_several := several(name, y, "x, p, train")) is not None:
        raise error_of_several
    if checked and framework_of(y) != framework_of(x):
        raise mixed(name, y, x)
    got = tuple(getattr(y, "shape", ()))
    if got != shape:
        raise NoVerdictError(f"{name} returned shape {got} for an input of shape {shape}")


def kind(value: Any) -> str:
    """What a value is, in words."""
    its = type(value)
    return f"a {its.__module__.partition('.')[0]}.{its.__name__}" if its.__module__ != "builtins" else shown(value)


def _as_far_as_it_goes(backend: SimpleNamespace, key: str, contract: Contract) -> Callable[..., Any]:
    """A transform; what the operator can't stand under it, as one call shows, is not offered, and not wrong."""
    lent: Callable[..., Any] = getattr(backend, key)
    operator, x = getattr(backend, contract.name), _small(contract, vars(backend))
    function: Callable[[Any], Any] = lambda x: operator(x, RATE, True)  # noqa: E731
    derivatives = {"vjp": (x, x), "linearize": (x,), "jvp": (x, x)}
    uses: dict[str, Callable[[], Any]] = {key: lambda: lent(function)(x)}
    if key in derivatives:
        uses = {key: lambda: lent(function, *derivatives[key])}
    elif key == "vmap":  # over x, and over something else: frameworks draw for x itself in another way
        rows = backend.asarray(np.stack([backend.asnumpy(x)] * 2), backend.dtype_of(x))
        uses = {key: lambda: lent(function)(rows), f"{key} of one x": lambda: lent(lambda _: function(x))(rows)}
    for use, call in uses.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                call()
        except Exception as error:  # noqa: BLE001 - foreign code may raise anything
            if key != "vjp" or isinstance(error, NotImplementedError):
                return _unless_it_raises(lent, key, f"under {use} it raises {briefly(error)}")
    return lent


def _unless_it_raises(lent: Callable[..., Any], key: str, reason: str) -> Callable[..., Any]:
    def offered(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except Exception as error:
                raise NotImplementedError(reason) from error

        return called

    return offered(lent) if key in DERIVATIVES else lambda function: offered(lent(function))
