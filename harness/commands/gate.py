"""The commands that judge a backend once: gate, plan, replay, matrix."""

from __future__ import annotations

import secrets
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.progress import MofNCompleteColumn

from keeprate.harness.commands import exit_codes, github
from keeprate.harness.commands.closeup import Closeup, show_further
from keeprate.harness.commands.console import console, progress
from keeprate.harness.commands.forecast import forecast, show_plan
from keeprate.harness.commands.matrix import Row, check_out, exit_code, names_of, row_of, text_of
from keeprate.harness.commands.options import (
    NAMES,
    PATH,
    case_timeout_option,
    device_option,
    dtypes_option,
    executor_option,
    json_option,
    judging,
    ledger_option,
    memory_option,
    ops_option,
    suite_option,
    workers_option,
)
from keeprate.harness.commands.preceded import show_after_others
from keeprate.harness.errors import NoVerdictError, UsageError
from keeprate.harness.files import check_apart, check_writable, write
from keeprate.harness.judging.durations import slowest
from keeprate.harness.judging.early import answer_early
from keeprate.harness.judging.gate import Docket, Progress, answer_in_full, no_verdict, open_children, open_runner
from keeprate.harness.judging.known import nowhere
from keeprate.harness.judging.listing import HEAD, known_text, unlisted
from keeprate.harness.judging.request import KNOWN, Request, ask
from keeprate.harness.judging.screen import failure_text, show
from keeprate.harness.judging.text import WIDTH, filled, sentence
from keeprate.harness.judging.verdict import Verdict
from keeprate.harness.ledger.nightly import Recording
from keeprate.harness.ledger.schema import UnwritableError
from keeprate.harness.ledger.store import Ledger
from keeprate.harness.protocol.case import over_all
from keeprate.harness.protocol.runner import Runner
from keeprate.harness.protocol.suite import PROFILES
from keeprate.harness.untrusted_text import for_terminal
from keeprate.harness.workers.limits import counted
from keeprate.harness.workers.machine import described
from keeprate.harness.workers.resources import Resources


@click.command(epilog=exit_codes.JUDGED)
@judging
@json_option
@ops_option
@dtypes_option
@click.option("--write-known", type=PATH, metavar="FILE", help="Write what broke or was known as a list for --known.")
@click.option("--durations", type=click.IntRange(min=0), metavar="N", help="Show the N slowest cases; 0: all.")
@click.option(
    "-x",
    "--exitfirst",
    is_flag=True,
    help="Stop at the first broken promise and name its cause. Short and telling cases are judged first.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show every failure in full.")
@ledger_option
@executor_option
def gate(
    json_path: Path | None,
    write_known: Path | None,
    durations: int | None,
    exitfirst: bool,
    verbose: bool,
    ledger: Path | None,
    **options: Any,
) -> None:
    """Judge a backend. Takes minutes; ends with a verdict and an exit code.

    \b
      keeprate gate --backend mine.py --profile quick -x         as you develop
      keeprate gate --backend mine.py --json verdict.json        in CI
      keeprate gate --backend mine.py --write-known mine.known   list what broke
    """
    if exitfirst and ledger is not None:
        raise UsageError("-x judges the beginnings of cases, and --ledger F adds up whole ones: leave one of them out")
    for path in (json_path, write_known):
        if path is not None:
            check_writable(path)
    request = ask(**options)
    files = request.files()
    check_apart({"--json": json_path, "--ledger": ledger}, files)
    files.pop(KNOWN, None)  # which --write-known may write anew
    check_apart({"--json": json_path, "--ledger": ledger, "--write-known": write_known}, files)
    _warn_of_idle(request)
    with _recorded(request, ledger) as runner:
        verdict, docket = _judge(request, runner, json_path, answer_early if exitfirst else answer_in_full)

    def known() -> str:
        lines = unlisted(verdict.findings, verdict.causes, verdict.suite.headline)
        return known_text(lines, request.known.text or HEAD)

    unwritten = _write_all({json_path: verdict.to_json, write_known: known})
    screen = console(sys.stdout)
    studies = verdict.run.get("studies", {})
    timed = () if durations is None else slowest(docket.all(), studies, durations, screen.width)
    listing = shlex.join(["keeprate", "report", "--json", str(json_path), "--out", "report"]) if json_path else ""
    show(verdict, screen, above=timed, listing=listing, every=verbose, cause_last=True)
    for line in github.annotated(verdict):
        click.echo(line)
    _refuse_if(unwritten)
    github.add_summary(verdict)
    _refuse_unrecorded(runner)
    sys.exit(verdict.exit_code)


