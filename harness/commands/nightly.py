"""The commands about evidence that adds up: nightly, merge, ledger copy, report."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import TextColumn

from keeprate.harness import interrupts
from keeprate.harness.commands import exit_codes, github
from keeprate.harness.commands.console import console, progress
from keeprate.harness.commands.forecast import Outlook, outlook
from keeprate.harness.commands.options import PATH, dtypes_option, executor_option, judging, ops_option, suite_option
from keeprate.harness.commands.published import read_verdict
from keeprate.harness.errors import NoVerdictError, UsageError
from keeprate.harness.files import beginning, check_apart, check_folder, kind, write
from keeprate.harness.judging.gate import open_runner
from keeprate.harness.judging.request import Request, ask
from keeprate.harness.judging.screen import show
from keeprate.harness.judging.text import filled, millions, plural
from keeprate.harness.ledger.history import tell
from keeprate.harness.ledger.merge import copy as copied
from keeprate.harness.ledger.merge import merge as merged
from keeprate.harness.ledger.nightly import Drawn, draw
from keeprate.harness.ledger.schema import MAGIC
from keeprate.harness.ledger.since import is_first
from keeprate.harness.ledger.store import Ledger
from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.runner import Runner
from keeprate.harness.protocol.suite import PROFILES
from keeprate.harness.untrusted_text import printable
from keeprate.harness.workers.machine import described

PAGES = ("index.html", "report.md", "report.json")
REPORT = "report"  # the folder of a night's report, unless --out says otherwise
NEWS = 3  # faults, at most, of which the terminal says since when they are there
ENDING = 15.0  # seconds that are left for the verdict and the report at most, and a fifth of a shorter budget
SHORT = 300.0  # seconds of a first night, at most, that says beforehand how far it gets
MEASURED = 0.25  # of the time for drawing, by which a short first night says how far it gets
ENDED: dict[int, str] = {signal.SIGINT: "interrupted; ", signal.SIGTERM: "terminated; "}
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """What `20m`, `90s` or `1.5h` stands for.

    Raises:
        UsageError: it stands for no time, or for none that a run can take.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if not found or not 0 < float(found[1]) * UNITS[found[2]] < 1e7:
        raise UsageError(f"budget '{text}' is not a duration: write 90s, 20m or 8h")
    return float(found[1]) * UNITS[found[2]]


@click.command(epilog=exit_codes.JUDGED)
@judging
@click.option(
    "--ledger",
    required=True,
    type=PATH,
    metavar="F",
    help="The ledger, a SQLite file; created if absent.",
)
@click.option("--budget", metavar="TIME", default="20m", show_default=True, help="Total duration: 90s, 20m, 8h.")
@ops_option
@dtypes_option
@executor_option
@click.option("--out", type=PATH, metavar="DIR", help=f"Folder of the report.  [default: {REPORT}]")
def nightly(
    ledger: Path,
    budget: str,
    out: Path | None,
    seed: int | None,
    **options: Any,
) -> None:
    """Draw fresh evidence for a given time, and add it to a ledger.

    The verdict and the report cover all evidence on this version of the backend. Ctrl-C and SIGTERM end the night
    early: what was drawn is kept, judged and reported.

    \b
      keeprate nightly --backend mine.py --ledger night.db --budget 20m
    """
    began, allowed = time.monotonic(), seconds(budget)
    request = ask(seed=seed, **options)
    pages = _Pages(out or Path(REPORT), must=out is not None)
    _check_apart(ledger, out or Path(REPORT), request.files())
    screen = console(sys.stdout)
    with Ledger(ledger, create=True) as book:
        bar = progress(TextColumn("{task.fields[passes]} cases"))
        with open_runner(request) as runner:
            ahead = _outlook(request, runner, book, allowed)
            drawing = _drawing(allowed) - (time.monotonic() - began)
            marks: list[tuple[float, int]] = []  # when results were looked at, and how many there were: the first ones

            def goes_on(gone: float, passes: int) -> None:
                nonlocal ahead
                bar.update(task, completed=min(gone, drawing), passes=passes)
                if ahead is None or (marks and gone < marks[-1][0] + MEASURED * (drawing - marks[0][0])):
                    return
                if marks and passes > marks[-1][1]:
                    then, before = marks[-1]
                    found = ahead.reach(passes, gone - then, passes - before, drawing - gone)
                    if says := found.says(time.monotonic() - began, allowed, _whole):
                        ahead = None
                        with suppress(OSError):  # where nothing can be written the end says so, with what was drawn
                            _say(bar.console if sys.stderr.isatty() else screen, says)
                marks.append((gone, passes))

            with bar:
                task = bar.add_task(f"drawing {request.backend}", total=drawing, passes=0)
                night = draw(request, runner, book, max(drawing, allowed / 2), described(), seed=seed, progress=goes_on)
        # Written before anything is said, so that neither costs the other.
        document, failure = _told(night, book, request, options["suite"], options["known"], request.backend)
        failures, told = [failure] if failure else [], ""
        try:
            told = pages.write(document, None)
        except UsageError as unwritten:
            failures.append(unwritten)
        show(night.standing.verdict, screen, listing=None)  # the report lists all
        for text in filter(None, (*_news(document), _kept(night, ledger), told)):
            _say(screen, text)
        for command in github.annotated(night.standing.verdict):
            click.echo(command)
        try:
            github.add_summary(night.standing.verdict)
        except UsageError as unwritten:
            failures.append(unwritten)
    if failures:
        raise UsageError("\n".join(map(str, failures)))
    if night.signal == signal.SIGTERM:
        raise interrupts.Terminated("terminated; what was drawn is concluded")
    sys.exit(night.standing.verdict.exit_code)


