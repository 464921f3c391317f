"""Which cases each profile goes through, and for which findings: a table, in the order in which cases are judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keeprate.specs.dropout.aims import AIMS, ENDS, MAIN, RARE, draws, rare_draws
from keeprate.specs.dropout.contexts import CONTEXTS, Context
from keeprate.specs.dropout.contracts import CONTRACTS, Contract
from keeprate.specs.dropout.rows import Draws, Laws, Place, Row, Shape, Shapes
from keeprate.specs.rounding import DTYPES
from keeprate.specs.transforms import ROWS
from keeprate.suite import Case

ONE, FEW = (0.3,), (0.1, 0.3)  # rates; laws with many groups look at few
BOTH = "shape dtype"
Grid = tuple[tuple[str, ...], tuple[float, ...]]  # dtypes, and the rates at which contexts are looked at in them
POOLED = (
    *(f"neighbours:{lag}" for lag in (1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 512, 1024, "half")),
    *(f"blocks:{size}" for size in (2, 4, 8, 9)),
    "slices",
    "runs",
    *(f"spread:{scope}" for scope in (64, 256, 1024, 4096, 16384, "call")),
    "calls:0",
    "no_mask_twice",
    "no_stretch_twice",
    "all_lags",
    "all_shifts",
)
STREAMS = tuple(f"streams:{kind}" for kind in ("next", "next.row", "next.-row", "ahead", "behind", "high"))
EXACT = ("outcomes", "keep_rate", "constancy")
PASS = ("outcomes", "gradient")
MIXED = ("slices", "blocks:4", "calls:0", "all_shifts", "no_stretch_twice")  # of independence, in the other contexts
OF_GRADIENTS = ("evaluation", "endpoints", "dtype")  # studies of single calls that look at gradients too
WIDE_PASSES = (("masks", "gradient", ""), ("evaluation", "evaluation", "dtype"), ("endpoints", "endpoints", "dtype"))
PAIRS = 12  # of masks of unlike calls in each dtype: what they share, if they do, is much
FEWEST = 2048  # draws of a size, at least: a tail of two that is always kept among six is then off by 10 deviations
RANKED = {0: (), 1: (1031,), 2: (32, 64), 3: (32, 64, 2), 4: (32, 64, 2, 3), 5: (16, 64, 2, 3, 2)}  # batched
# Where kernels change path: around powers of two, and with each remainder by 4, which vectors of 4 and of 2 leave.
SIZES = (6, 7, 63, 65, 127, 129, 1023, 1025, 1026, 1028, 4095, 4097, 4098, 65537)
FEWER = (7, 65, 1026, 1028, 4095, 65537)  # in `smoke` and `quick`, in narrow dtypes
PLANES = (33 * 32, 129 * 128)  # elements of a channel: more than a block of threads has, and more than a kernel's tile
ODD, ODD_CHANNELS = (3, 1, 5, 9, 9), (3, 405, 2)  # 1,215 mask entries
LAYOUTS = ("step2", "transposed", "stride0")
BLOCKS = (1 << 20) + 7  # elements of a gradient that no grid of 1,024 blocks of 1,024 threads covers
BEYOND = (1 << 24) + (1 << 20)  # whole numbers that float32 doesn't hold
OVER = (1 << 21) + 4096
# Of OVER elements, with more rows than the 65,535 blocks that a second axis of a grid has, and as images are.
ROWED, IMAGES = (OVER // 16, 16), (18, 114, 32, 32)


def _laws(*names: str, apart: str = "", at: tuple[float, ...] = (), context: str = "") -> tuple[Laws, ...]:
    return (Laws(names, apart, at, context),)


def _shapes(elements: Sequence[Shape], channels: Sequence[tuple[int, int, int]]) -> Shapes:
    """For element operators, and for the others as batch, width and elements of a channel, in the axes they have."""

    def shapes(contract: Contract) -> Sequence[Shape]:
        between = (1,) * (max(contract.ranks) - 3)
        return [(*two, *between, plane) for *two, plane in channels] if contract.by_channel else elements

    return shapes


def _of_one(shape: Shape) -> Shapes:
    """A shape of `dropout` alone: what a seed does, and how entries are numbered, is seldom the operator's doing."""
    return lambda contract: [shape] if contract.name == "dropout" else []


