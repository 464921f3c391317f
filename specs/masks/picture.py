"""What a mask looks like, in characters: two rows of entries a line."""

from __future__ import annotations

import numpy as np

from keeprate.specs.masks.packed_masks import PackedMasks

WIDTH, HEIGHT = 76, 40  # entries, at most
BLOCKS = " ▄▀█"  # kept above counts 2, kept below 1


def lines(bits: PackedMasks) -> list[str]:
    """The first masks of `bits`: a row of characters shows two rows of entries, dark what is kept."""
    width = bits.shape[-1] if bits.shape else 1
    rows = bits.unpack().reshape(-1, width)
    seen = rows[:HEIGHT, :WIDTH]
    title = f"masks: {len(seen)} of {len(rows):,} rows, {seen.shape[1]} of {width:,} entries each; dark is kept"
    pairs = np.vstack([seen, np.zeros_like(seen[: len(seen) % 2])]).reshape(-1, 2, seen.shape[1])
    return [title, *("".join(BLOCKS[2 * up + down] for up, down in pair.T) for pair in pairs)]
