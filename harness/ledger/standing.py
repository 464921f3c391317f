"""Where every promise stands, all runs together: the verdict over what a ledger holds, and what is noted of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from keeprate.harness.judging.finding import Finding
from keeprate.harness.judging.gate import Docket, conclude
from keeprate.harness.judging.request import Given, Request
from keeprate.harness.judging.verdict import Verdict
from keeprate.harness.ledger.held import Held
from keeprate.harness.ledger.store import Ledger, Run, digests
from keeprate.harness.protocol.case import Promise
from keeprate.harness.protocol.engine import Result

Results = Mapping[tuple[str, str], Result]  # by role and case


@dataclass(frozen=True)
class Standing:
    """What all runs of one version of a backend show together.

    Args:
        verdict: over all that was drawn.
        pending: promises that were offered, and wait for a case that was never gone through.
        otherwise: findings of which there is evidence that counts something else than today, and is not used.
        runs, draws: of this version, all nights together.
    """

    verdict: Verdict
    pending: int
    otherwise: set[str]
    runs: int = 0
    draws: int = 0


def standing(given: Given, ledger: Ledger, subjects: Mapping[str, int], run: dict[str, Any]) -> Standing:
    """What all runs show, of what is counted as the plan counts it today.

    What was broken at the end of a run stays broken: the largest e-value there has been is what Ville's inequality
    bounds.

    Args:
        run: for the verdict: what differs between two runs of one seed.

    Raises:
        UsageError: something in the ledger is no evidence.
    """
    request = given.request
    counted = digests(request.plan)
    held = {role: Held(ledger, subject, counted) for role, subject in subjects.items()}
    results = {(role, case): found for role, side in held.items() for case, found in side.results(role).items()}
    now = concluded(given, results, run)
    peaks = held["backend"].peaks
    findings = tuple(_still_broken(request, item, peaks.get(item.id)) for item in now.verdict)
    otherwise = now.otherwise.union(*(side.otherwise for side in held.values())) & request.promises.keys()
    drawn = ledger.drawn(subjects["backend"])
    return Standing(replace(now.verdict, findings=findings), now.pending, otherwise, *drawn)


def concluded(given: Given, results: Results, run: dict[str, Any]) -> Standing:
    """What `results` show.

    A promise is judged once each of its cases was looked at, so that what an e-value averages over never changes; and
    if all of them show the kind of evidence that its law gives.
    """
    ready, otherwise = {}, set()
    for text, promise in given.request.promises.items():
        mine = [results.get(("backend", case.id)) for case in given.promises[text].cases]
        theirs = [results.get(("reference", case.id)) for case in given.of_reference[text].cases]
        if _of_another_law(promise, mine) or _of_another_law(promise, theirs):
            otherwise.add(text)
        elif all(result is not None and _looked_at(result, text) for result in (*mine, *theirs)):
            ready[text] = promise
    docket = Docket(given.among(ready))
    for result in results.values():
        docket.add(result)
    verdict = conclude(docket, run, isolated=True)
    return Standing(verdict, len(given.request.promises) - len(ready), otherwise)


def _looked_at(result: Result, text: str) -> bool:
    return text in result.evidence or text in result.unreadable or text in result.not_offered or bool(result.error)


def _of_another_law(promise: Promise, results: Iterable[Result | None]) -> bool:
    """Whether cases of one promise give several kinds of evidence, or its law is exact and they give another kind."""
    text = str(promise.id)
    found = [result.evidence[text] for result in results if result is not None and text in result.evidence]
    return len({item.alike for item in found}) > 1 or not (promise.share or all(item.is_exact for item in found))


def _still_broken(request: Request, finding: Finding, peak: float | None) -> Finding:
    if peak is None or finding.effect is None or peak < request.plan[finding.id].threshold(request.alpha):
        return finding
    return replace(finding, status="broken", peak=peak)


def note_night(ledger: Ledger, run: Run, verdict: Verdict) -> None:
    """Notes where every promise stands at the end of a run.

    Of two runs of one night the later is noted, but nothing in the place of what broke, and of that the clearest.
    """
    subject, nights = run.subjects["backend"], []
    with ledger.writing():
        known = Held(ledger, subject, run.digests).ids
        for item in verdict:
            if item.status != "not_implemented":
                row = known.get(item.id) or ledger.promise(subject, item.id, run.digests[item.id])
                effect = item.effect
                numbers = (effect.n, effect.log10_e, effect.estimate) if effect else (None, None, None)
                nights.append((row, run.night, item.status, *numbers))
                if effect:
                    ledger.raise_peak(row, max(item.peak, effect.of.log10_e))
        ledger.db.executemany(
            "INSERT INTO night VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET status = excluded.status, "
            "n = excluded.n, log10_e = excluded.log10_e, estimate = excluded.estimate WHERE status != 'broken' OR "
            "(excluded.status = 'broken' AND coalesce(excluded.log10_e >= log10_e, TRUE))",
            nights,
        )


def keep_pictures(ledger: Ledger, run: Run, pictures: Mapping[str, Any]) -> None:
    """Notes what broken findings look like, by id."""
    with ledger.writing():
        ids = Held(ledger, run.subjects["backend"], run.digests).ids
        rows = [(ids[text], json.dumps(one)) for text, one in pictures.items()]
        ledger.db.executemany("INSERT OR REPLACE INTO picture VALUES (?, ?)", rows)
