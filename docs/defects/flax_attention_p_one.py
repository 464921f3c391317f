"""Flax: at rate 1, attention of Linen and of NNX is NaN, in its output and its gradients: 0 is divided by 1 − 1."""

import secrets
from importlib.metadata import version

import jax
import jax.numpy as jnp
from flax import linen, nnx

seed = secrets.randbits(32)
print(f"flax {version('flax')}, jax {jax.__version__}, seed {seed}; entries of 48 that are NaN at rate 1")
key, *keys = jax.random.split(jax.random.key(seed), 4)
q, k, v = (jax.random.normal(each, (1, 3, 4, 4)) for each in keys)  # batch, length, heads, channels
for name, attention in (("flax.linen", linen.dot_product_attention), ("flax.nnx", nnx.dot_product_attention)):

    def out(v: jax.Array, attention=attention) -> jax.Array:
        """Attend with all weights dropped."""
        return attention(q, k, v, dropout_rng=key, dropout_rate=1.0, deterministic=False)

    grad = jax.grad(lambda v, out=out: out(v).sum())(v)
    found = [int(jnp.isnan(one).sum()) for one in (out(v), grad)]
    print(f"{name}.dot_product_attention: output {found[0]}, gradient {found[1]} (0)")
x = jnp.ones((3, 4, 4))
dropped = linen.Dropout(1.0, deterministic=False).apply({}, x, rngs={"dropout": key})
print(f"flax.linen.Dropout: output {int(jnp.isnan(dropped).sum())} (0)")
