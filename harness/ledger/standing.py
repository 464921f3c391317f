"""Where every promise stands, all runs together: the verdict over what a ledger holds, and what is noted of it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from keeprate.harness.judging.diagnosis import Cause
from keeprate.harness.judging.finding import Finding, pooled
from keeprate.harness.judging.gate import Docket, conclude
from keeprate.harness.judging.request import Given, Request
from keeprate.harness.judging.verdict import Verdict
from keeprate.harness.ledger.asked import Asked
from keeprate.harness.ledger.held import CAUSES, Held
from keeprate.harness.ledger.looks import promise_row
from keeprate.harness.ledger.store import Ledger, Run, digests
from keeprate.harness.protocol.case import ANY, Promise
from keeprate.harness.protocol.engine import Result

Results = Mapping[tuple[str, str], Result]  # by role and case


@dataclass(frozen=True)
class Standing:
    """What all runs of one version of a backend show together.

    Args:
        verdict: over all that was drawn.
        otherwise: findings of which there is evidence that counts something else than today, and is not used.
        runs, draws: of this version, all nights together.
    """

    verdict: Verdict
    otherwise: set[str]
    runs: int = 0
    draws: int = 0

    @property
    def waiting(self) -> int:
        """Promises of which nothing was drawn so far."""
        return sum(self.verdict.waiting.values())


def standing(
    given: Given, ledger: Ledger, subjects: Mapping[str, int], run: dict[str, Any], unkept: Iterable[Result] = ()
) -> Standing:
    """What all runs show, of what is counted as the plan counts it today.

    What was broken at the end of a run of this ledger stays broken: the largest e-value there has been is what Ville's
    inequality bounds.

    Args:
        run: for the verdict: what differs between two runs of one seed.
        unkept: what was drawn and is not in the ledger, to be counted as well.

    Raises:
        UsageError: something in the ledger is no evidence.
    """
    request = given.request
    counted = digests(request.plan)
    held = {role: Held(ledger, subject, counted) for role, subject in subjects.items()}
    results = {(role, case): found for role, side in held.items() for case, found in side.results(role).items()}
    for result in unkept:
        results[result.role, result.case] = together(results.get((result.role, result.case)), result)
    asked = Asked(ledger, subjects["backend"], request)
    now = concluded(given, results, run, asked)
    peaks = held["backend"].peaks
    mine = {case: result for (role, case), result in results.items() if role == "backend"}
    findings = tuple(_still_broken(request, item, peaks.get(item.id), mine) for item in now.verdict)
    otherwise = now.otherwise.union(*(side.otherwise for side in held.values())) & request.promises.keys()
    drawn = ledger.drawn(subjects["backend"])
    verdict = replace(now.verdict, findings=findings, lasting=True)
    return Standing(explained(verdict, held["backend"].causes()), otherwise, *drawn)


def explained(verdict: Verdict, causes: Iterable[Cause]) -> Verdict:
    """The same verdict with those of `causes` that explain what fails, each finding by the first."""
    left, found = {finding.id: finding for finding in verdict.failing}, []
    for cause in causes:
        explains = [text for text in dict.fromkeys(cause.explains) if text in left]
        laws = {left[text].family for text in explains}
        # What all findings of a law show together follows from them.
        explains += [
            text for text, one in left.items() if one.op == ANY and one.family in laws and text not in explains
        ]
        if explains:
            found.append(replace(cause, explains=tuple(explains)))
            left = {text: one for text, one in left.items() if text not in explains}
    return replace(verdict, causes=tuple(found))


def together(one: Result | None, other: Result) -> Result:
    """What several passes over a case gave; of the later one alone what can't be added."""
    if one is None:
        return other
    both = one.evidence.keys() & other.evidence.keys()
    sums = {
        text: one.evidence[text] + other.evidence[text]
        for text in both
        if one.evidence[text].alike == other.evidence[text].alike
    }
    return other.replace(evidence={**one.evidence, **other.evidence, **sums}, passes=one.passes + other.passes)


def concluded(given: Given, results: Results, run: dict[str, Any], asked: Asked | None = None) -> Standing:
    """What `results` show.

    A promise is judged by all of its plan that was drawn, whatever was chosen this time: then its e-value is a stage of
    one martingale. It waits until something was drawn, of the reference as well, unless no run was asked for it; and
    what shows another kind of evidence than its law gives is not used.

    Args:
        asked: what all runs were asked for; None for what this one was.
    """
    drawn = {case for role, case in results if role == "backend"}
    whole = given.whole(drawn)
    ready, otherwise = _ready(whole, results)
    wait = Counter(
        f"{one.id.op}/{one.id.family}"
        for text, one in given.request.promises.items()
        if text not in ready and (asked is None or text not in asked.never)
    )
    verdict = conclude(Docket(whole.among(ready), results.values()), run, isolated=True, whole=given.request.is_whole)
    if asked and asked.never:
        open_ = whole.among(asked.never)
        others, _ = _ready(open_, results)
        left = [one for text, one in open_.promises.items() if text not in others]
        verdict = replace(verdict, unasked=asked.told(left, {case.partition("/")[0] for case in drawn}))
    return Standing(replace(verdict, waiting=wait), otherwise)


