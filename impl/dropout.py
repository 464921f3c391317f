"""Dropout in MLX: inputs are multiplied by noise, mask/(1 − p), as PyTorch forms it. Channels are last.

All take `p`, the probability of dropping; `training`, False for evaluation; `key`, an `mx.random.key`, or
None for MLX's global state. All raise ValueError for p outside [0, 1], NaN included, and, in training at
0 < p < 1, TypeError for a dtype that isn't real floating.
"""

from collections.abc import Sequence
from functools import partial

import mlx.core as mx
import numpy as np

from keeprate.impl.mask import channels, entries, masked, rows, shared, unbatched_channels, where_kept


def dropout(
    x: mx.array,
    p: float = 0.5,
    training: bool = True,
    *,
    shared_axes: Sequence[int] = (),
    key: mx.array | None = None,
) -> mx.array:
    """Zero each entry of x, of any shape, at probability p; scale the rest by 1/(1 − p).

    Along `shared_axes` one draw serves all entries: with (1,), the same features of (N, T, C) drop at every step T,
    which is variational dropout.

    Args:
        x: any shape.
        p: the probability of dropping, from 0 to 1.
        training: False for evaluation, which returns x itself.
        shared_axes: axes along which one draw serves all entries; negative ones count from the last.
        key: an `mx.random.key`, (2,) uint32, that decides the mask; None draws one from the state of this thread.

    Returns:
        An array of the shape and dtype of x; x itself in evaluation and at p = 0.

    Raises:
        ValueError: p is not from 0 to 1, or is NaN.
        TypeError: the dtype is not floating, in training at 0 < p < 1.
        ValueError: x lacks one of `shared_axes`, in training at 0 < p < 1. Negative ones count from the last.

    Source: torch.nn.functional.dropout; Gal & Ghahramani 2016, A theoretically grounded application of dropout in
        recurrent neural networks.
    """
    mask_shape = partial(shared, axes=shared_axes) if shared_axes else entries
    return masked(x, p, training, key, mask_shape, scaled)


def dropout_(x: mx.array, p: float = 0.5, training: bool = True, *, key: mx.array | None = None) -> mx.array:
    """`dropout`, written to x, which is returned.

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

    Source: torch.dropout_.
    """
    x[...] = dropout(x, p, training, key=key)
    return x


def feature_dropout(x: mx.array, p: float = 0.5, training: bool = True, *, key: mx.array | None = None) -> mx.array:
    """Zero each channel of x, (N, …, C), at probability p; scale the rest by 1/(1 − p).

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

    Source: torch.feature_dropout.
    """
    return masked(x, p, training, key, channels, scaled)


def feature_dropout_(x: mx.array, p: float = 0.5, training: bool = True, *, key: mx.array | None = None) -> mx.array:
    """`feature_dropout`, written to x, which is returned.

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

    Source: torch.feature_dropout_.
    """
    x[...] = feature_dropout(x, p, training, key=key)
    return x


def dropout1d(x: mx.array, p: float = 0.5, training: bool = True, *, key: mx.array | None = None) -> mx.array:
    """Zero each channel of x, (N, L, C) or (L, C), at probability p; scale the rest by 1/(1 − p).

    Args:
        x: (N, L, C) or (L, C).
        p: the probability of dropping, from 0 to 1.
        training: False for evaluation, which returns x itself.
        key: an `mx.random.key`, (2,) uint32, that decides the mask; None draws one from the state of this thread.

    Returns:
        An array of the shape and dtype of x; x itself in evaluation and at p = 0.

    Raises:
        ValueError: p is not from 0 to 1, or is NaN.
        TypeError: the dtype is not floating, in training at 0 < p < 1.
        ValueError: x has another number of dimensions, in evaluation too.

    Source: torch.nn.functional.dropout1d.
    """
    if x.ndim not in (2, 3):
        raise ValueError(f"shape {entries(x)}: dropout1d takes (L, C) or (N, L, C)")
    return masked(x, p, training, key, channels if x.ndim == 3 else unbatched_channels, scaled)


