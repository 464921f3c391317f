"""Keras on PyTorch, with PyTorch's own gradients and `keras.remat`, on the device that Keras has chosen."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch as _pytorch
from numpy.typing import NDArray

from keeprate.impl.backends import _keras
from keeprate.impl.backends import torch as _torch

_k = _keras.load("torch")
name, version, layout = "keras-torch", f"{_k.__version__} on torch {_pytorch.__version__}", _keras.layout
device = _k.ops.zeros(()).device.type
dtypes = _torch.dtypes
seed, dtype_of, vjp, linearize = _keras.seed, _keras.dtype_of, _torch.vjp, _torch.linearize
dropout, alpha_dropout = _keras.dropout, _keras.alpha_dropout
dropout1d, dropout2d, dropout3d = _keras.dropout1d, _keras.dropout2d, _keras.dropout3d
feature_dropout, feature_alpha_dropout = _keras.feature_dropout, _keras.feature_alpha_dropout
variational_dropout, drop_path = _keras.variational_dropout, _keras.drop_path
embedding_dropout, attention = _keras.embedding_dropout, _keras.attention
checkpoint: Callable[..., Any] = _k.remat


def asarray(x: NDArray[np.floating], dtype: str) -> _pytorch.Tensor:
    """Return a fresh tensor where Keras computes."""
    return _torch.asarray(x, dtype).to(device)


def asnumpy(x: _pytorch.Tensor) -> NDArray[np.floating]:
    """Return x's values, in float32 where numpy lacks the dtype."""
    return _torch.asnumpy(x.cpu())
