"""An error that a replay doesn't repeat, looked for after the cases that a gate runs before it."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from keeprate.harness.judging.finding import Finding, decide
from keeprate.harness.judging.gate import open_children
from keeprate.harness.judging.request import Given, Request
from keeprate.harness.judging.text import filled, plural
from keeprate.harness.protocol.engine import Job


def show_after_others(request: Request, console: Console) -> int:
    """Prints what becomes of the one finding of `request` after others; 1 if that is an error, else 0.

    A verdict doesn't know what a worker ran before. So all that a gate runs of the same operator and dtype before the
    finding is run again, in its order, in one fresh process.
    """
    (text,) = request.promises
    with open_children(request, replace(request.resources, workers=1)) as runner:
        given = request.given(*runner.offers())
        jobs, before = _jobs(given, text)
        results = {result.case: result for result in runner.map(jobs)}
    found = decide(given.promises[text], results, request.alpha)
    own = given.promises[text].cases
    where = f"{own[0].op} in {', '.join(dict.fromkeys(case.dtype for case in own))} that a gate runs before it"
    said = "It ended in an error, and doesn't when it runs alone: it depends on what ran before."
    console.print()
    console.print(filled(f"{said} After {plural(before, 'case')} of {where}, in one process:", console.width))
    console.print(f"  {_said(found)}", highlight=False, markup=False, soft_wrap=True)
    if found.status == "error":
        return 1
    rest = (
        "Left are other operators, other dtypes, and what several workers share: only the gate itself has all of these."
    )
    console.print(filled(f"So it is none of these. {rest}", console.width))
    return 0


def _jobs(given: Given, text: str) -> tuple[list[Job], int]:
    """The cases of the operator and the dtypes of a finding up to its own last one, and how many are not its own."""
    own = {case.id: case for case in given.promises[text].cases}
    dtypes = {case.dtype for case in own.values()}
    op = given.promises[text].id.op
    plan = given.request.plan
    around = {one: promise.only(lambda case: case.op == op and case.dtype in dtypes) for one, promise in plan.items()}
    jobs = [job for job in given.among(around).jobs() if job.role == "backend"]
    last = max(number for number, job in enumerate(jobs) if job.case.id in own)
    return jobs[: last + 1], last + 1 - len(own)


def _said(found: Finding) -> str:
    return f"{found.status}, {(found.detail or {})['reason']}" if found.status == "error" else found.status
