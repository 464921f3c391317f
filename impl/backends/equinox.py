"""Equinox: `equinox.nn.Dropout`, its only dropout layer, and `MultiheadAttention`, under JAX's own transforms.

A layer's mode is part of it and can't be switched in place: there is no `module` beside the operator.
"""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from keeprate.impl.backends import _jax

name, version, device = "equinox", _jax.version_of("equinox"), _jax.device
layout, dtypes, devices = "channels_first", _jax.dtypes, _jax.devices
seed, asarray, asnumpy, dtype_of, vjp = _jax.seed, _jax.asarray, _jax.asnumpy, _jax.dtype_of, _jax.vjp
linearize, jvp = _jax.linearize, _jax.jvp
get_state, set_state = _jax.get_state, _jax.set_state
compile, vmap, checkpoint = _jax.compile, _jax.vmap, _jax.checkpoint


def use(where: str) -> None:
    """Compute on one of `devices`."""
    globals().update(_jax.placed(where))


def dropout(x: Any, p: float, train: bool) -> Any:
    """Call a fresh layer; in inference and at p = 0 it asks for no key."""
    key = _jax.next_key() if train and p != 0 else None
    return eqx.nn.Dropout(p, inference=not train)(x, key=key)


def attention(q: Any, k: Any, v: Any, p: float, causal: bool, train: bool) -> Any:
    """Call `equinox.nn.MultiheadAttention`, which takes one sample, for each of a batch, with a key of its own.

    Raises:
        NotImplementedError: heads of queries share heads of keys.
    """
    (batch, heads, queries, size), keys = q.shape, k.shape[2]
    if k.shape[1] != heads:
        raise NotImplementedError("equinox.nn.MultiheadAttention has as many heads of keys as of queries")
    layer = _attention(heads, size, p, q.dtype)
    mask = jnp.tril(jnp.ones((queries, keys), bool)) if causal else None
    drawn = jax.random.split(_jax.next_key(), batch) if train and p != 0 else None

    def called(q: Any, k: Any, v: Any, key: Any) -> Any:
        return layer(q, k, v, mask, key=key, inference=not train)

    q, k, v = (_jax.turned(x).reshape(batch, x.shape[2], heads * size) for x in (q, k, v))
    out = jax.vmap(called, in_axes=(0, 0, 0, None if drawn is None else 0))(q, k, v, drawn)
    return _jax.turned(out.reshape(batch, queries, heads, size))


@functools.lru_cache(maxsize=256)
def _attention(heads: int, size: int, p: float, dtype: Any) -> Any:
    """The layer, with identities for projections."""
    make = functools.partial(eqx.nn.MultiheadAttention, heads, heads * size, dropout_p=p, dtype=dtype)
    layer = eqx.filter_eval_shape(make, key=jax.random.key(0))  # draws no weights
    parts = "query_proj", "key_proj", "value_proj", "output_proj"
    identities = [np.eye(heads * size, dtype=dtype)] * len(parts)
    return eqx.tree_at(lambda layer: [getattr(layer, part).weight for part in parts], layer, identities)
