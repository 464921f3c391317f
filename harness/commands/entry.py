"""The console script: a command from its signals to its exit code, whatever goes wrong in between."""

from __future__ import annotations

import errno
import faulthandler
import os
import signal
import sys
import textwrap
import traceback
from collections.abc import Iterator
from typing import NoReturn

import click

from keeprate.harness.workers.launch import SINGLE_THREADED

os.environ.update(SINGLE_THREADED)  # NumPy would begin with a thread for each core, which no command has a use for

from keeprate.harness import interrupts
from keeprate.harness.commands.cli import cli
from keeprate.harness.commands.console import console, forget, open_streams
from keeprate.harness.errors import KeeprateError, NoVerdictError, UsageError
from keeprate.harness.interrupts import Terminated
from keeprate.harness.judging.text import WIDTH
from keeprate.harness.untrusted_text import for_terminal


def main() -> NoReturn:
    """The console script: errors that a person can mend are one sentence, with the exit code of their class.

    A fault of ours keeps its whole traceback, and is no verdict.
    """
    open_streams()
    if not faulthandler.is_enabled():
        faulthandler.enable(2)  # or a crash of a library in this process would leave nothing but a number
    interrupts.listen()
    try:
        try:
            code = cli(prog_name="keeprate", standalone_mode=False)
        except SystemExit as ended:
            code = ended.code
        interrupts.check()  # of a command that waited for nothing
        sys.exit(code)
    except (click.Abort, KeyboardInterrupt):
        _refuse("interrupted; nothing was concluded", 128 + signal.SIGINT)
    except Terminated as ended:
        _refuse(str(ended) or "terminated; nothing was concluded", 128 + signal.SIGTERM)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        way_out = f"\n'{error.ctx.command_path} --help' lists what there is" if error.ctx else ""
        _refuse(f"{error.format_message()}{way_out}", UsageError.exit_code)
    except KeeprateError as error:
        _refuse(str(error), error.exit_code)
    except BrokenPipeError:
        forget(sys.stdout)
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            _end(traceback.format_exc(), NoVerdictError.exit_code)
        forget(sys.stdout)
        _refuse(f"can't write to the standard output: {error.strerror}", UsageError.exit_code)
    except Exception:  # noqa: BLE001 - exit code 1 would say that a promise is broken
        _end(traceback.format_exc(), NoVerdictError.exit_code)


def _refuse(message: str, code: int) -> NoReturn:
    _end("\n".join(_wrapped(f"error: {message}")) + "\n", code)


def _end(text: str, code: int) -> NoReturn:
    """Ends with `code`, which is what counts where nobody reads the standard error or its disk is full."""
    try:
        click.echo(for_terminal(text), err=True, nl=False)
    except OSError:
        forget(sys.stderr)
    sys.exit(code)


def _wrapped(text: str) -> Iterator[str]:
    indent = " " * len("error: ")
    for number, line in enumerate(text.splitlines()):
        yield textwrap.fill(
            line,
            min(console(sys.stderr).width, WIDTH),
            initial_indent=indent if number else "",
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
