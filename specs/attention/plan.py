"""Which cases each profile goes through, and for which findings, in the order in which they are judged."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from math import prod

from keeprate.specs.attention.place import Place
from keeprate.specs.masks.every import NAMES as MASK_LAWS
from keeprate.specs.rounding import DTYPES
from keeprate.specs.transforms import transforms_in
from keeprate.suite import ANY, Case, FindingId, Tally, draws_to_detect, shape_text

MAIN, ENDS = (0.1, 0.3, 0.5, 0.9), (0.001, 0.99, 0.999)  # rates; rounding hides at the ends
# Departures of the keep rate that are caught with probability 0.99; at the ends, parts of the rarer outcome's
# probability.
DEPARTURES = {"smoke": 0.02, "quick": 0.005, "gate": 0.001, "deep": 0.0005}
ENDED = {"smoke": 1.0, "quick": 0.5, "gate": 0.2, "deep": 0.05}
OTHERS = tuple(name for name in MASK_LAWS if name != "keep_rate")
# Shares of the error budget: half to keep_rate, 40 % over the other laws that draw, the rest in reserve.
WEIGHTS = {"keep_rate": 0.5, **dict.fromkeys(OTHERS, 0.4 / len(OTHERS))}
ALPHA = 1e-6  # the budget that draws are planned for
SHARED = 100  # findings that share the weight of keep_rate, at most: draws are planned for that many

WIDE = (2, 4, 32, 128)  # 32,768 entries: batch, heads, queries, keys
SQUARE = (2, 3, 32, 32)
SMALL = (1, 3, 5, 27)  # 405 entries, an odd number
# Around tiles of 16, 64 and 128 queries or keys; one query, as in decoding; one key.
TILES = ((1, 2, 127, 129), (1, 3, 129, 65), (2, 2, 63, 127), (3, 1, 1, 1000), (5, 7, 17, 15), (64, 8, 4, 1))
LARGE = (2, 5, 512, 512)  # more than 2²¹ entries
AXES = (1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 4096, "half")  # 128 on is the next query, 4,096 the next head, half a row
POOLED = (
    *(f"neighbours:{lag}" for lag in AXES),
    *(f"blocks:{size}" for size in (2, 4, 8, 9)),
    *(f"spread:{scope}" for scope in (64, 256, 1024, 4096, "call")),
    *("slices", "runs", "calls:0", "no_mask_twice", "no_stretch_twice", "all_lags", "all_shifts", "purity"),
)
PASS = ("outcomes", *(f"gradient:{name}" for name in ("values", "queries", "keys")))
KINDS: tuple[Mapping[str, int], ...] = ({}, {"causal": 1}, {"kv": 2})  # heads of keys and values
Laws = Mapping[str, tuple[str, ...]]  # by what their findings are told apart by, among p, shape and dtype
CONTEXTS = ("compile", "vmap", "checkpoint", "compile+checkpoint", "compile+vmap")


@functools.cache
def draws(p: float, profile: str) -> int:
    """Draws that the keep rate at `p` is judged by."""
    departure = DEPARTURES[profile]
    if p not in MAIN:
        departure = min(departure, ENDED[profile] * min(p, 1 - p))
    return draws_to_detect((1 - p, p), departure, ALPHA * WEIGHTS["keep_rate"] / SHARED)


def _case(
    study: str,
    laws: Laws,
    dtype: str,
    p: float | None = None,
    shape: tuple[int, ...] = SQUARE,
    drawn: int = 0,
    reference: int | None = 0,
    context: str = "eager",
    more: Mapping[str, int] | None = None,
) -> Case:
    """A case of one study."""
    parameters = {**({} if p is None else {"p": p}), **(more or {})}
    kind = "".join(f"{name}{value}" for name, value in (more or {}).items())
    findings = [
        FindingId(
            "attention",
            law,
            dtype if "dtype" in apart else ANY,
            f"p{p!r}" if "p " in apart else ANY,
            shape_text(shape, kind) if kind or "shape" in apart else ANY,
            context,
        )
        for apart, names in laws.items()
        for law in names
    ]
    vjp = study in ("passes", "replayed", "endpoints_of_gradient")
    needs = (*transforms_in(context), *["module"] * (context == "module"), *["vjp"] * vjp)
    judged = reference if context in ("eager", "grad") else None
    return Case(
        "attention", dtype, parameters, shape, context, study, drawn, judged, tuple(map(str, findings)), "", needs
    )


def plan(profile: str) -> Iterator[Case]:
    """Every case of `profile`, whatever the backend offers."""
    for dtype in DTYPES:
        yield from _exact(dtype)
        yield from _drawn(dtype, profile)
        yield from _passes(dtype)
        yield from _elsewhere(dtype, profile)


def _exact(dtype: str) -> Iterator[Case]:
    """Single calls."""
    modes = {"dtype": ("evaluation", "endpoints", "dtype")}
    for more in KINDS:
        shape = (2, 4, 17, 17) if more else (2, 4, 17, 33)
        yield _case("evaluation", modes, dtype, shape=shape, more=more)
    yield _case("endpoints_of_gradient", {"dtype": ("endpoints", "dtype")}, dtype, shape=(2, 2, 17, 17), context="grad")
    yield _case("arguments", {"dtype": ("arguments",)}, dtype)
    yield _case("seeding", {"dtype": ("outcomes", "seeding")}, dtype, 0.5, WIDE)


def _drawn(dtype: str, profile: str) -> Iterator[Case]:
    """Masks of plain calls."""
    less = "quick" if profile in ("gate", "deep") else profile
    for p in (*MAIN, *ENDS):
        pooled = (*POOLED, *["positions"] * (p < 0.5), *["rank:192"] * (p == 0.5)) if p in MAIN else ()
        laws: Laws = {"p dtype": ("outcomes", "keep_rate"), "dtype": pooled}
        yield _case("masks", laws, dtype, p, WIDE, draws(p, profile), draws(p, less) // 10)

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
    yield _case("masks", {"shape dtype": small}, dtype, 0.3, SMALL, few // 4, few // 40)
    triangle = (
        "outcomes",
        "keep_rate",
        "neighbours:1",
        "neighbours:half",
        "blocks:4",
        "calls:0",
        "all_lags",
        "all_shifts",
    )
    grouped = ("outcomes", "keep_rate", "neighbours:32", "neighbours:1024", "neighbours:2048", "blocks:4", "calls:0")
    yield _case("masks", {"shape dtype": triangle}, dtype, 0.3, (1, 2, 63, 63), few // 4, few // 40, more={"causal": 1})
    yield _case("masks", {"shape dtype": grouped}, dtype, 0.3, (2, 4, 32, 32), few // 4, few // 40, more={"kv": 2})
    for shape in TILES:
        laws = {"dtype": ("outcomes", "keep_rate", "blocks:2"), "": ("all_shifts",)}
        yield _case("masks", laws, dtype, 0.3, shape, max(2 * prod(shape), 1 << 16), 2 * prod(shape))
    large = {"shape dtype": ("outcomes", "keep_rate", "segments", "neighbours:1", "neighbours:half")}
    if dtype == DTYPES[0]:
        yield _case("masks", large, dtype, 0.3, LARGE, 2 * prod(LARGE), prod(LARGE))
    kinds = tuple(f"streams:{kind}" for kind in ("next", "next.row", "next.-row", "ahead", "behind"))
    yield _case("streams", {"dtype": kinds}, dtype, 0.3, (2, 2, 32, 32), few // 8, few // 40)
    yield _case("lazy", {"dtype": ("reading_order",)}, dtype, 0.3, (2, 2, 32, 32), few // 4, few // 40)
    if dtype == DTYPES[0]:
        seeded = {"": ("first_positions", "no_mask_twice")}
        yield _case("after_seeds", seeded, dtype, 0.3, (1, 2, 2, 32), 4000 * 128, 1000 * 128)


def _passes(dtype: str) -> Iterator[Case]:
    """Passes forward and back, in plain calls."""
    often = 12 * prod(SQUARE)
    for p in (*MAIN, *ENDS):
        drawn = ("keep_rate", "no_mask_twice", "blocks:4") if p in MAIN else ()
        laws: Laws = {"dtype": (*PASS, *drawn)}
        yield _case("passes", laws, dtype, p, SQUARE, often, often // 2, "grad")
    for more in KINDS[1:]:
        shape = (2, 4, 33, 33)
        yield _case("passes", {"dtype": PASS}, dtype, 0.3, shape, often, often // 2, "grad", more=more)
    for more in KINDS:
        shape = (2, 4, 33, 33)
        laws = {"dtype": ("replayed",)}
        yield _case("replayed", laws, dtype, 0.3, shape, 6 * prod(shape), 3 * prod(shape), "grad", more=more)


def _elsewhere(dtype: str, profile: str) -> Iterator[Case]:
    """Transforms, layers, and fresh threads."""
    less, often = draws(0.3, "quick") // 10, 18 * prod(SQUARE)
    laws = {"": ("outcomes", "keep_rate", "blocks:4", "calls:0", "no_mask_twice", "all_shifts", "no_stretch_twice")}
    for context in (*(() if profile == "smoke" else CONTEXTS), "module", "thread"):
        alike = ("streams:thread",) if context == "thread" else ()
        for p in MAIN if profile in ("gate", "deep") else (0.1, 0.9):
            if "checkpoint" not in context:
                yield _case("masks", {"": (*laws[""], *alike)}, dtype, p, SQUARE, less, None, context)
            if context in CONTEXTS:
                yield _case("passes", {"": (*PASS, "keep_rate")}, dtype, p, SQUARE, often, None, context)
        if "+" not in context and context not in ("thread", "checkpoint"):
            yield _case("evaluation", {"": ("evaluation", "endpoints", "dtype")}, dtype, None, SQUARE, 0, None, context)
        if context in ("compile", "module"):
            yield _case("seeding", {"": ("outcomes", "seeding")}, dtype, 0.5, SQUARE, 0, None, context)


def detects(case: Case, alpha: float) -> float:
    """The smallest departure of the keep rate that `case`, drawn as planned, catches with probability 0.99."""
    p, entries = case.parameters["p"], prod(Place.of(case).mask_shape)
    number = -(-case.draws // entries) * entries
    dropped = round(number * p)
    return Tally(("kept", "dropped"), (number - dropped, dropped), (1 - p, p), departure="rate").detectable(alpha)
