"""A function in JAX, whose keys come from the glue."""

import pytest

pytest.importorskip("jax", reason="jax is not installed")

import jax
import jax.numpy as jnp

from keeprate.testing import score
from keeprate.testing.arrays import Jax


def keyed(x, p, train, key=None):
    if not 0 <= p <= 1:
        raise ValueError(f"p = {p}")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"{x.dtype} can't be scaled")
    if not train or p == 0:
        return x
    if p == 1:
        return x * 0
    kept = jax.random.bernoulli(Jax.next_key() if key is None else key, 1 - float(p), x.shape)
    return jnp.where(kept, x * jnp.asarray(1 / (1 - float(p)), x.dtype), jnp.zeros((), x.dtype))


def test_a_function_that_draws_from_the_glues_keys_passes_and_its_framework_is_told(fresh_seed):
    found = score(keyed, "dropout", profile="smoke", seed=fresh_seed)
    assert found["verdict"] == "conforms", found["text"]
    assert not {"the backend has no vjp", "the backend has no jvp"} & found["not_offered"].keys()


def test_one_key_for_all_calls_is_found(fresh_seed):
    def frozen(x, p, train):
        return keyed(x, p, train, jax.random.key(0))

    # Gradients take long to compile.
    found = score(frozen, "dropout", on="jax", profile="smoke", seed=fresh_seed, vjp=False)
    assert "no_mask_twice" in found["broken"], found["sentence"]
