"""The console script: a command from its signals to its exit code, whatever goes wrong in between."""

from __future__ import annotations

import _thread
import errno
import os
import signal
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NoReturn

import click

from keeprate.harness.commands.cli import cli
from keeprate.harness.commands.console import forget, open_streams
from keeprate.harness.errors import KeeprateError, NoVerdictError, UsageError
from keeprate.harness.judging.text import WIDTH
from keeprate.harness.untrusted_text import for_terminal

NOTICED = 0.2  # seconds within which a thread that isn't waiting answers a signal
ENDING = 5.0  # seconds within which a run ends that was told to


class _Terminated(BaseException):
    """SIGTERM: as an interrupt is."""


def main() -> None:
    """The console script: errors that a person can mend are one sentence, with the exit code of their class.

    A fault of ours keeps its whole traceback, and is no verdict.
    """
    open_streams()
    try:  # around the answers to what goes wrong as well: a signal comes when it likes, and raises once
        _with_signals(_command)
    except (click.Abort, KeyboardInterrupt):
        _refuse("interrupted; nothing was concluded", 128 + signal.SIGINT)
    except _Terminated:
        _refuse("terminated; nothing was concluded", 128 + signal.SIGTERM)


def _with_signals(command: Callable[[], NoReturn]) -> NoReturn:
    """Answers signals during `command`, whatever waits in it, and ignores them while Python itself ends.

    Python answers signals in its main thread alone, and where the system gave one to another thread, as it may to a
    process that was stopped, the main thread would wait on.
    """
    heard, tell = os.pipe()
    os.set_blocking(tell, False)
    before = signal.set_wakeup_fd(-1)
    try:
        answered = threading.Event()
        _thread.start_new_thread(_listen, (heard, answered, threading.get_ident()))
        signal.signal(signal.SIGTERM, partial(_stopped, answered))
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # a shell starts what runs in the background so
            signal.signal(signal.SIGINT, partial(_stopped, answered))
        signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        command()
    finally:
        _answer_signals(signal.SIG_IGN)
        signal.set_wakeup_fd(before)
        os.close(tell)


def _command() -> NoReturn:
    try:
        sys.exit(cli(prog_name="keeprate", standalone_mode=False))
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
    except click.Abort:
        raise
    except Exception:  # noqa: BLE001 - exit code 1 would say that a promise is broken
        _end(traceback.format_exc(), NoVerdictError.exit_code)


def _listen(heard: int, answered: threading.Event, main_thread: int) -> None:
    """In a thread of its own, until nobody can tell it any more: hears of signals, whatever the main thread does.

    What the first one raises may be lost, as in a callback. One that comes when it should long be over ends the process
    at once; its workers end with it.
    """
    first = None
    while number := os.read(heard, 1):
        if first is None:
            first = time.monotonic()
            if not answered.wait(NOTICED):
                signal.pthread_kill(main_thread, number[0])
        elif time.monotonic() - first > ENDING:
            os._exit(128 + number[0])
    os.close(heard)


def _stopped(answered: threading.Event, number: int, frame: Any) -> NoReturn:
    """Ends as an interrupt does, so that the workers are ended too; a second signal must not stop that.

    It says nothing itself: it may have come in the middle of what is being written.
    """
    _answer_signals(_unheard)
    answered.set()
    raise KeyboardInterrupt if number == signal.SIGINT else _Terminated


def _unheard(number: int, frame: Any) -> None:
    """A function, since Python writes a traceback where a signal that has already come is set to be ignored."""


def _answer_signals(how: Callable[[int, Any], None] | signal.Handlers) -> None:
    signal.signal(signal.SIGTERM, how)
    signal.signal(signal.SIGINT, how)


def _refuse(message: str, code: int) -> NoReturn:
    _end("\n".join(_wrapped(f"error: {message}")) + "\n", code)


def _end(text: str, code: int) -> NoReturn:
    """Ends with `code`, which is what counts where nobody reads the standard error or its disk is full."""
    _answer_signals(signal.SIG_IGN)  # which lasts while Python itself ends
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
            WIDTH,
            initial_indent=indent if number else "",
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
