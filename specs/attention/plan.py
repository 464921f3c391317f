"""Which cases of attention each profile goes through, and for which findings, in the order in which they are judged."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from math import prod

from keeprate.specs.attention.cases import ENDS, MAIN, Laws, draws, planned
from keeprate.specs.rounding import DTYPES
from keeprate.suite import Case

WIDE = (2, 4, 32, 128)  # 32,768 entries: batch, heads, queries, keys
SQUARE = (2, 3, 32, 32)
SMALL = (1, 3, 5, 27)  # 405 entries, an odd number
# Around tiles of 16, 64 and 128 queries or keys; one key.
TILES = ((1, 2, 127, 129), (1, 3, 129, 65), (2, 2, 63, 127), (5, 7, 17, 15), (64, 8, 4, 1))
ONE = (3, 4, 1, 333)  # query, as in decoding
KEY = (9, 8, 5, 1)  # one key
ALONG = (16, 32, 64, 128, 333, 1332)  # keys of that, in tiles, and from head to head and sample to sample
TILED = (1, 2, 161, 193)  # more than one tile of 128 queries or keys, and of 64
HIDDEN = (1, 2, 161, 161)  # the same, for a causal mask
TALL = (3, 5, 65, 17)  # more queries than keys
LARGE = (2, 5, 512, 512)  # more than 2²¹ entries
AXES = (1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 4096, "half")  # 128 on is the next query, 4,096 the next head, half a row
POOLED = (
    *(f"neighbours:{lag}" for lag in AXES),
    *(f"blocks:{size}" for size in (2, 4, 8, 9)),
    *(f"spread:{scope}" for scope in (64, 256, 1024, 4096, "call")),
    *("slices", "runs", "calls:0", "no_mask_twice", "no_stretch_twice", "all_lags", "all_shifts", "purity"),
)
PASS = ("outcomes", *(f"gradient:{name}" for name in ("values", "queries", "keys")))
# Heads of keys and values: as many as of queries, half as many, one.
KINDS: tuple[Mapping[str, int], ...] = ({}, {"causal": 1}, {"kv": 2}, {"kv": 1})
LINEARIZED = "linearize"  # the context in which passes go back later, and again
CONTEXTS = ("compile", "vmap", "checkpoint", "compile+checkpoint", "compile+vmap")
_planned = functools.partial(planned, "attention")


def plan(profile: str) -> Iterator[Case]:
    """Every case of `profile`, whatever the backend offers."""
    for dtype in DTYPES:
        yield from _exact(dtype)
        yield from _drawn(dtype, profile)
        yield from _passes(dtype)
        yield from _elsewhere(dtype, profile)


def _exact(dtype: str) -> Iterator[Case]:
    """Single calls."""
    modes = {"dtype": ("evaluation", "endpoints", "dtype", "purity")}
    for more in KINDS:
        shape = (2, 4, 17, 17) if more else (2, 4, 17, 33)
        yield _planned("evaluation", modes, dtype, shape=shape, more=more)
    yield _planned("evaluation", modes, dtype, shape=HIDDEN, more={"causal": 1})
    yield _planned(
        "endpoints_of_gradient", {"dtype": ("endpoints", "dtype")}, dtype, shape=(2, 2, 17, 17), context="grad"
    )
    yield _planned("arguments", {"dtype": ("arguments",)}, dtype, shape=SQUARE)
    yield _planned("seeding", {"dtype": ("outcomes", "seeding")}, dtype, 0.5, WIDE)


def _drawn(dtype: str, profile: str) -> Iterator[Case]:
    """Masks of plain calls."""
    less = "quick" if profile in ("gate", "deep") else profile
    for p in (*MAIN, *ENDS):
        pooled = (*POOLED, *["positions"] * (p < 0.5), *["rank:192"] * (p == 0.5)) if p in MAIN else ()
        laws: Laws = {"p dtype": ("outcomes", "keep_rate"), "dtype": pooled}
        yield _planned("masks", laws, dtype, p, WIDE, draws(p, profile), draws(p, less) // 10)

    few = draws(0.3, less)
    small: tuple[str, ...] = (
        "outcomes",
        "keep_rate",
        "calls:0",
        "calls_by_position",
        "spread:call",
        "no_mask_twice",
        "all_lags",
        "all_shifts",
    )
    small += ("neighbours:27", "neighbours:135")
    yield _planned("masks", {"shape dtype": small}, dtype, 0.3, SMALL, few // 4, few // 40)
    triangle = (
        "outcomes",
        "keep_rate",
        "neighbours:1",
        "neighbours:2016",
        "neighbours:half",
        "blocks:4",
        "calls:0",
        "all_lags",
        "all_shifts",
    )
    grouped = ("outcomes", "keep_rate", "neighbours:32", "neighbours:1024", "neighbours:2048", "blocks:4", "calls:0")
    yield _planned(
        "masks", {"shape dtype": triangle}, dtype, 0.3, (2, 2, 63, 63), few // 4, few // 40, more={"causal": 1}
    )
    for heads in (2, 1):
        yield _planned(
            "masks", {"shape dtype": grouped}, dtype, 0.3, (2, 4, 32, 32), few // 4, few // 40, more={"kv": heads}
        )
    for shape in TILES:
        laws = {"dtype": ("outcomes", "keep_rate", "blocks:2"), "": ("all_shifts",)}
        yield _planned("masks", laws, dtype, 0.3, shape, max(2 * prod(shape), 1 << 16), 2 * prod(shape))
    # The calls beyond the first few test the lag that those name.
    laws = {"dtype": ("outcomes", "keep_rate"), "shape dtype": ("all_lags",)}
    yield _planned("masks", laws, dtype, 0.3, TILED, 20 * prod(TILED), 2 * prod(TILED))
    yield _planned(
        "masks", {"dtype": ("outcomes",)}, dtype, 0.3, HIDDEN, 4 * prod(HIDDEN), prod(HIDDEN), more={"causal": 1}
    )
    more = {"causal": 1, "filled": 1}
    yield _planned(
        "masks", {"shape dtype": ("all_lags",)}, dtype, 0.3, HIDDEN, 20 * prod(HIDDEN), 2 * prod(HIDDEN), more=more
    )
    one: Laws = {"dtype": ("outcomes", "keep_rate"), "shape dtype": tuple(f"neighbours:{lag}" for lag in ALONG)}
    yield _planned("masks", one, dtype, 0.3, ONE, max(16 * prod(ONE), 1 << 16), 2 * prod(ONE))
    wraps = tuple(f"neighbours:{1 << bits}" for bits in (17, 18, 19, 20))  # of a counter that has too few bits
    large = {"shape dtype": ("outcomes", "keep_rate", "segments", "neighbours:1", "neighbours:half", *wraps)}
    if dtype == DTYPES[0]:
        yield _planned("masks", large, dtype, 0.3, LARGE, 2 * prod(LARGE), prod(LARGE))
    kinds = tuple(f"streams:{kind}" for kind in ("next", "next.row", "next.-row", "ahead", "behind"))
    yield _planned("streams", {"dtype": ("outcomes", *kinds)}, dtype, 0.3, (2, 2, 32, 32), few // 8, few // 40)
    yield _planned("lazy", {"dtype": ("outcomes", "reading_order")}, dtype, 0.3, (2, 2, 32, 32), few // 4, few // 40)
    if dtype == DTYPES[0]:
        seeded = {"dtype": ("outcomes",), "": ("first_positions", "no_mask_twice")}
        yield _planned("after_seeds", seeded, dtype, 0.3, (1, 2, 2, 32), 4000 * 128, 1000 * 128)


def _passes(dtype: str) -> Iterator[Case]:
    """Passes forward and back, in plain calls."""
    often = 12 * prod(SQUARE)
    for p in (*MAIN, *ENDS):
        drawn = ("keep_rate", "no_mask_twice", "blocks:4") if p in MAIN else ()
        laws: Laws = {"dtype": (*PASS, *drawn)}
        yield _planned("passes", laws, dtype, p, SQUARE, often, often // 2, "grad")
    for more in KINDS[1:]:
        shape = (2, 4, 33, 33)
        yield _planned("passes", {"dtype": PASS}, dtype, 0.3, shape, often, often // 2, "grad", more=more)
    # Each gradient is read in windows of as many queries or keys as heads have channels.
    windows = 18 * prod(TILED)
    yield _planned("passes", {"dtype": PASS}, dtype, 0.3, TILED, windows, windows, "grad")
    yield _planned("passes", {"dtype": PASS}, dtype, 0.3, HIDDEN, windows, windows, "grad", more={"causal": 1})
    for shape in (TALL, ONE, KEY):
        yield _planned("passes", {"dtype": PASS}, dtype, 0.3, shape, 12 * prod(shape), 6 * prod(shape), "grad")
    yield _planned("pullbacks", {"dtype": PASS}, dtype, 0.3, SQUARE, often, often // 2, LINEARIZED)
    for more in KINDS:
        shape = (2, 4, 33, 33)
        laws = {"dtype": ("outcomes", "replayed")}
        yield _planned("replayed", laws, dtype, 0.3, shape, 6 * prod(shape), 3 * prod(shape), "grad", more=more)
    yield _planned("replayed", {"dtype": ("outcomes", "replayed")}, dtype, 0.3, TILED, prod(TILED), prod(TILED), "grad")


def _elsewhere(dtype: str, profile: str) -> Iterator[Case]:
    """Transforms, layers, fresh threads, and other processes."""
    less, often = draws(0.3, "quick") // 10, 18 * prod(SQUARE)
    laws = {"": ("outcomes", "keep_rate", "blocks:4", "calls:0", "no_mask_twice", "all_shifts", "no_stretch_twice")}
    for context in (*(() if profile == "smoke" else CONTEXTS), "module", "thread"):
        alike = ("streams:thread",) if context == "thread" else ()
        for p in MAIN if profile in ("gate", "deep") else (0.1, 0.9):
            if "checkpoint" not in context:
                yield _planned("masks", {"": (*laws[""], *alike)}, dtype, p, SQUARE, less, None, context)
            if context in CONTEXTS:
                yield _planned("passes", {"": (*PASS, "keep_rate")}, dtype, p, SQUARE, often, None, context)
        if "+" not in context and context not in ("thread", "checkpoint"):
            yield _planned(
                "evaluation", {"": ("evaluation", "endpoints", "dtype")}, dtype, None, SQUARE, 0, None, context
            )
        if context in ("compile", "module"):
            yield _planned("seeding", {"": ("outcomes", "seeding")}, dtype, 0.5, SQUARE, 0, None, context)
    if profile == "smoke":
        return
    if dtype == DTYPES[0]:
        # Processes that nobody has seeded are seeded afterwards: two are enough for both.
        yield _planned("between_processes", {"": ("outcomes", "seeding")}, dtype, 0.5, WIDE, 0, None, "process")
        kinds = {"": ("outcomes", "streams:process", "no_stretch_twice")}
        yield _planned("processes", kinds, dtype, 0.3, SQUARE, less, None, "process")
    beside = ("outcomes", "keep_rate", "calls:0", "no_mask_twice", "no_stretch_twice")
    yield _planned("masks", {"": beside}, dtype, 0.3, SQUARE, often, None, "fused")
    yield _planned("passes", {"": (*PASS, "keep_rate")}, dtype, 0.3, SQUARE, often, None, "fused")
