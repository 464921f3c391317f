"""JAX: in float16 the gradient of softmax is wrong where its exponentials add up to 256 or more: 1/256² is 0 there."""

import secrets

import jax
import jax.numpy as jnp

seed = secrets.randbits(32)
print(f"jax {jax.__version__}, on {jax.default_backend()}, seed {seed}")
key = jax.random.key(seed)
for number in (255, 256, 300, 1000):
    for dtype in (jnp.float16, jnp.bfloat16, jnp.float32):
        weights, pullback = jax.vjp(jax.nn.softmax, jnp.zeros(number, dtype))
        # A softmax adds up to 1, whatever its input: the gradient of its sum is 0.
        gradient = pullback(jnp.ones(number, dtype))[0]
        share = float(jnp.abs(gradient.astype(jnp.float32)).max() * number)
        print(
            f"{number} equal scores in {jnp.dtype(dtype)}: gradient of the weights' sum over a weight: {share:.3f} (0)"
        )


def attended(q, k, v):
    """One number of what attention gives, for values around 1."""
    return (jax.nn.softmax(q @ k.T) @ (v + 1))[0, 0]


for number in (64, 1024):
    q, k, v = (jax.random.normal(one, (number, 16)) / 4 for one in jax.random.split(key, 3))
    exact, found = (
        jax.grad(attended)(*(x.astype(dtype) for x in (q, k, v)))[0] for dtype in (jnp.float32, jnp.float16)
    )
    off = float(jnp.abs(found - exact).max() / jnp.abs(exact).max())
    print(
        f"attention with {number} keys in float16: a query's gradient is off by {off:.3f} times its largest entry (0)"
    )
