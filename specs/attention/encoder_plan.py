"""Which cases of an encoder's layer each profile goes through: few frameworks drop in all four places."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from math import prod

from keeprate.specs.attention.cases import Laws, draws, planned
from keeprate.specs.attention.encoder import ATTENDED, BOTH, INSIDE, OPERATOR, SITES, WEIGHTS, Encoder
from keeprate.specs.rounding import DTYPES
from keeprate.suite import Case

WIDE = (32, 4, 128)  # samples, tokens, units: 16,384 entries, 1,024 of each mask below another one
SHORT, FEW = (8, 4, 128), (2, 4, 128)
# Below p = 1/2 a mask that lies below another one shows but for a chance of 2⁻⁶⁰: so many units show each number.
RATES = (0.1, 0.3, 0.5)
LAWS = ("slices", "neighbours:1", "neighbours:4", "neighbours:half", "blocks:4", "calls:0", "no_mask_twice", "all_lags")
CONTEXTS = ("compile", "checkpoint", "thread")
_planned = functools.partial(planned, OPERATOR)


def plan(profile: str) -> Iterator[Case]:
    """Every case of `profile`, whatever the backend offers."""
    for dtype in DTYPES:
        yield from _exact(dtype)
        yield from _drawn(dtype, "quick" if profile in ("gate", "deep") else profile)
    yield from _elsewhere()


def _exact(dtype: str) -> Iterator[Case]:
    """Single calls."""
    yield _planned("evaluation", {"dtype": ("evaluation", "endpoints", "dtype")}, dtype, shape=FEW)
    ends: Laws = {"dtype": ("endpoints", "dtype")}
    yield _planned("endpoints_of_gradient", ends, dtype, shape=FEW, context="grad")
    yield _planned("arguments", {"dtype": ("arguments",)}, dtype, shape=FEW)
    yield _planned("seeding", {"dtype": ("outcomes", "seeding")}, dtype, 0.5, FEW)
    replayed: Laws = {"dtype": ("outcomes", "replayed")}
    yield _planned("replayed", replayed, dtype, 0.3, FEW, 4 * prod(FEW), 2 * prod(FEW), "grad")


def _drawn(dtype: str, less: str) -> Iterator[Case]:
    """Masks of plain calls, and of passes forward and back, in each place."""
    first = dtype == DTYPES[0]
    for p in RATES if first else RATES[1:2]:
        for site in range(len(SITES)):
            more = {"site": site}
            entries = prod(Encoder(WIDE, dtype, p, site).mask_shape)
            laws: Laws = {"": ("outcomes", "keep_rate", *(LAWS if first else ()))}
            number = max(6 * entries, draws(p, less) // (16 if first else 64))
            yield _planned("masks", laws, dtype, p, WIDE, number, number // 4, more=more)
            passes: Laws = {"": ("outcomes", "gradient:inputs", "keep_rate")}
            yield _planned("passes", passes, dtype, p, SHORT, 2 * entries, entries, "grad", more)
        number = max(6 * prod(WIDE), draws(p, less) // 16)
        yield _planned("gaps", {"": ("outcomes", "gaps")}, dtype, p, WIDE, number, number // 4, more={"site": BOTH})
    if first:
        kinds: Laws = {"": ("outcomes", *(f"streams:{kind}" for kind in ("next", "ahead", "behind")))}
        yield _planned("streams", kinds, dtype, 0.3, WIDE, 16 * prod(WIDE), 4 * prod(WIDE))


def _elsewhere() -> Iterator[Case]:
    """Transforms, and fresh threads."""
    dtype = DTYPES[0]
    for context in CONTEXTS:
        for site in (WEIGHTS, ATTENDED, INSIDE):
            more, entries = {"site": site}, prod(Encoder(SHORT, dtype, 0.3, site).mask_shape)
            if context == "thread":
                laws: Laws = {"": ("outcomes", "calls:0", "no_mask_twice", "streams:thread")}
                yield _planned("masks", laws, dtype, 0.3, SHORT, 16 * entries, None, context, more)
            else:
                passes: Laws = {"": ("outcomes", "gradient:inputs", "no_mask_twice")}
                yield _planned("passes", passes, dtype, 0.3, SHORT, 12 * entries, None, context, more)
        if context == "compile":
            yield _planned("seeding", {"": ("outcomes", "seeding")}, dtype, 0.5, FEW, 0, None, context)
