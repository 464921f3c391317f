"""Which cases, how many draws, and whose share of the error budget."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from harness.backend import DTYPES
from harness.case import ANY, Case, FindingId, shape_text
from harness.tally import draws_to_detect
from specs.contracts import CONTRACTS, Contract

MAIN = (0.1, 0.3, 0.5, 0.9)  # the rates that a profile's promise is about
ENDS = (0.001, 0.99, 0.999)  # where rounding hides
POOLED = MAIN  # laws that are not about the rate look here


@dataclass(frozen=True)
class Aim:
    """The keep-rate departure that is caught with probability 0.99.

    Args:
        departure: at the main rates.
        part: at the ends, as a part of the rarer outcome's probability, which a fixed departure could exceed.
    """

    departure: float
    part: float

    def at(self, p: float) -> float:
        """The departure that is caught at `p`."""
        return self.departure if p in MAIN else min(self.departure, self.part * min(p, 1 - p))


AIMS = {"quick": Aim(0.005, 0.5), "gate": Aim(0.001, 0.1)}
REFERENCE_AIMS = {
    "quick": Aim(0.005 * 10**0.5, 0.5 * 10**0.5),
    "gate": AIMS["quick"],
}  # a tenth of the draws; quick's

# Shares of the error budget: half to keep_rate, 40 % over the others, the rest in reserve for laws to come.
WEIGHTS = {"keep_rate": 0.5, "neighbours": 0.2, "moments": 0.2}
ALPHA = 1e-6  # the budget that draws are planned for
SHARED = 512  # findings that share the weight of keep_rate, at most: draws are planned for that many

STUDIES = (  # of single calls, with their contexts; `specs.calls` has one function for each
    ("evaluation", "eager"),
    ("evaluation", "grad"),
    ("endpoints", "eager"),
    ("endpoints", "grad"),
    ("dtype", "eager"),
    ("dtype", "grad"),
    ("arguments", "eager"),
    ("strides", "eager"),
    ("shape", "eager"),
    ("inplace", "eager"),
    ("seeding", "eager"),
)
LAGS = ("1", "2", "axis0")


def plan(profile: str) -> tuple[Case, ...]:
    """Every case of `profile`, whatever the backend offers."""
    return tuple(
        case
        for contract in CONTRACTS.values()
        for dtype in DTYPES
        for case in (
            *_masks(contract, dtype, profile),
            *_gradients(contract, dtype, profile),
            *_calls(contract, dtype),
        )
    )


@functools.cache
def draws(p: float, aim: Aim) -> int:
    """Draws that a mask is judged by at `p`, by formula."""
    return draws_to_detect((1 - p, p), aim.at(p), ALPHA * WEIGHTS["keep_rate"] / SHARED)


def main_shape(contract: Contract) -> tuple[int, ...]:
    """65,536 mask entries a call; a channel is two elements, enough to see that it is kept or dropped whole."""
    if not contract.by_channel:
        return (64, 1024)
    return (256, 256) + (1,) * (max(contract.ranks) - 3) + (2,)


def _masks(contract: Contract, dtype: str, profile: str) -> Iterator[Case]:
    shape = main_shape(contract)
    pooled = ["purity"] * (not contract.writes) + ["constancy"] * contract.by_channel
    pooled += [f"neighbours:{lag}" for lag in LAGS]
    pooled += ["moments:mean", "moments:variance"] * contract.preserves_moments
    for p in (*ENDS[:1], *MAIN, *ENDS[1:]):
        own = [_id(contract, law, dtype, f"p{p!r}", shape) for law in ("outcomes", "keep_rate")]
        shared = [_id(contract, law, dtype, ANY, shape) for law in pooled] if p in POOLED else []
        yield Case(
            op=contract.name,
            dtype=dtype,
            p=p,
            shape=shape,
            context="eager",
            study="masks",
            draws=draws(p, AIMS[profile]),
            reference_draws=draws(p, REFERENCE_AIMS[profile]),
            findings=(*own, *shared),
        )


def _gradients(contract: Contract, dtype: str, profile: str) -> Iterator[Case]:
    shape = (64, 66) + ((1,) * (max(contract.ranks) - 3) + (5,) if contract.by_channel else ())
    for p in POOLED:
        laws = ["outcomes", "gradient", "keep_rate", "purity"]
        yield Case(
            op=contract.name,
            dtype=dtype,
            p=p,
            shape=shape,
            context="grad",
            study="gradients",
            draws=draws(p, REFERENCE_AIMS[profile]),
            reference_draws=draws(p, REFERENCE_AIMS["quick"]),
            findings=tuple(_id(contract, law, ANY, ANY, shape, "grad") for law in laws),
            needs=("vjp",),
        )


def _calls(contract: Contract, dtype: str) -> Iterator[Case]:
    for study, context in STUDIES:
        needs = ("vjp",) if context == "grad" else ()
        if study == "inplace" and not contract.writes:
            needs = (contract.inplace,)
        yield Case(
            op=contract.name,
            dtype=dtype,
            p=None,
            shape=(),
            context=context,
            study=study,
            draws=0,
            reference_draws=0,
            findings=(str(FindingId(contract.name, study, dtype, ANY, ANY, context)),),
            needs=needs,
        )


def _id(contract: Contract, law: str, dtype: str, p: str, shape: tuple[int, ...], context: str = "eager") -> str:
    return str(FindingId(contract.name, law, dtype, p, shape_text(shape), context))
