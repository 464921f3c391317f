"""The options that several commands have, each declared once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from keeprate.harness.judging.request import ALPHA, choice
from keeprate.harness.protocol.suite import PROFILES, default_suite
from keeprate.harness.workers.launch import kept

Command = Callable[..., None]


class _Names(click.ParamType[tuple[str, ...]]):
    name = "NAMES"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        return choice(value)


NAMES = _Names()
PATH = click.Path(path_type=Path)
ops_option = click.option("--ops", type=NAMES, help="Operators to judge, separated by commas.  [default: all]")
dtypes_option = click.option("--dtypes", type=NAMES, help="Dtypes to judge, separated by commas.  [default: all]")
suite_option = click.option(
    "--suite", default=default_suite(), show_default=True, help="Suite of laws: a name, package.module or file.py."
)
json_option = click.option(
    "--json",
    "json_path",
    type=PATH,
    metavar="FILE",
    help="Write the verdict to FILE as JSON.",
)
ledger_option = click.option(
    "--ledger",
    type=PATH,
    metavar="F",
    help="Add the evidence to the ledger F, a SQLite file that is created if absent.",
)
executor_option = click.option(
    "--executor",
    default="local",
    show_default=True,
    metavar="WHERE",
    help="Where cases run: local, or dask://HOST:PORT, the scheduler of a Dask cluster.",
)


workers_option = click.option(
    "-n",
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of worker processes.  [default: one per core]",
)
case_timeout_option = click.option(
    "--case-timeout",
    type=float,
    metavar="S",
    help="Time limit for loading and for each case, in seconds; a case gets 1 µs more per draw.  [default: 120]",
)
memory_option = click.option(
    "--memory",
    metavar="SIZE",
    help="Memory limit per worker, such as 512M or 4G.  [default: 80 % of what is free, divided among the workers]",
)

device_option = click.option(
    "--device",
    metavar="D",
    help="Where the backend computes: one of its `devices`, as cuda:1.  [default: its own]",
)


def judging(function: Command) -> Command:
    """The options that every command which judges has; what its workers are forked from loads while it begins."""

    @functools.wraps(function)
    def command(**options: Any) -> None:
        with kept(options["suite"]) if options.get("executor", "local") == "local" else nullcontext():
            function(**options)

    for option in reversed(
        (
            click.option(
                "--backend",
                required=True,
                metavar="B",
                help="Backend: a name that `keeprate backends` lists, package.module[:Object] or file.py[:Object].",
            ),
            click.option(
                "--profile",
                default="gate",
                show_default=True,
                help=f"How small a fault to look for: {', '.join(PROFILES)}. Each draws more than the one before.",
            ),
            click.option(
                "--alpha",
                type=float,
                default=ALPHA,
                show_default=True,
                help="Error budget (family-wise error rate): upper bound on the probability that a conforming backend "
                "fails this gate, or ever this ledger.",
            ),
            click.option(
                "--seed",
                type=int,
                help="Seed of all draws, to repeat a run exactly.  [default: a fresh one, printed]",
            ),
            click.option(
                "--known",
                metavar="FILE",
                help="Known deviations (expected failures): one pattern of ids per line, the reason after #."
                "  [default: the list beside B]",
            ),
            suite_option,
            workers_option,
            case_timeout_option,
            memory_option,
            device_option,
        )
    ):
        command = option(command)
    return command
