"""Keras on the backend that is configured: its layers, one for each rate, dtype and mask, called with `training`.

A layer draws from a `SeedGenerator` of its own, which begins with the integer that is given as its `seed`: another one
for each layer, as Keras itself gives to layers without. Layers compute in their own dtype, whatever the input's, so
there is one for each dtype. Channels are last, Keras' default.
"""

import functools
import math
import os
import zlib
from typing import Any

import numpy as np

layout = "channels_last"


def load(backend: str) -> Any:
    """Import Keras on `backend`.

    Raises:
        ImportError: this process has imported Keras on another.
    """
    os.environ["KERAS_BACKEND"] = backend
    import keras

    if keras.config.backend() != backend:
        raise ImportError(f"Keras runs on {keras.config.backend()} in this process, not on {backend}")
    return keras


SPREAD = 1 << 28  # seeds of layers after one seed; neighbours remain so, and a seed of 31 bits one of 31 bits
_seed: int | None = None
_layers: dict[tuple[Any, ...], Any] = {}


def seed(value: int) -> None:
    """Let the layers that are made from now on begin with `value`.

    Raises:
        ValueError: the state of a `SeedGenerator` doesn't hold it.
    """
    global _seed
    import keras

    try:
        keras.random.SeedGenerator(value)
    except (OverflowError, RuntimeError) as error:
        raise ValueError(f"seed = {value} is too large for Keras on {keras.config.backend()}") from error
    _seed = value
    _layers.clear()


def _layer(kind: str, dtype: str, sizes: tuple[int, ...] = (), **given: Any) -> Any:
    """The layer of this kind; made when first asked for. Those for other `sizes` begin with the same seed."""
    import keras

    asked = (kind, dtype, *given.items())
    if (asked, sizes) not in _layers:
        own = None if _seed is None else _seed ^ zlib.crc32(repr(asked).encode()) % SPREAD * 2
        _layers[asked, sizes] = getattr(keras.layers, kind)(*sizes, seed=own, dtype=dtype, **given)
    return _layers[asked, sizes]


def dtype_of(x: Any) -> str:
    """Return the name of x's dtype."""
    import keras

    return str(keras.backend.standardize_dtype(x.dtype))


def _called(kind: str, x: Any, p: float, train: bool) -> Any:
    return _layer(kind, dtype_of(x), rate=p)(x, training=train)


def _shared(kind: str, shape: tuple[int | None, ...], x: Any, p: float, train: bool) -> Any:
    """One draw for all along the axes whose size in `shape` is 1."""
    return _layer(kind, dtype_of(x), rate=p, noise_shape=shape)(x, training=train)


def _channels(kind: str, x: Any, p: float, train: bool) -> Any:
    """One draw for each sample and channel."""
    return _shared(kind, (None, *[1] * (len(x.shape) - 2), None), x, p, train)


def drop_path(x: Any, p: float, train: bool) -> Any:
    """One draw for each row."""
    return _shared("Dropout", (None, *[1] * (len(x.shape) - 1)), x, p, train)


dropout = functools.partial(_called, "Dropout")
dropout1d = functools.partial(_called, "SpatialDropout1D")
dropout2d = functools.partial(_called, "SpatialDropout2D")
dropout3d = functools.partial(_called, "SpatialDropout3D")
alpha_dropout = functools.partial(_called, "AlphaDropout")
feature_dropout = functools.partial(_channels, "Dropout")
feature_alpha_dropout = functools.partial(_channels, "AlphaDropout")
variational_dropout = feature_dropout  # one mask for all steps of (N, T, C)
embedding_dropout = drop_path  # of a table's rows


def attention(q: Any, k: Any, v: Any, p: float, causal: bool, train: bool) -> Any:
    """Call `MultiHeadAttention`, or `GroupQueryAttention` where heads are shared, with identities for projections.

    Raises:
        NotImplementedError: the dtype is float64, whose products Keras casts to float32.
    """
    import keras

    dtype = dtype_of(q)
    if keras.backend.result_type(dtype, dtype) != dtype:
        raise NotImplementedError(f"on {keras.config.backend()}, Keras computes attention of {dtype} in less")
    (batch, heads, queries, size), shared = q.shape, k.shape[1]
    if shared == heads:
        layer = _layer("MultiHeadAttention", dtype, (heads, size), dropout=p, use_bias=False)
    else:
        layer = _layer("GroupQueryAttention", dtype, (size, heads, shared), dropout=p, use_bias=False)
    if not layer.built:
        layer.build(*((None, None, number * size) for number in (heads, shared, shared)))
        layer.set_weights([np.eye(math.isqrt(math.prod(one.shape))).reshape(one.shape) for one in layer.weights])
    joined = (keras.ops.reshape(keras.ops.swapaxes(x, 1, 2), (batch, x.shape[2], -1)) for x in (q, v, k))
    out = layer(*joined, training=train, use_causal_mask=causal)
    return keras.ops.swapaxes(keras.ops.reshape(out, (batch, queries, heads, size)), 1, 2)
