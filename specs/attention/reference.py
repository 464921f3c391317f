"""PyTorch's attention under any mask: on the CPU it draws it with one `aten.bernoulli_`, which is answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from keeprate.specs.attention.place import Floats, Mask, Place
from keeprate.suite import NoVerdictError

NAME = "torch.nn.functional.scaled_dot_product_attention"


class _GivenMask(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's mode has no annotations
    def __init__(self, mask: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.mask, self.calls = mask, 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and saying so would import the compiler: more than a second

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not torch.ops.aten.bernoulli_.float:
            return func(*args, **(kwargs or {}))
        self.calls += 1
        return args[0].copy_(self.mask.reshape(args[0].shape))


def replay(
    place: Place, dtype: str, inputs: Sequence[Floats], p: float, mask: Mask | None, cotangent: Floats
) -> list[Floats]:
    """PyTorch's output and gradients of queries, keys and values, computed in `dtype`.

    Args:
        inputs: queries (B, H, L, D), keys and values (B, H', S, D), rounded to the place's dtype.
        mask: (B, H, L, S), true where kept; None where none is drawn, at p = 0 and p = 1.

    Raises:
        NoVerdictError: PyTorch drew its mask otherwise.
    """
    leaves = [_tensor(x, place.dtype, dtype).requires_grad_() for x in inputs]
    given = torch.from_numpy(np.zeros(place.shape) if mask is None else mask.astype(np.float64))
    q, k, v = leaves
    with _GivenMask(given) as mode:
        out = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, dropout_p=p, is_causal=place.causal, enable_gqa=place.shared > 1
        )
    if mode.calls != (mask is not None):
        raise NoVerdictError(
            f"the reference can't be told its mask: {NAME} at p = {p} drew {mode.calls} masks with aten.bernoulli_ "
            f"(torch {torch.__version__})"
        )
    # As a factor, for as an argument it makes PyTorch import its symbolic shapes: half a second.
    gradients = torch.autograd.grad((out * _tensor(cotangent, place.dtype, dtype)).sum(), leaves)
    return [x.detach().to(torch.float64).numpy() for x in (out, *gradients)]


def rounded(x: Floats, dtype: str) -> Floats:
    """`x` rounded to `dtype`."""
    return torch.from_numpy(np.array(x)).to(getattr(torch, dtype)).to(torch.float64).numpy()


def _tensor(x: Floats, given: str, dtype: str) -> torch.Tensor:
    return torch.from_numpy(np.array(x, dtype=np.float64)).to(getattr(torch, given)).to(getattr(torch, dtype))