def _ready(whole: Given, results: Results) -> tuple[dict[str, Promise], set[str]]:
    """The promises that can be judged, and those of which there is evidence that their law doesn't give."""
    ready, otherwise = {}, set()
    for text, promise in whole.request.promises.items():
        mine = [results.get(("backend", case.id)) for case in whole.promises[text].cases]
        theirs = [results.get(("reference", case.id)) for case in whole.of_reference[text].cases]
        if _of_another_law(promise, mine) or _of_another_law(promise, theirs):
            otherwise.add(text)
        elif all(not side or any(_looked_at(result, text) for result in side) for side in (mine, theirs)):
            ready[text] = promise
    return ready, otherwise


def _looked_at(result: Result | None, text: str) -> bool:
    """Whether a case has shown something: of a law that counts draws, that there were some."""
    if result is None:
        return False
    evidence = result.evidence.get(text)
    drawn = evidence is not None and (evidence.is_exact or evidence.n > 0)
    return drawn or text in result.unreadable or text in result.not_offered or bool(result.error)


def _of_another_law(promise: Promise, results: Iterable[Result | None]) -> bool:
    """Whether cases of one promise give several kinds of evidence, or its law is exact and they give another kind."""
    text = str(promise.id)
    found = [result.evidence[text] for result in results if result is not None and text in result.evidence]
    return len({item.alike for item in found}) > 1 or not (promise.share or all(item.is_exact for item in found))


def _still_broken(request: Request, finding: Finding, peak: float | None, results: Mapping[str, Result]) -> Finding:
    level = finding.level or request.alpha * request.plan[finding.id].share
    if peak is None or not level or peak < -math.log10(level):
        return finding
    # That of the plan is of what ended in an error, or can't be read now.
    evidence = finding.evidence or pooled(request.plan[finding.id], results)
    assert evidence is not None
    return replace(finding, status="broken", peak=peak, evidence=evidence, level=level, detail=evidence.detail)


def note_night(ledger: Ledger, run: Run, verdict: Verdict) -> None:
    """Notes where every promise stands at the end of a run.

    Of two runs of one night the later is noted, but nothing in the place of what broke.
    """
    subject, nights = run.subjects["backend"], []
    with ledger.writing():
        known = Held(ledger, subject, run.digests).ids
        for item in verdict:
            if item.status != "not_implemented":
                row = known.get(item.id) or promise_row(ledger.db, subject, item.id, run.digests[item.id])
                effect = item.effect
                numbers = (effect.n, effect.log10_e, effect.estimate) if effect else (None, None, None)
                nights.append((row, run.night, item.status, *numbers))
                if effect:
                    ledger.raise_peak(row, max(item.peak, effect.of.log10_e))
        ledger.db.executemany(
            "INSERT INTO night VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET status = excluded.status, "
            "n = excluded.n, log10_e = excluded.log10_e, estimate = excluded.estimate WHERE status != 'broken'",
            nights,
        )


def keep_causes(ledger: Ledger, run: Run, verdict: Verdict) -> None:
    """Notes what lies behind what is broken; what was noted of findings that `verdict` hasn't stays."""
    subject, told = run.subjects["backend"], {finding.id for finding in verdict}
    with ledger.writing():
        others = [cause for cause in Held(ledger, subject, run.digests).causes() if told.isdisjoint(cause.explains)]
        ledger.db.execute("DELETE FROM cause WHERE subject = ?", (subject,))
        rows = [
            (subject, place, json.dumps(cause.to_json()))
            for place, cause in enumerate((*verdict.causes, *others)[:CAUSES])
        ]
        ledger.db.executemany("INSERT INTO cause VALUES (?, ?, ?)", rows)


def keep_pictures(ledger: Ledger, run: Run, pictures: Mapping[str, Any]) -> None:
    """Notes what broken findings look like, by id."""
    with ledger.writing():
        ids = Held(ledger, run.subjects["backend"], run.digests).ids
        rows = [(ids[text], json.dumps(one)) for text, one in pictures.items()]
        ledger.db.executemany("INSERT OR REPLACE INTO picture VALUES (?, ?)", rows)
