"""Known faults that broke the same laws to the same effect: a guess at what lies behind what broke."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from keeprate.specs.dropout.contexts import plainness
from keeprate.specs.dropout.laws.every import LAWS
from keeprate.specs.transforms import PLAIN
from keeprate.suite import ANY, Cause, Counterexample, Finding, Value

MOST, FEW = 0.9, 0.01  # parts of the checked elements: nearly all are wrong, or hardly any
ENDS = 0.02  # of the rarer outcome: rates where rounding hides
RESTS_ON = {law.name: law.rests_on for law in LAWS}
BESIDE = ("the same mask as", "another mask than")  # another call, which it is known by too
NEARLY = 0.01  # of the right value: off by rounding, not by another formula
NAMED = 3  # causes that are named, at most
LIKENESS = 0.25  # the most alike cause, below which nothing is said
RAISED = "an exception"  # what a counterexample gave that is none: it says itself what happened


@dataclass(frozen=True)
class Mark:
    """What a law that broke said in one context: the findings that were judged, and those of them that broke.

    Args:
        law: with its parameter, as in `neighbours:64`.
        p, dtypes: those where it broke, of findings that don't pool them.
        draws: the fewest draws, or checked elements, of a broken finding; None where none were counted.
        off: how far the furthest rate was off, the strongest correlation, or by how much the outer ones of many cells
            were too full; None of a law that counts nothing.
        wrong: the largest part of checked elements that were wrong; None of a law that checks none.
        errors: findings among the broken that ended in an error.
        call, gave: of the first counterexample, the call that it is from and what it gave, without what is particular
            to it.
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
    call: str = ""
    gave: str = ""

    @property
    def family(self) -> str:
        """The law without its parameter."""
        return self.law.partition(":")[0]

    @property
    def is_told(self) -> bool:
        """True where errors and calls that raised are all that broke: each says what happened."""
        return self.errors == self.broken or self.gave == RAISED


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
    draws = [one.evidence.n for one in broken if one.evidence is not None and one.evidence.n]
    off = [one.effect.of.off for one in broken if one.effect is not None]
    wrong = [detail["wrong"] / max(1, detail["checked"]) for detail in details if "wrong" in detail]
    first = next((one.evidence.first for one in broken if one.evidence is not None and one.evidence.first), None)
    return Mark(
        law,
        context,
        len(group),
        len(broken),
        sum(finding.status == "error" for finding in group),
        tuple(sorted({finding.parameters["p"] for finding in broken if finding.parameters})),
        tuple(sorted({finding.dtype for finding in broken} - {ANY})),
        min(draws, default=None),
        float(f"{max(off, key=abs):.3g}") if off else None,
        float(f"{max(wrong):.3g}") if wrong else None,
        call_of(first),
        gave_of(first),
    )


def call_of(first: Counterexample | None) -> str:
    """The call of a counterexample: its words, of p whether it is 0, 1, between them or outside, and what was empty."""
    text = first.call if first else ""
    for name, value in first.given.items() if first else ():
        text = text.replace(f"= {{{name}}}", _place_of_p(_number(value))) if name == "p" else text
        text = text.replace(f"{{{name}}}", _without_numbers(value))
    return " ".join(text.split())


def _place_of_p(p: float) -> str:
    return {0.0: "is zero", 1.0: "is one"}.get(p, "is between" if 0 < p < 1 else "is outside")


def _number(value: Value | None) -> float:
    """A value as a number, as JSON has it; NaN for what is none."""
    return float(value) if isinstance(value, int | float) or value in ("inf", "-inf") else math.nan


def _without_numbers(value: Value) -> str:
    if isinstance(value, tuple):
        return "empty" if 0 in value else "" if value else "scalar"
    return value if isinstance(value, str) else ""


def gave_of(first: Counterexample | None) -> str:
    """What a counterexample gave: how its value differs, or what it was where it is none."""
    if first is None:
        return ""
    if first.gave != "value":
        return f"{first.gave} {first.output}" if first.gave in BESIDE else first.gave
    x, y, *right = map(_number, (first.input, first.output, *first.allowed))
    if math.isnan(y) or math.isinf(y):
        return "NaN" if math.isnan(y) else "infinity"
    if y == 0 or y == x:
        return "zero" if y == 0 else "its input"
    near = any(abs(y - one) < NEARLY * max(abs(y), abs(one)) for one in right if math.isfinite(one))
    return "nearly the right value" if near else "another value"


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
        least = min(map(plainness, contexts), default=0)
        simplest = {context for context in contexts if plainness(context) == least}
        traits = {f"in {context}" for context in simplest}
    broken = {(mark.law, mark.context) for mark in marks}
    for mark in marks:
        follows = any((law, mark.context) in broken for law in RESTS_ON[mark.family])
        if mark.context in simplest and not follows:
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
    if mark.call:
        yield f"{family}{place}: {mark.call}"
    if mark.gave:
        yield f"{family}{place}: gave {mark.gave}"
    for p in mark.p:
        rarer = min(p, 1 - p)
        yield f"{family}{place}: {'at the ends' if rarer < ENDS else 'in between'}"


def cause(name: str, kind: str, says: str, defect: str, traits: Sequence[str]) -> Cause:
    """A row of causes.json; a trait begins with the law that it speaks of, unless it names a place."""
    laws = frozenset(re.split("[ :]", trait)[0] for trait in traits if not trait.startswith("in "))
    return Cause(name, kind, says, defect, laws, frozenset(traits))


def likely_causes(marks: Sequence[Mark], causes: Sequence[Cause]) -> list[tuple[float, Cause]]:
    """The causes that are likely for what broke, as of `likely`; none where each mark says what happened."""
    return [] if all(mark.is_told for mark in marks) else likely(traits_of(marks), causes)


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
