"""PaddlePaddle on the CPU: `paddle.nn.functional`, `to_static` and `recompute`, the channel axis second."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import paddle as _paddle
from numpy.typing import NDArray
from paddle import nn
from paddle.distributed.fleet.utils import recompute
from paddle.nn import functional as F

name, version, device = "paddle", _paddle.__version__, "cpu"
layout = "channels_first"
# Where the CPU has no kernel for a sum or a product of narrow arrays, there is no operator in that dtype.
dtypes = {
    **dict.fromkeys(("dropout", "dropout_"), ("float32", "float64", "float16", "bfloat16")),
    **dict.fromkeys(("dropout1d", "dropout2d", "dropout3d"), ("float32", "float64", "bfloat16")),
    **dict.fromkeys(("alpha_dropout", "feature_alpha_dropout"), ("float32", "float64")),
}
inplace = ("dropout",)
Function = Callable[..., Any]
_layers: dict[str, Callable[[float], Any]] = {
    "dropout": nn.Dropout,
    "dropout2d": nn.Dropout2D,
    "dropout3d": nn.Dropout3D,
    "alpha_dropout": nn.AlphaDropout,
    "feature_alpha_dropout": nn.FeatureAlphaDropout,
}
_paddle.set_device("cpu")


def seed(value: int) -> None:
    """Set the generator of the CPU."""
    _paddle.seed(value)


def get_state() -> Any:
    """Return the state of the generator."""
    return _paddle.get_rng_state()


def set_state(state: Any) -> None:
    """Put a state back."""
    _paddle.set_rng_state(state)


def asarray(x: NDArray[np.floating], dtype: str) -> Any:
    """Return a fresh tensor, in row-major order."""
    return _paddle.to_tensor(np.array(x, order="C"), dtype=dtype)


def asnumpy(x: Any) -> NDArray[np.floating]:
    """Return x's values, in float32 where numpy lacks the dtype."""
    values: NDArray[np.floating] = (x.astype("float32") if dtype_of(x) == "bfloat16" else x).numpy()
    return values


def dtype_of(x: Any) -> str:
    """Return the name of x's dtype."""
    return str(x.dtype).rpartition(".")[2]


def dropout(x: Any, p: float, train: bool, inplace: bool = False) -> Any:
    """Drop entries."""
    return F.dropout(x, p, training=train, inplace=inplace)


def dropout_(x: Any, p: float, train: bool) -> Any:
    """Drop entries of x itself."""
    return F.dropout(x, p, training=train, inplace=True)


dropout1d, dropout2d, dropout3d = F.dropout1d, F.dropout2d, F.dropout3d
alpha_dropout, feature_alpha_dropout = F.alpha_dropout, F.feature_alpha_dropout


def vjp(fn: Function, x: Any, cotangent: Any) -> tuple[Any, Any]:
    """Return fn(x) and the gradient at x; fn gets a copy that is not a leaf, since it may work in place."""
    out, pull = linearize(fn, x)
    return out, pull(cotangent)


def linearize(fn: Function, x: Any) -> tuple[Any, Function]:
    """Return fn(x), and a function from cotangents to gradients at x."""
    leaf = x.detach()
    leaf.stop_gradient = False
    out = fn(leaf.clone())
    return out, lambda cotangent: _paddle.grad(out, leaf, cotangent, retain_graph=True)[0]


def compile(fn: Function) -> Function:
    """Trace fn to a static program."""
    compiled: Function = _paddle.jit.to_static(lambda x, train=None: fn(x) if train is None else fn(x, train))
    return compiled


def checkpoint(fn: Function) -> Function:
    """Let the backward pass run fn again, with the random state of the forward pass."""
    return partial(recompute, fn)


def module(op: str, p: float) -> Any:
    """Return a fresh layer.

    Raises:
        NotImplementedError: Paddle has no layer for the operator.
    """
    if op not in _layers:
        raise NotImplementedError(f"{op} has no layer")
    return _layers[op](p)