@click.command(epilog=exit_codes.PLANNED)
@judging
@ops_option
@dtypes_option
def plan(**options: Any) -> None:
    """Estimate what a gate would draw, detect and take, without judging.

    \b
      keeprate plan --backend mine.py --profile deep --workers 8
    """
    request = ask(**options)
    count = counted(request.resources)
    with open_runner(request, replace(request.resources, workers=1)) as runner, progress(MofNCompleteColumn()) as bar:
        forecasts = list(bar.track(forecast(request, runner), description=f"timing {request.backend}"))
    show_plan(forecasts, request, count, console(sys.stdout))


@click.command(epilog=exit_codes.JUDGED)
@click.argument("finding", metavar="ID")
@judging
@json_option
@click.option("--dtypes", type=NAMES, help="The --dtypes of the original run, if it had any.")
@click.option("--fresh", is_flag=True, help="Then draw anew from a fresh seed, and combine the results.")
@click.option(
    "--shrink",
    is_flag=True,
    help="Then search for the simplest context, dtype and p, and the smallest shape, that still break.",
)
@click.option(
    "--snippet",
    type=PATH,
    metavar="FILE.py",
    help="Write a script that shows the fault on its own; with --shrink, in the smallest case.",
)
@click.option(
    "--was-error",
    is_flag=True,
    help="For a finding that ended in an error: if it does not now, run earlier cases first.",
)
def replay(
    finding: str,
    json_path: Path | None,
    snippet: Path | None,
    fresh: bool,
    shrink: bool,
    was_error: bool,
    **options: Any,
) -> None:
    """Repeat one finding exactly: the same seed gives the same draws.

    A failure prints its ID, op/law/dtype/parameters/shape/context, in the command that repeats it.

    \b
      keeprate replay ID --backend mine.py --seed 7 --fresh
      keeprate replay ID --backend mine.py --seed 7 --shrink --snippet fault.py
    """
    for path in (json_path, snippet):
        if path is not None:
            check_writable(path)
    request = ask(finding=finding, **options)
    check_apart({"--json": json_path, "--snippet": snippet}, request.files())
    screen = console(sys.stdout)
    with open_children(request, replace(request.resources, workers=request.resources.workers or 1)) as runner:
        verdict, docket = _judge(request, runner, json_path)
        unwritten = _write_all({json_path: verdict.to_json})
        (found,) = verdict
        law = verdict.laws[request.promises[finding].id.family]
        text = failure_text(found, verdict.findings, law, min(screen.width, WIDTH))
        screen.print(text, highlight=False, markup=False, soft_wrap=True)
        _refuse_if(unwritten)
        code = verdict.exit_code
        if found.status in ("kept", "broken", "error"):
            seen = Closeup(request, finding, docket.results["backend"], runner)
            seen.show(screen)
            if fresh:
                other = replace(request, seed=secrets.randbits(31))
                again, drawn = _judge(other, runner, None)
                code = max(code, seen.show_together((again, drawn.results["backend"]), other.seed, screen))
            if shrink or snippet is not None:
                show_further(seen, screen, verdict.explained_by.get(finding), shrink=shrink, script=snippet)
            if was_error and found.status != "error":
                code = max(code, show_after_others(request, screen))
        elif fresh or shrink or snippet is not None:
            raise UsageError(
                f"--fresh, --shrink and --snippet look at what was judged, and this finding is "
                f"{found.status.replace('_', ' ')}: {(found.detail or {}).get('reason')}. Where another law is named, "
                f"replay that one in this place"
            )
    sys.exit(code)


