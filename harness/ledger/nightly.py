"""A run that adds to a ledger: a night, which draws until its budget is spent, or a gate, which notes what it draws."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from keeprate.harness import interrupts
from keeprate.harness.errors import UsageError
from keeprate.harness.judging.gate import diagnosed, refuse_faulty, run_of
from keeprate.harness.judging.pictures import pictures
from keeprate.harness.judging.request import Given, Request
from keeprate.harness.judging.verdict import Verdict
from keeprate.harness.ledger.agenda import Agenda
from keeprate.harness.ledger.held import EVER, Held
from keeprate.harness.ledger.schema import UnwritableError
from keeprate.harness.ledger.standing import (
    Standing,
    concluded,
    explained,
    keep_causes,
    keep_pictures,
    note_night,
    standing,
    together,
)
from keeprate.harness.ledger.store import Ledger, Run
from keeprate.harness.ledger.stretch import broke_in
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.description import AdapterCheck, Picture
from keeprate.harness.protocol.engine import Job, Result
from keeprate.harness.protocol.runner import Runner

Offers = tuple[Offer, Offer | None]


@dataclass(frozen=True)
class Drawn:
    """What a night gave.

    Args:
        standing: over the evidence of all runs of this version of the backend; of this run's cases alone, if the
            ledger failed.
        run: its row in the ledger.
        passes: cases that were gone through in this run.
        signal: what ended it, SIGINT or SIGTERM; 0 if its budget did, or the ledger.
        failure: why the ledger couldn't be read, or written.
        unkept: those of the passes that the ledger hasn't got.
    """

    standing: Standing
    run: int
    passes: int
    signal: int
    failure: UsageError | None
    unkept: int = 0


def draw(
    request: Request,
    runner: Runner,
    ledger: Ledger,
    budget: float,
    machine: Mapping[str, str],
    *,
    seed: int | None = None,
    progress: Callable[[float, int], None] | None = None,
) -> Drawn:
    """Draws for `budget` seconds, or until a signal or until the ledger takes no more, and adds every case as it comes.

    Whatever ends it, what was drawn is concluded.

    Args:
        budget: seconds, with what loading takes; at least half of it is drawn for, however long that was.
        machine: where it runs, as for `Ledger.begin`.
        seed: the first of the run's seeds; fresh if None.
        progress: called with the seconds gone by and the passes done.

    Raises:
        UsageError: there is no such backend, another run of it had these seeds, or the ledger takes nothing at all.
        NoVerdictError: the backend or the reference can't be loaded.
    """
    started, passes, ended = time.monotonic(), 0, 0
    tonight: dict[tuple[str, str], Result] = {}
    offers = runner.offers()
    refuse_faulty(runner.check(), request.backend)
    run = ledger.begin(request, offers, machine, kind="nightly", workers=runner.count, seed=seed)
    given = replace(request, seed=run.first_seed).given(*offers)
    todo = Agenda(given, ledger, run, workers=runner.count)
    waiting: list[Result] = []
    deadline = max(started + budget, time.monotonic() + budget / 2)
    unkept: list[Result] = []
    full: UsageError | None = None

    def settle() -> None:
        """Adds what waits to the ledger."""
        nonlocal passes
        results = waiting.copy()
        waiting.clear()  # before it is added, so that nothing is added twice
        if results:
            gone = time.monotonic() - started
            passes += sum(result.passes for result in results)
            unkept.extend(results)
            for result, totals in zip(results, ledger.add_all(run, results, gone), strict=True):
                todo.note(result, totals)
                tonight[result.role, result.case] = result.replace(evidence=totals)
            unkept.clear()
            if progress:
                progress(gone, passes)

    try:
        try:
            for result in runner.map(_Settled(todo.until(deadline), settle)):
                waiting.append(result)
        finally:
            settle()
    except (KeyboardInterrupt, interrupts.Terminated) as asked:
        ended = signal.SIGINT if isinstance(asked, KeyboardInterrupt) else signal.SIGTERM
        interrupts.answered()
    except UnwritableError as failure:
        full = failure
    for result in unkept:
        place = result.role, result.case
        tonight[place] = together(tonight.get(place), result)
    stand, failed = _end(given, ledger, run, started, runner, pictured=not ended, unkept=unkept)
    if stand is None:
        stand = concluded(given, tonight, run_of(started, runner.count))
    return Drawn(stand, run.id, passes, ended, full or failed, sum(result.passes for result in unkept))


class _Settled(Iterator[Job]):
    """Jobs, each handed out once all results so far are settled; asked before anything is waited for, to the end."""

    def __init__(self, jobs: Iterator[Job], settle: Callable[[], None]) -> None:
        self._jobs, self._settle = jobs, settle

    def __next__(self) -> Job:
        self._settle()
        return next(self._jobs)


def _end(
    given: Given,
    ledger: Ledger,
    run: Run,
    started: float,
    runner: Runner,
    *,
    pictured: bool,
    unkept: Sequence[Result] = (),
) -> tuple[Standing | None, UsageError | None]:
    """Notes how a run ended: what all runs show, None if the ledger can't be read, and what it failed by."""
    stand = None
    try:
        with ledger.reading():
            stand = standing(given, ledger, run.subjects, run_of(started, runner.count), unkept)
            if unkept:  # the ledger takes no more
                return stand, None
            note_night(ledger, run, stand.verdict)
            if pictured:
                _picture(given, ledger, run, stand.verdict, runner)
                stand = replace(stand, verdict=_diagnosed(given, ledger, run, stand.verdict, runner))
                keep_causes(ledger, run, stand.verdict)
    except UsageError as failure:
        return stand, failure
    return stand, None


