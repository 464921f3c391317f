"""Equinox: `equinox.nn.Dropout`, its only dropout layer, under JAX's own transforms.

A layer's mode is part of it and can't be switched in place: there is no `module` beside the operator.
"""

from typing import Any

import equinox as eqx

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
