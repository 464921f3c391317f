"""Judges until the first promise breaks: what is cheap and telling first, and the cause before it stops.

Single calls of every operator come first, then tiny samples, small ones, and the rest; of each the plainest first. Tiny
and small samples are the beginnings of the plan's own, and an e-value may be looked at at any time. The verdict is the
same for one seed, whatever the number of workers: results are looked at in the order of the jobs.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from math import prod

from keeprate.harness.judging.finding import weigh
from keeprate.harness.judging.gate import Docket, Progress, accepted, conclude, diagnosed, run_of
from keeprate.harness.judging.request import Given, Request
from keeprate.harness.judging.verdict import Verdict
from keeprate.harness.protocol.case import Case, Promise
from keeprate.harness.protocol.engine import Job, Result
from keeprate.harness.protocol.runner import Runner
from keeprate.harness.protocol.suite import Suite

LAST = 3  # stage, of large samples
TINY = 1 << 14  # draws of a tiny sample: all contexts are looked at within seconds
SMALL = 1 << 18  # draws of a small sample: a hundredth of a second
WORTH = 1.0  # evidence from which on it is worth a look whether all cases of a promise break it together


def answer_early(request: Request, runner: Runner, progress: Progress | None = None) -> tuple[Verdict, Docket]:
    """The verdict at the first promise that breaks, or over all; with what was looked at.

    Raises:
        UsageError: there is no such backend.
        NoVerdictError: the backend or the reference can't be loaded.
    """
    started = time.monotonic()
    given = accepted(request, runner)
    search = _Search(given, runner, progress)
    failing = search.first()
    seen = search.seen(failing) if failing else given
    beside = [job for job in seen.jobs(failing or None) if job.role == "reference"]
    docket = Docket(seen, (*search.results.values(), *runner.map(beside)))
    whole = request.is_whole and not failing
    verdict = conclude(docket, run_of(started, runner.count), isolated=runner.isolated, whole=whole)
    judged = [text for text, promise in given.promises.items() if promise.cases]
    verdict = replace(verdict, unseen=len(judged) - len(seen.promises) if failing else 0)
    return diagnosed(verdict, seen, docket.results["backend"], runner), docket


def stages(suite: Suite, jobs: Iterable[Job]) -> tuple[list[Job], ...]:
    """Single calls, tiny samples, small and large ones: all these jobs, the larger ones beginning with smaller ones."""
    dtypes = list(suite.dtypes)

    def plainest_first(job: Job) -> tuple[int, int, int]:
        case = job.case
        return suite.rank(case.context), dtypes.index(case.dtype) if case.dtype in dtypes else 0, case.draws

    ordered = sorted(jobs, key=plainest_first)
    drawn = [job for job in ordered if job.case.draws]
    begun = [job for job in drawn if prod(job.case.shape) <= SMALL]
    tiny = [_begun(job, TINY) for job in begun]
    small = [_begun(job, SMALL) for job in begun if job.case.draws > TINY]
    large = [job for job in drawn if job.case.draws > SMALL or prod(job.case.shape) > SMALL]
    return [job for job in ordered if not job.case.draws], tiny, small, large


def _begun(job: Job, draws: int) -> Job:
    return job.replace(case=job.case.replace(draws=min(job.case.draws, draws)))


class _Search:
    """Looks for the first promise that breaks.

    Attributes:
        results: of the backend, by case; of a case that was drawn twice the larger.
    """

    def __init__(self, given: Given, runner: Runner, progress: Progress | None) -> None:
        self._given, self._runner, self._progress = given, runner, progress
        self.results: dict[str, Result] = {}
        self._whole: set[str] = set()  # cases of which all draws were made
        jobs = [job for job in given.jobs() if job.role == "backend"]
        self._stages = stages(given.request.suite, jobs)
        self._drawn = {job.case.id: job.case.draws for job in jobs}

    def first(self) -> list[str]:
        """The promises that are broken, once one is and what is like it was looked at; none if all are kept."""
        for stage, jobs in enumerate(self._stages):
            if (number := self._first_of(jobs)) is not None:
                broken = jobs[number].case
                if self.results[broken.id].error:  # which says its own cause, and may take as long again
                    return self._broken()
                later = [*jobs[number + 1 :], *itertools.chain.from_iterable(self._stages[stage + 1 : LAST])]
                before = dict(self.results), set(self._whole)
                self._finish([job for job in later if _is_like(job.case, broken, study=stage == LAST)])
                if not (failing := self._broken()):  # what the first draws alone show
                    self.results, self._whole = before
                    failing = self._broken()
                return failing
        return []

    def _broken(self) -> list[str]:
        """The promises that fail by what was seen so far."""
        return [text for text in self._given.promises if self._is_broken(text)]

    def _first_of(self, jobs: Sequence[Job]) -> int | None:
        """Which of these jobs is the first that breaks a promise; None if none does."""
        with closing(self._in_order(jobs)) as results:
            for number, (job, result) in enumerate(results):
                self._add(job, result)
                if any(self._is_broken(text) for text in job.case.findings if self._is_worth_a_look(text, result)):
                    return number
        return None

    def seen(self, failing: Sequence[str]) -> Given:
        """The request about what was looked at to the end, or fails; of the reference what fails is asked alone."""
        chosen = {}
        for text, promise in self._given.promises.items():
            if text in failing:
                chosen[text] = promise.only(lambda case: case.id in self.results)
            elif promise.cases and self._is_through(promise):
                alone = tuple(case.replace(reference_draws=None) for case in promise.cases)
                chosen[text] = replace(promise, cases=alone)
        return self._given.among(chosen)

    def _in_order(self, jobs: Sequence[Job]) -> Generator[tuple[Job, Result], None, None]:
        """Jobs with their results, in this order; none is begun once nobody asks for more."""
        asked = True
        results = self._runner.map(itertools.takewhile(lambda _: asked, jobs))
        waiting: dict[str, Result] = {}
        try:
            for job in jobs:
                while job.case.id not in waiting:
                    result = next(results)
                    waiting[result.case] = result
                yield job, waiting.pop(job.case.id)
        finally:
            asked = False
            for _ in results:  # what runs already is waited for, so that its workers are free
                pass

    def _finish(self, jobs: Sequence[Job]) -> None:
        by_id = {job.case.id: job for job in jobs}  # of a case that is there twice the larger, which comes later
        for result in self._runner.map(by_id.values()):
            self._add(by_id[result.case], result)

    def _add(self, job: Job, result: Result) -> None:
        self.results[result.case] = result
        if job.case.draws >= self._drawn[result.case]:
            self._whole.add(result.case)
        if self._progress:
            self._progress(len(self._whole), len(self._drawn))

    def _is_worth_a_look(self, text: str, result: Result) -> bool:
        """Whether a promise may be broken by what this result adds."""
        if (promise := self._given.promises.get(text)) is None or self._given.known.reason(text) is not None:
            return False
        item = result.evidence.get(text)
        return bool(result.error) or (item is not None and item.strength >= WORTH) or self._is_through(promise)

    def _is_through(self, promise: Promise) -> bool:
        return all(case.id in self._whole for case in promise.cases)

    def _is_broken(self, text: str) -> bool:
        """Whether a promise fails by what was seen of it so far, and isn't known to."""
        promise = self._given.promises[text]
        if self._given.known.reason(text) is not None or not any(case.id in self.results for case in promise.cases):
            return False
        status, _, _ = weigh(promise, self.results, self._given.request.alpha)
        ended = any(case.id in self.results and self.results[case.id].error for case in promise.cases)
        return status == "broken" or (status == "error" and (ended or self._is_through(promise)))


def _is_like(case: Case, broken: Case, *, study: bool) -> bool:
    """Whether a case looks at what is broken from another side."""
    place = (case.op, case.dtype, case.context) == (broken.op, broken.dtype, broken.context)
    return place and (not study or case.study == broken.study)
