"""Dropout in NumPy, as plain as it gets: the eight operators as a reader would write them, the channel axis second.

NumPy has no gradients, no compiler and no layers, so none are offered.
"""

import os
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

name, version, device = "numpy", np.__version__, "cpu"
layout = "channels_first"
dtypes = ("float32", "float64", "float16")
LIMIT = 1.7580993408473766  # SELU(x) → −LIMIT as x → −∞ (Klambauer et al. 2017)

_generator = np.random.default_rng()
_lock = threading.Lock()  # threads share the generator


def seed(value: int | None) -> None:
    """Begin again, from `value`, or anywhere."""
    global _generator
    _generator = np.random.default_rng(value)


def get_state() -> Mapping[str, Any]:
    """Return a copy of the generator's state."""
    return _generator.bit_generator.state


def set_state(state: Mapping[str, Any]) -> None:
    """Go back to a state."""
    _generator.bit_generator.state = state


forks = hasattr(os, "fork")
if forks:
    os.register_at_fork(after_in_child=partial(seed, None))


def asarray(x: Array, dtype: str) -> Array:
    """Return a fresh array of x's values, its axes in x's order."""
    return np.array(x, dtype, order="K")


def asnumpy(x: Array) -> Array:
    """Return x itself."""
    return x


def dtype_of(x: Array) -> str:
    """Return the name of x's dtype."""
    return str(x.dtype)


def vmap(fn: Callable[..., Array]) -> Callable[..., Array]:
    """Call fn for each row of its first argument."""
    return lambda x, *train: np.stack([fn(row, *train) for row in x])


def dropout(x: Array, p: float, train: bool) -> Array:
    """Drop entries."""
    return _scaled(x, x.shape, p, train)


def dropout_(x: Array, p: float, train: bool) -> Array:
    """Drop entries of x itself."""
    x[...] = dropout(x, p, train)
    return x


def feature_dropout(x: Array, p: float, train: bool) -> Array:
    """Drop channels of (N, C, ...)."""
    return _scaled(x, _channels(x, train), p, train)


def dropout1d(x: Array, p: float, train: bool) -> Array:
    """Drop channels of (N, C, L) or (C, L)."""
    if x.ndim not in (2, 3):
        raise ValueError(f"dropout1d takes 2 or 3 dimensions, not {x.ndim}")
    return _scaled(x, _channels(x, train, batched=x.ndim == 3), p, train)


dropout2d = feature_dropout  # of (N, C, H, W) or (N, C, L)


def dropout3d(x: Array, p: float, train: bool) -> Array:
    """Drop channels of (N, C, D, H, W) or (C, D, H, W)."""
    return _scaled(x, _channels(x, train, batched=x.ndim != 4), p, train)


def alpha_dropout(x: Array, p: float, train: bool) -> Array:
    """Set entries to SELU's lower limit, and keep mean and variance."""
    return _affine(x, x.shape, p, train)


def feature_alpha_dropout(x: Array, p: float, train: bool) -> Array:
    """Set channels of (N, C, ...) to SELU's lower limit, and keep mean and variance."""
    return _affine(x, _channels(x, train), p, train)


def _channels(x: Array, train: bool, *, batched: bool = True) -> tuple[int, ...]:
    """The shape of a mask with one entry for each channel."""
    if train and x.ndim < 1 + batched:
        raise ValueError(f"an input of {x.ndim} dimensions has no channels")
    return x.shape[: 1 + batched] + (1,) * (x.ndim - 1 - batched)


def _drawn(x: Array, shape: tuple[int, ...], p: float, train: bool) -> tuple[float, NDArray[np.bool_]]:
    """Return p as a float (in half 1/(1 − p) has three digits), and what is kept; only training at p > 0 draws."""
    if not 0 <= p <= 1:
        raise ValueError(f"p = {p} is not between 0 and 1")
    if train and 0 < p < 1 and x.dtype.kind != "f":
        raise TypeError(f"{x.dtype}: in training, dropout takes floating types only")
    with _lock:
        return float(p), _generator.random(shape) >= p if train and p > 0 else np.ones(shape, bool)


def _scaled(x: Array, shape: tuple[int, ...], p: float, train: bool) -> Array:
    p, kept = _drawn(x, shape, p, train)
    with np.errstate(over="ignore"):  # of half, near p = 1
        return np.where(kept, x * x.dtype.type(1 / (1 - p) if train and p < 1 else 1), x.dtype.type(0))


def _affine(x: Array, shape: tuple[int, ...], p: float, train: bool) -> Array:
    if not train or p in (0, 1):
        return _scaled(x, shape, p, train)
    p, kept = _drawn(x, shape, p, train)
    cast: type[np.floating] = x.dtype.type
    a = ((LIMIT**2 * p + 1) * (1 - p)) ** -0.5
    return np.where(kept, x * cast(a) + cast(LIMIT * a * p), cast(LIMIT * a * (p - 1)))
