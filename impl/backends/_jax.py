"""What the adapters of JAX's frameworks share: arrays, transforms, and a key that every call that draws splits.

A function that is transformed takes its key as an argument, as JAX's documentation tells: what it draws follows from
that key and from nothing outside. 64-bit types are off, JAX's default. JAX compiles each operation for each shape;
what it has compiled is kept for other processes in its persistent compilation cache, unless a person has set that up.
"""

import os
import secrets
from collections.abc import Callable
from contextvars import ContextVar
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from keeprate.impl.backends import _jax_on
from keeprate.impl.backends._jax_keys import Keys

if not jax.config.jax_compilation_cache_dir:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    jax.config.update("jax_compilation_cache_dir", str(Path(home, "keeprate", "jax")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)

device, devices, placed = _jax_on.device, _jax_on.devices, _jax_on.placed
dtypes = ("float32", "float16", "bfloat16")
Function = Callable[..., Any]


def version_of(package: str) -> str:
    """The versions of `package` and of JAX."""
    return f"{metadata.version(package)} on jax {jax.__version__}"


_outside = Keys(jax.random.key(secrets.randbits(32)))
_inside: ContextVar[Keys | None] = ContextVar("inside", default=None)


def seed(value: int) -> None:
    """Begin again, with the key of `value`."""
    _outside.key = jax.random.key(value)


def get_state() -> Any:
    """Return the key that the next ones are split from."""
    return _outside.key


def set_state(key: Any) -> None:
    """Go on from a key."""
    _outside.key = key


def next_key() -> Any:
    """A fresh key: of the function that is being transformed, or else of the backend."""
    return (_inside.get() or _outside).next()


def threaded(fn: Function) -> Function:
    """Return fn as a function of a key, x and perhaps the mode, that returns also the key that fn's draws left."""

    def pure(key: Any, x: Any, *train: bool) -> tuple[Any, Any]:
        keys = Keys(key)
        token = _inside.set(keys)
        try:
            return fn(x, *train), keys.key
        finally:
            _inside.reset(token)

    return pure


def keyed(fn: Function) -> Function:
    """Return fn as a function of a key, x and perhaps the mode."""
    return lambda key, x, *train: threaded(fn)(key, x, *train)[0]


def compile(fn: Function) -> Function:
    """Compile fn; the key goes in with every call, and comes out as fn's own draws left it."""
    jitted = jax.jit(threaded(fn), static_argnums=2)
    return lambda x, *train: (_inside.get() or _outside).through(lambda key: jitted(key, x, *train))


def vmap(fn: Function) -> Function:
    """Map fn over the rows of its first argument, each with a key of its own."""

    def mapped(x: Any, *train: bool) -> Any:
        keys = jax.random.split(next_key(), x.shape[0])
        return jax.vmap(lambda key, row: keyed(fn)(key, row, *train))(keys, x)

    return mapped


def checkpoint(fn: Function) -> Function:
    """Let the backward pass run fn again, with the same key."""
    return lambda x, *train: jax.checkpoint(lambda key, x: keyed(fn)(key, x, *train))(next_key(), x)


def vjp(fn: Function, x: Any, cotangent: Any) -> tuple[Any, Any]:
    """Return fn(x) and the gradient at x."""
    out, pull = linearize(fn, x)
    return out, pull(cotangent)


def linearize(fn: Function, x: Any) -> tuple[Any, Function]:
    """Return fn(x), and a function from cotangents to gradients at x."""
    out, pull = jax.vjp(fn, x)
    return out, lambda cotangent: pull(cotangent)[0]


def jvp(fn: Function, x: Any, tangent: Any) -> tuple[Any, Any]:
    """Return fn(x) and its derivative along `tangent`."""
    out, along = jax.jvp(fn, (x,), (tangent,))
    return out, along


def turned(x: Any) -> Any:
    """(B, H, L, D) as (B, L, H, D), where JAX's frameworks have heads; and back."""
    return jnp.swapaxes(x, 1, 2)


def asarray(x: NDArray[np.floating], dtype: str) -> Any:
    """Return a fresh array, in row-major order as all of JAX's."""
    return jnp.array(np.array(x, jnp.dtype(dtype)))


def asnumpy(x: Any) -> NDArray[np.floating]:
    """Return x's values, in float32 where numpy lacks the dtype."""
    values = np.asarray(x)
    return values.astype(np.float32) if x.dtype == jnp.bfloat16 else values


def dtype_of(x: Any) -> str:
    """Return the name of x's dtype."""
    return str(x.dtype)