def _drawing(allowed: float) -> float:
    """Seconds of a night that are for loading and drawing."""
    return allowed - min(ENDING, allowed / 5)


def _whole(drawing: float) -> float:
    """The night that has so many seconds for loading and drawing."""
    return min(drawing * 5 / 4, drawing + ENDING)


def _outlook(request: Request, runner: Runner, book: Ledger, allowed: float) -> Outlook | None:
    """What a short first night has before it; None of any other night."""
    given = request.given(*runner.offers())
    if allowed > SHORT or not is_first(book, request.suite_name, given.offer):
        return None
    return outlook(given)


def _told(night: Drawn, book: Ledger, asked: Request, *of_whom: Any) -> tuple[dict[str, Any], UsageError | None]:
    """The public JSON of all runs, or of this one alone and why the ledger can't tell more."""
    failure = night.failure
    if failure is None:
        try:
            return printable(tell(book, *of_whom, run=night.run, asked=asked)), None
        except UsageError as error:
            failure = error
    return night.standing.verdict.public(), failure


def _news(document: Mapping[str, Any]) -> Iterator[str]:
    """What is new since when, as the page says it; nothing where no ledger tells."""
    ledger = document.get("ledger", {})
    if "news" in ledger:
        yield ledger["news"]
    says = {cause["id"]: cause["sentence"] for cause in document.get("causes", ())}
    origins = ledger.get("origins", ())
    for one in origins[:NEWS]:
        yield f"{says.get(one['of'], one['of'] + ', without a known cause').rstrip('.')}. {one['says']}"
    if len(origins) > NEWS:
        yield f"and {len(origins) - NEWS} more, in the report"


def _kept(night: Drawn, ledger: Path) -> str:
    """What was drawn, and what the ledger has now, in words."""
    text = f"{ENDED.get(night.signal, '')}{plural(night.passes, 'case')} drawn"
    stand = night.standing
    if night.failure is None:
        runs = f"{plural(stand.runs, 'run')} of this version"
        text += f" and kept in {ledger}, which has {runs} and {millions(stand.draws) if stand.draws else 'no'} draws"
    elif night.unkept:
        text += f", {night.unkept:,} of them not kept in {ledger}: this verdict counts them, the next night's won't"
    if stand.waiting:
        text += f"; nothing was drawn so far of {plural(stand.waiting, 'promise')}"
    if stand.otherwise:
        text += f"; evidence of {plural(len(stand.otherwise), 'promise')} was counted otherwise before and is not used"
    return text


@click.command(epilog=exit_codes.WROTE)
@click.argument("ledgers", nargs=-1, required=True, type=PATH, metavar="A B…")
@click.option("--into", required=True, type=PATH, metavar="C", help="The new ledger.")
def merge(ledgers: tuple[Path, ...], into: Path) -> None:
    """Merge ledgers of several nights, machines or branches into a new one.

    A run that several ledgers contain is counted once. Different runs that share seeds are refused.

    \b
      keeprate merge monday.db tuesday.db --into week.db
    """
    click.echo(f"wrote {into}: {plural(merged(ledgers, into), 'run')}")


@click.group(epilog=exit_codes.WROTE)
def ledger() -> None:
    """Copy a ledger as one whole file."""


@ledger.command(epilog=exit_codes.WROTE)
@click.argument("source", type=PATH, metavar="A")
@click.argument("into", type=PATH, metavar="B")
def copy(source: Path, into: Path) -> None:
    """Copy a ledger to one whole file, for a cache or an archive.

    The last draws of a run that was killed are in A-wal beside A: a plain copy of A loses them. A is not changed.

    \b
      keeprate ledger copy night.db whole.db
    """
    click.echo(f"wrote {into}: {plural(copied(source, into), 'run')}")