def _picture(given: Given, ledger: Ledger, run: Run, verdict: Verdict, runner: Runner) -> None:
    """Draws what broke and has no picture yet; the evidence of all nights says where it shows."""
    held = Held(ledger, run.subjects["backend"], run.digests)
    known = held.pictures()
    if new := [finding for finding in verdict.leads if finding.id not in known]:
        results = held.results()
        keep_pictures(ledger, run, pictures(given.whole(results), new, results, runner.picture))


def _diagnosed(given: Given, ledger: Ledger, run: Run, verdict: Verdict, runner: Runner) -> Verdict:
    """The verdict with the causes of what failed: those that were found when it broke, where all is explained by them.

    What isn't is asked of the runs that may have had it: what others drew speaks against a fault that they hadn't.
    """
    left = [group[0] for group in verdict.unexplained.values()]
    if not left:
        return verdict
    held = Held(ledger, run.subjects["backend"], run.digests)
    between, whole = broke_in(held, given.request.plan, left), held.results()
    new = diagnosed(verdict, given.whole(whole), whole if between == EVER else held.results_of(between), runner)
    return explained(verdict, (*new.causes, *verdict.causes))


class Recording:
    """A runner whose results are added to a ledger as they come: what `keeprate gate --ledger` runs.

    A ledger that fails doesn't cost the verdict: `failure` says so once the run is over.
    """

    def __init__(
        self, runner: Runner, request: Request, ledger: Ledger | UnwritableError, machine: Mapping[str, str]
    ) -> None:
        """Of a ledger that can't even be opened, what it failed by."""
        self.isolated, self.count = runner.isolated, runner.count
        self.failure: UsageError | None = ledger if isinstance(ledger, UnwritableError) else None
        self._runner, self._request, self._ledger, self._machine = runner, request, ledger, machine
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
        assert self._offers is not None
        started, given, ledger = time.monotonic(), self._request.given(*self._offers), self._ledger
        if isinstance(ledger, UnwritableError) or (run := self._begin(ledger, self._offers)) is None:
            yield from self._runner.map(jobs)
            return
        for result in self._runner.map(jobs):
            if self.failure is None:
                try:
                    ledger.add(run, result, time.monotonic() - started)
                except UsageError as failure:
                    self.failure = failure
            yield result
        if self.failure is None:
            _, self.failure = _end(given, ledger, run, started, self._runner, pictured=True)

    def aside(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Results that the ledger doesn't get."""
        return self._runner.aside(jobs)

    def picture(self, job: Job) -> Picture | None:
        """What `job` draws; None if nothing can be shown."""
        return self._runner.picture(job)

    def _begin(self, ledger: Ledger, offers: Offers) -> Run | None:
        asked = self._request
        try:
            return ledger.begin(asked, offers, self._machine, kind="gate", workers=self.count, seed=asked.seed)
        except UnwritableError as failure:
            self.failure = failure
            return None
