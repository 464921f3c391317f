"""Flax NNX: `flax.nnx.Dropout`, whose `broadcast_dims` make it drop channels, which Flax has last, or rows.

`nnx.Rngs` is state that a call moves on. A transformed function gets it as an argument of NNX's own transforms, as
their documentation tells; so does a layer that is transformed, which holds a stream of its own.
"""

import secrets
from collections.abc import Iterable
from contextvars import ContextVar
from functools import partial
from typing import Any

from flax import nnx

from keeprate.impl.backends import _jax, _nnx_layers
from keeprate.impl.backends._jax import Function

name, version, device = "flax-nnx", _jax.version_of("flax"), _jax.device
layout, dtypes, devices = "channels_last", _jax.dtypes, _jax.devices
asarray, asnumpy, dtype_of = _jax.asarray, _jax.asnumpy, _jax.dtype_of
_outside = nnx.Rngs(secrets.randbits(32))
_inside: ContextVar[Any] = ContextVar("inside", default=None)


def seed(value: int) -> None:
    """Begin again, from `value`, and so do the layers that there are."""
    global _outside
    _outside = nnx.Rngs(value)
    _nnx_layers.seed(value)


def use(where: str) -> None:
    """Compute on one of `devices`."""
    globals().update(_jax.placed(where))


def dropout(x: Any, p: float, train: bool, broadcast_dims: Iterable[int] = ()) -> Any:
    """Drop entries, one draw for all along `broadcast_dims`."""
    return nnx.Dropout(p, broadcast_dims=tuple(broadcast_dims), deterministic=not train)(x, rngs=_rngs())


def feature_dropout(x: Any, p: float, train: bool) -> Any:
    """Drop channels of (N, ..., C)."""
    return dropout(x, p, train, range(1, x.ndim - 1))


dropout1d = partial(dropout, broadcast_dims=(-2,))  # of (N, L, C) or (L, C)
dropout2d = feature_dropout  # of (N, H, W, C) or (N, L, C)
dropout3d = partial(dropout, broadcast_dims=(-4, -3, -2))  # of (N, D, H, W, C) or (D, H, W, C)


def drop_path(x: Any, p: float, train: bool) -> Any:
    """Drop rows of (N, ...)."""
    return dropout(x, p, train, range(1, x.ndim))


variational_dropout = dropout1d  # one mask for all steps of (N, T, C)
embedding_dropout = drop_path  # of a table's rows


def attention(q: Any, k: Any, v: Any, p: float, causal: bool, train: bool) -> Any:
    """Call `dot_product_attention`; unless told otherwise, it has one mask for all samples and heads."""
    out = nnx.dot_product_attention(
        _jax.turned(q),
        _jax.turned(k),
        _jax.turned(v),
        broadcast_dropout=False,
        dropout_rng=_rngs().dropout() if train and p != 0 else None,
        dropout_rate=p,
        deterministic=not train,
        is_causal=causal,
    )
    return _jax.turned(out)


def _rngs() -> Any:
    """The state of the function that is being transformed, or else of the backend."""
    held = _inside.get()
    return _outside if held is None else held


class _Lifted:
    """A layer under a transform of NNX, which takes the layer as an argument."""

    def __init__(self, layer: Any, transformed: Function) -> None:
        self.layer, self.transformed = layer, transformed

    def __call__(self, x: Any) -> Any:
        return self.transformed(self.layer, x)


def _state(fn: Function) -> Any:
    return fn.layer if isinstance(fn, _Lifted) else fn if isinstance(fn, nnx.Module) else _rngs()


def _pure(fn: Function, *train: bool) -> Function:
    """Return fn as a function of the state that it moves on, a layer or `Rngs`, and of x."""
    if isinstance(fn, _Lifted):
        return fn.transformed
    if isinstance(fn, nnx.Module):
        return lambda layer, x: layer(x)

    def pure(rngs: Any, x: Any) -> Any:
        token = _inside.set(rngs)
        try:
            return fn(x, *train)
        finally:
            _inside.reset(token)

    return pure


def compile(fn: Function) -> Function:
    """Compile fn for each mode that it is called in."""
    if isinstance(fn, nnx.Module):
        return _Lifted(fn, nnx.jit(_pure(fn)))
    jitted = {train: nnx.jit(_pure(fn, *train)) for train in ((), (True,), (False,))}
    return lambda x, *train: jitted[train](_rngs(), x)


def vmap(fn: Function) -> Function:
    """Map fn over the rows of its first argument, each with a stream of its own."""
    return lambda x, *train: nnx.vmap(_pure(fn, *train))(_rngs().split(x.shape[0]), x)


def checkpoint(fn: Function) -> Function:
    """Let the backward pass run fn again, from the same state."""
    if isinstance(fn, nnx.Module):
        return _Lifted(fn, nnx.remat(_pure(fn)))
    return lambda x, *train: nnx.remat(_pure(fn, *train))(_rngs(), x)


def vjp(fn: Function, x: Any, cotangent: Any) -> tuple[Any, Any]:
    """Return fn(x) and the gradient at x."""
    out, pull = linearize(fn, x)
    return out, pull(cotangent)


def linearize(fn: Function, x: Any) -> tuple[Any, Function]:
    """Return fn(x), and a function from cotangents to gradients at x."""
    out, pull = nnx.vjp(_pure(fn), _state(fn), x, graph=False)
    return out, lambda cotangent: pull(cotangent)[1]


def module(op: str, p: float) -> Any:
    """Return a fresh layer."""
    return _nnx_layers.module(op, p, _rngs)