@click.command(epilog=exit_codes.WROTE)
@click.option("--ledger", type=PATH, metavar="F", help="Report on a ledger.")
@click.option("--json", "json_path", type=PATH, metavar="FILE", help="Report on the verdict of one gate.")
@click.option("--out", required=True, type=PATH, metavar="DIR", help="Folder of the report.")
@click.option("--against", type=PATH, metavar="OTHER", help="Earlier ledger or verdict to compare with.")
@click.option(
    "--known", metavar="FILE", help="Known deviations, with --ledger: one pattern of ids per line, the reason after #."
)
@click.option("--backend", metavar="B", help="The backend to report on, with --ledger.  [default: the one judged last]")
@click.option(
    "--profile",
    type=click.Choice(PROFILES),
    help="The plan to report on, with --ledger.  [default: that of the latest night]",
)
@suite_option
def report(
    ledger: Path | None,
    json_path: Path | None,
    out: Path,
    against: Path | None,
    known: str | None,
    backend: str | None,
    profile: str | None,
    suite: str,
) -> None:
    """Write the report on a ledger or a gate: HTML, Markdown and JSON.

    \b
      keeprate report --ledger night.db --out report
      keeprate report --json today.json --against yesterday.json --out report
    """
    if (ledger is None) == (json_path is None):
        raise UsageError("give exactly one of --ledger and --json")
    if known is not None and ledger is None:
        raise UsageError("--known works with --ledger only: a gate's verdict already lists its known deviations")
    if backend is not None and ledger is None:
        raise UsageError("--backend works with --ledger only: a gate's verdict covers one backend")
    if profile is not None and ledger is None:
        raise UsageError("--profile works with --ledger only: a gate's verdict has one profile")
    pages = _Pages(out, must=True)
    _check_apart(ledger, out, {})
    if ledger is not None:
        document = _read(ledger, suite, known, backend, profile)
    else:
        document = read_verdict(json_path or Path())
    said = pages.write(document, _read(against, suite, known, None, None) if against is not None else None)
    if ledger is not None and known is None and backend is None and document["verdict"] == "broken":
        said += "; without a list of known deviations: --backend B takes the one beside B, --known FILE any other"
    screen = console(sys.stdout)
    for text in (*([document["sentence"], *_news(document)] if ledger is not None else []), said):
        _say(screen, text)


def _check_apart(ledger: Path | None, out: Path, inputs: Mapping[str, Path]) -> None:
    """Refuses a ledger that is one of the report's own files, or of the run's."""
    check_apart({"--ledger": ledger}, inputs)
    check_apart({"--ledger": ledger}, {f"--out, a report's {name}": out / name for name in PAGES})


def _read(path: Path, suite: str, known: str | None, backend: str | None, profile: str | None) -> dict[str, Any]:
    """The public JSON of a ledger or of a verdict, whichever is at `path`."""
    if kind(path) == "file" and beginning(path, len(MAGIC)) != MAGIC:
        return read_verdict(path)
    with Ledger(path) as book:
        told: dict[str, Any] = printable(tell(book, suite, known, backend, profile=profile))
        return told


class _Pages:
    """Whatever shows a document, and the folder for it; both looked at before a long run.

    Args:
        out: the folder.
        must: pages were asked for: if the packages for them are missing, that is an error.

    Raises:
        UsageError: `out` is not a folder, and can't be made one, or a package for reports is missing.
    """

    def __init__(self, out: Path, *, must: bool) -> None:
        check_folder(out)
        self._out, self._missing = out, ""
        try:
            self._pages = find("pages", group="keeprate.reports", kind="report")
        except NoVerdictError as error:
            if not isinstance(error.__cause__, ModuleNotFoundError):
                raise
            self._missing = "reports need more packages: pip install 'keeprate[report]'"
            if must:
                raise UsageError(self._missing) from None

    def write(self, document: dict[str, Any], against: dict[str, Any] | None) -> str:
        """Hands over what is to be shown, compared with `against`; says what was written."""
        if self._missing:
            return f"no report: {self._missing}"
        try:
            self._out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"can't write to '{self._out}': {error.strerror}") from None
        write(self._out / "report.json", json.dumps(document, allow_nan=False) + "\n")  # which the pages are made of
        for name, text in self._pages.render(document, against).items():
            write(self._out / name, text)
        return f"wrote {self._out / 'index.html'}, {self._out / 'report.md'} and {self._out / 'report.json'}"


def _say(screen: Console, text: str) -> None:
    screen.print(escape(filled(text, screen.width)), highlight=False, soft_wrap=True)
