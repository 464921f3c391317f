"""The commands for the author of a backend: init, check, backends, explain."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import metadata
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import MofNCompleteColumn
from rich.table import Table

from keeprate.harness import interrupts
from keeprate.harness.commands import exit_codes
from keeprate.harness.commands.console import console, progress
from keeprate.harness.commands.options import device_option, suite_option
from keeprate.harness.errors import KeeprateError, UsageError
from keeprate.harness.files import write
from keeprate.harness.judging.gate import open_children, open_runner
from keeprate.harness.judging.request import Request, ask
from keeprate.harness.judging.text import WIDTH, filled
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.case import over_all
from keeprate.harness.protocol.description import AdapterCheck
from keeprate.harness.protocol.lookup import installed, similar
from keeprate.harness.protocol.orders import compared
from keeprate.harness.protocol.suite import Suite, default_suite, load_suite
from keeprate.harness.workers.limits import counted
from keeprate.harness.workers.resources import USUAL, Resources

ALONE = Resources(workers=1)


@click.command(epilog=exit_codes.DONE)
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE.py")
@suite_option
def init(path: Path, suite: str) -> None:
    """Write a commented template of a new backend, ready to run.

    The template computes in NumPy. Replace its names one by one with your framework's; leave out what that lacks.

    \b
      keeprate init mine.py
      keeprate check mine.py
      keeprate gate --backend mine.py --profile quick
    """
    template = load_suite(suite).template
    if os.path.lexists(path):  # False for a name that is too long: `write` says so
        raise UsageError(f"'{path}' already exists and was not changed")
    if path.suffix != ".py":
        raise UsageError(f"'{path}' is not the name of a Python file: it should end in .py")
    if template is None:
        raise UsageError(f"suite {load_suite(suite).name} has no template of a backend")
    write(path, template.read_text(encoding="utf-8").replace("FILE.py", str(path)))
    click.echo(f"wrote {path}: a backend in NumPy, to be replaced by your framework, name by name")
    click.echo(f"next: keeprate check {path}")


@click.command(epilog=exit_codes.CHECKED)
@click.argument("backend", metavar="B")
@suite_option
@device_option
def check(backend: str, suite: str, device: str | None) -> None:
    """Check an adapter, in seconds: array conversion, calls, seeding, transforms.

    B is a name that `keeprate backends` lists, package.module[:Object] or file.py[:Object]. What the framework behind
    the adapter does is judged by `keeprate gate`, which refuses a faulty adapter.

    \b
      keeprate check mine.py
      keeprate check mine.py:Mine --device cuda
    """
    request = ask(backend, profile="quick", suite=suite, device=device).alone()
    with open_children(request, ALONE) as runner:
        runner.offers()
        checks = runner.check()
        forwards = runner.calls()
    with open_children(request, ALONE) as another:
        checks.append(compared(forwards, another.calls(list(forwards)[::-1])))
    more = "" if device is None else f" --device {device}"
    _show_checks(checks, f"{backend}{more}", suite, console(sys.stdout))
    sys.exit(any(check.wrong for check in checks))


def _show_checks(checks: Sequence[AdapterCheck], backend: str, suite: str, screen: Console) -> None:
    """Prints what was looked at, a line each."""
    for check in checks:
        word = "WRONG" if check.wrong else "skipped" if check.skipped else "right"
        line = f"{word:<9}{check.what}" + (f": {check.skipped}" if check.skipped else "")
        screen.print(escape(line), highlight=False, soft_wrap=True)
        if check.wrong:
            width, indent = min(screen.width, WIDTH), " " * 9
            told = textwrap.fill(check.wrong, width, initial_indent=indent, subsequent_indent=indent)
            screen.print(escape(told), highlight=False)
    wrong = sum(bool(check.wrong) for check in checks)
    screen.print()
    if wrong:
        screen.print(f"{wrong} of {len(checks)} wrong: fix the adapter, then judge the framework", highlight=False)
        return
    screen.print("The adapter is right. Now judge the framework:", highlight=False)
    more = f" --suite {suite}" if suite != default_suite() else ""
    command = f"  keeprate gate --backend {backend} --profile quick{more}"
    screen.print(escape(command), highlight=False, soft_wrap=True)


@click.command(epilog=exit_codes.DONE)
@suite_option
def backends(suite: str) -> None:
    """List the installed backends and their capabilities.

    If one can't be loaded, the reason is shown, and the command that installs what it lacks.
    """
    names = installed("keeprate.backends")
    with progress(MofNCompleteColumn()) as bar:
        rows = list(bar.track(_inventory(names, suite), description="loading each backend", total=len(names)))
    _show_inventory(rows, load_suite(suite), console(sys.stdout))


def _inventory(names: Iterable[str], suite: str) -> Iterator[tuple[str, Offer | str]]:
    """Each backend, and what it offers, or why it can't be loaded; as many at once as there are cores."""
    requests = {name: ask(name, profile="quick", suite=suite).alone() for name in names}
    with ThreadPoolExecutor(counted(USUAL)) as pool:
        offers = [pool.submit(_offered, request) for request in requests.values()]
        yield from zip(requests, map(interrupts.result, offers), strict=True)


