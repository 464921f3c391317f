"""A finding: a law's result in its cases, the evidence, and the command that repeats it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from keeprate.harness.evidence.check import Check
from keeprate.harness.evidence.kinds import Evidence, pool
from keeprate.harness.evidence.moments import Moments
from keeprate.harness.evidence.tally import Tally
from keeprate.harness.protocol.case import ANY, Promise, parameters_text
from keeprate.harness.protocol.engine import Result

Status = Literal["kept", "broken", "not_implemented", "not_offered", "unreadable", "error"]
KEYS = (  # of the public JSON, in its order
    *("id", "status", "known", "law", "op", "dtype", "parameters", "shape", "strides", "context"),
    *("statistic", "p_value", "log10_e", "threshold_log10_e", "n", "estimate", "expected", "interval", "detectable"),
    *("detail", "replay"),
)
DIGITS = 6  # significant digits of what is derived: fewer than what differs between machines


@dataclass(frozen=True)
class Finding:
    """One promise, judged: the names are the keys of the public JSON, in harness/verdict.schema.json.

    The numbers of the effect are computed when they are asked for: an interval takes longer than the verdict.
    """

    id: str
    status: Status
    known: str | None
    law: str
    op: str
    dtype: str
    parameters: dict[str, int | float] | None
    shape: list[int] | None
    strides: str | None
    context: str
    detail: dict[str, Any] | None = None
    replay: str = ""
    evidence: Tally | Moments | None = field(default=None, repr=False)  # of a law that draws, if it was judged
    level: float = field(default=0.0, repr=False)  # its share of the error budget, as a probability
    peak: float = field(default=-math.inf, repr=False)  # log10 e that it was broken with before: it stays so
    passes: int = field(default=1, repr=False)  # over a case of it, that are added up here: many where nights are

    @property
    def family(self) -> str:
        """The law without its parameter: `law` for `law:64`."""
        return self.law.partition(":")[0]

    @property
    def fails(self) -> bool:
        """True if this finding fails the gate: broken or ended in an error, and not a known deviation."""
        return self.status in ("broken", "error") and self.known is None

    @property
    def statistic(self) -> float | None:
        """Pearson's chi-square, or the sum of squared z of moments."""
        return _round(self.evidence.statistic) if self.evidence else None

    @property
    def p_value(self) -> float | None:
        """For people; no verdict rests on it."""
        return _round(self.evidence.p_value) if self.evidence else None

    @property
    def log10_e(self) -> float | None:
        """Log10 of the evidence against the promise: the most there has been, where that was enough."""
        return _round(max(self.peak, self.evidence.log10_e)) if self.evidence else None

    @property
    def threshold_log10_e(self) -> float | None:
        """Log10 of the e-value from which on it is broken."""
        return _round(-math.log10(self.level)) if self.evidence else None

    @property
    def n(self) -> int | None:
        """Draws."""
        return self.evidence.n if self.evidence else None

    @property
    def estimate(self) -> float | None:
        """What was seen, where it is furthest from the promise."""
        return _round(self.evidence.estimate) if self.evidence else None

    @property
    def expected(self) -> float | None:
        """What is promised there."""
        return _round(self.evidence.expected) if self.evidence else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """What can't be excluded there, valid whenever one looks."""
        if self.evidence is None:
            return None
        low, high = self.evidence.interval(self.level)
        return _round(low), _round(high)

    @property
    def detectable(self) -> float | None:
        """The smallest departure that would have been caught with probability 0.99."""
        return _round(self.evidence.detectable(self.level)) if self.evidence else None

    def unfit(self, reason: str) -> Finding:
        """An error in its place: what it says was not come by as it should, for `reason`."""
        return replace(self, status="error", detail={"reason": reason}, evidence=None)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: getattr(self, name) for name in KEYS}


def unjudged(promise: Promise, status: Status, reason: str) -> Finding:
    """A finding without evidence: `reason` says why."""
    id = promise.id
    shape, _, strides = id.shape.partition(":")
    return Finding(
        id=str(id),
        status=status,
        known=None,
        law=id.law,
        op=id.op,
        dtype=id.dtype,
        parameters=None if id.parameters == ANY else promise.cases[0].parameters,
        shape=[int(part) for part in shape.split("x")] if shape.replace("x", "").isdigit() else None,
        strides=strides or None,
        context=id.context,
        detail={"reason": reason} if reason else None,
    )


def decide(promise: Promise, results: Mapping[str, Result], alpha: float) -> Finding:
    """What the results of its cases say of a promise, under the error budget `alpha`."""
    status, why, evidence = weigh(promise, results, alpha)
    passes = max((results[case.id].passes for case in promise.cases if case.id in results), default=1)
    if evidence is None or status not in ("kept", "broken"):
        return replace(unjudged(promise, status, why), passes=passes)
    return _described(replace(unjudged(promise, status, ""), passes=passes), evidence, promise, alpha)


def outcome(promise: Promise, results: Mapping[str, Result], alpha: float) -> tuple[Status, str]:
    """The status alone, and the reason for it in words."""
    status, why, evidence = weigh(promise, results, alpha)
    if isinstance(evidence, Check):
        return status, " ".join(evidence.first.values())
    return status, why or (evidence.where if evidence is not None else "")


def weigh(promise: Promise, results: Mapping[str, Result], alpha: float) -> tuple[Status, str, Evidence | None]:
    """Status, reason, and the evidence of all cases together.

    A finding with an error stays one even where the rest of its evidence breaks it: it was not judged to the end.
    """
    text = str(promise.id)
    found = [(case, results[case.id]) for case in promise.cases if case.id in results]
    for _, result in found:
        if result.error:
            return "error", result.error, None
    unreadable = [result.unreadable[text] for _, result in found if text in result.unreadable]
    lacking = [result.not_offered[text] for _, result in found if text in result.not_offered]
    seen = [(case, result.evidence[text]) for case, result in found if text in result.evidence]
    if not seen:
        if lacking:
            return "not_offered", lacking[0], None
        return ("unreadable", unreadable[0], None) if unreadable else ("error", "its case gave no evidence", None)
    parts = [(parameters_text(case.parameters), case.dtype, "x".join(map(str, case.shape))) for case, _ in seen]
    labels = _labels(parts)
    evidence = pool([item for _, item in seen], labels)
    if isinstance(evidence, Check):
        broken = evidence.broken or not evidence.checked
    else:
        threshold = promise.threshold(alpha)
        broken = evidence.log10_e_bound >= threshold and evidence.log10_e >= threshold
    if unreadable and not broken:
        return "unreadable", unreadable[0], None
    return "broken" if broken else "kept", "", evidence


def _described(finding: Finding, evidence: Evidence, promise: Promise, alpha: float) -> Finding:
    """`finding` with what its evidence shows."""
    if isinstance(evidence, Check):
        detail = {"checked": evidence.checked, "exact": evidence.exact, "wrong": evidence.wrong}
        return replace(finding, detail={**detail, "first": evidence.first or None})
    where = {"where": evidence.where} if evidence.is_composite else None
    return replace(finding, evidence=evidence, level=alpha * promise.share, detail=where)


def _labels(cases: Sequence[tuple[str, ...]]) -> list[str]:
    """Names for the cases of one finding: only the parts in which they differ."""
    varying = [len(set(column)) > 1 for column in zip(*cases, strict=True)]
    return [" ".join(word for word, varies in zip(row, varying, strict=True) if varies) for row in cases]


def _round(value: float) -> float:
    """`value` to the digits that the JSON has, which knows neither infinity nor NaN: an estimate of no draws is 0."""
    return float(f"{np.nan_to_num(value):.{DIGITS}g}")
