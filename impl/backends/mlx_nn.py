"""Upstream's layers, `mlx.nn.Dropout`, `Dropout2d` and `Dropout3d`, as a backend with three operators.

They are called as they are: p = 1 is refused, and `Dropout2d` takes three dimensions as an unbatched
(H, W, C), where PyTorch's `dropout2d` takes (N, C, L). The other operators have no layer upstream.
"""

import mlx.core as mx
from mlx.nn.layers.dropout import Dropout, Dropout2d, Dropout3d

from impl.backends import mlx as _mlx

name, version, device = "mlx-nn", _mlx.version, _mlx.device
layout, dtypes = _mlx.layout, _mlx.dtypes
seed, asarray, asnumpy, dtype_of, vjp = _mlx.seed, _mlx.asarray, _mlx.asnumpy, _mlx.dtype_of, _mlx.vjp


def dropout(x: mx.array, p: float, train: bool) -> mx.array:
    """Call a fresh `mlx.nn.Dropout`."""
    return _called(Dropout(p), x, train)


def dropout2d(x: mx.array, p: float, train: bool) -> mx.array:
    """Call a fresh `mlx.nn.Dropout2d`."""
    return _called(Dropout2d(p), x, train)


def dropout3d(x: mx.array, p: float, train: bool) -> mx.array:
    """Call a fresh `mlx.nn.Dropout3d`."""
    return _called(Dropout3d(p), x, train)


def _called(layer: Dropout | Dropout2d | Dropout3d, x: mx.array, train: bool) -> mx.array:
    layer.train(train)
    return layer(x)
