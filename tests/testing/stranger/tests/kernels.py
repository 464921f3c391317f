"""What the stranger wrote."""

import torch


def dropout(x, p, train):
    if not 0 <= p <= 1:
        raise ValueError(f"p = {p}")
    if not train or p == 0:
        return x * 1
    return torch.where(torch.rand_like(x) >= p, x * (1 / (1 - float(p)) if p < 1 else 0), torch.zeros_like(x))


def fused_dropout(x, p, train):
    """The same, with one mask for all rows of a batch."""
    if not 0 <= p <= 1:
        raise ValueError(f"p = {p}")
    if not train or p == 0:
        return x * 1
    mask = torch.rand(x.shape[1:]) >= p
    return torch.where(mask, x * (1 / (1 - float(p)) if p < 1 else 0), torch.zeros_like(x))
