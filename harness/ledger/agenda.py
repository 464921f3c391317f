"""What a night draws next: where its draws buy most, as far as what was seen so far can tell."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from keeprate.harness.evidence.kinds import Evidence
from keeprate.harness.judging.request import Given
from keeprate.harness.ledger.held import Held
from keeprate.harness.ledger.store import Ledger, Run
from keeprate.harness.protocol.engine import Job, Result, decided

URGENCY = 4  # a suspicious case is drawn as if it had been gone through a quarter as often: twice the resolution
SUSPICIOUS = 1 / 3  # of the threshold, in log10: a faithful finding gets there about once in a thousand
REFERENCE = 4  # passes of the backend for one of the reference: half its resolution, at a quarter of the cost
AT_ONCE = 0.2  # seconds of passes that one job goes through: what comes before and after them is little beside it
EXACT = 0.1  # of a night's seconds: what repeats of exact cases may take, since they resolve nothing


@dataclass(frozen=True)
class Place:
    """A case that could be drawn next.

    Args:
        case: its id.
        draws: what one pass over it draws.
        passes: how often it was gone through, those under way included.
        seconds: about what one pass takes a worker; 0 where nothing like it was timed yet.
        suspicious: the evidence of one of its findings is on the way to its threshold.
    """

    case: str
    draws: int
    passes: int
    seconds: float = 0.0
    suspicious: bool = False


def choose(places: Collection[Place], exact: Collection[Place] = (), part: float = 1.0) -> Place | None:
    """The place to draw at next; None if there is none.

    What was never looked at comes first, the cheapest first, so that a short night looks at many. Then exact cases,
    the least often seen first, as long as they took less than their part of the night. Then what resolves most in a
    second.

    Args:
        places: statistical cases.
        exact: cases that rest on no statistics, and were not gone through tonight.
        part: of the night's seconds so far, what exact cases took.
    """
    fresh = [place for place in (*places, *exact) if not place.passes]
    if fresh:
        return min(fresh, key=lambda place: place.draws)
    if exact and (part < EXACT or not places):
        return min(exact, key=lambda place: (place.passes, place.draws))
    return max(places, key=_gain, default=None)


def _gain(place: Place) -> float:
    """How much finer a pass resolves, in a second.

    The smallest departure that N draws show is about 1/√N, so a pass of d draws adds √(N + d) − √N to its inverse:
    about √(d / passes) / 2. If the sum over all cases is to grow fastest, a case gets draws as the square of its speed.
    """
    if not place.seconds:
        return math.inf
    return math.sqrt(place.draws * (URGENCY if place.suspicious else 1) / place.passes) / place.seconds


@dataclass
class _Ahead:
    """A case that may be drawn: its jobs, the reference's first, and where it stands."""

    jobs: list[Job]
    place: Place
    statistical: bool
    here: int = 0  # times in this run, each with a seed of its own
    timed: bool = False  # in this run, where `place` may hold a guess

    @property
    def kind(self) -> tuple[str, str, str]:
        """Cases of one kind cost about the same for each draw."""
        case = self.jobs[-1].case
        return case.op, case.study, case.context

    @property
    def at_once(self) -> int:
        """Passes to make in one go: never more than were made before, so that no case runs ahead of the others."""
        if not self.statistical or not self.timed:  # exact cases resolve nothing: once a night is enough
            return 1
        return max(1, min(self.place.passes, int(AT_ONCE / self.place.seconds)))


class Agenda:
    """What to draw next, as the planner sees it; a case with a broken promise, or an error tonight, is closed."""

    def __init__(self, given: Given, ledger: Ledger, run: Run) -> None:
        plan, alpha = given.request.plan, given.request.alpha
        self._first_seed = run.first_seed
        thresholds = {text: one.threshold(alpha) for text, one in plan.items() if one.share}
        self._suspicious = {text: SUSPICIOUS * threshold for text, threshold in thresholds.items()}
        self._spent = {True: 0.0, False: 0.0}  # seconds of statistical cases, and of exact ones
        held = Held(ledger, run.subjects["backend"], run.digests)
        passes, last = held.passes(run.findings), held.stood()
        # Of what an e-value decides, nights of merged ledgers are history: this one's own path has peaks.
        broken = {text for text, row in last.items() if row["status"] == "broken" and row["log10_e"] is None}
        broken |= {text for text, peak in held.peaks.items() if peak >= thresholds.get(text, math.inf)}
        suspects = {text for text, row in last.items() if (row["log10_e"] or 0) >= self._suspicious.get(text, math.inf)}
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
                ),
                any(plan[text].share for text in todo[-1].case.findings),
            )
            for case, todo in by_case.items()
            if broken.isdisjoint(todo[-1].case.findings)
        }

    def until(self, deadline: float) -> Iterator[Job]:
        """Jobs, each chosen when it is asked for, until `time.monotonic()` says that the deadline is past."""
        while time.monotonic() < deadline:
            part = self._spent[False] / (sum(self._spent.values()) or 1.0)
            place = choose(self._places(statistical=True), self._places(statistical=False), part)
            if place is None:
                return
            ahead = self._ahead[place.case]
            seed = self._first_seed + ahead.here
            ahead.here += 1
            passes = ahead.at_once
            ahead.place = replace(place, passes=place.passes + passes)
            if not ahead.statistical:
                del self._ahead[place.case]
            beside = passes
            if ahead.statistical:
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
        if result.error or decided(totals, ahead.jobs[-1]):
            del self._ahead[result.case]
        elif result.role == "backend":
            seconds = result.seconds / result.passes
            ahead.place = replace(ahead.place, seconds=seconds, suspicious=self._is_suspicious(totals))
            ahead.timed = seconds > 0
            for other in self._ahead.values():  # the least that it can take, until it is timed itself
                if not other.place.seconds and other.kind == ahead.kind and other.statistical:
                    least = seconds * min(1.0, other.place.draws / max(1, ahead.place.draws))
                    other.place = replace(other.place, seconds=least)

    def _places(self, *, statistical: bool) -> list[Place]:
        return [ahead.place for ahead in self._ahead.values() if ahead.statistical == statistical]

    def _is_suspicious(self, totals: dict[str, Evidence]) -> bool:
        return any(text in self._suspicious and item.reaches(self._suspicious[text]) for text, item in totals.items())
