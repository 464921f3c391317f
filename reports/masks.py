"""Masks as they were drawn, as SVG: what is kept is filled, one square an entry."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

SIZE = 5  # pixels of an entry on a desk, at most


def mask(rows: Sequence[str], width: int, words: str) -> str:
    """One mask.

    Args:
        rows: hexadecimal digits, as in the public JSON.
        width: entries in a row.
        words: what it shows, for those who can't see it; text of ours.
    """
    lines = [f"{int(row, 16):0{4 * len(row)}b}"[:width] for row in rows]
    path = "".join(
        f"M{run.start()} {number}h{run.end() - run.start()}"
        for number, line in enumerate(lines)
        for run in re.finditer("1+", line)
    )
    kept = sum(line.count("1") for line in lines)
    box = f'viewBox="0 -.5 {width} {len(rows)}" style="max-width:{SIZE * width}px"'
    title = f"{words}: {len(rows)} rows of {width} entries, {kept:,} of {len(rows) * width:,} kept."
    return f'<svg class="mask" role="img" {box}><title>{title}</title><path d="{path}"/></svg>'


def rows_of(bits: Sequence[str]) -> str:
    """Rows of a mask that show a fault, as 1 and 0."""
    width = max(map(len, bits))
    digits = [f"{int(row.ljust(-(-width // 4) * 4, '0') or '0', 2):0{-(-width // 4)}x}" for row in bits]
    return mask(digits, width, "Rows that show it")


def sides(picture: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The backend's mask, and the reference's if there is one, under who drew it."""
    found = [("this backend", mask(picture["backend"], picture["width"], "A mask of the backend"))]
    if picture["reference"]:
        found.append(("the reference", mask(picture["reference"], picture["width"], "A mask of the reference")))
    return found
