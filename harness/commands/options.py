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

EPILOG = """
Exit codes: 0 every promise is kept; 1 a promise is broken, or a case ended in an error; 2 a name, file or option
doesn't exist or is out of range; 3 no verdict: the backend can't be loaded, nothing was judged, or the reference
failed.
"""


class _Names(click.ParamType[tuple[str, ...]]):
    name = "NAMES"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        return choice(value)


NAMES = _Names()
ops_option = click.option("--ops", type=NAMES, help="Operators to judge, separated by commas.  [default: all]")
dtypes_option = click.option("--dtypes", type=NAMES, help="Dtypes to judge, separated by commas.  [default: all]")
suite_option = click.option("--suite", default=default_suite(), show_default=True, help="The suite of laws.")
json_option = click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the verdict as JSON.",
)
ledger_option = click.option(
    "--ledger",
    type=click.Path(path_type=Path),
    metavar="F",
    help="Add the evidence to this ledger; it is created if absent.",
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
    help="Time limit for loading, and for each case, in seconds; a case gets 1 µs more per draw.  [default: 120]",
)
memory_option = click.option(
    "--memory",
    metavar="SIZE",
    help="Memory limit per worker, as in 4G.  [default: 80 % of the machine, divided among the workers]",
)

device_option = click.option(
    "--device", metavar="D", help="Where the backend computes: one of its `devices`, as cuda.  [default: the backend's]"
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
                help="The backend: a name that `keeprate backends` lists, package.module[:Object] or file.py[:Object].",
            ),
            click.option(
                "--profile",
                default="gate",
                show_default=True,
                help=f"The strength, from weakest to strongest: {', '.join(PROFILES)}.",
            ),
            click.option(
                "--alpha",
                type=float,
                default=ALPHA,
                show_default=True,
                help="Upper bound on the probability that a conforming backend fails this gate, or ever this ledger.",
            ),
            click.option(
                "--seed", type=int, help="Seed of the run, to repeat it exactly.  [default: a fresh one, printed]"
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
