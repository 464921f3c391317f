"""Upstream's layers, `mlx.nn.Dropout`, `Dropout2d` and `Dropout3d`, as a backend with three operators.

They are called as they are: p = 1 is refused, and `Dropout2d` takes three dimensions as an unbatched
(H, W, C), where PyTorch's `dropout2d` takes (N, C, L). The other operators have no layer upstream. The transforms are
MLX's own, used as its documentation says.
"""

from collections.abc import Callable
from functools import partial

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.nn.layers.dropout import Dropout, Dropout2d, Dropout3d

from keeprate.impl.backends import mlx as _mlx

name, version, device = "mlx-nn", _mlx.version, _mlx.device
layout, dtypes = _mlx.layout, _mlx.dtypes
seed, asarray, asnumpy, dtype_of, vjp = mx.random.seed, _mlx.asarray, _mlx.asnumpy, _mlx.dtype_of, _mlx.vjp
jvp = _mlx.jvp
compile = partial(mx.compile, inputs=mx.random.state, outputs=mx.random.state)
checkpoint = mx.checkpoint
_layers: dict[str, Callable[[float], Module]] = {"dropout": Dropout, "dropout2d": Dropout2d, "dropout3d": Dropout3d}


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


def vmap(fn: Callable[..., mx.array]) -> Callable[..., mx.array]:
    """Map fn over the rows of its first argument; `mx.vmap` takes no Python scalars, so the mode is closed over."""
    return lambda x, *train: mx.vmap(lambda row: fn(row, *train))(x)


def module(op: str, p: float) -> Module:
    """Return a fresh layer.

    Raises:
        NotImplementedError: upstream has no layer for the operator.
    """
    if op not in _layers:
        raise NotImplementedError(f"{op} has no layer")
    return _layers[op](p)
