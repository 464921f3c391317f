"""Calls into foreign code, and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from keeprate.suite import BackendError, NotOffered, briefly, first_line


@dataclass(frozen=True, eq=False)
class Seen:
    """An output that was read where it was made: its values, in the backend's layout, and its dtype."""

    values: npt.NDArray[Any]
    dtype: str


def dtypes_of(backend: Any, op: str = "") -> list[str]:
    """The dtypes of an operator, or of all together."""
    dtypes = backend.dtypes
    if not isinstance(dtypes, Mapping):
        return list(dtypes)
    return list(dtypes.get(op, ())) if op else list(dict.fromkeys(dtype for some in dtypes.values() for dtype in some))


def foreign(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function` returns.

    Raises:
        BackendError: it raised, which becomes a finding.
    """
    try:
        return function(*arguments)
    except Exception as error:  # a backend may raise anything
        raise BackendError(f"{what} raised {briefly(error)}") from error


def offered(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """The same, where `NotImplementedError` says that the framework doesn't have that, or can't combine the two."""
    try:
        return foreign(what, function, *arguments)
    except BackendError as error:
        if isinstance(error.__cause__, NotImplementedError):
            raise NotOffered(first_line(error.__cause__)) from error
        raise


def lost(backend: Any) -> str:
    """Why arrays can't be brought to where a backend computes, and back, any more; empty if they can."""
    dtype = dtypes_of(backend)[0]
    try:
        backend.asnumpy(backend.asarray(np.ones(1, np.float64 if dtype == "float64" else np.float32), dtype))
    except Exception as error:  # noqa: BLE001 - a backend may raise anything
        return briefly(error)
    return ""


def held(backend: Any) -> int:
    """Bytes that its device's memory has held at once, at most, as the backend says; 0 where it doesn't."""
    memory = getattr(backend, "memory", None)
    try:
        return int(memory()) if callable(memory) else 0
    except Exception:  # noqa: BLE001 - a device that is lost; whoever asks `lost` is told
        return 0


def pair(what: str, second: str, made: Any) -> tuple[Any, Any]:
    """Output and gradient, or tangent, that `what` made.

    Raises:
        BackendError: `made` is no such pair.
    """
    if not isinstance(made, tuple) or len(made) != 2:
        raise BackendError(f"{what} gave {brief(made)}, not a pair of output and {second}")
    return made


def floats(array: Any, op: str) -> npt.NDArray[Any]:
    """What `asnumpy` gave for the output of an operator.

    Raises:
        BackendError: it is no array of floating-point numbers.
    """
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        raise BackendError(f"asnumpy gave {brief(array)} for what {op} returned, not floats")
    return np.asarray(array)  # a subclass may compare as it likes


def in_thread(function: Callable[[], Any]) -> Any:
    """What `function` returns or raises in a thread of its own, which is joined."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def brief(value: Any) -> str:
    """What kind of thing `value` is."""
    return f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


def apart(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A copy of `x` that lies in memory as `x` does: an adapter may share its memory, and an operator write to it."""
    whole = x if x.base is None else x.base
    offset = x.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
    copy: npt.NDArray[Any] = np.ndarray(x.shape, x.dtype, whole.copy(order="C"), offset, x.strides)
    copy.flags.writeable = x.flags.writeable
    return copy
