"""The kernel that the README tests: PyTorch's own."""

from torch.nn.functional import dropout2d as fused_dropout2d

__all__ = ["fused_dropout2d"]
