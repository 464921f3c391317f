"""The command line: a skin over the engine, which nothing imports but the console script."""

from __future__ import annotations

import click

from keeprate.harness.commands import exit_codes
from keeprate.harness.commands.author import backends, check, explain, init
from keeprate.harness.commands.gate import gate, matrix, plan, replay
from keeprate.harness.commands.nightly import ledger, merge, nightly, report
from keeprate.harness.judging.text import WIDTH


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH}, epilog=exit_codes.JUDGED
)
@click.version_option(package_name="keeprate")
def cli() -> None:
    """Test whether a stochastic operator conforms to its reference.

    The random choices behind each result are replayed through the reference, and compared exactly; the choices
    themselves are judged by statistics with a guaranteed family-wise error rate.

    \b
      keeprate init mine.py                             write a backend's template
      keeprate check mine.py                            check it, in seconds
      keeprate gate --backend mine.py --profile quick   judge it
      keeprate nightly --backend mine.py --ledger a.db  add evidence every night
    """


for command in (gate, plan, replay, matrix, init, check, backends, explain, nightly, merge, ledger, report):
    cli.add_command(command)
