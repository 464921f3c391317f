"""What a row of the plan says, and the cases that are made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import NamedTuple

from keeprate.specs.dropout.aims import AIMS, LESSER, Aim, draws
from keeprate.specs.dropout.contexts import Context
from keeprate.specs.dropout.contracts import Contract
from keeprate.specs.rounding import DTYPES
from keeprate.suite import ANY, Case, FindingId, shape_text

# Studies that read masks.
READ = ("masks", "unmapped", "lazy", "streams", "mixed", "sizes", "after_seeds", "processes", "gradients")
NEEDS = {"states": ("get_state", "set_state"), "forked": ("forks",)}  # of a study, besides those of its context
Shape = tuple[int, ...]


class Place(NamedTuple):
    """Where a case looks: what the number of its draws depends on."""

    contract: Contract
    dtype: str
    p: float
    shape: Shape
    aim: Aim
    lesser: Aim  # of the reference, and in other contexts

    @property
    def entries(self) -> int:
        """Of one mask."""
        return prod(self.contract.mask_shape(self.shape))

    @property
    def less(self) -> int:
        """Draws that the keep rate is judged by, by the lesser aim."""
        return draws(self.p, self.lesser)


Shapes = Callable[[Contract], Sequence[Shape]]
Draws = Callable[[Place], tuple[int, int | None]]


class Laws(NamedTuple):
    """Laws that a row is evidence for; those that have nothing to look at in an operator are passed over.

    Args:
        names: with their parameters, in which `{width}` is the second axis of the case.
        apart: which of `p`, `shape` and `dtype` have findings of their own; the others are pooled.
        at: the rates at which they look; empty for all of the row's.
        context: of the findings, where it isn't the row's.
    """

    names: tuple[str, ...]
    apart: str
    at: tuple[float, ...]
    context: str


class Row(NamedTuple):
    """Cases of one study: one for each rate and shape, in each dtype, of each operator that has shapes here.

    Args:
        p: None in studies of single calls, which go through several, and through several shapes.
        draws: how often each case looks, and the same of the reference; None where that isn't judged, as everywhere
            but in plain calls and passes.
    """

    study: str
    laws: tuple[Laws, ...]
    p: tuple[float | None, ...] = (None,)
    shapes: Shapes = lambda contract: [()]
    draws: Draws = lambda at: (0, 0)
    context: str = "eager"
    strides: str = ""
    dtypes: tuple[str, ...] = DTYPES

    def cases(self, contract: Contract, dtype: str, profile: str) -> Iterator[Case]:
        """The cases of one operator in one dtype."""
        context = Context(self.context)
        # What is written over is lost; and PyTorch refuses to write to one place through several elements.
        lost = context.recomputed or context.mapped or context.inplace or self.strides == "stride0"
        if dtype not in self.dtypes or (contract.writes and lost):
            return
        inplace = context.inplace or (self.study == "inplace" and not contract.writes)
        vjp = self.study == "gradients" or self.study.endswith("_of_gradient")
        for p in self.p:
            for shape in self.shapes(contract):
                place = Place(contract, dtype, p or 0.0, shape, AIMS[profile], LESSER[profile])
                number, reference = self.draws(place)
                yield Case(
                    op=contract.name,
                    dtype=dtype,
                    parameters={} if p is None else {"p": p},
                    shape=shape,
                    context=self.context,
                    study=self.study,
                    draws=number,
                    reference_draws=reference if self.context in ("eager", "grad") else None,
                    findings=tuple(map(str, self._findings(contract, dtype, p, shape))),
                    strides=self.strides,
                    needs=(*context.needs, *[contract.inplace] * inplace, *["vjp"] * vjp, *NEEDS.get(self.study, ())),
                )

    def _findings(self, contract: Contract, dtype: str, p: float | None, shape: Shape) -> list[FindingId]:
        """Those of the laws; where masks are read, also those of the laws without which none can be."""
        found = [
            FindingId(
                contract.name,
                name.format(width=shape[1] if len(shape) > 1 else ANY),
                dtype if "dtype" in laws.apart else ANY,
                f"p{p!r}" if "p " in laws.apart else ANY,
                shape_text(shape, self.strides) if "shape" in laws.apart else ANY,
                laws.context or self.context,
            )
            for laws in self.laws
            if not laws.at or p in laws.at
            for name in laws.names
            if _has_a_place(name.partition(":")[0], contract)
        ]
        if self.study in READ:
            needed = ["outcomes"] + ["constancy"] * (contract.by_channel and self.study != "gradients")
            missing = [law for law in needed if law not in {id.law for id in found}]
            found += [FindingId(contract.name, law, found[0].dtype, ANY, ANY, self.context) for law in missing]
        return found


def _has_a_place(law: str, contract: Contract) -> bool:
    """Whether there is anything that the law could look at."""
    return {
        "constancy": contract.by_channel,
        "data": not contract.by_channel,
        "moments": contract.preserves_moments,
        "purity": not contract.writes,
        "slices": contract.granularity != "row",  # of one entry
    }.get(law, True)