def _offered(request: Request) -> Offer | str:
    interrupts.check()  # of those that wait for their turn
    try:
        with open_runner(request, ALONE) as runner:
            return runner.offers()[0]
    except KeeprateError as error:
        return str(error)


def _show_inventory(rows: Sequence[tuple[str, Offer | str]], suite: Suite, screen: Console) -> None:
    """Prints installed backends, a line each, and then what is missing for the others."""
    operators = {promise.id.op for promise in suite.promises("quick").values()}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("backend", "version", "operators", "dtypes", "besides"):
        table.add_column(heading, no_wrap=heading in ("backend", "version"))
    for name, offer in rows:
        if isinstance(offer, Offer):
            count = len(operators & set(offer.names))
            besides = ", ".join(text for text in suite.capabilities if text in offer.names)
            dtypes = ", ".join(offer.dtypes)
            table.add_row(name, escape(offer.version), f"{count} of {len(operators)}", dtypes, besides)
    screen.print(table)
    for name, offer in rows:
        if isinstance(offer, str):
            screen.print(escape(filled(f"{name}: {offer}{remedy(name, offer)}", screen.width)), highlight=False)


def remedy(name: str, why: str) -> str:
    """How to install what a backend lacks; empty unless one of our extras provides it."""
    missing = re.search(r"ModuleNotFoundError: No module named '(\w+)", why)
    if not missing:
        return ""
    extras = metadata("keeprate").get_all("Provides-Extra", [])
    words = name, name.partition("-")[0], missing[1]  # a-b needs a and b: all of the extra `a`
    found = next((word for word in words if word in extras), None)
    return f": pip install 'keeprate[{found}]'" if found else ""


@click.command(epilog=exit_codes.DONE)
@click.argument("law", metavar="LAW")
@suite_option
def explain(law: str, suite: str) -> None:
    """Explain what a law promises, and what breaks it.

    It also shows the promise's source, what the law can't see, its share of the error budget, and defects in released
    software that it would have caught. LAW is the second part of a finding's id: op/law/dtype/parameters/shape/context.
    An unknown name lists all laws.
    """
    width = console(sys.stdout).width
    for paragraph in _paragraphs(law, load_suite(suite)):
        click.echo(filled(paragraph, width) + "\n")


def _paragraphs(name: str, suite: Suite) -> Iterator[str]:
    law = suite.by_name.get(name.partition(":")[0])
    if law is None:
        raise UsageError(
            f"no law named '{name}'.{similar(name, list(suite.by_name))} There are: {', '.join(suite.by_name)}"
        )
    ids = [promise.id for promise in suite.promises("gate").values() if promise.id.family == law.name]
    share = suite.weight(law.name)
    yield f"{law.name}: {law.promise}"
    yield f"Source: {law.source}"
    yield f"Breaks it: {', '.join(law.catches)}."
    yield f"Blind to: {', '.join(law.blind_to)}."
    parameters = ", ".join(dict.fromkeys(id.parameter for id in ids if id.parameter))
    contexts = ", ".join(dict.fromkeys(id.context for id in ids))
    yield f"In gate: {len(ids)} findings{f', as {law.name}:' + parameters if parameters else ''}; in {contexts}."
    if share:
        yield (
            f"Evidence: an e-value; {share:.1%} of the error budget (family-wise error rate) is divided evenly "
            "among these findings. The budget bounds the probability that a conforming backend fails a gate, or is "
            "ever called broken by a ledger, in one version."
        )
        if together := suite.together.get(law.name):
            yield (
                f"Together: in a whole plan, one more finding, {over_all(law.name)}, with {together:.2%} "
                "of the budget. It multiplies the evidence of all, and so detects faults too small for any one of them."
            )
    else:
        yield "Evidence: an exact comparison; it uses none of the error budget."
    for defect in suite.defects:
        if law.name in defect.laws:
            yield f"Shipped: {defect.wrong} ({defect.where}). {defect.source}"
