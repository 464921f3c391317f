"""What a night draws next: where its draws buy most, as far as what was seen so far can tell."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from keeprate.harness.evidence.kinds import Evidence
from keeprate.harness.judging.request import Given
from keeprate.harness.ledger.held import Held
from keeprate.harness.ledger.places import Place, Places
from keeprate.harness.ledger.since import broke_before
from keeprate.harness.ledger.store import SEEDS, Ledger, Run
from keeprate.harness.protocol.engine import Job, Result, decided

SUSPICIOUS = 1 / 3  # of the threshold, in log10: a faithful finding gets there about once in a thousand
REFERENCE = 4  # passes of the backend for one of the reference: half its resolution, at a quarter of the cost
LOOKS = 4  # a part of the passes: after so many more the evidence is looked at again
AT_ONCE = 0.2  # seconds of passes that one job goes through: what comes before and after them is little beside it
RESULTS = 500  # a second that all workers give at most, by longer jobs: a quarter of what benchmarks/scale.py measures


@dataclass
class _Ahead:
    """A case that may be drawn: its jobs, the reference's first, and where it stands."""

    jobs: list[Job]
    place: Place
    here: int = 0  # times in this run, each with a seed of its own
    timed: bool = False  # in this run, where `place` may hold a guess
    seen: Counter[str] = field(default_factory=Counter)  # passes in this run, by role
    next: Counter[str] = field(default_factory=Counter)  # how many there are at the next look at the evidence

    @property
    def kind(self) -> tuple[str, str, str]:
        """Cases of one kind cost about the same for each draw."""
        case = self.jobs[-1].case
        return case.op, case.study, case.context

    def is_due(self, result: Result) -> bool:
        """Whether to look at the evidence after `result`, as its passes have grown by a quarter."""
        self.seen[result.role] += result.passes
        seen = self.seen[result.role]
        if due := seen >= self.next[result.role]:
            self.next[result.role] = seen + seen // LOOKS
        return due

    def at_once(self, seconds: float) -> int:
        """Passes to make in one go: never more than were made before, so that no case runs ahead of the others."""
        if self.place.exact or not self.timed:  # exact cases resolve nothing: once a night is enough
            return 1
        return max(1, min(self.place.passes, int(seconds / self.place.seconds)))


class Agenda:
    """What to draw next, as the planner sees it; a case with a broken promise, or an error tonight, is closed."""

    def __init__(self, given: Given, ledger: Ledger, run: Run, *, workers: int = 1) -> None:
        plan, alpha = given.request.plan, given.request.alpha
        self._first_seed = run.first_seed
        self._at_once = max(AT_ONCE, workers / RESULTS)
        thresholds = {text: one.threshold(alpha) for text, one in plan.items() if one.share}
        self._suspicious = {text: SUSPICIOUS * threshold for text, threshold in thresholds.items()}
        self._spent = {True: 0.0, False: 0.0}  # seconds of statistical cases, and of exact ones
        held = Held(ledger, run.subjects["backend"], run.digests)
        passes, last = held.passes(run.findings), held.stood()
        # Of what an e-value decides, nights of merged ledgers are history: this one's own path has peaks.
        broken = {text for text, row in last.items() if row["status"] == "broken" and row["log10_e"] is None}
        broken |= {text for text, peak in held.peaks.items() if peak >= thresholds.get(text, math.inf)}
        suspects = {text for text, row in last.items() if (row["log10_e"] or 0) >= self._suspicious.get(text, math.inf)}
        before = broke_before(ledger, run.subjects["backend"], run.digests)
        by_case: dict[str, list[Job]] = {}
        for job in given.jobs():
            by_case.setdefault(job.case.id, []).append(job)
        self._ahead = {
            case: _Ahead(
                todo,
                Place(
                    case,
                    todo[-1].case.draws,
                    passes.get(case, 0),
                    suspicious=not suspects.isdisjoint(todo[-1].case.findings),
                    exact=not any(plan[text].share for text in todo[-1].case.findings),
                    broke=not before.isdisjoint(todo[-1].case.findings),
                ),
            )
            for case, todo in by_case.items()
            if broken.isdisjoint(todo[-1].case.findings)
        }
        self._places = Places()
        self._untimed: defaultdict[tuple[str, str, str], list[_Ahead]] = defaultdict(list)  # by their kind
        for ahead in self._ahead.values():
            self._places.put(ahead.place)
            if not ahead.place.exact:
                self._untimed[ahead.kind].append(ahead)

    def until(self, deadline: float) -> Iterator[Job]:
        """Jobs, each chosen when it is asked for, until `time.monotonic()` says that the deadline is past."""
        while time.monotonic() < deadline:
            part = self._spent[False] / (sum(self._spent.values()) or 1.0)
            place = self._places.first(part)
            if place is None:
                return
            ahead = self._ahead[place.case]
            seed = self._first_seed + ahead.here
            ahead.here += 1
            passes = beside = ahead.at_once(self._at_once)
            if place.exact or ahead.here == SEEDS:
                self._close(place.case)
            else:
                self._move(ahead, passes=place.passes + passes)
                beside = math.ceil(ahead.place.passes / REFERENCE) - math.ceil(place.passes / REFERENCE)
            for job in ahead.jobs:
                if number := beside if job.role == "reference" else passes:
                    # Gone through to the end: what decides is the evidence of all nights.
                    yield job.again(number).replace(seed=seed, thresholds=dict.fromkeys(job.thresholds))

    def note(self, result: Result, totals: dict[str, Evidence]) -> None:
        """Takes what came of a pass, and the evidence of all passes over its case."""
        statistical = not self._suspicious.keys().isdisjoint(totals)
        self._spent[statistical] += result.seconds
        ahead = self._ahead.get(result.case)
        if ahead is None:
            return
        # An e-value takes longer than all else here, and with many passes one more changes it little.
        looks = ahead.is_due(result)
        suspicious = self._is_suspicious(totals) if looks else ahead.place.suspicious
        told = totals if looks and suspicious else {text: item for text, item in totals.items() if item.is_exact}
        if result.error or decided(told, ahead.jobs[-1]):
            self._close(result.case)
        elif result.role == "backend":
            seconds = result.seconds / result.passes
            self._move(ahead, seconds=seconds, suspicious=suspicious)
            ahead.timed = seconds > 0
            for other in self._untimed.pop(ahead.kind, ()) if ahead.timed else ():
                if not other.place.seconds and other.place.case in self._ahead:
                    # The least that it can take, until it is timed itself.
                    self._move(other, seconds=seconds * min(1.0, other.place.draws / max(1, ahead.place.draws)))

    def _move(self, ahead: _Ahead, **changes: Any) -> None:
        ahead.place = replace(ahead.place, **changes)
        self._places.put(ahead.place)

    def _close(self, case: str) -> None:
        del self._ahead[case]
        self._places.drop(case)

    def _is_suspicious(self, totals: dict[str, Evidence]) -> bool:
        return any(text in self._suspicious and item.reaches(self._suspicious[text]) for text, item in totals.items())
