"""Keras on the backend that is configured: its layers, one for each rate, dtype and mask, called with `training`.

A layer draws from a `SeedGenerator` of its own, which begins with the integer that is given as its `seed`: another one
for each layer, as Keras itself gives to layers without. Layers compute in their own dtype, whatever the input's, so
there is one for each dtype. Channels are last, Keras' default.
"""

import functools
import os
import zlib
from typing import Any

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


def _layer(kind: str, p: float, dtype: str, noise_shape: tuple[int | None, ...] | None = None) -> Any:
    """The layer of this kind; made when first asked for."""
    import keras

    asked = (kind, p, dtype, noise_shape)
    if asked not in _layers:
        shared = {} if noise_shape is None else {"noise_shape": noise_shape}
        own = None if _seed is None else _seed ^ zlib.crc32(repr(asked).encode()) % SPREAD * 2
        _layers[asked] = getattr(keras.layers, kind)(p, seed=own, dtype=dtype, **shared)
    return _layers[asked]


def dtype_of(x: Any) -> str:
    """Return the name of x's dtype."""
    import keras

    return str(keras.backend.standardize_dtype(x.dtype))


def _called(kind: str, x: Any, p: float, train: bool) -> Any:
    return _layer(kind, p, dtype_of(x))(x, training=train)


def _channels(kind: str, x: Any, p: float, train: bool) -> Any:
    """One draw for each sample and channel, by `noise_shape`."""
    shape = (None, *[1] * (len(x.shape) - 2), None)
    return _layer(kind, p, dtype_of(x), shape)(x, training=train)


dropout = functools.partial(_called, "Dropout")
dropout1d = functools.partial(_called, "SpatialDropout1D")
dropout2d = functools.partial(_called, "SpatialDropout2D")
dropout3d = functools.partial(_called, "SpatialDropout3D")
alpha_dropout = functools.partial(_called, "AlphaDropout")
feature_dropout = functools.partial(_channels, "Dropout")
feature_alpha_dropout = functools.partial(_channels, "AlphaDropout")
