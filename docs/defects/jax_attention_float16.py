"""Flax NNX on JAX: at rate 0, attention in float16 raises on the CPU under `jax.jit`, and works without."""

import secrets
from importlib.metadata import version

import jax
import jax.numpy as jnp
from flax import nnx

seed = secrets.randbits(32)
print(f"flax {version('flax')}, jax {jax.__version__}, on {jax.default_backend()}, seed {seed}")
for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
    q = jax.random.normal(jax.random.key(seed), (1, 4, 2, 8), dtype)  # batch, length, heads, channels
    for name, attention in (("flax.nnx", nnx.dot_product_attention), ("jax.nn", jax.nn.dot_product_attention)):
        for how, called in (("as it is", attention), ("jitted", jax.jit(attention))):
            try:
                told = f"{called(q, q, q).dtype}"
            except ValueError as error:
                told = f"ValueError: {error}"
            print(f"{name}.dot_product_attention of {jnp.dtype(dtype)}, {how}: {told} ({jnp.dtype(dtype)})")
