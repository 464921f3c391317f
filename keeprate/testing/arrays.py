"""What an adapter says of a framework's arrays, to inherit from: then a kernel's backend is the kernel.

    from keeprate.testing.arrays import Torch

    class Mine(Torch):
        name = "mine"

        def dropout(self, x, p, train): ...

and `keeprate gate --backend mine.py:Mine`. There are Torch, Numpy, Jax and Mlx. A framework is imported when its class
is asked for.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from keeprate.harness.errors import UsageError
from keeprate.harness.judging.known import Deviation, known_beside
from keeprate.harness.protocol.lookup import installed, similar
from keeprate.harness.untrusted_text import shown
from keeprate.specs.transforms import TRANSFORMS

GLUE = ("layout", "dtypes", "asarray", "asnumpy", "dtype_of", "seed")  # what a backend must have
DERIVATIVES = ("vjp", "linearize", "jvp")
STATE = ("get_state", "set_state")
LENT = (*GLUE, *DERIVATIVES, *TRANSFORMS, *STATE)
# Of an array's class the package that it is from: the framework.
PACKAGES = {"torch": "torch", "numpy": "numpy", "mlx": "mlx", "jax": "jax", "jaxlib": "jax"}
CLASSES = {"Torch": "torch", "Numpy": "numpy", "Jax": "jax", "Mlx": "mlx"}

Glue = dict[str, Any]


def __getattr__(name: str) -> Any:
    if name not in CLASSES:
        raise AttributeError(f"module 'keeprate.testing.arrays' has no attribute '{name}'")
    glue = FRAMEWORKS[CLASSES[name]]()
    own = {key: staticmethod(value) if callable(value) else value for key, value in glue.items() if key != "deviations"}
    return type(name, (), own)


def _of(module: ModuleType, *more: str) -> Glue:
    return {name: getattr(module, name) for name in (*LENT, "version", "device", *more) if hasattr(module, name)}


@functools.cache
def _torch() -> Glue:
    import torch

    from keeprate.impl.backends import torch as adapter

    glue = _of(adapter, "mkl_on_intel") | {"get_state": torch.get_rng_state, "set_state": torch.set_rng_state}
    glue["deviations"] = known_beside("torch").lines
    return glue | ({"seed": torch.manual_seed} if torch.accelerator.is_available() else {})


@functools.cache
def _numpy() -> Glue:
    from keeprate.impl.backends import numpy as adapter

    glue = _of(adapter) | {"get_state": np.random.get_state, "set_state": np.random.set_state}
    del glue["vmap"]  # a loop
    return glue | {"seed": np.random.seed}


@functools.cache
def _mlx() -> Glue:
    import mlx.core as mx

    from keeprate.impl.backends import mlx as adapter

    def get_state() -> Any:
        return np.array(mx.random.state[0])  # type: ignore[index]  # MLX's stubs lack its state

    def set_state(state: Any) -> None:
        high, low = state.tolist()
        mx.random.seed(high << 32 | low)  # whose key is those two words

    # MLX's own transforms freeze, share or draw masks again, whatever they are given: the fault would be no function's.
    glue = {name: value for name, value in _of(adapter).items() if name not in TRANSFORMS}
    threads = Deviation("*/thread", "MLX gives the same key to every fresh thread")
    return glue | {"seed": mx.random.seed, "get_state": get_state, "set_state": set_state, "deviations": (threads,)}


@functools.cache
def _jax() -> Glue:
    from keeprate.impl.backends import _jax as adapter

    return _of(adapter, "next_key") | {"layout": "channels_last", "version": adapter.version_of("jax")}


FRAMEWORKS: dict[str, Callable[[], Glue]] = {"numpy": _numpy, "torch": _torch, "mlx": _mlx, "jax": _jax}


def imported() -> dict[str, Glue]:
    """The frameworks that this process has loaded, and what each lends."""
    there = {framework for package, framework in PACKAGES.items() if sys.modules.get(package)}
    return {framework: glue() for framework, glue in FRAMEWORKS.items() if framework in there}


def framework_of(array: Any) -> str | ModuleType | None:
    """Whose array it is: a framework's name, or the namespace of the array API that it names; None if nothing tells."""
    package = type(array).__module__.partition(".")[0]
    if package in PACKAGES:
        return PACKAGES[package]
    if package in installed("keeprate.backends"):
        return package
    if hasattr(type(array), "__array_namespace__"):
        namespace: ModuleType = array.__array_namespace__()
        return namespace
    return None


def glue_of(on: Any) -> Glue:
    """What is lent by `on`: a framework's name or module, an adapter, or a namespace of the array API.

    Raises:
        UsageError: it is none of these, or isn't installed.
    """
    if isinstance(on, ModuleType) and on.__name__.partition(".")[0] in PACKAGES:
        on = PACKAGES[on.__name__.partition(".")[0]]
    if isinstance(on, str):
        return _named(on)
    if all(hasattr(on, name) for name in ("asarray", "asnumpy", "dtype_of")):
        return {name: getattr(on, name) for name in (*LENT, "version", "device") if hasattr(on, name)}
    if hasattr(on, "asarray") and hasattr(on, "float32"):
        return _of_namespace(on)
    raise UsageError(f"on = {shown(on)} is neither a framework's name nor an adapter: it lacks asarray")


def _named(name: str) -> Glue:
    adapters = installed("keeprate.backends")
    if name not in {*FRAMEWORKS, *adapters}:
        others = sorted({*FRAMEWORKS, *adapters})
        raise UsageError(f"on = '{name}' is not a framework.{similar(name, others)} There are: {', '.join(others)}")
    try:
        return FRAMEWORKS[name]() if name in FRAMEWORKS else glue_of(importlib.import_module(adapters[name]))
    except ImportError as error:
        raise UsageError(f"on = '{name}': it can't be imported here, {error}") from error


def _of_namespace(namespace: Any) -> Glue:
    """Of any namespace of the array API, whose arrays NumPy reads by DLPack; what seeds it has no name there."""

    def asarray(x: Any, dtype: str) -> Any:
        return namespace.asarray(np.array(x, dtype, order="C"), dtype=getattr(namespace, dtype))

    return {
        "layout": "channels_first",
        "dtypes": tuple(name for name in ("float32", "float64", "float16") if hasattr(namespace, name)),
        "asarray": asarray,
        "asnumpy": np.from_dlpack,
        "dtype_of": lambda x: str(x.dtype).rpartition(".")[2],
        "version": str(getattr(namespace, "__version__", "")),
    }
