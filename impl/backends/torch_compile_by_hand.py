"""PyTorch on the CPU with `torch.compile`, and attention as one writes it by hand: softmax, dropout, product.

It has no other operator, and is no installed backend: name it `keeprate.impl.backends.torch_compile_by_hand`.
"""

import torch
from torch import Tensor

from keeprate.impl.backends import torch as _torch
from keeprate.impl.backends import torch_compile as _torch_compile

name, version, device = "torch-compile-by-hand", _torch.version, _torch.device
layout, dtypes = _torch.layout, _torch.dtypes
seed, asarray, asnumpy, dtype_of, vjp = _torch.seed, _torch.asarray, _torch.asnumpy, _torch.dtype_of, _torch.vjp
compile, checkpoint, vmap = _torch_compile.compile, _torch.checkpoint, _torch.vmap


def attention(q: Tensor, k: Tensor, v: Tensor, p: float, causal: bool, train: bool) -> Tensor:
    """Weigh v by the softmax of q and k, of which entries are dropped."""
    if q.shape[1] != k.shape[1]:
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if causal:
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
        scores = scores.masked_fill(~seen, float("-inf"))
    return torch.nn.functional.dropout(scores.softmax(-1), p, train) @ v
