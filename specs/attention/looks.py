"""The mask that an encoder layer's output shows, and whether a gradient shows the same, beside what PyTorch gives."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from keeprate.specs.attention.encoder import ATTENDED, BITS, INSIDE, OUTPUT, WEIGHTS, Encoder
from keeprate.specs.attention.place import HALF, Mask, unpacked
from keeprate.specs.rounding import Floats

STEPS = 16  # half steps of a dtype that a number may be off by: of each product and sum on its way, and of the norm
BEYOND = {WEIGHTS: ATTENDED, INSIDE: OUTPUT}  # the mask through which another one is seen


@functools.lru_cache(maxsize=64)
def whole(encoder: Encoder) -> tuple[Floats, Floats]:
    """PyTorch's output less the input, and the rows of its gradient, where all is kept."""
    masks = [np.ones(shape, dtype=np.bool_) for shape in encoder.mask_shapes]
    return _exactly(encoder, masks)


def _exactly(encoder: Encoder, masks: list[Mask]) -> tuple[Floats, Floats]:
    from keeprate.specs.attention import reference  # a plan does not need PyTorch

    inputs, cotangent = encoder.turns(int)["inputs"]
    out, gradient = reference.replay(encoder, "float64", inputs, encoder.p, masks, cotangent)
    return out - inputs[0][encoder.rows["x"]].reshape(encoder.shape), gradient[encoder.gradient_rows]


def codes(encoder: Encoder, out: npt.NDArray[Any]) -> tuple[npt.NDArray[np.uint8], Mask, Floats]:
    """(samples, tokens, units) whole numbers that units of an output show, where they aren't, and what stands there."""
    full = whole(encoder)[0][..., encoder.shows]
    with np.errstate(invalid="ignore"):
        code = out[..., encoder.shows].astype(np.float64) * (encoder.codes / full)
    finite = np.where(np.isfinite(code), code, -1)
    numbers = np.clip(np.rint(finite), 0, encoder.codes)
    off = np.abs(finite - numbers) > STEPS * HALF[encoder.dtype] * np.maximum(numbers, 1)
    return numbers.astype(np.uint8), off, code


def read(encoder: Encoder, out: npt.NDArray[Any]) -> tuple[Mask, Mask, Floats] | None:
    """The mask that is looked at, where in the output there is none, and what stands there; None for another shape."""
    if out.shape != encoder.shape:
        return None
    numbers, off, code = codes(encoder, out)
    if encoder.site not in BEYOND:
        return numbers == 1, off, code
    # Units by turns show the keys of each head, or a part of the hidden units; what is dropped beyond shows nothing.
    groups = numbers.reshape(*numbers.shape[:2], -1, 2)
    shown = groups.max(axis=2, keepdims=True)
    off |= ((groups != 0) & (groups != shown)).reshape(off.shape)
    bits = unpacked(shown[:, :, 0, :, None], BITS).reshape(*numbers.shape[:2], 2, BITS)
    if encoder.site == INSIDE:
        return bits.reshape(encoder.mask_shape), off, code
    return bits[..., : encoder.shape[1]].swapaxes(1, 2), off, code


def shown(encoder: Encoder, gradient: npt.NDArray[Any], mask: Mask, out: npt.NDArray[Any]) -> tuple[Mask, Floats]:
    """Where a gradient shows another mask than the output's, and what stands there."""
    masks = [np.ones(shape, dtype=np.bool_) for shape in encoder.mask_shapes]
    masks[encoder.site] = mask
    if encoder.site in BEYOND:
        numbers = codes(encoder, out)[0]
        groups = numbers.reshape(*numbers.shape[:2], -1, 2)
        # Where all entries below are dropped, nothing comes back, whatever is dropped beyond.
        kept = (groups != 0) | (groups.max(axis=2, keepdims=True) == 0)
        masks[BEYOND[encoder.site]][..., encoder.shows] = kept.reshape(numbers.shape)
    expected, full = _exactly(encoder, masks)[1], whole(encoder)[1]
    given = gradient[encoder.gradient_rows].astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        room = STEPS * HALF[encoder.dtype] * np.abs(full).max(axis=-1, keepdims=True)
        off = ~(np.abs(given - expected) <= room)
        return off, given / full


def both(encoder: Encoder, out: npt.NDArray[Any]) -> tuple[npt.NDArray[np.uint8], Mask]:
    """What the last mask drops, what the one before it drops alone, and what both keep, as 0, 1 and 2."""
    numbers, off, _ = codes(encoder, out)
    return np.maximum(numbers, 1) - 1, off
