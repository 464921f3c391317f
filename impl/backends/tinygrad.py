"""tinygrad on the device that it finds: `Tensor.dropout` and `Tensor.scaled_dot_product_attention`, with `TinyJit`."""

from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tinygrad import Context, Device, Tensor, TinyJit
from tinygrad import dtypes as _dtypes

name, version, device = "tinygrad", metadata.version("tinygrad"), Device.DEFAULT
layout = "channels_first"
dtypes = ("float32", "float64", "float16")  # bfloat16 takes a newer clang than Debian 12 has
devices = (device, *(f"{device}:{number}" for number in range(Device[device].count())))
seed = Tensor.manual_seed


def use(where: str) -> None:
    """Compute on one of `devices`: on that of its input each operator does, and draws."""
    global device
    device = where


def asarray(x: NDArray[np.floating], dtype: str) -> Any:
    """Return a fresh tensor of x's values."""
    return Tensor(np.array(x, order="C"), device=device).cast(getattr(_dtypes, dtype)).contiguous().realize()


def asnumpy(x: Any) -> NDArray[np.floating]:
    """Return x's values."""
    values: NDArray[np.floating] = x.numpy()
    return values


def dtype_of(x: Any) -> str:
    """Return the name of x's dtype, which tinygrad calls after C's types."""
    return {_dtypes.float32: "float32", _dtypes.float64: "float64", _dtypes.float16: "float16"}[x.dtype]


def dropout(x: Any, p: float, train: bool) -> Any:
    """Call the method, which looks for the mode in the context."""
    with Context(TRAINING=int(train)):
        return x.dropout(p)


def attention(q: Any, k: Any, v: Any, p: float, causal: bool, train: bool) -> Any:
    """Call the method, which is PyTorch's function by its arguments."""
    grouped = q.shape[1] != k.shape[1]
    with Context(TRAINING=int(train)):
        return q.scaled_dot_product_attention(k, v, dropout_p=p, is_causal=causal, enable_gqa=grouped)


class _Jitted:
    """A function captured in each mode, and with its gradient: what comes out of `TinyJit` can't be differentiated.

    `TinyJit` refuses what starts no kernel, as the identity: results are copied inside. Outside they are copied too,
    for the next run writes over them.
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        modes: tuple[tuple[bool, ...], ...] = ((), (True,), (False,))
        self._calls = {train: TinyJit(lambda x, train=train: fn(x, *train).clone().realize()) for train in modes}
        self._pass = TinyJit(lambda x, cotangent: [y.clone().realize() for y in vjp(fn, x, cotangent)])

    def __call__(self, x: Any, *train: bool) -> Any:
        return self._calls[train](x).clone().realize()

    def vjp(self, x: Any, cotangent: Any) -> tuple[Any, Any]:
        out, grad = self._pass(x, cotangent)
        return out.clone().realize(), grad.clone().realize()


def vjp(fn: Callable[[Any], Any], x: Any, cotangent: Any) -> tuple[Any, Any]:
    """Return fn(x) and the gradient at x."""
    if isinstance(fn, _Jitted):
        return fn.vjp(x, cotangent)
    leaf = x.detach()
    out = fn(leaf)
    (grad,) = out.gradient(leaf, gradient=cotangent)
    return out.realize(grad), grad


compile = _Jitted
