"""Masks of calls after seeds: which of them stand side by side, and which seeds are looked at."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from keeprate.specs.masks.packed_masks import PackedMasks

HIGH = 1 << 31  # seeds this far apart differ in their highest of 32 bits
# Of the calls after one base seed s, in this order: two after s, two after s + 1, one after s + 2³¹.
KINDS = {"next": (0, 2), "ahead": (1, 2), "behind": (0, 3), "high": (0, 4)}


def side_by_side(bits: PackedMasks, width: int) -> dict[str, PackedMasks]:
    """By kind, the masks of two calls after neighbouring seeds, by turns; `bits` has `width` masks for each base seed.

    They are `next`, the first calls after seeds s and s + 1; `ahead`, the second call after s and the first after
    s + 1; `behind`, the first after s and the second after s + 1; `high`, the first calls after s and s + 2³¹.
    """
    words = bits.words.reshape(-1, width, bits.words.shape[1])
    return {
        kind: PackedMasks(words[:, two].reshape(-1, words.shape[2]), bits.shape)
        for kind, two in KINDS.items()
        if max(two) < width
    }


def anywhere(seed: int, number: int) -> npt.NDArray[np.int64]:
    """Up to `number` different seeds of 31 bits, drawn with `seed`, in ascending order."""
    return np.unique(np.random.default_rng(seed).integers(0, HIGH, number))
