"""What lies behind broken promises: hypotheses that were tested, and what each explains.

Once a verdict is broken, the suite's hypotheses are tested: on the evidence that broke the promises, and on fresh
draws of some cases that the suite asks for. So a backend that keeps its promises pays nothing for it. A hypothesis is
accepted where the promise is broken and it is not, on the same draws, and is a cause if it explains what broke.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keeprate.harness.evidence.account import Account
from keeprate.harness.judging.finding import Finding, ended
from keeprate.harness.judging.request import Given
from keeprate.harness.judging.seen import Seen, Told
from keeprate.harness.protocol.case import ANY, FindingId
from keeprate.harness.protocol.engine import Job, Result
from keeprate.harness.protocol.hypothesis import Hypothesis
from keeprate.harness.protocol.suite import Suite

VAGUE = 2  # so many times as much a vague hypothesis must explain to be named before another
ASKED = 96  # cases that are drawn for a diagnosis, at most


@dataclass(frozen=True)
class Cause:
    """An accepted hypothesis that explains broken findings.

    Args:
        id: the hypothesis, with its parameter.
        sentence: what is wrong, and where.
        seen: what was counted.
        explains: ids of findings, the most telling first.
        picture: rows of 1 and 0; empty where none show it.
        reaches: ids of what it would explain had it broken, broken or not: another seed breaks others of these.
    """

    id: str
    kind: str
    sentence: str
    seen: str
    explains: tuple[str, ...]
    picture: tuple[str, ...] = ()
    reaches: frozenset[str] = frozenset()

    @classmethod
    def from_json(cls, values: Any) -> Cause:
        """What `to_json` gave; of a file that may come from anywhere.

        Raises:
            ValueError, TypeError, KeyError: it is something else.
        """
        id, kind, sentence, seen = (str(values[name]) for name in ("id", "kind", "sentence", "seen"))
        explains, picture = (tuple(map(str, values[name])) for name in ("explains", "picture"))
        rows_of_bits = len(picture) <= 32 and all(re.fullmatch("[01]{0,64}", row) for row in picture)
        if not (re.fullmatch(r"[A-Za-z0-9_:]{1,200}", id) and sentence and explains and rows_of_bits):
            raise ValueError("it has no name, no sentence, explains nothing, or its picture is none")
        return cls(id, kind, sentence, seen, explains, picture)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "id": self.id,
            "kind": self.kind,
            "sentence": self.sentence,
            "seen": self.seen,
            "explains": list(self.explains),
            "picture": list(self.picture),
        }


def causes_of(
    given: Given,
    findings: Sequence[Finding],
    failing: Sequence[Finding],
    results: Mapping[str, Result],
    run: Callable[[Iterable[Job]], Iterator[Result]],
    backend: str,
) -> tuple[Cause, ...]:
    """The causes of what failed, that which explains most first.

    Args:
        findings: all.
        failing: those of them that failed, in the order of telling.
        results: of the backend, by case.
        run: jobs.
        backend: its name, for the sentences.
    """
    suite, seed = given.request.suite, given.request.seed
    failing = [finding for finding in failing if not ended(finding.status, finding.detail)]  # one that raised says why
    together = [finding for finding in failing if finding.id not in given.promises]  # they have no cases of their own
    findings, failing = ([finding for finding in some if finding.id in given.promises] for some in (findings, failing))
    if not failing or not suite.hypotheses:
        return ()
    seen = [_seen(given, finding, results) for finding in failing]
    judged = [_seen(given, finding, results) for finding in findings if finding.evidence is not None]
    told = list(suite.accounts(judged, frozenset(finding.id for finding in failing)))
    cases = {case.id: case for case in suite.questions(seen, given.can)}
    asked = list(cases.values())[:ASKED]
    for result in run([Job("backend", case, seed, dict.fromkeys(case.findings)) for case in asked]):
        case = cases[result.case]
        for text, account in result.evidence.items():
            if isinstance(account, Account):
                told.append(Told(FindingId.parse(text).law, case.op, case.dtype, case.context, account, case.shape))
    causes = _folded(_causes(suite, seen, judged, told, backend))
    laws = {hypothesis.name: hypothesis.laws for hypothesis in suite.hypotheses}
    for finding in together:  # it follows from what explains its law, in the operators or by hypothesis
        for number, cause in enumerate(causes):
            broken = {FindingId.parse(text).family for text in cause.explains}
            if finding.family in broken | laws[cause.id.partition(":")[0]]:
                causes[number] = replace(cause, explains=(*cause.explains, finding.id))
                break
    return tuple(causes)


def _folded(causes: Iterable[Cause]) -> list[Cause]:
    """Causes with one sentence as one, which explains what each of them explains."""
    folded: dict[str, Cause] = {}
    for cause in causes:
        first = folded.setdefault(cause.sentence, cause)
        if first is not cause:
            explains, reaches = (*first.explains, *cause.explains), first.reaches | cause.reaches
            folded[cause.sentence] = replace(first, explains=explains, reaches=reaches)
    return list(folded.values())


def _seen(given: Given, finding: Finding, results: Mapping[str, Result]) -> Seen:
    cases = given.promises[finding.id].cases
    found = (results[case.id].evidence.get(finding.id) if case.id in results else None for case in cases)
    return Seen(finding, tuple(zip(cases, found, strict=True)))


def _causes(
    suite: Suite, seen: Sequence[Seen], judged: Sequence[Seen], told: Sequence[Told], backend: str
) -> Iterator[Cause]:
    """Causes one after another, each of which explains most of what is left; none of two that explain the same.

    Args:
        seen: what failed.
        judged: all that has evidence.
        told: hypotheses that were tested.
    """
    known = {one.name: (number, one) for number, one in enumerate(suite.hypotheses)}
    by_id: dict[str, list[Told]] = {}
    for one in told:
        if one.name.partition(":")[0] in known:
            by_id.setdefault(one.name, []).append(one)
    explains = {}
    for name, ones in by_id.items():
        number, hypothesis = known[name.partition(":")[0]]
        covering = _covering(suite, hypothesis, ones)
        if found := {one.finding.id: places for one in seen if (places := covering(one))}:
            explains[name] = (hypothesis, number, found, covering)
    left = {one.finding.id for one in seen}
    while True:
        worth = {
            name: (len(found.keys() & left) / (VAGUE if hypothesis.vague else 1), -number)
            for name, (hypothesis, number, found, _) in explains.items()
            if found.keys() & left
        }
        if not worth:
            return
        best = max(worth, key=worth.__getitem__)
        hypothesis, _, found, covering = explains.pop(best)
        claimed = {
            (id, law)
            for other, _, elsewhere, _ in explains.values()
            if not other.vague
            for id in elsewhere
            for law in other.own & hypothesis.yielded
        }
        here = found.keys() & left
        mine = [one for one in seen if one.finding.id in here and (one.finding.id, one.finding.family) not in claimed]
        left -= {one.finding.id for one in mine}
        if not mine:
            continue
        places = [at for one in mine for at in found[one.finding.id]]
        account = max((at.account for at in places), key=lambda account: account.promise)
        says = hypothesis.says.format_map(account.given)
        where = suite.where([one.finding for one in mine], places)
        ids = tuple(one.finding.id for one in mine)
        alike = _alike([one.finding for one in mine])
        reaches = frozenset(one.finding.id for one in judged if alike(one.finding) and covering(one)).union(ids)
        sentence = f"{backend} {says.removesuffix(',') if where.startswith(',') else says}{where}."
        yield Cause(best, hypothesis.kind, sentence, account.seen, ids, account.picture, reaches)


def _alike(broken: Sequence[Finding]) -> Callable[[Finding], bool]:
    """Whether a finding might break in another run as those of the same cause did in this one.

    Not in a dtype in which nothing broke; and where no chance decides, in a law that broke.
    """
    dtypes = {(finding.op, finding.dtype) for finding in broken}
    laws = {(finding.op, finding.family) for finding in broken}

    def might(finding: Finding) -> bool:
        there = finding.dtype == ANY or {(finding.op, ANY), (finding.op, finding.dtype)} & dtypes
        return bool(there) and (finding.effect is not None or (finding.op, finding.family) in laws)

    return might


def _covering(suite: Suite, hypothesis: Hypothesis, tested: Sequence[Told]) -> Callable[[Seen], list[Told]]:
    """The places where a hypothesis was accepted that explain a finding; none where it was found to be otherwise."""
    accepted: dict[str, list[Told]] = {}
    otherwise: set[tuple[str, str, str]] = set()
    for at in tested:
        if at.account.accepted:
            accepted.setdefault(at.op, []).append(at)
        elif at.account.contradicted:
            otherwise |= {(at.op, at.context, at.dtype), (at.op, at.context, ANY)}

    def covering(seen: Seen) -> list[Told]:
        finding = seen.finding
        if (finding.op, finding.context, finding.dtype) in otherwise:
            return []
        return [
            at
            for at in accepted.get(finding.op, ())
            if suite.within(at.context, finding.context) and suite.explains(hypothesis, at.account, seen)
        ]

    return covering
