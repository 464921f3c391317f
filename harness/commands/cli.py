"""The command line: a skin over the engine, which nothing imports but the console script."""

from __future__ import annotations

import click

from keeprate.harness.commands.author import backends, check, explain, init
from keeprate.harness.commands.gate import gate, matrix, plan, replay
from keeprate.harness.commands.nightly import merge, nightly, report
from keeprate.harness.commands.options import EPILOG
from keeprate.harness.judging.text import WIDTH


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


for command in (gate, plan, replay, matrix, init, check, backends, explain, nightly, merge, report):
    cli.add_command(command)
