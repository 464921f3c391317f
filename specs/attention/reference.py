"""PyTorch's operators under any mask: on the CPU it draws each with one `aten.bernoulli_`, which is answered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from keeprate.specs.attention.encoder import HEADS, HIDDEN, Encoder
from keeprate.specs.attention.network import Network
from keeprate.specs.attention.place import Mask, Place
from keeprate.specs.attention.places import Where
from keeprate.specs.given_mask import GivenMask, gradients, tensor, values
from keeprate.specs.rounding import Floats


def replay(
    place: Where, dtype: str, inputs: Sequence[Floats], p: float, mask: Mask | Sequence[Mask] | None, cotangent: Floats
) -> list[Floats]:
    """PyTorch's output and gradients of the parts of its input, computed in `dtype`.

    Args:
        inputs: of attention, queries (B, H, L, D), keys and values (B, H', S, D); of others, their one array; rounded
            to the place's dtype.
        mask: true where kept, of the place's shape; several, if it draws several, in their order; None where none is
            drawn, at p = 0 and p = 1.

    Raises:
        NoVerdictError: PyTorch drew its mask otherwise.
    """
    leaves = [_rounded(x, place.dtype, dtype).requires_grad_() for x in inputs]
    masks: list[Mask | float] = [] if mask is None else [mask] if isinstance(mask, np.ndarray) else [*mask]
    with GivenMask(*masks or [0.0]) as mode:
        if isinstance(place, Place):
            out = _attention(place, leaves, p)
        else:
            out = _recurrent(place, leaves[0], p) if isinstance(place, Network) else _encoded(place, leaves[0], p)
    name = "scaled_dot_product_attention" if isinstance(place, Place) else place.op
    mode.must_have_drawn(len(masks), f"PyTorch's {name}", p)
    return [values(out), *gradients(out, _rounded(cotangent, place.dtype, dtype), leaves)]


def _attention(place: Place, leaves: Sequence[torch.Tensor], p: float) -> torch.Tensor:
    q, k, v = leaves
    return torch.nn.functional.scaled_dot_product_attention(
        q, k, v, dropout_p=p, is_causal=place.causal, enable_gqa=place.shared > 1
    )


def _recurrent(place: Network, leaf: torch.Tensor, p: float) -> torch.Tensor:
    x, weights = place.unpacked(leaf)
    kind = torch.nn.LSTM if place.op == "lstm_dropout" else torch.nn.GRU
    units = x.shape[-1]
    layer = kind(units, units, place.layers, dropout=p, device="meta", dtype=x.dtype)  # draws no weights
    names = [f"{name}_l{i}" for i in range(place.layers) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    given = dict(zip(names, (one for each in weights for one in each), strict=True))
    out: torch.Tensor = torch.func.functional_call(layer, given, (x,))[0]
    return out


def _encoded(place: Encoder, leaf: torch.Tensor, p: float) -> torch.Tensor:
    x, weights = place.unpacked(leaf)
    layer = torch.nn.TransformerEncoderLayer(
        x.shape[-1], HEADS, HIDDEN, p, batch_first=True, norm_first=True, device="meta", dtype=x.dtype
    )
    given = dict(zip((name for name, _ in layer.named_parameters()), weights, strict=True))
    out: torch.Tensor = torch.func.functional_call(layer, given, (x,))
    return out


def rounded(x: Floats, dtype: str) -> Floats:
    """`x` rounded to `dtype`."""
    return values(tensor(x, dtype))


def _rounded(x: Floats, given: str, dtype: str) -> torch.Tensor:
    return tensor(x, given).to(getattr(torch, dtype))
