"""Alpha dropout in MLX: a dropped input becomes SELU's limit; then all are mapped to mean 0 and variance 1.

Channels are last; `p`, `training`, `key` and what is raised are as in `keeprate.impl.dropout`.
"""

import math

import mlx.core as mx

from keeprate.impl.mask import channels, either, entries, masked, where_kept

# SELU(x) → −LIMIT as x → −∞. Klambauer, Unterthiner, Mayr & Hochreiter 2017, Self-normalizing neural nets.
LIMIT = 1.7580993408473766


def alpha_dropout(x: mx.array, p: float = 0.5, training: bool = True, *, key: mx.array | None = None) -> mx.array:
    """Alpha dropout of each entry of x, of any shape, with probability p.

    Args:
        x: any shape.
        p: the probability of dropping, from 0 to 1.
        training: False for evaluation, which returns x itself.
        key: an `mx.random.key`, (2,) uint32, that decides the mask; None draws one from the state of this thread.

    Returns:
        An array of the shape and dtype of x; x itself in evaluation and at p = 0.

    Raises:
        ValueError: p is not from 0 to 1, or is NaN.
        TypeError: the dtype is not floating, in training at 0 < p < 1.

    Source: torch.nn.functional.alpha_dropout.
    """
    return masked(x, p, training, key, entries, _mapped)


def alpha_dropout_(x: mx.array, p: float = 0.5, training: bool = True, *, key: mx.array | None = None) -> mx.array:
    """`alpha_dropout`, written to x, which is returned.

    Args:
        x: any shape; is written to.
        p: the probability of dropping, from 0 to 1.
        training: False for evaluation, which returns x itself.
        key: an `mx.random.key`, (2,) uint32, that decides the mask; None draws one from the state of this thread.

    Returns:
        x.

    Raises:
        ValueError: p is not from 0 to 1, or is NaN.
        TypeError: the dtype is not floating, in training at 0 < p < 1.

    Source: torch.alpha_dropout_.
    """
    x[...] = alpha_dropout(x, p, training, key=key)
    return x


def feature_alpha_dropout(
    x: mx.array, p: float = 0.5, training: bool = True, *, key: mx.array | None = None
) -> mx.array:
    """Alpha dropout of each channel of x, (N, …, C), with probability p.

    Args:
        x: (N, …, C).
        p: the probability of dropping, from 0 to 1.
        training: False for evaluation, which returns x itself.
        key: an `mx.random.key`, (2,) uint32, that decides the mask; None draws one from the state of this thread.

    Returns:
        An array of the shape and dtype of x; x itself in evaluation and at p = 0.

    Raises:
        ValueError: p is not from 0 to 1, or is NaN.
        TypeError: the dtype is not floating, in training at 0 < p < 1.
        ValueError: x has fewer than 2 dimensions, in training at 0 < p < 1.

    Source: torch.nn.functional.feature_alpha_dropout.
    """
    return masked(x, p, training, key, channels, _mapped)


def feature_alpha_dropout_(
    x: mx.array, p: float = 0.5, training: bool = True, *, key: mx.array | None = None
) -> mx.array:
    """`feature_alpha_dropout`, written to x, which is returned.

    Args:
        x: (N, …, C); is written to.
        p: the probability of dropping, from 0 to 1.
        training: False for evaluation, which returns x itself.
        key: an `mx.random.key`, (2,) uint32, that decides the mask; None draws one from the state of this thread.

    Returns:
        x.

    Raises:
        ValueError: p is not from 0 to 1, or is NaN.
        TypeError: the dtype is not floating, in training at 0 < p < 1.

    Source: torch.feature_alpha_dropout_.
    """
    x[...] = feature_alpha_dropout(x, p, training, key=key)
    return x


def _mapped(x: mx.array, kept: mx.array, p: float) -> mx.array:
    # a·(x, or −LIMIT where dropped) + LIMIT·a·p. PyTorch rounds each product and sum to x's dtype.
    a = 1 / math.sqrt((LIMIT * LIMIT * p + 1) * (1 - p))
    scaled, shift = x * where_kept(kept, a, x.dtype), mx.array(LIMIT * a * p, x.dtype)
    return scaled + either(kept, shift, mx.array(-LIMIT * a, x.dtype) + shift)
