"""No two slices of a mask are one: samples of a batch, channels of a sample, steps of a sequence. An exact law."""

from __future__ import annotations

import math

import numpy as np

from keeprate.specs.masks.packed_masks import PackedMasks, rows_of
from keeprate.specs.masks.sample import BERNOULLI, Sample
from keeprate.suite import Check, Counterexample, Unreadable, failed, law, passed

DIGITS = 16.0  # of the improbability of two that agree by chance: no share of the error budget is needed


@law(
    promise="The samples of a batch, the channels of a sample and the steps of a sequence have masks of their own.",
    catches=(
        "a mask shared by the samples of a batch",
        "channels or steps that share one draw",
        "a mask that is broadcast along an axis",
        "a row that is copied to another",
    ),
    blind_to=("slices that partly agree: see `neighbours`", "slices with only dozens of entries over all calls"),
    source=BERNOULLI,
)
def slices(sample: Sample) -> Check:
    """Looks for two slices along an axis of the mask that are the same, in as many calls as it takes to be sure.

    Independent ones agree in n entries with probability (q² + p²)ⁿ: all pairs of an axis together with less than 10⁻¹⁶.
    """
    check, bits = Check(0, 0), sample.mask
    for axis, length in enumerate(bits.shape):
        calls = _needed(length, bits.entries // max(1, length), sample.p)
        if calls and calls <= bits.calls:
            check += _look(bits.take(slice(0, calls)), axis)
    if not check.checked:
        raise Unreadable("its slices are too short to be told apart")
    return check


def _needed(length: int, entries: int, p: float) -> int:
    """Calls that tell all slices along an axis apart, of so many entries each; 0 where there is one slice alone."""
    if length < 2 or not entries:
        return 0
    pairs = math.log10(length * (length - 1) / 2)
    return math.ceil((DIGITS + pairs) / -math.log10((1 - p) ** 2 + p**2) / entries)


def _look(bits: PackedMasks, axis: int) -> Check:
    length = bits.shape[axis]
    rows = rows_of(np.moveaxis(bits.unpack().reshape(bits.calls, *bits.shape), axis + 1, 0))
    if len(set(rows)) == length:
        return passed(length)
    first = {row: place for place, row in reversed([*enumerate(rows)])}
    again = [place for place, row in enumerate(rows) if first[row] != place]
    text = f"slices {first[rows[again[0]]]:,} and {again[0]:,} along axis {axis} are one, in each of {bits.calls:,}"
    return failed(length, len(again), Counterexample({"first": text}, gave="a slice that another is"))


laws = (slices,)
