"""What layers that are made to be broken share: a mutant overrides a hook. NumPy draws; the rest is PyTorch's."""

import numpy as np
import torch

from keeprate.impl.backends import torch as plain


class Gap(torch.autograd.Function):
    """A product whose backward pass may have another noise."""

    @staticmethod
    def forward(ctx, x, noise, back):
        ctx.back = back
        return x * noise

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.back(), None, None


class Drawn:
    version, dtypes = torch.__version__, plain.dtypes
    asarray, asnumpy, dtype_of = map(staticmethod, (plain.asarray, plain.asnumpy, plain.dtype_of))
    vjp = staticmethod(plain.vjp)

    def __init__(self):
        self.seed(None)

    def seed(self, value):
        self.random = np.random.Generator(np.random.Philox(value))

    def uniform(self, shape):
        return self.random.random(shape)

    def draw(self, shape, p):
        """A mask: True, kept, with probability 1 − p."""
        return self.uniform(shape) >= p

    def for_gradient(self, mask, p):
        """The mask of the backward pass, which must be that of the forward pass."""
        return mask
