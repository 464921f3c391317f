"""PyTorch under given masks."""

import math

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode


class GivenMasks(TorchDispatchMode):
    """Answers PyTorch's draws in turn with masks of the inputs' shapes, at the granularity PyTorch asks for."""

    def __init__(self, *masks):
        super().__init__()
        self.masks = [torch.from_numpy(np.ascontiguousarray(kept)) for kept in masks]
        self.draws = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is not torch.ops.aten.bernoulli_.float:
            return func(*args, **(kwargs or {}))
        noise, kept = args[0], self.masks[self.draws]
        self.draws += 1
        kept = kept[(None,) * (noise.ndim - kept.ndim)]
        asked = kept[tuple(slice(length) for length in noise.shape)]
        assert (kept == asked).all()
        return noise.copy_(asked)


@pytest.fixture
def given_masks():
    """A context in which PyTorch draws these masks, in turn; it counts them in `draws`."""
    return GivenMasks


@pytest.fixture
def replay():
    """`replay(op, x, p, kept, cotangent)`: PyTorch's output and gradient for the mask `kept`, as tensors."""

    def replayed(op, x, p, kept, cotangent):
        leaf = x.clone().requires_grad_()
        with GivenMasks(kept) as mode:
            out = op(leaf.clone(), p, True)
        assert mode.draws == 1
        (grad,) = torch.autograd.grad(out, leaf, cotangent)
        return out.detach(), grad

    return replayed


@pytest.fixture
def assert_independent():
    """`assert_independent(masks)`: no two of these fair masks, (masks, …), agree or disagree too often.

    Faithful masks fail it with a chance of 1e-10 at most: a sum of n signs passes t with 2·exp(−t²/2n) (Hoeffding).
    """

    def asserted(masks):
        signs = 2.0 * np.reshape(masks, (len(masks), -1)) - 1
        pairs = np.tril_indices(len(masks), -1)
        assert len(pairs[0])
        agreement = (signs @ signs.T)[pairs]
        assert np.abs(agreement).max() < math.sqrt(2 * signs.shape[1] * math.log(2 * len(agreement) / 1e-10))

    return asserted
