"""MLX as a backend: the operators of `impl`. Operators take `(x, p, train)`; the channel axis is last."""

from collections.abc import Callable
from importlib import metadata

import mlx.core as mx
import numpy as np
from mlx.nn.layers.base import Module
from mlx.nn.layers.linear import Identity
from numpy.typing import NDArray

from keeprate.impl import alpha as _alpha
from keeprate.impl import attention as _attention
from keeprate.impl import dropout as _dropout
from keeprate.impl import modules as _modules
from keeprate.impl import paths as _paths
from keeprate.impl import random as _random
from keeprate.impl import transforms as _transforms

name, version, device = "mlx", metadata.version("mlx"), str(mx.default_device())
layout = "channels_last"
dtypes = ("float32", "float16", "bfloat16")
seed, get_state, set_state = _random.seed, _random.get_state, _random.set_state
compile, vmap, checkpoint = _transforms.compile, _transforms.vmap, _transforms.checkpoint


class _Attention(_attention.MultiHeadAttention):
    """Without projections, and called with heads apart, (B, H, L, D)."""

    def __init__(self, p: float) -> None:
        Module.__init__(self)  # type: ignore[no-untyped-call]  # the other one draws weights
        self.dropout = p
        for part in ("query_proj", "key_proj", "value_proj", "out_proj"):
            setattr(self, part, Identity())

    def __call__(self, q: mx.array, k: mx.array, v: mx.array, mask: mx.array | str | None = None) -> mx.array:
        self.num_heads = q.shape[1]
        out = super().__call__(*(x.swapaxes(1, 2).flatten(-2, -1) for x in (q, k, v)))
        return mx.unflatten(out, -1, (q.shape[1], -1)).swapaxes(1, 2)


_layers: dict[str, Callable[[float], Module]] = {
    "attention": _Attention,
    "dropout": _modules.Dropout,
    "dropout1d": _modules.Dropout1d,
    "dropout2d": _modules.Dropout2d,
    "dropout3d": _modules.Dropout3d,
    "alpha_dropout": _modules.AlphaDropout,
    "drop_path": _paths.DropPath,
    "feature_alpha_dropout": _modules.FeatureAlphaDropout,
}

dropout, dropout_ = _dropout.dropout, _dropout.dropout_
feature_dropout, feature_dropout_ = _dropout.feature_dropout, _dropout.feature_dropout_
dropout1d, dropout2d, dropout3d = _dropout.dropout1d, _dropout.dropout2d, _dropout.dropout3d
alpha_dropout, alpha_dropout_ = _alpha.alpha_dropout, _alpha.alpha_dropout_
drop_path = _paths.drop_path
feature_alpha_dropout, feature_alpha_dropout_ = _alpha.feature_alpha_dropout, _alpha.feature_alpha_dropout_


def variational_dropout(x: mx.array, p: float, train: bool) -> mx.array:
    """Call `dropout` with one mask for all time steps of (N, T, C)."""
    return dropout(x, p, train, shared_axes=(1,))


def attention(q: mx.array, k: mx.array, v: mx.array, p: float, causal: bool, train: bool) -> mx.array:
    """Call `scaled_dot_product_attention`."""
    return _attention.scaled_dot_product_attention(q, k, v, p, train, mask="causal" if causal else None)


def embedding_dropout(x: mx.array, p: float, train: bool) -> mx.array:
    """Look all words of the table x up, in order."""
    return _dropout.embedding_dropout(x, mx.arange(x.shape[0]), p, train)


def asarray(x: NDArray[np.floating], dtype: str) -> mx.array:
    """Return a fresh array of x's values with x's strides, or in row-major order where one is negative."""
    if min(x.strides, default=0) < 0:
        x = np.ascontiguousarray(x)
    if x.flags.c_contiguous:
        native = mx.array(x).astype(_dtype(dtype))
    else:
        # mx.array copies to row-major order: copy all the memory x spans, and look at it through x's strides.
        steps = [stride // x.itemsize for stride in x.strides]
        span = 1 + sum((length - 1) * step for length, step in zip(x.shape, steps, strict=True))
        memory = np.lib.stride_tricks.as_strided(x, (span,), (x.itemsize,))
        native = mx.as_strided(mx.array(memory).astype(_dtype(dtype)), x.shape, steps)
    mx.eval(native)  # MLX can't evaluate in one thread what was called in another
    return native


def asnumpy(x: mx.array) -> NDArray[np.floating]:
    """Evaluate x and return a view of its memory, or, where numpy lacks the dtype, its values in float32."""
    return np.asarray(x.astype(mx.float32) if x.dtype == mx.bfloat16 else x)


def dtype_of(x: mx.array) -> str:
    """Return the name of x's dtype."""
    return str(x.dtype).removeprefix("mlx.core.").removesuffix("_")


def _dtype(name: str) -> mx.Dtype:
    found: mx.Dtype = getattr(mx, name, mx.bool_)
    return found


def vjp(fn: Callable[[mx.array], mx.array], x: mx.array, cotangent: mx.array) -> tuple[mx.array, mx.array]:
    """Return fn(x) and the gradient at x; MLX hands fn a copy, so x stays as it is when fn works in place."""
    (out,), (grad,) = mx.vjp(fn, [x], [cotangent])
    return out, grad


def jvp(fn: Callable[[mx.array], mx.array], x: mx.array, tangent: mx.array) -> tuple[mx.array, mx.array]:
    """Return fn(x) and its derivative along `tangent`."""
    (out,), (along,) = mx.jvp(fn, [x], [tangent])
    return out, along


def module(op: str, p: float) -> Module:
    """Return a fresh layer that calls the operator.

    Raises:
        NotImplementedError: the operator has no layer.
    """
    if op not in _layers:
        raise NotImplementedError(f"{op} has no layer")
    return _layers[op](p)
