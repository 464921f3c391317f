"""Stochastic depth in MLX: whole rows of a batch are dropped, for residual branches that are left out at random."""

import mlx.core as mx

from keeprate.impl.dropout import scaled
from keeprate.impl.mask import masked, rows
from keeprate.impl.modules import Layer


def drop_path(x: mx.array, p: float = 0.5, training: bool = True, *, key: mx.array | None = None) -> mx.array:
    """Zero each row of x, (N, …), at probability p; scale the rest by 1/(1 − p).

    Args:
        x: (N, …).
        p: the probability of dropping, from 0 to 1.
        training: False for evaluation, which returns x itself.
        key: an `mx.random.key`, (2,) uint32, that decides the mask; None draws one from the state of this thread.

    Returns:
        An array of the shape and dtype of x; x itself in evaluation and at p = 0.

    Raises:
        ValueError: p is not from 0 to 1, or is NaN.
        TypeError: the dtype is not floating, in training at 0 < p < 1.
        ValueError: x has no dimension, in training at 0 < p < 1.

    Source: torch.feature_dropout of x as (N, 1, …); Huang, Sun, Liu, Sedra & Weinberger 2016, Deep networks with
        stochastic depth.
    """
    return masked(x, p, training, key, rows, scaled)


class DropPath(Layer):
    """`drop_path`, for the branch of a residual connection: x + drop(branch(x))."""

    _operator = staticmethod(drop_path)
