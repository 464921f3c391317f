"""PyTorch's layer of a transformer's encoder with given weights."""

from collections.abc import Sequence

from torch import Tensor, func, nn

_NAMES = (
    *(f"self_attn.{name}" for name in ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")),
    *(f"{part}.{name}" for part in ("linear1", "linear2", "norm1", "norm2") for name in ("weight", "bias")),
)


def encoder_layer(x: Tensor, weights: Sequence[Tensor], heads: int, p: float, train: bool) -> Tensor:
    """Call `nn.TransformerEncoderLayer(norm_first=True)` on (N, T, C), with weights in the order of its parameters."""
    layer = nn.TransformerEncoderLayer(
        x.shape[-1], heads, weights[4].shape[0], p, batch_first=True, norm_first=True, device="meta", dtype=x.dtype
    )  # draws no weights
    out: Tensor = func.functional_call(layer.train(train), dict(zip(_NAMES, weights, strict=True)), (x,))
    return out
