"""What a mask looks like: rows of entries, 1 where kept."""

from __future__ import annotations

from keeprate.specs.masks.packed_masks import PackedMasks
from keeprate.suite import Picture

WIDTH, HEIGHT = 76, 40  # entries, at most


def picture_of(bits: PackedMasks) -> Picture:
    """The first rows of the masks `bits`."""
    width = bits.shape[-1] if bits.shape else 1
    rows = bits.unpack().reshape(-1, width)
    seen = rows[:HEIGHT, :WIDTH]
    title = f"masks: {len(seen)} of {len(rows):,} rows, {seen.shape[1]} of {width:,} entries each; dark is kept"
    return Picture(title, tuple("".join(map(str, row)) for row in seen))
