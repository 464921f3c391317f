"""Which cases each profile goes through, and for which findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from keeprate.harness.protocol.case import ANY, Case, FindingId, shape_text
from keeprate.specs.dropout.aims import AIMS, ENDS, LESSER, MAIN, RARE, Aim, draws
from keeprate.specs.dropout.contexts import CONTEXTS, Context
from keeprate.specs.dropout.contracts import CONTRACTS, Contract
from keeprate.specs.dropout.rounding import DTYPES

FEW = (0.1, 0.3)  # laws with many groups look here alone
POOLED = (
    *(f"neighbours:{lag}" for lag in (1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 512, 1024, "half")),
    *(f"blocks:{size}" for size in (2, 4, 8, 9)),
    "runs",
    *(f"spread:{scope}" for scope in (64, 256, 1024, 4096, 16384, "call")),
    *(f"calls:{shift}" for shift in ("0", "1", "-1", "row", "-row", "half", "-half")),
    "no_mask_twice",
    "all_lags",
)
STREAMS = tuple(f"streams:{kind}" for kind in ("next", "next.row", "next.-row", "ahead", "behind", "high"))
OTHERWISE = ("shape", "dtype", "op")  # in which a second call after a seed is another
PAIRS = 24  # of masks of unlike calls in each dtype: what they share, if they do, is much
SEEDS = 1500  # of which 17 pairs give one mask if there are 2¹⁶ in all
STUDIES = (  # of single calls in `eager`: one finding for each operator and dtype
    "evaluation",
    "endpoints",
    "dtype",
    "arguments",
    "strides",
    "shape",
    "inplace",
    "seeding",
)
UNWRITTEN = ("evaluation", "endpoints", "strides")  # those that look at the input after the calls as well
OF_GRADIENTS = ("evaluation", "endpoints", "dtype")  # those that look at gradients too
MIXED = ("blocks:4", "calls:0", "no_mask_twice")  # laws of independence in the other contexts
SWITCHED = ("eager", "compile", "module", "compile+module")  # where a mode can change between two calls
RANKED = {  # a shape of each rank, batched
    0: (),
    1: (1031,),
    2: (32, 64),
    3: (32, 64, 2),
    4: (32, 64, 2, 3),
    5: (16, 64, 2, 3, 2),
}
# Where kernels change path: around powers of two, and with each remainder by 4, which vectors of 4 and of 2 leave.
SIZES = (6, 7, 63, 65, 127, 129, 1023, 1025, 1026, 1028, 4095, 4097, 4098, 65537)
PLANES = (33 * 32, 129 * 128)  # elements of a channel: more than a block of threads has, and more than a kernel's tile
LAYOUTS = ("step2", "transposed", "stride0")
READ = ("masks", "unmapped", "lazy", "streams", "mixed", "after_seeds", "processes", "gradients")  # they read masks
ROWS = 3  # passes where a few are enough: as many as a mapped call has rows
BLOCKS = (1 << 20) + 7  # elements of a gradient that no grid of 1,024 blocks of 1,024 threads covers
BEYOND = (1 << 24) + (1 << 20)  # whole numbers that float32 doesn't hold
LARGE = {"quick": (1 << 21) + 4096, "gate": BEYOND, "deep": BEYOND}


def plan(profile: str) -> Iterator[Case]:
    """Every case of `profile`, whatever the backend offers."""
    last = []  # what isn't made for threads may not recover from several at once: no other case is to pay for it
    for contract in CONTRACTS.values():
        for dtype in DTYPES:
            for case in _Planner(contract, dtype, profile).cases():
                if case.study == "concurrency":
                    last.append(case)
                else:
                    yield case
    yield from last


@dataclass(frozen=True)
class _Planner:
    """Plans one operator in one dtype."""

    contract: Contract
    dtype: str
    profile: str

    def cases(self) -> Iterator[Case]:
        if self.contract.optional:
            yield from self._brief()
            return
        yield from self._main()
        yield from self._rare()
        yield from self._small()
        yield from self._large()
        yield from self._sizes()
        yield from self._layouts()
        yield from self._related()
        yield from self._gradients()
        yield from self._many()
        yield from self._ranks()
        yield from self._calls()
        for context in CONTEXTS:
            if not (self.contract.writes and (context.recomputed or context.mapped)):  # what is written over is lost
                yield from self._context(context)
        if not self.contract.writes:
            yield from self._in_place()
        yield from self._modes()
        yield from self._threads()
        yield from self._processes()

    def _brief(self) -> Iterator[Case]:
        """An optional operator, in all dtypes together."""
        shape = (64, 256, 4)
        laws = ("outcomes", "constancy", "keep_rate", "neighbours:1", "neighbours:256", *MIXED)
        for p in MAIN:
            findings = [self._pooled(law, "eager") for law in laws]
            yield self._case("masks", p, shape, draws(p, self._lesser), draws(p, self._lesser) // 10, findings, [])
            findings = [self._pooled(law, "grad") for law in ("outcomes", "gradient")]
            number = ROWS * prod(shape[:2])
            yield self._case("gradients", p, shape, number, number, findings, [], "grad", needs=("vjp",))
        for study in ("evaluation", "endpoints"):
            yield self._single(study, self._pooled(study, "eager"))

    def _main(self) -> Iterator[Case]:
        """Every rate, on 65,536 mask entries a call."""
        shape = self._shape(64, 1024) if not self.contract.by_channel else self._shape(256, 256)
        exact = ["purity"] * (not self.contract.writes) + ["constancy"] * self.contract.by_channel
        moments = ["moments:mean", "moments:variance"] * self.contract.preserves_moments
        for p in (*MAIN, *ENDS):
            own = [self._id(law, f"p{p!r}", shape) for law in ("outcomes", "keep_rate")]
            laws = [*exact, *moments, *POOLED] if p in MAIN else []
            laws += ["positions"] if p in FEW else []
            yield self._case("masks", p, shape, draws(p, self._aim), draws(p, self._lesser), own, laws)

    def _rare(self) -> Iterator[Case]:
        """Rates at which drops are rare, in all dtypes together: none at all, or twice as many, would be seen."""
        shape = self._shape(64, 1024) if not self.contract.by_channel else self._shape(256, 256)
        for p in RARE:
            whole, less = self._rare_draws(p)
            yield self._case("masks", p, shape, whole, less, [self._id("keep_rate", f"p{p!r}", shape, dtype=ANY)], [])

    def _rare_draws(self, p: float) -> tuple[int, int]:
        """Draws in `eager` and in every other context."""
        number = self._part(draws(p, Aim(p, 1.0, 0, 0)))
        return (number // 25, number // 250) if self.profile == "quick" else (number, number // 25)

    def _small(self) -> Iterator[Case]:
        """Many small calls of an odd size and, for element operators, of rank 5."""
        shape = (3, 1, 5, 9, 9) if not self.contract.by_channel else self._shape(3, 405)
        lags = (9, 81, 405) if not self.contract.by_channel else (405,)
        laws = ["outcomes", "keep_rate", "calls:0", "calls_by_position", "spread:call", "no_mask_twice", "all_lags"]
        laws += [f"neighbours:{lag}" for lag in lags]
        laws += ["calls:-1024", "calls:-1152"]  # what is reserved for a call may be rounded down to whole blocks
        entries = prod(self.contract.mask_shape(shape))
        yield self._case("masks", 0.3, shape, self._aim.calls * entries, self._lesser.calls * entries, [], laws)

    def _large(self) -> Iterator[Case]:
        """Calls of more than 2²¹ entries, and in one dtype of more than 2²⁴."""
        size = LARGE[self.profile if self.dtype == "float32" else "quick"]
        rows = size // 4096
        shape = (size,) if not self.contract.by_channel else self._shape(rows, 4096, spatial=1)
        laws = ["outcomes", "keep_rate", "segments", "neighbours:1", "neighbours:half", "neighbours:4096"]
        calls = 1 if self.profile == "quick" else 2
        yield self._case("masks", 0.3, shape, calls * size, size, [], laws)

    def _sizes(self) -> Iterator[Case]:
        """Sizes around powers of two; one channel, and planes of more elements than a block has."""
        findings = [self._id(law, ANY, None) for law in ("outcomes", "keep_rate", "blocks:2")]
        for size in SIZES:
            shape = (size,) if not self.contract.by_channel else self._shape(1, size, spatial=3 if size < 4096 else 1)
            calls = max(2, 4096 // size, min(self._aim.calls // 20, (1 << 19) // size))
            yield self._case("masks", 0.3, shape, calls * size, size, findings, [])
        if self.contract.by_channel:
            yield self._case("masks", 0.3, self._shape(1024, 1, spatial=5), 4096, 1024, findings, [])
            for plane in PLANES:
                calls = max(2, self._aim.calls // 20 * PLANES[0] // plane)
                yield self._case("masks", 0.3, self._shape(4, 8, spatial=plane), calls * 32, 64, findings, [])

    def _layouts(self) -> Iterator[Case]:
        """Inputs that lie in memory in uncommon ways: the mask's law there, in all dtypes together."""
        for layout in LAYOUTS:
            if layout == "stride0" and self.contract.writes:
                continue  # PyTorch refuses to write to one place through several elements
            shape = (32, 64, 32) if not self.contract.by_channel else self._shape(256, 256)
            findings = [
                self._id(law, ANY, shape, dtype=ANY, strides=layout)
                for law in ("outcomes", "keep_rate", "blocks:4", "neighbours:1")
            ]
            number = draws(0.3, self._lesser)
            yield self._case("masks", 0.3, shape, number, number // 10, findings, [], strides=layout)

    def _related(self) -> Iterator[Case]:
        """Masks after related seeds and many seeds, of unlike calls, and such as are made before the first is read."""
        shape = self._shape(64, 64)
        number = draws(0.3, self._lesser)
        unlike = [self._pooled(f"streams:{kind}", "eager") for kind in OTHERWISE]
        yield self._mixed("eager", [*unlike, self._pooled("streams:grad", "grad")])
        if self.dtype == "float32":
            finding = [self._pooled("no_mask_twice", "eager")]
            small = self._shape(16, 16)
            yield self._case("after_seeds", 0.5, small, SEEDS * 256, SEEDS * 256, finding, [])
        yield self._case("streams", 0.3, shape, number, number // 10, [], STREAMS)
        yield self._case("lazy", 0.3, shape, number, number // 10, [], ["reading_order"])

    def _gradients(self) -> Iterator[Case]:
        """Passes forward and back, in all dtypes together."""
        shape = (128, 130) if not self.contract.by_channel else self._shape(64, 66, spatial=3)
        laws = ["outcomes", "gradient", "keep_rate", "blocks:4", f"neighbours:{shape[1]}", "no_mask_twice"]
        laws += ["purity"] * (not self.contract.writes)
        for p in MAIN:
            looks = [*laws, "data"] if p == 0.3 and not self.contract.by_channel else laws
            findings = [self._id(law, ANY, shape, "grad", dtype=ANY) for law in looks]
            number = draws(p, self._lesser)
            yield self._case("gradients", p, shape, number, number // 10, findings, [], "grad", needs=("vjp",))
        findings = [self._id(law, ANY, None, "grad", dtype=ANY) for law in ("outcomes", "gradient")]
        number = ROWS * prod(self.contract.mask_shape(shape))
        for layout in LAYOUTS:
            if layout == "stride0" and self.contract.writes:
                continue  # as in `_layouts`
            yield self._case(
                "gradients", 0.3, shape, number, number, findings, [], "grad", strides=layout, needs=("vjp",)
            )
        shapes: list[tuple[int, ...]] = (
            [(1026,)] if not self.contract.by_channel else [self._shape(2, 5, spatial=plane) for plane in PLANES]
        )
        if self.dtype == "float32":  # a large gradient takes long to replay
            shapes.append((BLOCKS,) if not self.contract.by_channel else self._shape(1, BLOCKS, spatial=1))
        for other in shapes:
            number = prod(self.contract.mask_shape(other))
            judges = None if BLOCKS in other else number
            yield self._case("gradients", 0.3, other, number, judges, findings, [], "grad", needs=("vjp",))

    def _many(self) -> Iterator[Case]:
        """p = 0 and p = 1 in training, in all dtypes together: nothing is dropped, and all is."""
        shape = self._shape(1024, 1024) if not self.contract.by_channel else self._shape(1024, 512)
        number, less = (self._part(aim.unchanged) for aim in (self._aim, self._lesser))
        for p in (0.0, 1.0):
            yield self._case("many", p, shape, number, less, [self._id("endpoints", f"p{p!r}", shape, dtype=ANY)], [])

    def _ranks(self) -> Iterator[Case]:
        """The other ranks that a channel operator takes, unbatched ones among them."""
        main = max(self.contract.ranks)
        for rank in self.contract.ranks:
            unbatched = rank in self.contract.unbatched
            shape = (2048, *RANKED[rank + 1][2:]) if unbatched else RANKED[rank]
            if self.contract.by_channel and rank != main:
                laws = ["outcomes", "constancy", "neighbours:1", "neighbours:64"]
                number = draws(0.3, self._lesser)
                yield self._case("masks", 0.3, shape, number, number // 10, [], laws)
            findings = [self._id(law, ANY, None, "grad", dtype=ANY) for law in ("outcomes", "gradient")]
            number = 4 * prod(self.contract.mask_shape(shape))
            yield self._case("gradients", 0.3, shape, number, number, findings, [], "grad", needs=("vjp",))

    def _calls(self) -> Iterator[Case]:
        """Single calls, for the laws that need no statistics."""
        for study in STUDIES:
            needs = (self.contract.inplace,) if study == "inplace" and not self.contract.writes else ()
            unwritten = study in UNWRITTEN and not self.contract.writes
            also = (self._pooled("purity", "eager"),) if unwritten else ()
            yield self._single(study, self._id(study, ANY, None), also=also, needs=needs)
        yield self._single("specials", self._id("outcomes", ANY, None))
        for study in OF_GRADIENTS:
            yield self._single(f"{study}_of_gradient", self._id(study, ANY, None, "grad"), "grad", needs=("vjp",))

    def _single(
        self,
        study: str,
        finding: FindingId,
        context: str = "eager",
        *,
        also: tuple[FindingId, ...] = (),
        needs: tuple[str, ...] = (),
        for_reference: int | None = 0,
    ) -> Case:
        return self._case(study, None, (), 0, for_reference, [finding, *also], [], context, needs=needs)

    def _context(self, context: Context) -> Iterator[Case]:
        """The whole grid of p under the backend's transforms and layers, in all dtypes together."""
        if not context.recomputed:
            yield from self._outputs(context)
        yield from self._passes(context)
        if context.name in ("compile", "module"):
            yield self._mixed(context.name, [self._pooled("streams:twin", context.name)], context.needs)
        alone = "+" not in context.name
        for study in OF_GRADIENTS if alone else ("endpoints",):
            finding = self._pooled(study, context.name)
            if not context.recomputed:
                yield self._single(study, finding, context.name, needs=context.needs, for_reference=None)
            if alone or context.recomputed:
                name, needs = f"{study}_of_gradient", (*context.needs, "vjp")
                yield self._single(name, finding, context.name, needs=needs, for_reference=None)

    def _outputs(self, context: Context) -> Iterator[Case]:
        shape = self._shape(64, 256)
        exact = ["outcomes", "keep_rate"] + ["constancy"] * self.contract.by_channel
        few = 2 * ROWS * prod(self.contract.mask_shape(shape))
        looks = [
            (p, max(few, draws(p, self._lesser)), [*exact, *MIXED] if p in MAIN else exact) for p in self._aim.grid
        ]
        looks += [(p, self._rare_draws(p)[1], ["keep_rate"]) for p in RARE]
        for p, number, laws in looks:
            findings = [self._pooled(law, context.name) for law in laws]
            yield self._case("masks", p, shape, number, None, findings, [], context.name, needs=context.needs)
        if context.name == "vmap":
            findings = [self._pooled(law, context.name) for law in (*exact, *MIXED)]
            number = draws(0.3, self._lesser)
            yield self._case("unmapped", 0.3, shape, number, None, findings, [], context.name, needs=context.needs)

    def _mixed(self, context: str, findings: list[FindingId], needs: tuple[str, ...] = ()) -> Case:
        """Pairs of masks of unlike calls after one seed, in all dtypes together."""
        shape = self._shape(64, 64)
        return self._case("mixed", 0.3, shape, PAIRS * 4096, None, findings, [], context, needs=needs)

    def _in_place(self) -> Iterator[Case]:
        """The whole grid of p for the in-place form, in all dtypes together."""
        context, needs = "inplace", (self.contract.inplace,)
        shape = self._shape(64, 256)
        exact = ["outcomes", "keep_rate"]
        for p in self._aim.grid:
            number = max(2 * prod(self.contract.mask_shape(shape)), draws(p, self._lesser))
            findings = [self._pooled(law, context) for law in (*exact, *(MIXED if p in MAIN else ()))]
            yield self._case("masks", p, shape, number, None, findings, [], context, needs=needs)
            findings = [self._pooled(law, context) for law in ("outcomes", "gradient")]
            number = prod(self.contract.mask_shape(shape))
            yield self._case("gradients", p, shape, number, None, findings, [], context, needs=(*needs, "vjp"))
        for study in ("endpoints", "arguments"):
            yield self._single(study, self._pooled(study, context), context, needs=needs, for_reference=None)

    def _passes(self, context: Context) -> Iterator[Case]:
        """Passes forward and back: a few where outputs show the mask's law, as many as that takes where they don't."""
        exact, needs = ["outcomes", "gradient"], (*context.needs, "vjp")
        for p in self._aim.grid:
            if context.recomputed and p in MAIN:
                laws = [*exact, "keep_rate", "no_mask_twice"]
                shape = (128, 258) if not self.contract.by_channel else self._shape(128, 258)
                number = draws(p, self._lesser)
            else:
                laws = exact
                shape = (32, 130) if not self.contract.by_channel else self._shape(32, 66, spatial=2)
                number = ROWS * prod(self.contract.mask_shape(shape))
            findings = [self._pooled(law, context.name) for law in laws]
            yield self._case("gradients", p, shape, number, None, findings, [], context.name, needs=needs)

    def _modes(self) -> Iterator[Case]:
        """Training and evaluation by turns, in all dtypes together."""
        for name in SWITCHED:
            yield self._single(
                "modes",
                self._pooled("modes", name),
                name,
                needs=Context(name).needs,
                for_reference=0 if name == "eager" else None,
            )

    def _threads(self) -> Iterator[Case]:
        """The whole grid of p with each call in a fresh thread, and some calls in threads that run at the same time."""
        shape = self._shape(64, 256)
        exact = ["outcomes", "keep_rate"] + ["constancy"] * self.contract.by_channel
        few = 2 * ROWS * prod(self.contract.mask_shape(shape))
        for p in self._aim.grid:
            laws = [*exact, "streams:thread", "no_mask_twice"] if p in MAIN else exact
            findings = [self._pooled(law, "thread") for law in laws]
            number = max(few, draws(p, self._lesser))
            yield self._case("masks", p, shape, number, None, findings, [], "thread")
        yield self._single("concurrency", self._pooled("concurrency", "thread"), "thread", for_reference=None)

    def _processes(self) -> Iterator[Case]:
        """Calls in two other processes, after seeds that are the same, or neighbours."""
        shape = self._shape(64, 256)
        finding, number = self._pooled("streams:process", "process"), draws(0.3, self._lesser)
        yield self._case("processes", 0.3, shape, number, None, [finding], [], "process")
        yield self._single("between_processes", self._pooled("seeding", "process"), "process", for_reference=None)

    def _pooled(self, law: str, context: str) -> FindingId:
        """The finding that pools p, shape and dtype."""
        return self._id(law, ANY, None, context, dtype=ANY)

    def _part(self, number: int) -> int:
        """Draws of a finding that all dtypes share: as many as it needs in float32, which every backend has."""
        return number if self.dtype == "float32" else number // len(DTYPES)

    @property
    def _aim(self) -> Aim:
        return AIMS[self.profile]

    @property
    def _lesser(self) -> Aim:
        return LESSER[self.profile]

    def _shape(self, batch: int, width: int, spatial: int = 2) -> tuple[int, ...]:
        """(batch, width) for an element operator, with the operator's own spatial axes behind for the others."""
        if not self.contract.by_channel:
            return (batch, width)
        return (batch, width) + (1,) * (max(self.contract.ranks) - 3) + (spatial,)

    def _case(
        self,
        study: str,
        p: float | None,
        shape: tuple[int, ...],
        number: int,
        for_reference: int | None,
        findings: Sequence[FindingId],
        laws: Sequence[str],
        context: str = "eager",
        *,
        strides: str = "",
        needs: tuple[str, ...] = (),
    ) -> Case:
        """A case that gives evidence to `findings`, and to one finding for each of `laws` that pools p.

        Where masks are read, it is also evidence for the laws without which none can be.
        """
        all_of = [*findings, *(self._id(law, ANY, shape, context, strides=strides) for law in laws)]
        if study in READ:
            needed = ["outcomes"] + ["constancy"] * (self.contract.by_channel and study != "gradients")
            missing = [law for law in needed if law not in {id.law for id in all_of}]
            all_of += [self._id(law, ANY, None, context, dtype=all_of[0].dtype) for law in missing]
        return Case(
            op=self.contract.name,
            dtype=self.dtype,
            parameters={} if p is None else {"p": p},
            shape=shape,
            context=context,
            study=study,
            draws=number,
            reference_draws=for_reference,
            findings=tuple(map(str, all_of)),
            strides=strides,
            needs=needs,
        )

    def _id(
        self,
        law: str,
        p: str,
        shape: tuple[int, ...] | None,
        context: str = "eager",
        *,
        dtype: str = "",
        strides: str = "",
    ) -> FindingId:
        text = ANY if shape is None else shape_text(shape, strides)
        return FindingId(self.contract.name, law, dtype or self.dtype, p, text, context)
