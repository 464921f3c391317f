"""Transforms of a framework that contexts name."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

TRANSFORMS = ("compile", "vmap", "checkpoint")
PLAIN = ("eager", "grad")  # contexts in which nothing is transformed
DEVICE = ("graph", "stream")  # where a device has them: captured once and replayed, on a stream of its own
ROWS = 3  # of a mapped call: odd, so that pairs of calls are rows of one mapped call and of two


def transforms_in(context: str) -> tuple[str, ...]:
    """Names of the transforms in `context`, the innermost first: `a+b` is b's transform, then a's."""
    return tuple(part for part in reversed(context.split("+")) if part in (*TRANSFORMS, *DEVICE))


def within(inner: str, outer: str) -> bool:
    """Whether a context adds to another one: all do to a plain call, all others to a gradient, `a+b` to a and to b."""
    if inner in PLAIN:
        return inner == PLAIN[0] or outer != PLAIN[0]
    rest = iter(("compile", "fused") if outer == "fused" else outer.split("+"))
    return all(part in rest for part in inner.split("+"))


def rows_of(values: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """The rows of a mapped output; where it lacks that axis, all of it in the place of each, in a wrong shape."""
    return [*values] if values.ndim and len(values) == ROWS else [values[None]] * ROWS
