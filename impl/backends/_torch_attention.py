"""PyTorch's `MultiheadAttention` as a layer of attention alone."""

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """A `MultiheadAttention` without projections, called with heads apart, (B, H, L, D)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        size = q.shape[1] * q.shape[3]
        with torch.random.fork_rng(devices=[]), torch.no_grad():  # its weights are drawn first
            layer = nn.MultiheadAttention(size, q.shape[1], self.p, bias=False, batch_first=True, dtype=q.dtype)
            layer.in_proj_weight.copy_(torch.eye(size).repeat(3, 1))
            layer.out_proj.weight.copy_(torch.eye(size))
        together = (x.transpose(1, 2).flatten(-2) for x in (q, k, v))
        out, _ = layer.to(q.device).train(self.training)(*together, need_weights=False)
        heads: Tensor = out.unflatten(-1, (q.shape[1], -1)).transpose(1, 2)
        return heads