@click.command(epilog=exit_codes.JUDGED)
@click.option("--backends", required=True, type=NAMES, help="Names, separated by commas; all: all that are installed.")
@click.option(
    "--out",
    required=True,
    type=PATH,
    metavar="F",
    help="File for the table: F.md or F.json.",
)
@click.option("--profile", default="quick", show_default=True, help=f"One of {', '.join(PROFILES)}.")
@ops_option
@dtypes_option
@click.option("--seed", type=int, help="Seed of all draws.  [default: a fresh one, written down]")
@suite_option
@workers_option
@case_timeout_option
@memory_option
@device_option
def matrix(backends: tuple[str, ...], out: Path, seed: int | None, **options: Any) -> None:
    """Judge several backends, and compare them in a table.

    The table has frameworks × operators × promises. A backend that can't be loaded is reported and skipped; if you
    named it, the exit code is 3. Each is judged with the known deviations (expected failures) listed beside it.

    \b
      keeprate matrix --backends all --out matrix.md
      keeprate matrix --backends mine.py,theirs.py --out matrix.json
    """
    check_out(out)
    check_writable(out)
    seed = secrets.randbits(31) if seed is None else seed
    rows: list[Row] = []
    width = console(sys.stdout).width
    requests = {name: ask(name, seed=seed, **options) for name in names_of(backends)}
    for request in requests.values():
        _refuse_missing(request)
    for name, request in requests.items():
        try:
            with open_runner(request) as runner:
                verdict, _ = _judge(request, runner, None)
            rows.append(row_of(name, verdict.public()))
            click.echo(for_terminal(filled(f"{name}: {sentence(verdict)}", width)))
        except NoVerdictError as error:
            rows.append(Row(name, error=str(error)))
            click.echo(for_terminal(filled(f"{name}: no verdict: {error}", width)))
        write(out, text_of(rows, out, request.profile, seed))  # each time: an interrupt must not cost what is done
    sys.exit(exit_code(rows, named=backends != ("all",)))


def _refuse_missing(request: Request) -> None:
    """Refuses an object that its file or module lacks, which only loading it shows.

    Raises:
        UsageError: there is none.
    """
    if ":" in request.backend:
        with open_runner(request.alone(), Resources(workers=1)) as runner, suppress(NoVerdictError):  # its row says so
            runner.offers()


def _warn_of_idle(request: Request) -> None:
    """Says which lines of a list of known deviations stand for nothing."""
    idle = request.known.idle([*request.plan, *map(str, map(over_all, request.suite.together))])
    if idle := nowhere(idle, request.profile):
        more = f" and {len(idle) - 1} more match" if len(idle) > 1 else " matches"
        text = f"{request.known.path}: '{idle[0]}'{more} no finding of profile '{request.profile}'"
        click.echo(for_terminal(filled(f"warning: {text}", console(sys.stderr).width)), err=True)


@contextmanager
def _recorded(request: Request, path: Path | None) -> Iterator[Runner]:
    """The runner that is asked for, whose results are added to the ledger at `path`, if there is one."""
    if path is None:
        with open_runner(request) as runner:
            yield runner
    else:
        with ExitStack() as stack:
            ledger: Ledger | UnwritableError
            try:
                ledger = stack.enter_context(closing(Ledger(path, create=True)))
            except UnwritableError as refusal:  # which doesn't cost the verdict
                ledger = refusal
            with open_runner(request) as runner:
                yield Recording(runner, request, ledger, described())


def _refuse_unrecorded(runner: Runner) -> None:
    """Says, once the verdict is out, that the ledger doesn't have all of it, or can't be read.

    Raises:
        UsageError: it hasn't.
    """
    if isinstance(runner, Recording) and runner.failure is not None:
        raise runner.failure


def _judge(
    request: Request,
    runner: Runner,
    json_path: Path | None,
    how: Callable[[Request, Runner, Progress], tuple[Verdict, Docket]] = answer_in_full,
) -> tuple[Verdict, Docket]:
    """Runs the request, with progress where someone looks; writes the JSON where there is no verdict to show."""
    try:
        with progress(MofNCompleteColumn()) as bar:
            task = bar.add_task(f"judging {request.backend}, seed {request.seed}", total=None)
            return how(
                request,
                runner,
                lambda done, total: bar.update(task, completed=done, total=total),
            )
    except NoVerdictError as error:
        if json_path is not None:
            write(json_path, no_verdict(request, str(error)).to_json())
        raise


def _write_all(texts: Mapping[Path | None, Callable[[], str]]) -> list[str]:
    """Writes what was asked for, before anything is printed; gives the reasons why some of it can't be written.

    So neither a file costs the verdict, nor the standard output a file, if one of them can't be written to.
    """
    unwritten = []
    for path, text in texts.items():
        if path is not None:
            try:
                write(path, text())  # all intervals of a gate take seconds: not unless they are asked for
            except UsageError as refusal:
                unwritten.append(str(refusal))
    return unwritten


def _refuse_if(unwritten: list[str]) -> None:
    if unwritten:
        raise UsageError("\n".join(unwritten))