def _of_rank(rank: int, *, also_main: bool) -> Shapes:
    """A shape of this rank for operators that take it, but for the rank of which all other shapes are."""

    def shapes(contract: Contract) -> Sequence[Shape]:
        main = max(contract.ranks) if contract.by_channel else rank
        if rank not in contract.ranks or (rank == main and not also_main):
            return []
        return [(2048, *RANKED[rank + 1][2:]) if rank in contract.unbatched else RANKED[rank]]

    return shapes


WIDE = _shapes([(64, 1024)], [(256, 256, 2)])  # 65,536 mask entries
OBLONG = _shapes([(64, 256)], [(64, 256, 2)])
SHORT = _shapes([(32, 130)], [(32, 66, 2)])
SQUARE = _shapes([(64, 64)], [(64, 64, 2)])


def _times(calls: int, reference: int | None) -> Draws:
    return lambda at: (calls * at.entries, None if reference is None else reference * at.entries)


def _at_least(calls: int) -> Draws:
    return lambda at: (max(calls * at.entries, at.less), None)


def _less(at: Place) -> tuple[int, int]:
    return at.less, at.less // 10


def _by_rate(at: Place) -> tuple[int, int]:
    half = at.dtype == "float16" and at.p == max(ENDS)  # where what rounds to float16 is off by a fifth
    return max(draws(at.p, at.aim), draws(at.p, AIMS["gate"]) if half and at.aim is AIMS["quick"] else 0), at.less


