"""What a gate would draw and detect, and about how long it would take; judges nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
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
    """How far a first night gets: promises that are looked at, all there are, and what those take: seconds of a run."""

    reached: int
    promises: int
    seconds: float


@dataclass(frozen=True)
class Outlook:
    """What a first night draws, in its order, and what each job would take if nothing were beside it: seconds."""

    costs: tuple[tuple[float, Job], ...]

    def reach(self, passes: int, gone: float, left: float) -> Reach:
        """How far a night gets, at the speed of its first `passes`, which took `gone` seconds with what loading took.

        Args:
            left: seconds that are left for drawing.
        """
        done = sum(cost for cost, _ in self.costs[:passes])
        rate = done / gone
        spent, told = 0.0, set[str]()
        for cost, job in self.costs:
            spent += cost
            if spent <= done + rate * left and job.role == "backend":
                told.update(job.case.findings)
        whole = {text for _, job in self.costs for text in job.case.findings}
        return Reach(len(told), len(whole), spent / rate)


def outlook(given: Given, runner: Runner) -> Outlook:
    """What a first night would draw; times a short and a long job of each operator."""
    costs: list[tuple[float, Job]] = []
    for op in dict.fromkeys(promise.id.op for promise in given.promises.values()):
        todo = given.jobs([text for text, promise in given.promises.items() if promise.id.op == op])
        if todo:
            fixed, per_draw = _costs(runner, todo)
            costs += [((fixed + per_draw * job.case.draws) / runner.count, job) for job in todo]
    return Outlook(tuple(sorted(costs, key=lambda pair: pair[1].case.draws)))


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
        console.print(escape(filled(line)), highlight=False, soft_wrap=True)
