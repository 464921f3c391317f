"""What a gate would draw and detect, and about how long it would take; judges nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod

from rich.console import Console
from rich.markup import escape

from keeprate.harness.judging.request import Given, Request
from keeprate.harness.judging.text import filled, millions, plural, table
from keeprate.harness.protocol.case import ANY
from keeprate.harness.protocol.engine import Job
from keeprate.harness.protocol.runner import Runner

TRIAL = 1 << 20  # draws of the case that is timed for each operator


@dataclass(frozen=True)
class Forecast:
    """What would be drawn for one operator.

    Args:
        op: the operator.
        findings: promises that would be judged.
        draws: what the suite's headline law would count, as in the table of a verdict; of all cases if it has none.
        reference_draws: those of the reference.
        detects: the smallest departure of the suite's headline law that every case would catch; None if it has none.
        seconds: about how long it would take one worker.
    """

    op: str
    findings: int
    draws: int
    reference_draws: int
    detects: float | None
    seconds: float


def forecast(request: Request, runner: Runner) -> Iterator[Forecast]:
    """One forecast for each operator that the backend has; runs its longest case for a moment, to time it."""
    given = request.given(*runner.offers())
    for op in dict.fromkeys(promise.id.op for promise in request.promises.values()):
        chosen = [text for text, promise in request.promises.items() if promise.id.op == op]
        if todo := given.jobs(chosen):
            yield _one(request, runner, op, todo)


def _one(request: Request, runner: Runner, op: str, todo: list[Job]) -> Forecast:
    mine = [job for job in todo if job.role == "backend"]
    draws, whole = (_draws(request, some) for some in (mine, todo))
    wanted = {text for job in mine for text in job.case.findings}
    shares = {text: request.plan[text].share * request.alpha for text in wanted}
    headline = [
        request.suite.detects(job.case, shares[text])
        for job in mine
        for text in job.case.findings
        if request.plan[text].id.law == request.suite.headline and request.plan[text].id.parameters != ANY
    ]
    return Forecast(op, len(wanted), draws, whole - draws, max(headline, default=None), _seconds(runner, todo))


def _draws(request: Request, todo: list[Job]) -> int:
    law = request.suite.headline
    return sum(job.case.draws for job in todo if not law or job.case.asks(law))


@dataclass(frozen=True)
class Reach:
    """How far a first night gets.

    Args:
        reached: promises that are looked at.
        promises: all there are.
        seconds: of drawing that are left until all are looked at.
    """

    reached: int
    promises: int
    seconds: float

    def says(self, gone: float, allowed: float, whole: Callable[[float], float]) -> str:
        """In words; empty where a night of `allowed` seconds, of which some are gone, reaches all.

        Args:
            whole: how long a night is that loads and draws for so many seconds.
        """
        if self.reached == self.promises:
            return ""
        return (
            f"If the rest is as fast as its first {gone:.0f} s, this night of {allowed:.0f} s will look at about "
            f"{self.reached:,} of {plural(self.promises, 'promise')}; all of them take about "
            f"{whole(gone + self.seconds):.0f} s, in one night or in several."
        )


@dataclass(frozen=True)
class Outlook:
    """What a first night draws, in its order: cheap cases come first."""

    jobs: tuple[Job, ...]

    def reach(self, passes: int, gone: float, done: int, left: float) -> Reach:
        """How far a night gets at the speed of its latest `done` jobs, which took `gone` seconds.

        Args:
            passes: jobs that are done, those included.
            left: seconds that are left for drawing.
        """
        end = passes + int(done * left / gone)
        told = {text for job in self.jobs[:end] if job.role == "backend" for text in job.case.findings}
        whole = {text for job in self.jobs for text in job.case.findings}
        return Reach(len(told), len(whole), (len(self.jobs) - passes) * gone / done)


def outlook(given: Given) -> Outlook:
    """What a first night has before it."""
    cases: dict[str, list[Job]] = {}
    for job in given.jobs():
        cases.setdefault(job.case.id, []).append(job)
    ordered = sorted(cases.values(), key=lambda todo: todo[-1].case.draws)
    return Outlook(tuple(job for todo in ordered for job in todo))


def _seconds(runner: Runner, todo: list[Job]) -> float:
    """What all jobs would take."""
    fixed, per_draw = _costs(runner, todo)
    return sum(fixed + per_draw * job.case.draws for job in todo)


def _costs(runner: Runner, todo: list[Job]) -> tuple[float, float]:
    """Seconds of each job and of each draw, for one worker: what a short job takes, and what is added in a long one."""
    small = [job for job in todo if job.role == "backend" and 0 < prod(job.case.shape) <= TRIAL]
    longest = max(small, key=lambda job: job.case.draws)
    short, long = (longest.replace(case=longest.case.replace(draws=draws)) for draws in (1, TRIAL))
    _time(runner, long)  # loads what is loaded once
    fixed, whole = _time(runner, short), _time(runner, long)
    return fixed, max(0.0, whole - fixed) / TRIAL


def _time(runner: Runner, job: Job) -> float:
    started = time.monotonic()
    for _ in runner.map([job]):
        pass
    return time.monotonic() - started


def show_plan(forecasts: Sequence[Forecast], request: Request, workers: int, console: Console) -> None:
    """Prints what a gate would draw and detect on `workers` worker processes, and about how long it would take."""
    lines = [["operator", "promises", "draws", "reference", "detects", "seconds"]]
    for row in forecasts:
        detects = "-" if row.detects is None else f"{row.detects:.2g}"
        numbers = millions(row.draws), millions(row.reference_draws), detects, f"{row.seconds / workers:.1f}"
        lines.append([row.op, str(row.findings), *numbers])
    console.print(table(lines, console.width), highlight=False)
    total = sum(row.seconds for row in forecasts) / workers
    remarks = [
        "",
        f"detects: the smallest departure in {request.suite.headline} that would be caught with probability 0.99"
        if request.suite.headline
        else "",
        f"{request.backend}, profile {request.profile}: {plural(sum(row.findings for row in forecasts), 'promise')}, "
        f"{millions(sum(row.draws for row in forecasts))} draws, "
        f"about {max(1.0, total):.0f} s on {plural(workers, 'worker')}. "
        f"A backend that keeps every promise would fail with probability at most {request.alpha:g}.",
    ]
    for line in remarks:
        console.print(escape(filled(line, console.width)), highlight=False, soft_wrap=True)
