"""A finding: a law's result in its cases, the evidence, and the command that repeats it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from harness.case import ANY, Promise
from harness.check import Check
from harness.engine import Result
from harness.evidence import Evidence, pool

Status = Literal["kept", "broken", "not_implemented", "not_offered", "unreadable", "error"]
DIGITS = 6  # significant digits of what is derived: fewer than what differs between machines


@dataclass(frozen=True)
class Finding:
    """One promise, judged: the fields are the keys of the public JSON, in harness/verdict.schema.json."""

    id: str
    status: Status
    known: str | None
    law: str
    op: str
    dtype: str
    p: float | None
    shape: list[int] | None
    strides: str | None
    context: str
    statistic: float | None = None
    p_value: float | None = None
    log10_e: float | None = None
    threshold_log10_e: float | None = None
    n: int | None = None
    estimate: float | None = None
    expected: float | None = None
    interval: tuple[float, float] | None = None
    detectable: float | None = None
    detail: dict[str, Any] | None = None
    replay: str = ""

    @property
    def fails(self) -> bool:
        """True if this finding fails the gate: broken or ended in an error, and not a known deviation."""
        return self.status in ("broken", "error") and self.known is None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        data = asdict(self)
        data["interval"] = list(self.interval) if self.interval else None
        return data


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
        p=None if id.p == ANY else float(id.p.removeprefix("p")),
        shape=[int(part) for part in shape.split("x")] if shape.replace("x", "").isdigit() else None,
        strides=strides or None,
        context=id.context,
        detail={"reason": reason} if reason else None,
    )


def decide(promise: Promise, results: Mapping[str, Result], alpha: float) -> Finding:
    """What the results of its cases say of a promise, under the error budget `alpha`."""
    status, why, evidence = weigh(promise, results, alpha)
    if evidence is None or status not in ("kept", "broken"):
        return unjudged(promise, status, why)
    return _described(unjudged(promise, status, ""), evidence, promise, alpha)


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
    labels = _labels([(case.p, case.dtype, case.shape) for case, _ in seen])
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
    """`finding` with the effect that its evidence shows."""
    if isinstance(evidence, Check):
        detail = {"checked": evidence.checked, "exact": evidence.exact, "wrong": evidence.wrong}
        return replace(finding, detail={**detail, "first": evidence.first or None})
    share = alpha * promise.share
    low, high = evidence.interval(share)
    return replace(
        finding,
        statistic=_round(evidence.statistic),
        p_value=_round(evidence.p_value),
        log10_e=_round(evidence.log10_e),
        threshold_log10_e=_round(promise.threshold(alpha)),
        n=evidence.n,
        estimate=_round(evidence.estimate),
        expected=_round(evidence.expected),
        interval=(_round(low), _round(high)),
        detectable=_round(evidence.detectable(share)),
        detail={"where": evidence.where} if evidence.is_composite else None,
    )


def _labels(cases: Sequence[tuple[float | None, str, tuple[int, ...]]]) -> list[str]:
    """Names for the cases of one finding: only the parts in which they differ."""
    columns = list(zip(*cases, strict=True))
    varying = [len(set(column)) > 1 for column in columns]
    words = [(f"p{p!r}", dtype, "x".join(map(str, shape))) for p, dtype, shape in cases]
    return [" ".join(word for word, varies in zip(row, varying, strict=True) if varies) for row in words]


def _round(value: float) -> float:
    """`value` to the digits that the JSON has, which knows neither infinity nor NaN: an estimate of no draws is 0."""
    return float(f"{np.nan_to_num(value):.{DIGITS}g}")
