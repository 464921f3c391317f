"""Transforms of a framework that contexts name."""

from __future__ import annotations

TRANSFORMS = ("compile", "vmap", "checkpoint")
ROWS = 3  # of a mapped call: odd, so that pairs of calls are rows of one mapped call and of two


def transforms_in(context: str) -> tuple[str, ...]:
    """Names of the transforms in `context`, the innermost first: `a+b` is b's transform, then a's."""
    return tuple(part for part in reversed(context.split("+")) if part in TRANSFORMS)
