"""Flax Linen: `flax.linen.Dropout`, whose `broadcast_dims` make it drop channels, which Flax has last, or rows.

A Linen layer is stateless, and `deterministic` an argument, so there is no `module` beside the operator.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen

from keeprate.impl.backends import _jax

name, version, device = "flax-linen", _jax.version_of("flax"), _jax.device
layout, dtypes, devices = "channels_last", _jax.dtypes, _jax.devices
seed, asarray, asnumpy, dtype_of, vjp = _jax.seed, _jax.asarray, _jax.asnumpy, _jax.dtype_of, _jax.vjp
linearize, jvp = _jax.linearize, _jax.jvp
get_state, set_state = _jax.get_state, _jax.set_state
compile, vmap, checkpoint = _jax.compile, _jax.vmap, _jax.checkpoint


def use(where: str) -> None:
    """Compute on one of `devices`."""
    globals().update(_jax.placed(where))


def dropout(x: Any, p: float, train: bool, broadcast_dims: Iterable[int] = ()) -> Any:
    """Drop entries, one draw for all along `broadcast_dims`."""
    layer = linen.Dropout(p, broadcast_dims=tuple(broadcast_dims), deterministic=not train)
    return layer.apply({}, x, rngs={"dropout": _jax.next_key()} if train and p != 0 else None)


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
    """Call `dot_product_attention`; unless told otherwise, it has one mask for all samples and heads.

    Raises:
        NotImplementedError: heads of queries share heads of keys.
    """
    if q.shape[1] != k.shape[1]:
        raise NotImplementedError("flax.linen.dot_product_attention has as many heads of keys as of queries")
    out = linen.dot_product_attention(
        _jax.turned(q),
        _jax.turned(k),
        _jax.turned(v),
        mask=jnp.tril(jnp.ones((q.shape[2], k.shape[2]), bool)) if causal else None,
        broadcast_dropout=False,
        dropout_rng=_jax.next_key() if train and p != 0 else None,
        dropout_rate=p,
        deterministic=not train,
    )
    return _jax.turned(out)