def _rare(at: Place) -> tuple[int, int]:
    number = rare_draws(at.p)
    if at.dtype != "float32":
        number //= 16  # what rounds to a narrow dtype drops hundreds of times as many
    return (number // 25, number // 250) if at.aim in (AIMS["smoke"], AIMS["quick"]) else (number, number // 25)


def _shared(at: Place, number: int) -> int:
    """Draws of a finding that all dtypes share: as many as it needs in float32, which every backend has."""
    return number if at.dtype == "float32" else number // len(DTYPES)


def _after_seeds(at: Place) -> tuple[int, int]:
    return at.aim.seeds * at.entries, at.aim.seeds * at.entries


def _unchanged(at: Place) -> tuple[int, int]:
    return _shared(at, at.aim.unchanged), _shared(at, at.lesser.unchanged)


def _calls(at: Place) -> int:
    """How many small ones; what one call does to the next is seldom the dtype's doing: a quarter where not float32."""
    return max(_shared(at, at.aim.calls), at.lesser.calls)


def _small(at: Place) -> tuple[int, int]:
    return _calls(at) * at.entries, at.lesser.calls * at.entries


def _by_size(at: Place) -> tuple[int, int]:
    calls = max(2, FEWEST // at.entries, min(_calls(at) // 20, (1 << 19) // at.entries))
    return calls * at.entries, at.entries


def _by_plane(at: Place) -> tuple[int, int]:
    return max(2, at.aim.calls // 20 * PLANES[0] // at.shape[-1]) * at.entries, 2 * at.entries


def _table(profile: str) -> Iterator[Row]:
    """The rows of an operator; findings pool what isn't told apart."""
    aim, float32, narrow, short = AIMS[profile], DTYPES[:1], DTYPES[1:], profile in ("smoke", "quick")
    grids = (float32, aim.grid), (narrow, aim.narrow)
    most = float32 if short else DTYPES  # for findings that all dtypes share

    # Every rate; then rates at which drops are rare.
    every = _laws("outcomes", "keep_rate", apart="p shape dtype")
    every += _laws("purity", "constancy", "moments:mean", "moments:variance", *POOLED, apart=BOTH, at=MAIN)
    every += _laws("positions", apart=BOTH, at=FEW) + _laws("rank:192", apart=BOTH, at=(0.5,))
    yield Row("masks", every, (*MAIN, *ENDS), WIDE, _by_rate)
    yield Row("masks", _laws("keep_rate", apart="p shape"), RARE, WIDE, _rare)

    # Many small calls of an odd size.
    laws = ("outcomes", "keep_rate", "slices", "calls:0", "calls_by_position", "spread:call", "no_mask_twice")
    for shapes, lags in (_shapes([ODD], []), (9, 81, 405)), (_shapes([], [ODD_CHANNELS]), (405,)):
        small = _laws(*laws, *(f"neighbours:{lag}" for lag in lags), "all_lags", "all_shifts", apart=BOTH)
        yield Row("masks", small, ONE, shapes, _small)

    # Calls of more than 2²¹ entries, in one, two and four axes, and in one dtype of more than 2²⁴.
    large = _laws("outcomes", "keep_rate", "segments", "neighbours:1", "neighbours:half", "neighbours:4096", apart=BOTH)
    again = large + _laws("no_stretch_twice", apart=BOTH)  # in the first call and the second
    largest = OVER if short else BEYOND
    batches = () if profile == "smoke" else (ROWED, IMAGES)
    shapes = _shapes([(largest,), *batches], [(largest // 4096, 4096, 1)])
    yield Row("masks", again, ONE, shapes, _times(2, 1), dtypes=float32)
    yield Row("masks", large, ONE, _shapes([IMAGES], [(OVER // 4096, 4096, 1)]), _times(1, 1), dtypes=narrow)
    if profile == "quick":
        yield Row("masks", large, ONE, _of_one((BEYOND,)), _times(1, None), dtypes=float32)

    # Sizes around powers of two; one channel, and planes of more elements than a block has.
    sized = _laws("outcomes", "keep_rate", "blocks:2", apart="dtype") + _laws("all_shifts")
    for sizes, dtypes in (SIZES, most), (FEWER, DTYPES[len(most) :]):
        channels = [(1, size, 3 if size < 4096 else 1) for size in sizes]
        yield Row("masks", sized, ONE, _shapes([(size,) for size in sizes], channels), _by_size, dtypes=dtypes)
    yield Row("masks", sized, ONE, _shapes([], [(1024, 1, 5)]), _times(4, 1))
    yield Row("masks", sized, ONE, _shapes([], [(4, 8, plane) for plane in PLANES]), _by_plane)

    # Inputs that lie in memory in uncommon ways.
    strided = _laws("outcomes", "keep_rate", "blocks:4", "neighbours:1", apart="shape")
    for layout in LAYOUTS:
        yield Row("masks", strided, ONE, _shapes([(32, 64, 32)], [(256, 256, 2)]), _less, strides=layout)

    # Calls of two sizes by turns.
    shapes = _shapes([(127, 129)], [(127, 129, 2)])
    yield Row("sizes", _laws("no_stretch_twice", "all_shifts", apart="shape"), ONE, shapes, _less)

    # Pairs of unlike calls after one seed; masks after many seeds, and after related ones; masks that are read late.
    unlike = _laws("streams:shape", "streams:dtype", "streams:op") + _laws("streams:grad", context="grad")
    yield Row("mixed", unlike, ONE, SQUARE, _times(PAIRS, None))
    seeded = _laws("no_mask_twice", "first_positions")
    yield Row("after_seeds", seeded, ONE, _of_one((8, 16)), _after_seeds, dtypes=float32)
    yield Row("streams", _laws(*STREAMS, apart=BOTH), ONE, SQUARE, _less)
    yield Row("lazy", _laws("reading_order", apart=BOTH), ONE, SQUARE, _less)

    # Passes forward and back; a large one takes long.
    passes = _laws(*PASS, "keep_rate", "blocks:4", "neighbours:{width}", "no_mask_twice", "purity", apart="shape")
    passes += _laws("no_stretch_twice", apart="shape")
    passes += _laws("data", apart="shape", at=ONE)
    shapes = _shapes([(128, 130)], [(64, 66, 3)])
    yield Row("gradients", passes, MAIN, shapes, _less, "grad")
    for layout in LAYOUTS:
        yield Row("gradients", _laws(*PASS), ONE, shapes, _times(ROWS, ROWS), "grad", layout)
    flat = _shapes([(1026,)], [(2, 5, plane) for plane in PLANES])
    yield Row("gradients", _laws(*PASS), ONE, flat, _times(1, 1), "grad")
    shapes = _shapes([(BLOCKS,)], [(1, BLOCKS, 1)])
    yield Row("gradients", _laws(*PASS), ONE, shapes, _times(1, None), "grad", dtypes=float32)

    # p = 0 and p = 1 in training: nothing is dropped, and all is.
    shapes = _shapes([(1024, 1024)], [(1024, 512, 2)])
    yield Row("many", _laws("endpoints", apart="p shape"), (0.0, 1.0), shapes, _unchanged)

    # The other ranks that a channel operator takes, unbatched ones among them; a pass in each rank.
    ranked = _laws("outcomes", "constancy", "neighbours:1", "neighbours:64", apart=BOTH)
    for rank in RANKED:
        yield Row("masks", ranked, ONE, _of_rank(rank, also_main=False), _less)
        yield Row("gradients", _laws(*PASS), ONE, _of_rank(rank, also_main=True), _times(4, 4), "grad", dtypes=most)

    # Single calls, for the laws that need no statistics; some of them look at the input after the calls as well.
    for study in ("evaluation", "endpoints", "dtype", "arguments", "strides", "shape", "inplace", "seeding"):
        unwritten = ("purity",) if study in ("evaluation", "endpoints", "strides") else ()
        yield Row(study, _laws(study, apart="dtype") + _laws(*unwritten))
    yield Row("specials", _laws("outcomes", apart="dtype"))
    yield Row("probabilities", _laws("outcomes", "dtype", "arguments", apart="dtype"))
    yield Row("bounds", _laws("seeding", apart="dtype"), dtypes=float32)
    yield Row("reseeding_of_gradient", _laws("seeding"), context="grad", dtypes=float32)
    for study, law, apart in WIDE_PASSES:
        yield Row(f"wide_{study}_of_gradient", _laws(law, apart=apart), draws=_times(0, None), context="grad")
    yield Row("zeros_of_gradient", _laws("gradient"), shapes=_shapes([()], []), context="grad")
    for study in OF_GRADIENTS:
        yield Row(f"{study}_of_gradient", _laws(study, apart="dtype"), context="grad")

    # Transforms and layers; the in-place form.
    for context in CONTEXTS if profile != "smoke" else ():  # which is of the operator alone
        yield from _transformed(context, grids, rare=RARE[:1] if profile == "quick" else RARE)
    written = _laws("outcomes", "keep_rate") + _laws(*MIXED, at=MAIN)
    for dtypes, grid in grids:
        yield Row("masks", written, grid, OBLONG, _at_least(2), "inplace", dtypes=dtypes)
        yield Row("gradients", _laws(*PASS), grid, OBLONG, _times(1, None), "inplace", dtypes=dtypes)
    for study in ("endpoints", "arguments"):
        yield Row(study, _laws(study), context="inplace")
    yield Row("reseeding", _laws("seeding"), context="inplace", dtypes=float32)

    # Gradients that are asked for later, and again; forward mode.
    yield Row("pullbacks", _laws("gradient"), context="linearize")
    yield Row("tangents", _laws("gradient"), context="jvp")

    # A random state that is put back.
    for name in ("eager",) if profile == "smoke" else ("eager", "compile"):
        yield Row("states", _laws("state"), context=name, dtypes=float32)

    # Where a mode can change between two calls; fresh threads, threads at the same time, other processes.
    for name in ("eager", "module") if profile == "smoke" else ("eager", "compile", "module", "compile+module"):
        yield Row("modes", _laws("modes"), context=name)
    fresh = _laws(*EXACT) + _laws("streams:thread", "all_shifts", "no_stretch_twice", at=MAIN)
    for dtypes, grid in grids:
        calls = _at_least(4 * ROWS if dtypes == float32 else 2 * ROWS)
        yield Row("masks", fresh, grid, OBLONG, calls, "thread", dtypes=dtypes)
    yield Row("concurrency", _laws("concurrency"), context="thread")
    if profile == "smoke":
        return
    yield Row("processes", _laws("streams:process", "no_stretch_twice"), ONE, OBLONG, _less, "process", dtypes=most)
    yield Row("between_processes", _laws("seeding"), context="process", dtypes=most)
    yield Row("forked", _laws("state"), context="process", dtypes=float32)

    # Compiled together with its neighbours. Each function is compiled for itself, which takes some compilers seconds.
    yield Row("masks", _laws(*EXACT) + _laws(*MIXED, at=MAIN), ONE, OBLONG, _at_least(2 * ROWS), "fused")
    yield Row("gradients", _laws(*PASS), ONE, SHORT, _times(2 * ROWS, None), "fused")
    yield Row("reseeding", _laws("seeding"), context="fused", dtypes=DTYPES[:1])


def _transformed(context: Context, grids: Sequence[Grid], rare: tuple[float, ...]) -> Iterator[Row]:
    """One transform or layer, or two together; passes alone show masks that are drawn again for them."""
    name, alone, recomputed = context.name, "+" not in context.name, context.recomputed
    if not recomputed:
        laws = _laws(*EXACT) + _laws(*MIXED, at=MAIN)
        for dtypes, grid in grids:
            yield Row("masks", laws, grid, OBLONG, _at_least(2 * ROWS), name, dtypes=dtypes)
        yield Row("masks", _laws("keep_rate"), rare, OBLONG, lambda at: (_rare(at)[1], None), name)
        small, calls = _shapes([ODD], [ODD_CHANNELS]), lambda at: (at.lesser.calls * at.entries, None)
        laws = _laws("calls:0", "calls_by_position", "all_shifts")
        yield Row("masks", laws, ONE, small, calls, name, dtypes=DTYPES[:1])
    if name == "vmap":
        yield Row("unmapped", _laws(*EXACT, *MIXED), ONE, OBLONG, _less, name)
    long = _shapes([(128, 258)], [(128, 258, 2)])
    for dtypes, grid in grids:
        often = tuple(p for p in grid if recomputed and p in MAIN)
        once = tuple(p for p in grid if p not in often)
        laws = _laws(*PASS, "keep_rate", "no_stretch_twice")
        yield Row("gradients", laws, often, long, _less, name, dtypes=dtypes)
        yield Row("gradients", _laws(*PASS), once, SHORT, _times(ROWS, None), name, dtypes=dtypes)
    if alone and not recomputed:
        yield Row("reseeding", _laws("seeding"), context=name, dtypes=DTYPES[:1])
    if name in ("compile", "checkpoint"):
        yield Row("reseeding_of_gradient", _laws("seeding"), context=name, dtypes=DTYPES[:1])
    if name in ("compile", "compile+module"):
        yield Row("retracing_of_gradient", _laws("gradient"), context=name, dtypes=DTYPES[:1])
    yield Row("zeros_of_gradient", _laws("gradient"), shapes=_shapes([()], []), context=name, dtypes=DTYPES[:1])
    if name in ("compile", "module"):
        yield Row("mixed", _laws("streams:twin"), ONE, SQUARE, _times(PAIRS, None), name, dtypes=DTYPES[:1])
    for study in OF_GRADIENTS if alone else ("endpoints",):
        if not recomputed:
            yield Row(study, _laws(study), context=name)
        if alone or recomputed:
            yield Row(f"{study}_of_gradient", _laws(study), context=name)


def _of_brief(contract: Contract) -> Sequence[Shape]:
    """16,384 channels or rows, of four elements each."""
    rows = contract.granularity == "row"
    return [(1 << 14, *(2, 2, 1)[: max(contract.ranks) - 1]) if rows else (64, 256, 4)]


def _brief() -> Iterator[Row]:
    """An optional operator, in all dtypes together."""
    laws = _laws("outcomes", "constancy", "keep_rate", "neighbours:1", "neighbours:256", *MIXED)
    for p in MAIN:
        yield Row("masks", laws, (p,), _of_brief, _less)
        yield Row("gradients", _laws(*PASS), (p,), _of_brief, _times(ROWS, ROWS), "grad")
    for study in ("evaluation", "endpoints"):
        yield Row(study, _laws(study))


def plan(profile: str) -> Iterator[Case]:
    """Every case of `profile`, whatever the backend offers."""
    # What isn't made for threads may not recover from several at once: no other case is to pay for it.
    last: list[Case] = []
    for contract in CONTRACTS.values():
        for dtype in DTYPES:
            for row in _brief() if contract.optional else _table(profile):
                if row.study == "concurrency":
                    last += row.cases(contract, dtype, profile)
                else:
                    yield from row.cases(contract, dtype, profile)
    yield from last
