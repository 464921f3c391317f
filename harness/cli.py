"""The commands: a skin over the engine, which nothing imports but the console script."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.progress import MofNCompleteColumn, Progress

from harness import github
from harness.author import explain as explained
from harness.author import inventory, looks_at, show_inventory, show_looks, write_template
from harness.closeup import Closeup
from harness.console import console, progress
from harness.engine import Result
from harness.errors import NoVerdictError, UsageError
from harness.files import check_writable, write
from harness.forecast import forecast, show_plan
from harness.gate import answer_in_full, counted, no_verdict, runner_for
from harness.known import known_text
from harness.matrix import Row, exit_code, names_of, row_of, text_of
from harness.names import installed
from harness.nightly_cli import attach, executor_option, ledger_option, recorded, refuse_unrecorded
from harness.question import ALPHA, DEFAULT_SUITE, Question, ask, choice
from harness.suite import PROFILES, load_suite
from harness.text import WIDTH, failure_text, filled, sentence, show
from harness.verdict import Verdict
from harness.workers import Children, Runner

EPILOG = """
Exit codes: 0 every promise is kept; 1 a promise is broken, or a case ended in an error; 2 a name, file or option
doesn't exist or is out of range; 3 no verdict: the backend can't be loaded, nothing was judged, or the reference
failed.
"""


class _Names(click.ParamType[tuple[str, ...]]):
    name = "NAMES"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        return choice(value)


def _options(function: Callable[..., None]) -> Callable[..., None]:
    """The options that every command which judges has."""
    for option in reversed(
        (
            click.option(
                "--backend",
                required=True,
                metavar="B",
                help="Whom to judge: mlx, torch, package.module[:Object] or path/to/file.py[:Object].",
            ),
            click.option(
                "--profile",
                default="gate",
                show_default=True,
                help=f"How small a departure is caught: {', '.join(PROFILES)}.",
            ),
            click.option(
                "--alpha",
                type=float,
                default=ALPHA,
                show_default=True,
                help="The probability, at most, that a backend which keeps every promise fails.",
            ),
            click.option("--seed", type=int, help="Repeats a run; fresh unless given, and printed."),
            click.option(
                "--known",
                metavar="FILE",
                help="Known deviations: a pattern of ids a line, the reason after #.  [default: the list beside B]",
            ),
            click.option("--suite", default=DEFAULT_SUITE, show_default=True, help="What to judge by."),
            click.option(
                "-n",
                "--workers",
                type=click.IntRange(min=1),
                metavar="N",
                help="Worker processes.  [default: one for each core]",
            ),
            click.option(
                "--case-timeout",
                type=float,
                metavar="S",
                help="Seconds that a case may take, and a microsecond more for each draw.  [default: 120]",
            ),
            click.option(
                "--memory",
                metavar="SIZE",
                help="What a worker may hold, as in 4G.  [default: four fifths of the machine, shared out]",
            ),
        )
    ):
        function = option(function)
    return function


_json = click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the verdict as JSON.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH}, epilog=EPILOG)
@click.version_option(package_name="keeprate")
def cli() -> None:
    """Proof that a dropout operator keeps its promises.

    Judges the dropout operators of a backend against PyTorch: given its mask each output and gradient is compared
    exactly, and the masks themselves by statistics with a guaranteed error rate.

    \b
      keeprate gate --backend mlx                judge the built-in MLX operators
      keeprate gate --backend path/to/file.py    judge your own
    """


@cli.command(epilog=EPILOG)
@_options
@_json
@click.option("--ops", type=_Names(), help="Operators to judge, separated by commas.  [default: all]")
@click.option("--dtypes", type=_Names(), help="Dtypes to judge, separated by commas.  [default: all]")
@click.option(
    "--write-known",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write what broke as a list for --known, to adopt the gate today.",
)
@ledger_option
@executor_option
def gate(
    json_path: Path | None,
    write_known: Path | None,
    ledger: Path | None,
    executor: str,
    workers: int | None,
    case_timeout: float | None,
    memory: str | None,
    ops: Any,
    dtypes: Any,
    **options: Any,
) -> None:
    """Judge a backend: minutes, a clear verdict, an exit code.

    \b
      keeprate gate --backend mlx --profile quick --ops dropout,dropout2d
      keeprate gate --backend mine.py --seed 7 --json verdict.json
    """
    for path in (json_path, write_known):
        if path is not None:
            check_writable(path)
    question = ask(ops=ops, dtypes=dtypes, case_timeout=case_timeout, memory=memory, **options)
    runner = recorded(question, ledger, executor, workers, case_timeout, memory)
    verdict, _ = _judge(question, runner, json_path)
    broken = [
        (item.id, item.known or "broken when this list was written")
        for item in verdict
        if item.status in ("broken", "error")
    ]
    unwritten = _write_all({json_path: verdict.to_json, write_known: lambda: known_text(broken)})
    show(verdict, console(sys.stdout))
    for line in github.annotated(verdict):
        click.echo(line)
    _refuse_if(unwritten)
    github.add_summary(verdict)
    refuse_unrecorded(runner)
    sys.exit(verdict.exit_code)


@cli.command(epilog=EPILOG)
@_options
@click.option("--ops", type=_Names(), help="Operators to plan for, separated by commas.  [default: all]")
@click.option("--dtypes", type=_Names(), help="Dtypes to plan for, separated by commas.  [default: all]")
def plan(
    workers: int | None, case_timeout: float | None, memory: str | None, ops: Any, dtypes: Any, **options: Any
) -> None:
    """Say what a gate would draw and detect, and about how long it would take; judge nothing."""
    question = ask(ops=ops, dtypes=dtypes, case_timeout=case_timeout, memory=memory, **options)
    count = counted(workers)
    runner = runner_for(question, 1, case_timeout=case_timeout, memory=memory)
    try:
        with _progress() as bar:
            forecasts = list(bar.track(forecast(question, runner), description=f"timing {question.backend}"))
    finally:
        runner.close()
    show_plan(forecasts, question, count, console(sys.stdout))


_suite = click.option("--suite", default=DEFAULT_SUITE, show_default=True, help="What to judge by.")


@cli.command(epilog=EPILOG)
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE.py")
@_suite
def init(path: Path, suite: str) -> None:
    """Write a commented template of a new backend, which runs as it is.

    \b
      keeprate init mine.py
      keeprate check mine.py
      keeprate gate --backend mine.py --profile quick
    """
    write_template(path, load_suite(suite))
    click.echo(f"wrote {path}: a backend in NumPy, to be replaced by your framework, name by name")
    click.echo(f"next: keeprate check {path}")


@cli.command(epilog=EPILOG)
@click.argument("backend", metavar="B")
@_suite
def check(backend: str, suite: str) -> None:
    """Judge the adapter alone, in a second: arrays there and back, the seed, the transforms.

    B is named as for --backend. Nothing is said of the framework: a gate does that, and refuses an adapter at fault.
    """
    looks = looks_at(ask(backend, profile="quick", suite=suite))
    show_looks(looks, backend, console(sys.stdout))
    sys.exit(any(look.wrong for look in looks))


@cli.command(epilog=EPILOG)
@_suite
def backends(suite: str) -> None:
    """List the backends that are installed, and what each offers."""
    names = installed("keeprate.backends")
    with _progress() as bar:
        rows = list(bar.track(inventory(names, suite), description="loading each backend", total=len(names)))
    promises = load_suite(suite).promises("quick").values()
    show_inventory(rows, sorted({promise.id.op for promise in promises}), console(sys.stdout))


@cli.command(epilog=EPILOG)
@click.argument("law", metavar="LAW")
@_suite
def explain(law: str, suite: str) -> None:
    """Explain a law: the promise, its source, what breaks it, real defects that it would have caught.

    LAW is the second part of a finding's id, as in dropout/neighbours:64/float32/-/64x1024/eager.
    """
    for paragraph in explained(law, load_suite(suite)):
        click.echo(filled(paragraph) + "\n")


@cli.command(epilog=EPILOG)
@click.argument("finding", metavar="ID")
@_options
@_json
@click.option("--dtypes", type=_Names(), help="Dtypes that the finding was judged in, where it is of several.")
@click.option("--fresh", is_flag=True, help="Ask again with new draws, and say what both say together.")
@click.option(
    "--shrink", is_flag=True, help="Find the plainest context, dtype and p and the smallest shape that break."
)
@click.option(
    "--snippet",
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    help="Write a script that shows the fault without keeprate; with --shrink in the smallest case.",
)
def replay(
    finding: str,
    json_path: Path | None,
    snippet: Path | None,
    workers: int | None,
    case_timeout: float | None,
    memory: str | None,
    fresh: bool,
    shrink: bool,
    **options: Any,
) -> None:
    """Run one finding again, exactly: the same seed gives the same draws.

    ID is what a failure prints: op/law/dtype/p/shape/context.

    \b
      keeprate replay ID --backend mine.py --seed 7 --fresh
      keeprate replay ID --backend mine.py --seed 7 --shrink --snippet fault.py
    """
    for path in (json_path, snippet):
        if path is not None:
            check_writable(path)
    question = ask(finding=finding, case_timeout=case_timeout, memory=memory, **options)

    def runner() -> Children:
        return runner_for(question, workers or 1, case_timeout=case_timeout, memory=memory)

    verdict, results = _judge(question, runner(), json_path)
    unwritten = _write_all({json_path: verdict.to_json})
    screen = console(sys.stdout)
    (found,) = verdict
    law = verdict.laws[question.promises[finding].id.family]
    screen.print(failure_text(found, verdict.findings, law), highlight=False, markup=False, soft_wrap=True)
    _refuse_if(unwritten)
    code = verdict.exit_code
    if found.status in ("kept", "broken", "error"):
        seen = Closeup(question, finding, results, runner())
        try:
            seen.show(screen)
            if fresh:
                other = replace(question, seed=secrets.randbits(31))
                code = max(code, seen.show_together(_judge(other, runner(), None), other.seed, screen))
            if shrink:
                seen.show_smallest(screen)
            if snippet is not None:
                write(snippet, seen.script())
                click.echo(f"\nwrote {snippet}: it needs the framework and NumPy alone")
        finally:
            seen.close()
    elif fresh or shrink or snippet is not None:
        raise UsageError(
            f"--fresh, --shrink and --snippet look at what was judged, and this finding is "
            f"{found.status.replace('_', ' ')}: {(found.detail or {}).get('reason')}. Where another law is named, "
            f"replay that one in this place"
        )
    sys.exit(code)


@cli.command(epilog=EPILOG)
@click.option(
    "--backends", required=True, type=_Names(), help="Whom to judge, separated by commas; all: all installed."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="F", help="F.md or F.json.")
@click.option("--profile", default="quick", show_default=True, help=f"One of {', '.join(PROFILES)}.")
@click.option("--ops", type=_Names(), help="Operators to judge, separated by commas.  [default: all]")
@click.option("--dtypes", type=_Names(), help="Dtypes to judge, separated by commas.  [default: all]")
@click.option("--seed", type=int, help="Repeats a run; fresh unless given, and written down.")
@_suite
@click.option("-n", "--workers", type=click.IntRange(min=1), metavar="N", help="Workers.  [default: one for each core]")
@click.option("--case-timeout", type=float, metavar="S", help="Seconds that a case may take, as for a gate.")
@click.option("--memory", metavar="SIZE", help="What a worker may hold, as in 4G.")
def matrix(
    backends: tuple[str, ...],
    out: Path,
    workers: int | None,
    case_timeout: float | None,
    memory: str | None,
    seed: int | None,
    **options: Any,
) -> None:
    """Judge several backends, and write a table of frameworks × operators × promises.

    One that can't be loaded is said so, and passed by. Each is judged with the known deviations that lie beside it.

    \b
      keeprate matrix --backends all --out matrix.md
      keeprate matrix --backends torch,mlx,mine.py --ops dropout --out matrix.json
    """
    check_writable(out)
    seed = secrets.randbits(31) if seed is None else seed
    rows: list[Row] = []
    for name in names_of(backends):
        question = ask(name, seed=seed, **options)
        try:
            verdict, _ = _judge(question, runner_for(question, workers, case_timeout=case_timeout, memory=memory), None)
            rows.append(row_of(name, verdict.public()))
            click.echo(filled(f"{name}: {sentence(verdict)}"))
        except NoVerdictError as error:
            rows.append(Row(name, error=str(error)))
            click.echo(filled(f"{name}: no verdict: {error}"))
        write(out, text_of(rows, out, question.profile, seed))  # each time: an interrupt must not cost what is done
    sys.exit(exit_code(rows))


attach(cli, _options, _Names(), EPILOG)


def _judge(question: Question, runner: Runner, json_path: Path | None) -> tuple[Verdict, Mapping[str, Result]]:
    """Runs the question, with progress where someone looks; writes the JSON where there is no verdict to show."""
    try:
        with _progress() as bar:
            task = bar.add_task(f"judging {question.backend}, seed {question.seed}", total=None)
            return answer_in_full(
                question,
                runner,
                lambda done, total: bar.update(task, completed=done, total=total),
            )
    except NoVerdictError as error:
        if json_path is not None:
            write(json_path, no_verdict(question, str(error)).to_json())
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


def _progress() -> Progress:
    return progress(MofNCompleteColumn())
