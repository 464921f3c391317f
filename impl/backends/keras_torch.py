"""Keras on PyTorch, with PyTorch's own gradients and `keras.remat`."""

from collections.abc import Callable
from typing import Any

import torch as _pytorch

from impl.backends import _keras
from impl.backends import torch as _torch

_k = _keras.load("torch")
name, version, device, layout = "keras-torch", f"{_k.__version__} on torch {_pytorch.__version__}", "cpu", _keras.layout
dtypes = _torch.dtypes
seed, asarray, asnumpy, dtype_of, vjp = _keras.seed, _torch.asarray, _torch.asnumpy, _keras.dtype_of, _torch.vjp
dropout, alpha_dropout = _keras.dropout, _keras.alpha_dropout
dropout1d, dropout2d, dropout3d = _keras.dropout1d, _keras.dropout2d, _keras.dropout3d
feature_dropout, feature_alpha_dropout = _keras.feature_dropout, _keras.feature_alpha_dropout
checkpoint: Callable[..., Any] = _k.remat
