"""Equinox: at p = 1 the gradient of `equinox.nn.Dropout` is NaN, and under a transform the scale is off."""

import secrets

import equinox as eqx
import jax
import jax.numpy as jnp

key = jax.random.key(secrets.randbits(32))
print(f"equinox {eqx.__version__}, jax {jax.__version__}")
print("gradient at p = 1:", jax.grad(lambda x: eqx.nn.Dropout(1.0)(x, key=key).sum())(jnp.ones(4)), "(0)")
x = jnp.ones(1 << 16)
for p in (0.9, 0.99, 0.999):
    layer = eqx.nn.Dropout(p)
    eager = float(layer(x, key=key).max())
    compiled = float(jax.jit(lambda x, key, layer=layer: layer(x, key=key))(x, key).max())
    print(f"p = {p}: kept ones become {eager:.7g}, under jax.jit {compiled:.7g} ({1 / (1 - p):.7g})")
