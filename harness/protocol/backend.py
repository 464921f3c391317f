"""What a backend is: the names that it must have, and a description of what it offers."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

import msgspec

from keeprate.harness.errors import NoVerdictError, UsageError
from keeprate.harness.protocol.lookup import find, similar
from keeprate.harness.protocol.suite import Suite
from keeprate.harness.untrusted_text import line, shown, told

_LOADED: dict[int, tuple[str, Any]] = {}  # by id; what is kept here keeps its id
LACKS = "the backend has no "  # begins a reason why something is not offered


class Offer(msgspec.Struct, frozen=True):
    """What a backend has, as data that travels between processes.

    Args:
        name: shown in reports.
        version: shown in reports; empty if the backend doesn't say.
        device: the same.
        dtypes: among the suite's; empty if it has none.
        names: which of the names that were asked for (operators, transforms) the backend has.
        only: of dtypes and names that some operators alone have, which these are.
    """

    name: str
    version: str
    device: str
    dtypes: tuple[str, ...]
    names: tuple[str, ...]
    only: dict[str, tuple[str, ...]] = {}

    def has(self, name: str, op: str) -> bool:
        """Whether it has a dtype, or an optional name, for an operator."""
        return (name in self.names or name in self.dtypes) and op in self.only.get(name, (op,))

    def joined(self, other: Offer) -> Offer:
        """What either has: the same backend on another machine may lack something."""
        dtypes, names = (
            tuple(dict.fromkeys((*mine, *theirs)))
            for mine, theirs in ((self.dtypes, other.dtypes), (self.names, other.names))
        )
        of_some = {
            name: [one.only.get(name) for one in (self, other) if name in (*one.dtypes, *one.names)]
            for name in {**self.only, **other.only}
        }
        only = {
            name: tuple(dict.fromkeys(op for ops in each if ops for op in ops))
            for name, each in of_some.items()
            if all(ops is not None for ops in each)
        }
        return msgspec.structs.replace(self, dtypes=dtypes, names=names, only=only)


def load_backend(name: str, suite: Suite, device: str | None = None, reference: Any = None) -> Any:
    """The backend of a name, checked for what a suite asks of it.

    Args:
        name: as on the command line: an installed backend, a module, or a file.
        suite: the suite.
        device: where it is to compute; None for where it does unless told.
        reference: which stays where it is, even if it is the same module.

    Raises:
        UsageError: there is none, or it has no such device.
        NoVerdictError: it can't be loaded, lacks a required name, or one of them is not what it must be.
    """
    backend = placed(find(name, group="keeprate.backends", kind="backend"), name, device, reference)
    check(backend, name, suite)
    _LOADED[id(backend)] = name, backend
    return backend


def placed(backend: Any, name: str, device: str | None, reference: Any) -> Any:
    """`backend`, told to compute on `device` unless that is None; a copy of it where it is the reference itself.

    Raises:
        UsageError: it has no such device.
        NoVerdictError: it raised.
    """
    if device is None:
        return backend
    backend = _copy(backend) if backend is reference else backend
    _use(backend, device, name)
    return backend


def _copy(module: ModuleType) -> ModuleType:
    """The same module once more, under no name."""
    spec = module.__spec__
    assert spec is not None and spec.loader is not None
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    return copy


def _use(backend: Any, device: str, name: str) -> None:
    """Has `backend` compute on `device`, before anything else is asked of it.

    Raises:
        UsageError: it has no devices, or not this one.
        NoVerdictError: it raised.
    """
    devices, use = _asked(backend, "devices", name), _asked(backend, "use", name)
    if not devices or not callable(use):
        raise UsageError(f"backend {name} computes where it does: a device needs its `devices` and `use`")
    if device not in devices:
        there = ", ".join(map(str, devices))
        raise UsageError(f"backend {name} has no device '{device}' here.{similar(device, devices)} There are: {there}")
    try:
        use(device)
    except Exception as error:  # foreign code may raise anything
        raise NoVerdictError(f"backend {name}: use('{device}') raised {told(error)}") from error


def name_of(backend: Any) -> str:
    """What a backend was loaded as, so that another process can load it too; empty for an object of the user's own.

    Args:
        backend: what `load_backend` returned.
    """
    return _LOADED.get(id(backend), ("", None))[0]


def check(backend: Any, name: str, suite: Suite) -> None:
    """Checks what can be checked without calling anything; `name` is how the person named the backend.

    Raises:
        NoVerdictError: a required name is absent, or not what it must be.
    """
    required = ("name", *suite.attributes, *suite.functions)
    absent = [text for text in required if _asked(backend, text, name) is None]
    if absent:
        raise NoVerdictError(f"backend {name} lacks {', '.join(absent)}, which every backend must have")
    if not isinstance(backend.name, str):
        raise NoVerdictError(f"backend {name}: name = {shown(backend.name)} is not a string")
    if refusal := suite.refusal(backend):
        raise NoVerdictError(f"backend {name}: {refusal}")
    for text in suite.functions:
        if not callable(getattr(backend, text)):
            raise NoVerdictError(f"backend {name}: {text} = {shown(getattr(backend, text))} can't be called")


def _asked(backend: Any, text: str, name: str) -> Any:
    """What `backend` has under `text`, or None; it may compute it, and that may raise."""
    try:
        return getattr(backend, text, None)
    except Exception as error:  # foreign code may raise anything
        raise NoVerdictError(f"backend {name}: its {text} raised {told(error)}") from error


def offer(backend: Any, names: Iterable[str]) -> Offer:
    """What `backend` offers among `names`; a name whose value is None or False is not offered.

    A list of operators in place of a value says which have it; so does a mapping from operators to dtypes.
    """
    there = {text: found for text in sorted(set(names)) if (found := _found(backend, text)) is not None}
    only = {text: tuple(found) for text, found in there.items() if isinstance(found, list | tuple | set | frozenset)}
    dtypes = _found(backend, "dtypes") or ()
    if isinstance(dtypes, Mapping):
        by_op, dtypes = dtypes, dict.fromkeys(dtype for some in dtypes.values() for dtype in some)
        only |= {dtype: tuple(op for op, some in by_op.items() if dtype in some) for dtype in dtypes}
    return Offer(
        name=line(backend.name),
        version=_text(backend, "version"),
        device=_text(backend, "device"),
        dtypes=tuple(dtypes),
        names=tuple(there),
        only=only,
    )


def _text(backend: Any, text: str) -> str:
    """What the backend has under `text`, as text for one line; empty for nothing."""
    found = _found(backend, text)
    try:
        return "" if found is None else line(str(found))
    except Exception as error:  # foreign code may raise anything
        raise NoVerdictError(f"backend {line(backend.name)}: its {text} raised {told(error)}") from error


def _found(backend: Any, text: str) -> Any:
    """What the backend has under `text`; None for nothing and for False."""
    found = _asked(backend, text, line(backend.name))
    return None if found is False else found
