"""PyTorch's attention under any mask: on the CPU it draws it with one `aten.bernoulli_`, which is answered."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from keeprate.specs.attention.place import Mask, Place
from keeprate.specs.given_mask import GivenMask, gradients, tensor, values
from keeprate.specs.rounding import Floats

NAME = "torch.nn.functional.scaled_dot_product_attention"


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
    leaves = [_rounded(x, place.dtype, dtype).requires_grad_() for x in inputs]
    q, k, v = leaves
    with GivenMask(0.0 if mask is None else mask) as mode:
        out = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, dropout_p=p, is_causal=place.causal, enable_gqa=place.shared > 1
        )
    mode.must_have_drawn(int(mask is not None), NAME, p)
    return [values(out), *gradients(out, _rounded(cotangent, place.dtype, dtype), leaves)]


def rounded(x: Floats, dtype: str) -> Floats:
    """`x` rounded to `dtype`."""
    return values(tensor(x, dtype))


def _rounded(x: Floats, given: str, dtype: str) -> torch.Tensor:
    return tensor(x, given).to(getattr(torch, dtype))
