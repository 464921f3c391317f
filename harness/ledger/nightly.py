"""A night's run: draws fresh evidence until its budget is spent, adds it to the ledger, concludes over all runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from keeprate.harness import interrupts
from keeprate.harness.errors import UsageError
from keeprate.harness.evidence.kinds import Evidence
from keeprate.harness.judging.finding import Finding
from keeprate.harness.judging.gate import Docket, conclude, refuse_faulty, run_of
from keeprate.harness.judging.pictures import pictures
from keeprate.harness.judging.request import Request, offered
from keeprate.harness.judging.request import jobs as jobs_of
from keeprate.harness.judging.verdict import Verdict
from keeprate.harness.ledger.planner import SUSPICIOUS, Place, choose
from keeprate.harness.ledger.store import Ledger, Run, UnwritableError
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.engine import Job, Result, decided
from keeprate.harness.protocol.suite import AdapterCheck, Picture
from keeprate.harness.workers.machine import environment
from keeprate.harness.workers.pool import Runner

Offers = tuple[Offer, Offer | None]
REFERENCE = 4  # passes of the backend for one of the reference: half its resolution, at a quarter of the cost
AT_ONCE = 0.2  # seconds of passes that one job goes through: what comes before and after them is little beside it


@dataclass(frozen=True)
class Drawn:
    """What a night gave.

    Args:
        verdict: over the evidence of all runs of this version of the backend.
        pending: promises that were offered, and wait for a case that was never gone through.
        passes: cases that were gone through in this run.
        runs, draws: of this version of the backend, all nights together.
        interrupted: ended by Ctrl-C, and not by its budget.
    """

    verdict: Verdict
    pending: int
    passes: int
    runs: int
    draws: int
    interrupted: bool


def draw(
    request: Request,
    runner: Runner,
    ledger: Ledger,
    budget: float,
    *,
    seed: int | None = None,
    progress: Callable[[float, int], None] | None = None,
) -> Drawn:
    """Draws for `budget` seconds or until an interrupt, and adds every case to the ledger as it comes.

    Args:
        budget: seconds, beside what loading takes.
        seed: the first of the run's seeds; fresh if None.
        progress: called with the seconds gone by and the passes done.

    Raises:
        UsageError: there is no such backend, or another run of it had these seeds.
        NoVerdictError: the backend or the reference can't be loaded.
    """
    started, passes, interrupted = time.monotonic(), 0, False
    offers = runner.offers()
    refuse_faulty(runner.check(), request.backend)
    run = ledger.begin(request, offers, environment(), kind="nightly", workers=runner.count, seed=seed)
    request = replace(request, seed=run.first_seed)
    todo = Agenda(request, offers[0], ledger, run)
    try:
        for result in runner.map(todo.until(time.monotonic() + budget)):
            todo.note(result, ledger.add(run, result, time.monotonic() - started))
            passes += result.passes
            if progress:
                progress(time.monotonic() - started, passes)
    except KeyboardInterrupt:
        interrupted = True
        interrupts.answered()
    verdict, pending = standing(request, offers, ledger, run.subjects, run_of(started, runner.count))
    ledger.close_night(run, verdict)
    if not interrupted:
        _keep_pictures(request, offers[0], ledger, run, verdict, runner)
    return Drawn(verdict, pending, passes, *ledger.drawn(run.subjects["backend"]), interrupted)


def _keep_pictures(request: Request, offer: Offer, ledger: Ledger, run: Run, verdict: Verdict, runner: Runner) -> None:
    """Draws what broke and has no picture yet; the evidence of all nights says where it shows."""
    subject = run.subjects["backend"]
    known = ledger.pictures(subject)
    new = [finding for finding in verdict.leads if finding.id not in known]
    if new:
        ledger.keep_pictures(run, pictures(request, offer, new, ledger.results(subject), runner.picture))


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

    def __init__(self, request: Request, offer: Offer, ledger: Ledger, run: Run) -> None:
        self._first_seed = run.first_seed
        self._suspicious = {
            text: SUSPICIOUS * promise.threshold(request.alpha)
            for text, promise in request.plan.items()
            if promise.share
        }
        self._spent = {True: 0.0, False: 0.0}  # seconds of statistical cases, and of exact ones
        backend = run.subjects["backend"]
        passes, last = ledger.passes(backend), ledger.latest(backend)
        broken = {text for text, (status, _) in last.items() if status == "broken"}
        suspects = {text for text, (_, log10_e) in last.items() if log10_e >= self._suspicious.get(text, math.inf)}
        by_case: dict[str, list[Job]] = {}
        for job in jobs_of(request, offer):
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
                any(request.plan[text].share for text in todo[-1].case.findings),
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


def standing(
    request: Request, offers: Offers, ledger: Ledger, subjects: dict[str, int], run: dict[str, object]
) -> tuple[Verdict, int]:
    """The verdict over all runs, and how many promises wait for a case that was never gone through.

    A promise is judged once each of its cases was looked at, so that what an e-value averages over never changes. What
    was broken at the end of a night stays broken.
    """
    results = {role: ledger.results(subject) for role, subject in subjects.items()}
    for found in results.values():
        _refuse_strange(request, found, ledger)
    ready = {}
    for text, promise in request.promises.items():
        cases = offered(promise, offers[0])
        beside = [case for case in cases if request.judges_reference(case)]
        if all(case.id in results["backend"] for case in cases) and all(
            case.id in results["reference"] for case in beside
        ):
            ready[text] = promise
    asked = request.among(ready)
    docket = Docket(asked, offers[0])
    for role, found in results.items():
        passes = ledger.passes(subjects[role])
        for case, result in found.items():
            docket.add(result.replace(role=role, passes=passes[case]))
    verdict = conclude(asked, offers, docket, run, isolated=True)
    fallen = ledger.fallen(subjects["backend"])
    findings = tuple(_still_broken(finding, fallen.get(finding.id)) for finding in verdict)
    return replace(verdict, findings=findings), len(request.promises) - len(ready)


def _still_broken(finding: Finding, peak: float | None) -> Finding:
    """`finding`; broken if its e-value was once large enough, which is what Ville's inequality bounds."""
    if peak is None or finding.effect is None:
        return finding
    return replace(finding, status="broken", peak=peak)


