"""Eager PyTorch, on the CPU unless told otherwise: operators `(x, p, train)`, the channel axis second."""

import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from keeprate.impl.backends import _torch_encoder, _torch_gradients, _torch_on, _torch_recurrent
from keeprate.impl.backends._torch_attention import Attention

name, version, device = "torch", torch.__version__, "cpu"
layout = "channels_first"
dtypes = ("float32", "float64", "float16", "bfloat16")
inplace = True
devices = _torch_on.devices
seed = torch.default_generator.manual_seed  # torch.manual_seed of the CPU alone: a hundredth of its time
get_state, set_state = torch.get_rng_state, torch.set_rng_state
_cpuinfo = Path("/proc/cpuinfo")
_cpu = _cpuinfo.read_text(encoding="utf-8") if _cpuinfo.exists() else platform.processor()
# Where `bernoulli_` draws from streams of MKL: see torch.known.
mkl_on_intel = "GenuineIntel" in _cpu and torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]

dropout, dropout1d, dropout2d, dropout3d = F.dropout, F.dropout1d, F.dropout2d, F.dropout3d
variational_dropout = F.dropout1d  # one mask for all steps of a sequence (N, C, T)
alpha_dropout, feature_alpha_dropout = F.alpha_dropout, F.feature_alpha_dropout
lstm_dropout, gru_dropout = _torch_recurrent.lstm_dropout, _torch_recurrent.gru_dropout
encoder_layer = _torch_encoder.encoder_layer
vjp, linearize = _torch_gradients.vjp, _torch_gradients.linearize
dropout_, feature_dropout_ = torch.dropout_, torch.feature_dropout_
alpha_dropout_, feature_alpha_dropout_ = torch.alpha_dropout_, torch.feature_alpha_dropout_


_layers: dict[str, Callable[[float], nn.Module]] = {
    "attention": Attention,
    "dropout": nn.Dropout,
    "dropout_": partial(nn.Dropout, inplace=True),
    "dropout1d": nn.Dropout1d,
    "dropout2d": nn.Dropout2d,
    "dropout3d": nn.Dropout3d,
    "alpha_dropout": nn.AlphaDropout,
    "feature_alpha_dropout": nn.FeatureAlphaDropout,
}


def use(where: str) -> None:
    """Compute on one of `devices`."""
    globals().update(_torch_on.placed(where, asarray))


def feature_dropout(x: Tensor, p: float, train: bool, inplace: bool = False) -> Tensor:
    """Call torch.feature_dropout, or its in-place form; `torch.nn.functional` has neither."""
    return (torch.feature_dropout_ if inplace else torch.feature_dropout)(x, p, train)


def attention(q: Tensor, k: Tensor, v: Tensor, p: float, causal: bool, train: bool) -> Tensor:
    """Call `scaled_dot_product_attention`, which is told p = 0 in evaluation, as it knows no modes."""
    grouped = q.shape[-3] != k.shape[-3]
    return F.scaled_dot_product_attention(q, k, v, None, p if train else 0.0, causal, enable_gqa=grouped)


def drop_path(x: Tensor, p: float, train: bool) -> Tensor:
    """Call torch.feature_dropout on rows as the one channel of each sample."""
    return torch.feature_dropout(x.flatten(1)[:, None], p, train).reshape(x.shape)


embedding_dropout = drop_path  # of a table's rows


def asarray(x: NDArray[np.floating], dtype: str, device: torch.device | str = "cpu") -> Tensor:
    """Return a fresh tensor of x's values with x's strides, or in row-major order where one is negative."""
    if x.size == 0 or min(x.strides, default=0) < 0:
        return torch.tensor(np.ascontiguousarray(x), dtype=getattr(torch, dtype), device=device)
    # A copied slice would be contiguous: copy all the memory x spans, and look at it through x's strides.
    steps = [stride // x.itemsize for stride in x.strides]
    span = 1 + sum((length - 1) * step for length, step in zip(x.shape, steps, strict=True))
    memory = np.lib.stride_tricks.as_strided(x, (span,), (x.itemsize,))
    return torch.tensor(memory, dtype=getattr(torch, dtype), device=device).as_strided(x.shape, steps)


def asnumpy(x: Tensor) -> NDArray[np.floating]:
    """Return a view of x's memory, or, where numpy lacks the dtype or the device is another, its values."""
    values: NDArray[np.floating] = (x.float() if x.dtype == torch.bfloat16 else x).detach().cpu().numpy()
    return values


def dtype_of(x: Tensor) -> str:
    """Return the name of x's dtype."""
    return str(x.dtype).removeprefix("torch.")


def jvp(fn: Callable[[Tensor], Tensor], x: Tensor, tangent: Tensor) -> tuple[Tensor, Tensor]:
    """Return fn(x) and its derivative along `tangent`."""
    out, along, *_ = torch.func.jvp(lambda x: fn(x.clone()), (x,), (tangent,))
    return out, along


def vmap(fn: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Map fn over the rows of its first argument, each with masks of its own."""
    return lambda x, *train: torch.func.vmap(lambda row: fn(row, *train), randomness="different")(x)


def checkpoint(fn: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Let the backward pass run fn again, with the random state of the forward pass."""
    return partial(torch.utils.checkpoint.checkpoint, fn, use_reentrant=False)


def module(op: str, p: float) -> nn.Module:
    """Return a fresh layer.

    Raises:
        NotImplementedError: PyTorch has no layer for the operator.
    """
    if op not in _layers:
        raise NotImplementedError(f"{op} has no layer")
    return _layers[op](p)
