"""Flax, Equinox and Keras on JAX: a rate that is a `numpy.float64` makes float32 of narrower inputs, or raises."""

import os
import secrets
from importlib.metadata import version

os.environ["KERAS_BACKEND"] = "jax"

import equinox
import flax.linen
import jax
import jax.numpy as jnp
import keras
import numpy as np

seed = secrets.randbits(30)
print(f"jax {version('jax')}, seed {seed}; dtypes of outputs (as that of the input)")
layers = {
    f"equinox {version('equinox')}": lambda p, x: equinox.nn.Dropout(p)(x, key=jax.random.key(seed)),
    f"flax {version('flax')}, linen": lambda p, x: flax.linen.Dropout(p).apply(
        {}, x, deterministic=False, rngs={"dropout": jax.random.key(seed)}
    ),
    f"keras {keras.version()}": lambda p, x: keras.layers.Dropout(p, dtype=str(x.dtype))(x, training=True),
}
for name, layer in layers.items():
    for dtype in ("float32", "bfloat16", "float16"):
        for p in (0.3, np.float64(0.3)):
            try:
                told = str(layer(p, jnp.ones(8, dtype)).dtype)
            except TypeError:
                told = "TypeError"
            print(f"{name}, {dtype}, p a {type(p).__name__}: {told}")
