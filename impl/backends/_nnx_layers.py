"""Layers of Flax NNX, and its `MultiHeadAttention` as a layer of attention alone."""

import weakref
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import nnx

from keeprate.impl.backends._jax import turned

_old: list[list[Any]] = []  # weak references to layers with streams of their own, made after one seed each
_new: list[Any] = []  # the same of those made after the last


def seed(value: int) -> None:
    """Seed the layers that there are by `nnx.reseed`, as NNX's documentation tells, as if they were made afterwards."""
    _old.append([*_new])
    _new.clear()
    for some in _old:
        rngs = nnx.Rngs(value)
        for one in some:
            key = rngs.dropout()  # what the stream of a new layer begins with
            if (layer := one()) is not None:
                nnx.reseed(layer, default=value, policy=lambda *_, key=key: key)
    _old[:] = [some for some in _old if any(one() is not None for one in some)]


def module(op: str, p: float, rngs: Callable[[], Any]) -> Any:
    """Return a fresh layer; one of dropout has a stream of its own.

    Args:
        op: an operator.
        p: the dropout rate.
        rngs: returns what streams are forked from, or drawn from.

    Raises:
        NotImplementedError: the operator has no layer that fits every rank.
    """
    if op == "attention":
        return _Attention(p, rngs)
    dims = {"dropout": (), "dropout1d": (-2,), "dropout2d": (-3, -2), "dropout3d": (-4, -3, -2)}
    if op not in dims:
        raise NotImplementedError(f"{op} has no layer")
    layer = nnx.Dropout(p, broadcast_dims=dims[op], rngs=rngs())
    _new.append(weakref.ref(layer))
    return layer


class _Attention:
    """A `MultiHeadAttention` with identities for projections, called with heads apart, (B, H, L, D).

    Each call is told what to draw from, as its documentation allows.
    """

    def __init__(self, p: float, rngs: Callable[[], Any]) -> None:
        self._p, self._rngs, self._evaluated = p, rngs, False
        self._layers: dict[Any, Any] = {}

    def train(self) -> None:
        """Drop."""
        self._evaluated = False

    def eval(self) -> None:
        """Drop nothing."""
        self._evaluated = True

    def __call__(self, q: Any, k: Any, v: Any) -> Any:
        """Call the layer for these sizes."""
        asked = q.shape[1], q.shape[3], q.dtype
        if asked not in self._layers:
            self._layers[asked] = _made(self._p, *asked)
        joined = (turned(x).reshape(x.shape[0], x.shape[2], -1) for x in (q, k, v))
        out = self._layers[asked](*joined, deterministic=self._evaluated, rngs=self._rngs())
        return turned(out.reshape(*out.shape[:2], q.shape[1], -1))


def _made(p: float, heads: int, size: int, dtype: Any) -> Any:
    return nnx.MultiHeadAttention(
        heads,
        heads * size,
        dropout_rate=p,
        broadcast_dropout=False,
        param_dtype=dtype,
        kernel_init=lambda key, shape, dtype, *_: jnp.eye(shape[0], dtype=dtype),
        use_bias=False,
        decode=False,
        keep_rngs=False,
        rngs=nnx.Rngs(0),
    )