def _refuse_strange(request: Request, results: Mapping[str, Result], ledger: Ledger) -> None:
    """Refuses evidence that no law of the plan gives, or of which the cases of a finding give several kinds.

    Raises:
        UsageError: there is some.
    """
    kinds: dict[str, tuple[Any, ...]] = {}
    for case, result in results.items():
        for text, item in result.evidence.items():
            exact = text in request.plan and not request.plan[text].share
            if kinds.setdefault(text, item.alike) != item.alike or (exact and not item.is_exact):
                raise UsageError(f"{ledger.path}: what it holds of {text} in {case} is no evidence of that law")


class Recording:
    """A runner whose results are added to a ledger as they come: what `keeprate gate --ledger` runs.

    A ledger that takes no more doesn't cost the verdict: `failure` says so once the run is over.
    """

    def __init__(self, runner: Runner, request: Request, ledger: Ledger) -> None:
        self.isolated, self.count = runner.isolated, runner.count
        self.failure: UnwritableError | None = None
        self._runner, self._request, self._ledger = runner, request, ledger
        self._offers: Offers | None = None

    def offers(self) -> Offers:
        """What backend and reference offer."""
        self._offers = self._runner.offers()
        return self._offers

    def check(self) -> list[AdapterCheck]:
        """What the suite finds of the adapter alone."""
        return self._runner.check()

    def map(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Results in whatever order they come, each in the ledger before it is handed on."""
        started, run = time.monotonic(), self._begin()
        for result in self._runner.map(jobs):
            if run is not None and self.failure is None:
                self._add(run, result, time.monotonic() - started)
            yield result
        if run is not None and self.failure is None:
            self._close_night(run, started)

    def picture(self, job: Job) -> Picture | None:
        """What `job` draws; None if nothing can be shown."""
        return self._runner.picture(job)

    def _begin(self) -> Run | None:
        assert self._offers is not None
        asked = self._request
        try:
            return self._ledger.begin(
                asked, self._offers, environment(), kind="gate", workers=self.count, seed=asked.seed
            )
        except UnwritableError as failure:
            self.failure = failure
            return None

    def _add(self, run: Run, result: Result, seconds: float) -> None:
        try:
            self._ledger.add(run, result, seconds)
        except UnwritableError as failure:
            self.failure = failure

    def _close_night(self, run: Run, started: float) -> None:
        assert self._offers is not None
        try:
            took, ledger = run_of(started, self.count), self._ledger
            verdict, _ = standing(self._request, self._offers, ledger, run.subjects, took)
            ledger.close_night(run, verdict)
            _keep_pictures(self._request, self._offers[0], ledger, run, verdict, self._runner)
        except UnwritableError as failure:
            self.failure = failure
