"""The three kinds of evidence that a law returns, and how they travel and add."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keeprate.harness.evidence.check import Check
from keeprate.harness.evidence.moments import Moments
from keeprate.harness.evidence.tally import Tally

Evidence = Tally | Moments | Check

KINDS: dict[str, type[Tally] | type[Moments] | type[Check]] = {
    "tally": Tally,
    "moments": Moments,
    "check": Check,
}


def from_json(data: dict[str, Any]) -> Evidence:
    """Evidence from what its `to_json` wrote."""
    return KINDS[data["type"]].from_json(data)


def add(one: Evidence, other: Evidence) -> Evidence:
    """The evidence of two samples of one case.

    Raises:
        TypeError: they are of different kinds.
    """
    match one, other:
        case (Tally(), Tally()) | (Moments(), Moments()) | (Check(), Check()):
            return one + other  # type: ignore[operator]  # mypy doesn't narrow both sides of a match together
    raise TypeError(f"can't add {type(other).__name__} to {type(one).__name__}")


def kind_of(evidence: Evidence) -> tuple[Any, ...]:
    """What the evidence of two cases must have in common, so that it can be pooled."""
    match evidence:
        case Tally():
            return "tally", evidence.cells, evidence.departure
        case Moments():
            return "moments", evidence.kept.shape[1]
        case Check():
            return ("check",)


def pool(evidence: Sequence[Evidence], labels: Sequence[str]) -> Evidence:
    """The evidence of several cases of one finding: checks add, statistics become groups under `labels`."""
    if len(evidence) == 1:
        return evidence[0]
    match evidence[0]:
        case Tally():
            return Tally.stack([item for item in evidence if isinstance(item, Tally)], labels)
        case Moments():
            return Moments.stack([item for item in evidence if isinstance(item, Moments)], labels)
        case Check():
            total: Evidence = evidence[0]
            for item in evidence[1:]:
                total = add(total, item)
            return total
