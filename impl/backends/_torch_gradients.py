"""PyTorch's gradients for the adapter, in which a kernel is given the very array that the caller gave."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Along(torch.autograd.Function):
    """A number whose gradient is the cotangent, the very array: `grad_outputs` would import half a second more."""

    @staticmethod
    def forward(ctx: Any, out: Tensor, cotangent: Tensor) -> Tensor:
        """Return the number, which nobody looks at."""
        ctx.cotangent = cotangent
        return out.new_zeros(())

    @staticmethod
    def backward(ctx: Any, one: Tensor) -> tuple[Tensor, None]:
        """Return the cotangent."""
        return ctx.cotangent, None


def _along(out: Tensor, cotangent: Tensor) -> Tensor:
    if not out.requires_grad:
        raise RuntimeError("the output is detached from its input: no gradient can be asked for")
    number: Tensor = Along.apply(out, cotangent)  # type: ignore[no-untyped-call]
    return number


def vjp(fn: Callable[[Tensor], Tensor], x: Tensor, cotangent: Tensor) -> tuple[Tensor, Tensor]:
    """Return fn(x) and the gradient at x; fn gets a copy that is not a leaf, since it may work in place.

    Raises:
        RuntimeError: the output is detached.
    """
    leaf = x.detach().requires_grad_()
    out = fn(leaf.clone())
    (grad,) = torch.autograd.grad(_along(out, cotangent), leaf)
    return out, grad


def linearize(fn: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Return fn(x), and a function from cotangents to gradients at x, which raises as `vjp` does."""
    leaf = x.detach().requires_grad_()
    out = fn(leaf.clone())
    return out, lambda cotangent: torch.autograd.grad(_along(out, cotangent), leaf, retain_graph=True)[0]
