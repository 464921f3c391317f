"""A finding: a law's result in its cases, the evidence, and the command that repeats it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from keeprate.harness.evidence.kinds import NUMBERS, Effect, Evidence, Rows
from keeprate.harness.protocol.case import ANY, Promise, parameters_text
from keeprate.harness.protocol.engine import GIVEN_UP, Result

WORTH_WATCHING = 1 / 3  # of what breaks a finding: a faithful one gets there about once in a thousand
BAD = ("broken", "error")  # statuses that fail a gate, unless a known deviation
Status = Literal["kept", "broken", "not_implemented", "not_offered", "unreadable", "error"]
PLACE = (  # of the public JSON, before the numbers of the effect
    *("id", "status", "known", "law", "op", "dtype", "parameters", "shape", "strides", "context"),
)


@dataclass(frozen=True)
class Finding:
    """One promise, judged: the names are the keys of the public JSON, in harness/verdict.schema.json.

    The numbers of the effect are computed when they are asked for: an interval takes longer than the verdict.

    Args:
        id: `op/law/dtype/parameters/shape/context`; the parts follow, read.
        status: whether the promise is kept, or why that isn't known.
        known: the reason, if it is a known deviation (an expected failure).
        law: that part of the id, as are the next six.
        op: the operator.
        dtype: of inputs.
        parameters: by name; None where the finding pools them.
        shape: of inputs; None where it doesn't matter.
        strides: the layout of inputs; None where it doesn't matter.
        context: the transform around the operator.
        detail: what the kind of evidence says besides numbers; a reason where there is no evidence.
        replay: the command that repeats it.
        evidence: of all its cases, if it was judged.
        level: its share of the error budget, as a probability.
        peak: log10 e that it was broken with before: it stays so.
        passes: over a case of it, that are added up here: many where nights are.
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
    evidence: Evidence | None = field(default=None, repr=False)
    level: float = field(default=0.0, repr=False)
    peak: float = field(default=-math.inf, repr=False)
    passes: int = field(default=1, repr=False)

    @property
    def family(self) -> str:
        """The law without its parameter: `law` for `law:64`."""
        return self.law.partition(":")[0]

    @property
    def fails(self) -> bool:
        """True if this finding fails the gate: broken or ended in an error, and not a known deviation."""
        return self.status in BAD and self.known is None

    @cached_property
    def effect(self) -> Effect | None:
        """Its numbers; None where no e-value decides, or nothing was judged."""
        return None if self.evidence is None else self.evidence.effect(self.level, self.peak)

    @property
    def rows(self) -> Rows:
        """What was found, as labels and texts: what its evidence shows, or why there is none."""
        if self.effect is not None:
            return self.effect.rows()
        if self.evidence is not None:
            return self.evidence.rows(self.level)
        if not self.detail:
            return []
        return [("because", self.detail["reason"]), *([("in", self.detail["case"])] if "case" in self.detail else [])]

    @property
    def is_suspect(self) -> bool:
        """True if it is kept, and there is much evidence against it."""
        return self.status == "kept" and self.effect is not None and self.effect.part >= WORTH_WATCHING

    def unfit(self, reason: str) -> Finding:
        """An error in its place: what it says was not come by as it should.

        Args:
            reason: why, in words.
        """
        return replace(self, status="error", detail={"reason": reason}, evidence=None)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        place = {name: getattr(self, name) for name in PLACE}
        numbers = {name: getattr(self.effect, name, None) for name in NUMBERS}
        rows = self.rows if self.is_suspect or self.status in BAD else []
        return {**place, **numbers, "detail": self.detail, "replay": self.replay, "rows": rows}


def ended(status: str, detail: Mapping[str, Any] | None) -> bool:
    """Whether a case of a finding ended in an error, and was not given up after others had."""
    return status == "error" and (detail or {}).get("kind", GIVEN_UP) != GIVEN_UP


def unjudged(promise: Promise, status: Status, reason: str, kind: str = "", case: str = "") -> Finding:
    """A finding without evidence.

    Args:
        promise: what was to be judged.
        status: why there is none, as one of the statuses.
        reason: the same in words.
        kind: what kind of error that is, of one that has a name.
        case: the id of the case that ended in it.
    """
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
        detail={"reason": reason, **({"kind": kind} if kind else {}), **({"case": case} if case else {})}
        if reason
        else None,
    )


def decide(promise: Promise, results: Mapping[str, Result], alpha: float) -> Finding:
    """What the results of its cases say of a promise, under the error budget `alpha`."""
    status, why, evidence = weigh(promise, results, alpha)
    passes = max((results[case.id].passes for case in promise.cases if case.id in results), default=1)
    if evidence is None or status not in ("kept", "broken"):
        failed = [results[case.id] for case in promise.cases if case.id in results and results[case.id].error]
        kind, case = (failed[0].error_kind, failed[0].case) if failed else ("", "")
        return replace(unjudged(promise, status, why, kind, case), passes=passes)
    found, level = unjudged(promise, status, ""), alpha * promise.share
    return replace(found, passes=passes, evidence=evidence, level=level, detail=evidence.detail)


def outcome(promise: Promise, results: Mapping[str, Result], alpha: float) -> tuple[Status, str]:
    """The status alone, and the reason for it in words."""
    status, why, evidence = weigh(promise, results, alpha)
    return status, why or ("" if evidence is None else evidence.where)


def weigh(promise: Promise, results: Mapping[str, Result], alpha: float) -> tuple[Status, str, Evidence | None]:
    """Status, reason, and the evidence of all cases together.

    A finding with an error stays one even where the rest of its evidence breaks it: it was not judged to the end.
    """
    text = str(promise.id)
    found = [results[case.id] for case in promise.cases if case.id in results]
    for result in found:
        if result.error:
            return "error", result.error, None
    unreadable = [result.unreadable[text] for result in found if text in result.unreadable]
    lacking = [result.not_offered[text] for result in found if text in result.not_offered]
    evidence = pooled(promise, results)
    if evidence is None:
        if lacking:
            return "not_offered", lacking[0], None
        return ("unreadable", unreadable[0], None) if unreadable else ("error", "its case gave no evidence", None)
    broken = evidence.reaches(promise.threshold(alpha)) or (evidence.is_exact and not evidence.n)
    if unreadable and not broken:
        return "unreadable", unreadable[0], None
    return "broken" if broken else "kept", "", evidence


def pooled(promise: Promise, results: Mapping[str, Result]) -> Evidence | None:
    """The evidence of all cases together; None if there is none."""
    text = str(promise.id)
    seen = [case for case in promise.cases if case.id in results and text in results[case.id].evidence]
    items = [results[case.id].evidence[text] for case in seen]
    if not items or promise.planned == 1:
        return items[0] if items else None
    parts = [(parameters_text(case.parameters), case.dtype, "x".join(map(str, case.shape))) for case in seen]
    return items[0].pool(items, _labels(parts), promise.planned)


def _labels(cases: Sequence[tuple[str, ...]]) -> list[str]:
    """Names for the cases of one finding: only the parts in which they differ."""
    varying = [len(set(column)) > 1 for column in zip(*cases, strict=True)]
    return [" ".join(word for word, varies in zip(row, varying, strict=True) if varies) for row in cases]
