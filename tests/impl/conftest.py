"""PyTorch under a given mask."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode


class GivenMask(TorchDispatchMode):
    """Answers PyTorch's one draw with a mask of the input's shape, at the granularity PyTorch asks for."""

    def __init__(self, kept):
        super().__init__()
        self.kept = torch.from_numpy(np.ascontiguousarray(kept))
        self.draws = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is not torch.ops.aten.bernoulli_.float:
            return func(*args, **(kwargs or {}))
        self.draws += 1
        noise = args[0]
        kept = self.kept[(None,) * (noise.ndim - self.kept.ndim)]
        asked = kept[tuple(slice(length) for length in noise.shape)]
        assert (kept == asked).all()
        return noise.copy_(asked)


@pytest.fixture
def replay():
    """`replay(op, x, p, kept, cotangent)`: PyTorch's output and gradient for the mask `kept`, as tensors."""

    def replayed(op, x, p, kept, cotangent):
        leaf = x.clone().requires_grad_()
        with GivenMask(kept) as mode:
            out = op(leaf.clone(), p, True)
        assert mode.draws == 1
        (grad,) = torch.autograd.grad(out, leaf, cotangent)
        return out.detach(), grad

    return replayed
