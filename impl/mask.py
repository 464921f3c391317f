"""Masks: which entries, or which whole channels, a dropout operator keeps, and how a mask is applied.

Every operator of `impl` is a formula over its input and a mask; what they share is here.
"""

import math
from collections.abc import Callable, Sequence

import mlx.core as mx

from keeprate.impl.random import next_key

# The floating types that have dropout, each with the integers of its width.
INTEGERS = {
    mx.float16: mx.uint16,
    mx.bfloat16: mx.uint16,
    mx.float32: mx.uint32,
    mx.float64: mx.uint64,
}


def entries(x: mx.array) -> tuple[int, ...]:
    """Shape of a mask with one draw for each entry of `x`."""
    return tuple(x.shape)


def shared(x: mx.array, axes: Sequence[int]) -> tuple[int, ...]:
    """Shape of a mask with one draw for all entries of `x` that differ in no other axis than `axes`.

    Raises:
        ValueError: x lacks one of `axes`; negative ones count from the last.
    """
    shape = list(x.shape)
    for axis in axes:
        if not -x.ndim <= axis < x.ndim:
            raise ValueError(f"shared_axes = {axes}: shape {entries(x)} has no axis {axis}")
        shape[axis] = 1
    return tuple(shape)


def rows(x: mx.array) -> tuple[int, ...]:
    """Shape (N, 1, …, 1) of a mask with one draw for each row of `x`.

    Raises:
        ValueError: x has no dimension.
    """
    if x.ndim < 1:
        raise ValueError("shape (): dropping rows takes at least their axis")
    return (x.shape[0], *[1] * (x.ndim - 1))


def channels(x: mx.array) -> tuple[int, ...]:
    """Shape (N, 1, …, 1, C) of a mask with one draw for each channel of the batch `x`.

    Raises:
        ValueError: x has fewer than 2 dimensions.
    Source: torch.feature_dropout, with the channel axis last instead of second.
    """
    if x.ndim < 2:
        raise ValueError(f"shape {entries(x)}: dropping channels takes a batch, with at least 2 dimensions")
    return (x.shape[0], *[1] * (x.ndim - 2), x.shape[-1])


def unbatched_channels(x: mx.array) -> tuple[int, ...]:
    """Shape (1, …, 1, C) of a mask with one draw for each channel of `x`, which has no batch axis.

    Raises:
        ValueError: x has no dimension.
    Source: torch.nn.functional.dropout1d and dropout3d, with the channel axis last instead of first.
    """
    if x.ndim < 1:
        raise ValueError("shape (): dropping channels takes at least the channel axis")
    return (*[1] * (x.ndim - 1), x.shape[-1])


def draw(shape: tuple[int, ...], p: float, key: mx.array | None = None) -> mx.array:
    """Independent draws, 1 (kept) with probability 1 − p, to within 2⁻³², and 0 (dropped).

    Args:
        shape: the mask's shape.
        p: probability of dropping, from 0 to 1, both excluded.
        key: what the mask follows from; None takes the next one of `keeprate.impl.random`.
    Returns:
        (shape) uint32.
    """
    if key is None:
        key = next_key()
    # No derivative: mx.checkpoint asks for one for each argument, so for a key too.
    key = mx.stop_gradient(key)
    # mx.random.bernoulli rounds its words to float32, and keeps up to 8e-8 too many; sub-keys are words.
    size = math.prod(shape)
    words = mx.random.split(key, (size + 1) // 2).flatten()[:size].reshape(shape)
    # Arithmetic on the words is written over them; a comparison would need an array of its own, and so would its cast.
    least, one = mx.array(min(max(round(p * 2**32), 1), 2**32 - 1), mx.uint32), mx.array(1, mx.uint32)
    return mx.minimum(mx.maximum(words, least - one) - (least - one), one)


def where_kept(kept: mx.array, value: float, dtype: mx.Dtype) -> mx.array:
    """`value`, rounded to `dtype`, where `kept` is 1, and 0 where it is 0.

    Raises:
        TypeError: `dtype` is no real floating type.
    """
    if dtype not in INTEGERS:
        raise TypeError(f"{dtype}: in training, dropout takes floating types only")
    # In integers: selecting floats takes MLX's CPU back end three to four times as long.
    bits = INTEGERS[dtype]
    return (kept.astype(bits) * mx.array(value, dtype).view(bits)).view(dtype)


def either(kept: mx.array, value: mx.array, other: mx.array) -> mx.array:
    """`value` where `kept` is 1, and `other` where it is 0; both have no axes and one floating type."""
    bits = INTEGERS[value.dtype]
    least = other.view(bits)
    return (kept.astype(bits) * (value.view(bits) - least) + least).view(value.dtype)  # modulo 2^n, so that it fits


def probability(p: float) -> float:
    """Return p as a float: in NumPy's narrower types 2³² is infinite, and 1 − p has few digits.

    Raises:
        ValueError: p is not from 0 to 1.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p = {p}: the probability of dropping must be from 0 to 1")
    return float(p)


def masked(
    x: mx.array,
    p: float,
    training: bool,
    key: mx.array | None,
    mask_shape: Callable[[mx.array], tuple[int, ...]],
    formula: Callable[[mx.array, mx.array, float], mx.array],
) -> mx.array:
    """`formula(x, kept, p)` under a fresh mask, or what needs none.

    Returns:
        x itself in evaluation, at p = 0 and if empty. x · 0 at p = 1: −0.0 for negatives, NaN for infinities.
        Neither draws.
    Raises:
        ValueError: p is not from 0 to 1, in evaluation too.
    Source: aten/src/ATen/native/Dropout.cpp.
    """
    p = probability(p)
    if not training or p == 0 or x.size == 0:
        return x
    if p == 1:
        return x * mx.zeros((), x.dtype)
    return formula(x, draw(mask_shape(x), p, key), p)
