"""PyTorch's recurrent layers with given weights, and dropout between them."""

from collections.abc import Sequence

from torch import Tensor, func, nn

Weights = Sequence[tuple[Tensor, Tensor, Tensor, Tensor]]
_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def lstm_dropout(x: Tensor, weights: Weights, p: float, train: bool) -> Tensor:
    """Call `nn.LSTM` on (T, N, C), with the weights and biases of each layer."""
    return _called(nn.LSTM, x, weights, p, train)


def gru_dropout(x: Tensor, weights: Weights, p: float, train: bool) -> Tensor:
    """Call `nn.GRU` in the same way."""
    return _called(nn.GRU, x, weights, p, train)


def _called(kind: type[nn.LSTM] | type[nn.GRU], x: Tensor, weights: Weights, p: float, train: bool) -> Tensor:
    size = x.shape[-1]
    layer = kind(size, size, len(weights), dropout=p, device="meta", dtype=x.dtype).train(train)  # draws no weights
    given = {f"{name}_l{i}": one for i, each in enumerate(weights) for name, one in zip(_NAMES, each, strict=True)}
    out: Tensor = func.functional_call(layer, given, (x,))[0]
    return out
