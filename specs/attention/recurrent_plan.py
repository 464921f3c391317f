"""Which cases of recurrent layers each profile goes through: few frameworks drop between them."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from keeprate.specs.attention.cases import MAIN, Laws, draws, planned
from keeprate.specs.attention.network import OPERATORS
from keeprate.specs.rounding import DTYPES
from keeprate.suite import Case

WIDE = (8, 16, 64)  # 8,192 entries: steps, batch, units
SMALL = (5, 3, 27)  # 405 entries, an odd number
FEW = (6, 4, 8)
AXES = (1, 2, 4, 8, 16, 32, 64, 128, 1024, "half")  # 64 on is the next sample, 1,024 the next step, half the steps
POOLED = (
    *(f"neighbours:{lag}" for lag in AXES),
    *(f"blocks:{size}" for size in (2, 4, 8)),
    *(f"spread:{scope}" for scope in (64, 1024, "call")),
    *("slices", "runs", "calls:0", "no_mask_twice", "no_stretch_twice", "all_lags", "all_shifts", "purity"),
)
PASS = ("outcomes", "gradient:inputs")
CONTEXTS = ("compile", "checkpoint", "thread")


def plan(profile: str) -> Iterator[Case]:
    """Every case of `profile`, whatever the backend offers."""
    for op in OPERATORS:
        for dtype in DTYPES:
            yield from _exact(op, dtype)
            yield from _drawn(op, dtype, profile)
        yield from _elsewhere(op)


def _exact(op: str, dtype: str) -> Iterator[Case]:
    """Single calls."""
    modes: Laws = {"dtype": ("evaluation", "endpoints", "dtype")}
    yield planned(op, "evaluation", modes, dtype, shape=FEW)
    ends: Laws = {"dtype": ("endpoints", "dtype")}
    yield planned(op, "endpoints_of_gradient", ends, dtype, shape=FEW, context="grad")
    yield planned(op, "arguments", {"dtype": ("arguments",)}, dtype, shape=FEW)
    yield planned(op, "seeding", {"dtype": ("outcomes", "seeding")}, dtype, 0.5, WIDE)
    replayed, size = {"dtype": ("outcomes", "replayed")}, prod(FEW)
    yield planned(op, "replayed", replayed, dtype, 0.3, FEW, 6 * size, 3 * size, "grad")


def _drawn(op: str, dtype: str, profile: str) -> Iterator[Case]:
    """Masks of plain calls, and of passes forward and back."""
    less, first = "quick" if profile in ("gate", "deep") else profile, dtype == DTYPES[0]
    few, often = draws(0.3, less), 12 * prod(WIDE)
    for p in MAIN if first else MAIN[1:2]:
        laws: Laws = {"p dtype": ("outcomes", "keep_rate"), "dtype": POOLED if first else ("slices",)}
        yield planned(op, "masks", laws, dtype, p, WIDE, draws(p, less), draws(p, less) // 10)
        yield planned(op, "passes", {"dtype": (*PASS, "keep_rate")}, dtype, p, WIDE, often, often // 2, "grad")
        two = {"dtype": ("outcomes", "gaps")}
        yield planned(op, "gaps", two, dtype, p, WIDE, few // 4, few // 40, more={"layers": 3})
    if first:
        small = ("outcomes", "keep_rate", "calls:0", "spread:call", "no_mask_twice", "neighbours:27", "neighbours:81")
        yield planned(op, "masks", {"shape dtype": small}, dtype, 0.3, SMALL, few // 16, few // 160)
        kinds = tuple(f"streams:{kind}" for kind in ("next", "ahead", "behind"))
        yield planned(op, "streams", {"dtype": ("outcomes", *kinds)}, dtype, 0.3, WIDE, few // 4, few // 40)
        yield planned(op, "lazy", {"dtype": ("outcomes", "reading_order")}, dtype, 0.3, WIDE, few // 4, few // 40)


def _elsewhere(op: str) -> Iterator[Case]:
    """Transforms, and fresh threads."""
    dtype, often = DTYPES[0], 18 * prod(WIDE)
    laws = ("outcomes", "keep_rate", "calls:0", "no_mask_twice", "all_shifts")
    for context in CONTEXTS:
        for p in (0.1, 0.9):
            if context != "checkpoint":
                alike = ("streams:thread",) if context == "thread" else ()
                yield planned(op, "masks", {"": (*laws, *alike)}, dtype, p, WIDE, often, None, context)
            if context != "thread":
                yield planned(op, "passes", {"": (*PASS, "keep_rate")}, dtype, p, WIDE, often, None, context)
        if context == "compile":
            yield planned(op, "evaluation", {"": ("evaluation", "dtype")}, dtype, None, FEW, 0, None, context)
            yield planned(op, "seeding", {"": ("outcomes", "seeding")}, dtype, 0.5, WIDE, 0, None, context)
