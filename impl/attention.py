"""Attention with dropout of its weights, in MLX: `mx.fast.scaled_dot_product_attention` has none, nor has `mlx.nn`."""

import math

import mlx.core as mx
from mlx.nn.layers import transformer

from keeprate.impl.dropout import dropout
from keeprate.impl.mask import probability
from keeprate.impl.modes import training as training_mode


def scaled_dot_product_attention(
    q: mx.array,
    k: mx.array,
    v: mx.array,
    p: float = 0.0,
    training: bool = True,
    *,
    scale: float | None = None,
    mask: mx.array | str | None = None,
    key: mx.array | None = None,
) -> mx.array:
    """Drop weights of softmax(q·kᵀ·scale)·v at probability p, each for itself; scale the rest by 1/(1 − p).

    In evaluation and at p = 0 it is `mx.fast.scaled_dot_product_attention`, and draws nothing; else it computes the
    weights, (B, H, L, S), in float32, or in float64 if one argument is.

    Args:
        q: (B, H, L, D) queries.
        k: (B, H', S, D) keys; H' divides H, and a group of H/H' heads shares one of them.
        v: (B, H', S, E) values.
        p: the probability of dropping a weight, from 0 to 1.
        training: False for evaluation, in which nothing drops.
        scale: 1/√D unless given.
        mask: as in `mx.fast`: where a weight may be, what is added to the scores, or "causal", by which the last query
            sees all keys.
        key: an `mx.random.key`, (2,) uint32, that decides the mask; None draws one from the state of this thread.

    Returns:
        (B, H, L, E) in the dtype that q, k and v promote to.

    Raises:
        ValueError: p is not from 0 to 1, the shapes don't fit, or there is no mask of that name.
        TypeError: q, k and v are of no floating-point dtype.

    Source: torch.nn.functional.scaled_dot_product_attention, whose `is_causal` is "causal" here where L = S.
    """
    p = probability(p)
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    if k.ndim == 4 and not k.shape[1]:  # by which `mx.fast` divides
        raise ValueError(f"k {k.shape} has no heads")
    if not training or p == 0:
        return mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=mask)
    _check(q, k, v)
    dtype = mx.result_type(mx.result_type(q, k), v)
    wide = mx.float64 if dtype == mx.float64 else mx.float32
    q, k, v = (x.astype(wide) for x in (q, k, v))
    batch, heads, queries, channels = q.shape
    keys = k.shape[2]
    # The heads of a group as further queries of one head: no key and no value is copied.
    grouped = (batch, k.shape[1], heads // k.shape[1] * queries)
    scores = ((q * scale).reshape(*grouped, channels) @ k.swapaxes(-1, -2)).reshape(batch, heads, queries, keys)
    weights = dropout(mx.softmax(_hidden(scores, mask), axis=-1), p, key=key)
    return (weights.reshape(*grouped, keys) @ v).reshape(batch, heads, queries, v.shape[3]).astype(dtype)


def _check(q: mx.array, k: mx.array, v: mx.array) -> None:
    """What `mx.fast` refuses where it is called.

    Raises:
        ValueError: the shapes don't fit.
        TypeError: they are of no floating-point dtype.
    """
    if not mx.issubdtype(mx.result_type(mx.result_type(q, k), v), mx.floating):
        raise TypeError(f"q {q.dtype}, k {k.dtype}, v {v.dtype}: attention takes floating-point dtypes")
    shapes = f"q {q.shape}, k {k.shape}, v {v.shape}"
    if not q.ndim == k.ndim == v.ndim == 4:
        raise ValueError(f"{shapes}: attention takes 4 dimensions, (batch, heads, queries or keys, channels)")
    if not (q.shape[0] == k.shape[0] and q.shape[3] == k.shape[3] and k.shape[:3] == v.shape[:3]):
        raise ValueError(f"{shapes}: they must agree in batch and channels, k and v in heads and keys too")
    if q.shape[1] % k.shape[1]:
        raise ValueError(f"{shapes}: the {q.shape[1]} heads of q are not a multiple of the {k.shape[1]} of k")


def _hidden(scores: mx.array, mask: mx.array | str | None) -> mx.array:
    """The scores with what `mask` hides out of reach, as in `mx.fast`: where it hides all, all weigh the same.

    Raises:
        ValueError: there is no mask of that name.
    """
    if mask is None:
        return scores
    if isinstance(mask, str):
        if mask != "causal":
            raise ValueError(f"mask = {mask!r}: the only named mask is 'causal'")
        queries, keys = scores.shape[-2:]
        mask = mx.arange(keys - queries, keys)[:, None] >= mx.arange(keys)
    if mask.dtype == mx.bool_:
        return mx.where(mask, scores, mx.array(mx.finfo(scores.dtype).min, scores.dtype))
    return scores + mask.astype(scores.dtype)


class MultiHeadAttention(transformer.MultiHeadAttention):
    """`mlx.nn.MultiHeadAttention` that drops attention weights in training; its parameters have the same names."""

    def __init__(
        self,
        dims: int,
        num_heads: int,
        query_input_dims: int | None = None,
        key_input_dims: int | None = None,
        value_input_dims: int | None = None,
        value_dims: int | None = None,
        value_output_dims: int | None = None,
        bias: bool = False,
        *,
        dropout: float = 0.0,
    ) -> None:
        """Take what `mlx.nn.MultiHeadAttention` takes, and the probability of dropping.

        Args:
            dims: channels of queries, and of the others unless given.
            num_heads: how many heads share them; it divides dims.
            query_input_dims: channels of the queries that are given.
            key_input_dims: channels of the keys that are given.
            value_input_dims: channels of the values that are given.
            value_dims: channels of the values once projected, over all heads.
            value_output_dims: channels of the output.
            bias: whether the projections have one.
            dropout: the probability of dropping a weight, from 0 to 1.

        Raises:
            ValueError: dropout is not from 0 to 1; dims is no multiple of num_heads.
        """
        super().__init__(
            dims,
            num_heads,
            query_input_dims,
            key_input_dims,
            value_input_dims,
            value_dims,
            value_output_dims,
            bias,
        )
        self.dropout = probability(dropout)

    def _extra_repr(self) -> str:
        return f"dropout={self.dropout}"

    def __call__(
        self, queries: mx.array, keys: mx.array, values: mx.array, mask: mx.array | str | None = None
    ) -> mx.array:
        """Attend from (N, L, …) queries to (N, S, …) keys and values: (N, L, value_output_dims)."""
        q, k, v = (
            mx.unflatten(project(x), -1, (self.num_heads, -1)).swapaxes(1, 2)
            for project, x in ((self.query_proj, queries), (self.key_proj, keys), (self.value_proj, values))
        )
        out = scaled_dot_product_attention(q, k, v, self.dropout, training_mode(self), mask=mask)
        attended: mx.array = self.out_proj(out.swapaxes(1, 2).flatten(-2, -1))
        return attended
