"""Likely causes: which known faults broke the same laws, in the same places, to the same effect."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.case import ANY
from harness.finding import Finding
from harness.suite import Cause

PLAIN = ("eager", "grad")  # contexts in which nothing is transformed
MOST, FEW = 0.9, 0.01  # parts of the checked elements: nearly all are wrong, or hardly any
ENDS = 0.02  # of the rarer outcome: rates where rounding hides
NAMED = 3  # causes that are named, at most
LIKENESS = 0.25  # the most alike cause, below which nothing is said


@dataclass(frozen=True)
class Mark:
    """What a law that broke said in one context: the findings that were judged, and those of them that broke.

    Args:
        law: with its parameter, as in `neighbours:64`.
        p, dtypes: those where it broke, of findings that don't pool them.
        draws: the fewest draws, or checked elements, of a broken finding; None where none were counted.
        off: how far the furthest rate was off; None of a law without one.
        wrong: the largest part of checked elements that were wrong; None of a law that checks none.
        errors: findings among the broken that ended in an error.
    """

    law: str
    context: str
    judged: int
    broken: int
    errors: int = 0
    p: tuple[float, ...] = ()
    dtypes: tuple[str, ...] = ()
    draws: int | None = None
    off: float | None = None
    wrong: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values, what is empty left out."""
        return {key: value for key, value in asdict(self).items() if value not in (None, (), 0)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Mark:
        """The inverse of `to_json`."""
        return cls(**data)


def marks_of(findings: Iterable[Finding]) -> list[Mark]:
    """What each law that broke said in each context, in the order of the findings."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        if finding.status in ("kept", "broken", "error"):
            groups.setdefault((finding.law, finding.context), []).append(finding)
    marks = [_mark(law, context, group) for (law, context), group in groups.items()]
    return [mark for mark in marks if mark.broken]


def _mark(law: str, context: str, group: list[Finding]) -> Mark:
    broken = [finding for finding in group if finding.status != "kept"]
    details = [finding.detail or {} for finding in broken]
    draws = [count for one, detail in zip(broken, details, strict=True) if (count := one.n or detail.get("checked"))]
    off = [one.estimate - one.expected for one in broken if one.estimate is not None and one.expected is not None]
    wrong = [detail["wrong"] / max(1, detail["checked"]) for detail in details if "wrong" in detail]
    return Mark(
        law,
        context,
        len(group),
        len(broken),
        sum(finding.status == "error" for finding in group),
        tuple(sorted({finding.p for finding in broken if finding.p is not None})),
        tuple(sorted({finding.dtype for finding in broken} - {ANY})),
        min(draws, default=None),
        float(f"{max(off, key=abs):.3g}") if off else None,
        float(f"{max(wrong):.3g}") if wrong else None,
    )


def traits_of(marks: Iterable[Mark]) -> frozenset[str]:
    """What a set of broken laws has to be recognised by: words that two alike faults share.

    A fault of a plain call shows under every transform as well, and one of a transform under its combinations: so only
    the simplest contexts in which anything broke are looked at.
    """
    marks = list(marks)
    contexts = {mark.context for mark in marks}
    if plain := contexts & set(PLAIN):
        simplest, traits = plain, {"in plain calls"}
    else:
        parts = min((context.count("+") for context in contexts), default=0)
        simplest = {context for context in contexts if context.count("+") == parts}
        traits = {f"in {context}" for context in simplest}
    for mark in marks:
        if mark.context in simplest:
            traits |= set(_traits(mark))
    return frozenset(traits)


def _traits(mark: Mark) -> Iterator[str]:
    family, _, parameter = mark.law.partition(":")
    place = f" {mark.context}" if mark.context == "grad" else ""
    yield f"{family}{place}"
    if parameter:
        yield f"{mark.law}{place}"
    if mark.errors:
        yield f"{family}{place}: an error"
    if mark.off:
        yield f"{family}{place}: {'above' if mark.off > 0 else 'below'}"
    if mark.wrong:
        yield f"{family}{place}: {'all' if mark.wrong > MOST else 'some' if mark.wrong > FEW else 'few'} wrong"
    for p in mark.p:
        rarer = min(p, 1 - p)
        yield f"{family}{place}: {'at the ends' if rarer < ENDS else 'in between'}"


def likely(seen: frozenset[str], causes: Sequence[Cause]) -> list[tuple[float, Cause]]:
    """The causes most alike to the traits that were seen, one of each kind, most alike first, and how alike they are.

    Likeness is the weight of the traits in common over that of all traits of both; a trait weighs the more, the fewer
    causes have it. None where the most alike is below `LIKENESS`.
    """
    common = Counter(trait for cause in causes for trait in cause.traits)

    def weight(traits: Iterable[str]) -> float:
        return math.fsum(math.log((len(causes) + 1) / (common[trait] + 0.5)) for trait in traits)

    ranked = sorted(
        ((weight(seen & cause.traits) / weight(seen | cause.traits), cause) for cause in causes if seen),
        key=lambda pair: -pair[0],
    )
    best: dict[str, tuple[float, Cause]] = {}
    for likeness, cause in ranked:
        best.setdefault(cause.kind, (likeness, cause))
    first = list(best.values())[:NAMED]
    return first if first and first[0][0] >= LIKENESS else []