def dropout2d(x: mx.array, p: float = 0.5, training: bool = True, *, key: mx.array | None = None) -> mx.array:
    """Zero each channel of x, (N, H, W, C) or (N, L, C), at probability p; scale the rest by 1/(1 − p).

    The first axis is the batch whatever the rank: PyTorch does the same, with a warning at all ranks but 4.

    Args:
        x: (N, H, W, C) or (N, L, C).
        p: the probability of dropping, from 0 to 1.
        training: False for evaluation, which returns x itself.
        key: an `mx.random.key`, (2,) uint32, that decides the mask; None draws one from the state of this thread.

    Returns:
        An array of the shape and dtype of x; x itself in evaluation and at p = 0.

    Raises:
        ValueError: p is not from 0 to 1, or is NaN.
        TypeError: the dtype is not floating, in training at 0 < p < 1.
        ValueError: x has fewer than 2 dimensions, in training at 0 < p < 1.

    Source: torch.nn.functional.dropout2d.
    """
    return masked(x, p, training, key, channels, scaled)


def dropout3d(x: mx.array, p: float = 0.5, training: bool = True, *, key: mx.array | None = None) -> mx.array:
    """Zero each channel of x, (N, D, H, W, C) or (D, H, W, C), at probability p; scale the rest by 1/(1 − p).

    Any rank but 5 is taken as unbatched; PyTorch does the same, with a warning at ranks other than 4.

    Args:
        x: (N, D, H, W, C) or (D, H, W, C).
        p: the probability of dropping, from 0 to 1.
        training: False for evaluation, which returns x itself.
        key: an `mx.random.key`, (2,) uint32, that decides the mask; None draws one from the state of this thread.

    Returns:
        An array of the shape and dtype of x; x itself in evaluation and at p = 0.

    Raises:
        ValueError: p is not from 0 to 1, or is NaN.
        TypeError: the dtype is not floating, in training at 0 < p < 1.
        ValueError: x has no dimension, in training at 0 < p < 1.

    Source: torch.nn.functional.dropout3d.
    """
    return masked(x, p, training, key, channels if x.ndim == 5 else unbatched_channels, scaled)


def embedding_dropout(
    table: mx.array,
    indices: mx.array,
    p: float = 0.5,
    training: bool = True,
    *,
    key: mx.array | None = None,
) -> mx.array:
    """Look rows of an embedding up, of which each drops at probability p, wherever it stands; scale the rest.

    Args:
        table: (V, …) one row for each word.
        indices: (…) integers below V; negative ones count from the last.
        p: the probability of dropping, from 0 to 1.
        training: False for evaluation, in which nothing drops.
        key: an `mx.random.key`, (2,) uint32, that decides the mask; None draws one from the state of this thread.

    Returns:
        (…, …) rows of the table, zero for each word that is dropped.

    Raises:
        ValueError: p is not from 0 to 1, or is NaN.
        TypeError: the dtype is not floating, in training at 0 < p < 1.
        ValueError: the table has no dimension, in training at 0 < p < 1.

    Source: torch.feature_dropout of the table as (V, 1, …); Merity, Keskar & Socher 2018, Regularizing and optimizing
        LSTM language models.
    """

    return masked(
        table[indices], p, training, key, lambda _: rows(table), lambda x, kept, p: scaled(x, kept[indices], p)
    )


def scaled(x: mx.array, kept: mx.array, p: float) -> mx.array:
    """x · 1/(1 − p) where kept, x · 0 elsewhere.

    Args:
        x: any shape.
        kept: booleans that broadcast to it.
        p: the probability of dropping, below 1.

    Returns:
        An array of the shape and dtype of x.
    """
    # PyTorch divides in float32 for the narrower dtypes, and rounds the quotient.
    real = np.float64 if x.dtype == mx.float64 else np.float32
    return x * where_kept(kept, float(real(1) / real(1 - p)), x.dtype)
