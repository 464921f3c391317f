"""Keras on JAX, with JAX's own gradients.

Under JAX's transforms Keras' state, a layer's `SeedGenerator` too, has to go in and out through `stateless_call`, which
layers have and the functions of this protocol have not: no transforms are offered.
"""

from keeprate.impl.backends import _jax, _keras

_k = _keras.load("jax")
name, version, device, layout = "keras-jax", _jax.version_of("keras"), _jax.device, _keras.layout
dtypes, devices = _jax.dtypes, _jax.devices
seed, asarray, asnumpy, dtype_of, vjp = _keras.seed, _jax.asarray, _jax.asnumpy, _keras.dtype_of, _jax.vjp
linearize = _jax.linearize
dropout, alpha_dropout = _keras.dropout, _keras.alpha_dropout
dropout1d, dropout2d, dropout3d = _keras.dropout1d, _keras.dropout2d, _keras.dropout3d
feature_dropout, feature_alpha_dropout = _keras.feature_dropout, _keras.feature_alpha_dropout
variational_dropout, drop_path = _keras.variational_dropout, _keras.drop_path
embedding_dropout, attention = _keras.embedding_dropout, _keras.attention


def use(where: str) -> None:
    """Compute on one of `devices`."""
    globals().update(_jax.placed(where))
