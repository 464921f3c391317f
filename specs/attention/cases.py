"""What plans of all operators of the suite are made with: rates, shares of the error budget, and cases."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from keeprate.specs.masks.every import NAMES as MASK_LAWS
from keeprate.specs.transforms import transforms_in
from keeprate.suite import ANY, Case, FindingId, draws_to_detect, shape_text

MAIN, ENDS = (0.1, 0.3, 0.5, 0.9), (0.001, 0.99, 0.999)  # rates; rounding hides at the ends
# Departures of the keep rate that are caught with probability 0.99; at the ends, parts of the rarer outcome's
# probability.
DEPARTURES = {"smoke": 0.02, "quick": 0.005, "gate": 0.001, "deep": 0.0005}
ENDED = {"smoke": 1.0, "quick": 0.5, "gate": 0.2, "deep": 0.05}
OTHERS = (*(name for name in MASK_LAWS if name != "keep_rate"), "gaps")
# Shares of the error budget: half to keep_rate, 40 % over the other laws that draw, the rest in reserve.
WEIGHTS = {"keep_rate": 0.5, **dict.fromkeys(OTHERS, 0.4 / len(OTHERS))}
ALPHA = 1e-6  # the budget that draws are planned for
SHARED = 100  # findings that share the weight of keep_rate, at most: draws are planned for that many
Laws = Mapping[str, tuple[str, ...]]  # by what their findings are told apart by, among p, shape and dtype


@functools.cache
def draws(p: float, profile: str) -> int:
    """Draws that the keep rate at `p` is judged by."""
    departure = DEPARTURES[profile]
    if p not in MAIN:
        departure = min(departure, ENDED[profile] * min(p, 1 - p))
    return draws_to_detect((1 - p, p), departure, ALPHA * WEIGHTS["keep_rate"] / SHARED)


def needs_of(context: str) -> tuple[str, ...]:
    """What a backend must have to be called in a context."""
    return (*transforms_in(context), *["compile"] * (context == "fused"), *["module"] * (context == "module"))


def planned(
    op: str,
    study: str,
    laws: Laws,
    dtype: str,
    p: float | None = None,
    shape: tuple[int, ...] = (),
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
            op,
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
    needs = (*needs_of(context), *["vjp"] * vjp, *["linearize"] * (study == "pullbacks"))
    judged = reference if context in ("eager", "grad") else None
    return Case(op, dtype, parameters, shape, context, study, drawn, judged, tuple(map(str, findings)), "", needs)
