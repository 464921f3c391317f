"""The commands for the author of a backend: init, check, backends, explain."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.progress import MofNCompleteColumn

from keeprate.harness.commands.authoring import adapter_checks, inventory, show_checks, show_inventory, write_template
from keeprate.harness.commands.authoring import explain as explained
from keeprate.harness.commands.console import console, progress
from keeprate.harness.commands.options import EPILOG, suite_option
from keeprate.harness.judging.request import ask
from keeprate.harness.judging.text import filled
from keeprate.harness.protocol.lookup import installed
from keeprate.harness.protocol.suite import load_suite


@click.command(epilog=EPILOG)
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE.py")
@suite_option
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


@click.command(epilog=EPILOG)
@click.argument("backend", metavar="B")
@suite_option
def check(backend: str, suite: str) -> None:
    """Judge the adapter alone, in a second: arrays there and back, how operators are called, the seed, the transforms.

    B is named as for --backend. Nothing is said of the framework: a gate does that, and refuses an adapter at fault.
    """
    checks = adapter_checks(ask(backend, profile="quick", suite=suite))
    show_checks(checks, backend, suite, console(sys.stdout))
    sys.exit(any(check.wrong for check in checks))


@click.command(epilog=EPILOG)
@suite_option
def backends(suite: str) -> None:
    """List the backends that are installed, and what each offers."""
    names = installed("keeprate.backends")
    with progress(MofNCompleteColumn()) as bar:
        rows = list(bar.track(inventory(names, suite), description="loading each backend", total=len(names)))
    show_inventory(rows, load_suite(suite), console(sys.stdout))


@click.command(epilog=EPILOG)
@click.argument("law", metavar="LAW")
@suite_option
def explain(law: str, suite: str) -> None:
    """Explain a law: the promise, its source, what breaks it, real defects that it would have caught.

    LAW is the second part of a finding's id: op/law/dtype/parameters/shape/context.
    """
    for paragraph in explained(law, load_suite(suite)):
        click.echo(filled(paragraph) + "\n")
