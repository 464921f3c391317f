"""Dropout as layers, for `mlx.nn`: they drop in training, and return x itself in evaluation. Channels are last.

In place of `mlx.nn.Dropout`, `Dropout2d` and `Dropout3d`, which refuse p = 1 and take p = NaN. Unlike upstream's, and
like PyTorch's, `Dropout2d` takes three dimensions as (N, L, C); for one image (H, W, C), add a batch axis.
"""

from collections.abc import Callable, Sequence
from functools import partial

import mlx.core as mx
from mlx.nn.layers.base import Module

from keeprate.impl import alpha, dropout
from keeprate.impl.mask import probability
from keeprate.impl.modes import training


class Layer(Module):
    """A layer that calls its class's operator, in the layer's mode.

    Args:
        p: the probability of dropping, from 0 to 1.
    """

    _operator: Callable[..., mx.array]

    def __init__(self, p: float = 0.5) -> None:
        """Drop with probability p.

        Raises:
            ValueError: p is not from 0 to 1.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.p = probability(p)

    def _extra_repr(self) -> str:
        return f"p={self.p}"

    def __call__(self, x: mx.array) -> mx.array:
        """Drop from x in training; return x itself in evaluation."""
        return self._operator(x, self.p, training(self))


class Dropout(Layer):
    """`keeprate.impl.dropout.dropout`; along some axes, one draw may serve all entries.

    Args:
        p: the probability of dropping, from 0 to 1.
        shared_axes: axes along which one draw serves all entries; negative ones count from the last.
    """

    def __init__(self, p: float = 0.5, shared_axes: Sequence[int] = ()) -> None:
        super().__init__(p)
        self._shared_axes = tuple(shared_axes)
        self._operator = partial(dropout.dropout, shared_axes=self._shared_axes)

    def _extra_repr(self) -> str:
        return super()._extra_repr() + (f", shared_axes={self._shared_axes}" if self._shared_axes else "")


class Dropout1d(Layer):
    """`keeprate.impl.dropout.dropout1d`: (N, L, C) or (L, C)."""

    _operator = staticmethod(dropout.dropout1d)


class Dropout2d(Layer):
    """`keeprate.impl.dropout.dropout2d`: (N, H, W, C) or (N, L, C)."""

    _operator = staticmethod(dropout.dropout2d)


class Dropout3d(Layer):
    """`keeprate.impl.dropout.dropout3d`: (N, D, H, W, C) or (D, H, W, C)."""

    _operator = staticmethod(dropout.dropout3d)


class AlphaDropout(Layer):
    """`keeprate.impl.alpha.alpha_dropout`."""

    _operator = staticmethod(alpha.alpha_dropout)


class FeatureAlphaDropout(Layer):
    """`keeprate.impl.alpha.feature_alpha_dropout`: (N, …, C)."""

    _operator = staticmethod(alpha.feature_alpha_dropout)
