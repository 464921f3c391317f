"""One finding, looked at again: together with fresh draws, and in the smallest case that still breaks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from keeprate.harness.evidence.account import Account
from keeprate.harness.evidence.kinds import Evidence
from keeprate.harness.judging.diagnosis import causes_of
from keeprate.harness.judging.finding import Finding, decide
from keeprate.harness.judging.request import Given
from keeprate.harness.protocol.case import Case, FindingId, Promise
from keeprate.harness.protocol.engine import Job, Result
from keeprate.harness.workers.pool import Children


@dataclass(frozen=True)
class Smallest:
    """A case in which a finding breaks on its own, or that ends in its error, and what was seen there.

    Args:
        evidence: None for an error.
        error: what ended the case; empty for a finding that is broken.
    """

    case: Case
    evidence: Evidence | None
    error: str = ""


def together(promise: Promise, alpha: float, *runs: Mapping[str, Result]) -> Finding:
    """What several runs of one finding say together: evidence adds, whatever made one ask again."""
    return decide(promise, _added(promise, runs), alpha)


def by_strength(promise: Promise, results: Mapping[str, Result]) -> list[Case]:
    """The cases of a finding, that which speaks most clearly against it first."""
    return sorted(promise.cases, key=lambda case: -_weight(results.get(case.id), str(promise.id)))


def shrink(
    given: Given, promise: Promise, results: Mapping[str, Result], runner: Children, cause: str = ""
) -> Iterator[Smallest]:
    """Ever smaller cases that still break, as the suite shrinks them.

    The first is the finding's own case that speaks against it most clearly; nothing, if none breaks on its own. Where
    cases end in an error, smaller ones that end in the same are looked for.

    Args:
        cause: the hypothesis that must still be accepted, and explain what breaks; empty for none.
    """
    request, law = given.request, promise.id.law
    threshold = promise.threshold(request.alpha)
    ended = [results[case.id].error_kind for case in promise.cases if case.id in results and results[case.id].error]

    def breaks(case: Case, role: str) -> Smallest | None:
        (text,) = (one for one in case.findings if FindingId.parse(one).law == law)
        alone = case.replace(findings=(text,))  # what other laws ask for may not fit into a small shape
        thresholds = {text: None if math.isinf(threshold) else threshold}
        result = runner.run(Job(role, alone, request.seed, thresholds))
        if ended:
            return Smallest(case, None, result.error) if result.error and result.error_kind == ended[0] else None
        evidence = result.evidence.get(text)  # there is none where the law was not made for so small a shape
        return Smallest(case, evidence) if evidence is not None and evidence.reaches(threshold) else None

    def broken(case: Case) -> bool:
        found = breaks(case, "backend")
        # Where the reference breaks it as well, the shape is too small for the law.
        if found is None or (request.reference and breaks(request.suite.for_reference(case), "reference")):
            return False
        if cause and found.evidence is not None and not _holds(cause, given, promise, found, runner):
            return False
        smallest[case.id] = found
        return True

    smallest: dict[str, Smallest] = {}
    case = next(filter(broken, by_strength(promise, results)), None)
    if case is None:
        return
    yield smallest[case.id]
    others = [
        other
        for one in request.plan.values()
        if one.id.op == promise.id.op and one.id.law == law
        for other in filter(given.can, one.cases)
    ]
    yield from (smallest[smaller.id] for smaller in request.suite.shrink(case, others, broken))


def _holds(cause: str, given: Given, promise: Promise, found: Smallest, runner: Children) -> bool:
    """Whether a hypothesis is accepted of a case alone, with fresh draws, and explains what breaks in it.

    Where the suite asks for it in the shape of the case, it must be accepted in that.
    """
    (text,) = (one for one in found.case.findings if FindingId.parse(one).law == promise.id.law)
    alone = Promise(FindingId.parse(text), promise.share, (found.case,), 1)
    results = {found.case.id: Result("backend", found.case.id, {text: found.evidence} if found.evidence else {})}
    finding = decide(alone, results, given.request.alpha)

    refuted = []

    def asked(jobs: Iterable[Job]) -> Iterator[Result]:
        for job in jobs:
            if some := _of(cause, job):
                for result in runner.aside([job.replace(thresholds=some)]):
                    accepted = any(isinstance(one, Account) and one.accepted for one in result.evidence.values())
                    refuted.append(job.case.shape == found.case.shape and not accepted)
                    yield result

    of_it = causes_of(given.among({text: alone}), [finding], [finding], results, asked, given.offer.name)
    return any(one.id == cause for one in of_it) and not any(refuted)


def _of(hypothesis: str, job: Job) -> dict[str, float | None]:
    return {text: one for text, one in job.thresholds.items() if FindingId.parse(text).law == hypothesis}


def _weight(result: Result | None, finding: str) -> float:
    if result is None or result.error:
        return math.inf if result else -math.inf
    return result.evidence[finding].strength if finding in result.evidence else -math.inf


def _added(promise: Promise, runs: Sequence[Mapping[str, Result]]) -> dict[str, Result]:
    """The results of all runs, case by case; what a run couldn't judge stays so."""
    total: dict[str, Result] = dict(runs[0])
    for results in runs[1:]:
        for name, result in results.items():
            before = total[name]
            evidence = {
                text: before.evidence[text] + item for text, item in result.evidence.items() if text in before.evidence
            }
            first = before if before.error else result
            total[name] = before.replace(evidence=evidence, error=first.error, error_kind=first.error_kind)
    return {case.id: total[case.id] for case in promise.cases if case.id in total}
