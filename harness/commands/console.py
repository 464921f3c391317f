"""The standard streams as they are found: a terminal or none, closed, left by their reader, of any encoding."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from keeprate.harness.judging.text import WIDTH
from keeprate.harness.untrusted_text import for_terminal


class _Console(Console):
    """Shows signs that a terminal obeys, and says no more once its reader has left; the exit code is the verdict's."""

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(for_terminal(text), **how)

    def on_broken_pipe(self) -> None:
        self.quiet = True
        forget(sys.stdout)


def console(stream: Any) -> Console:
    """A console as wide as its terminal, or as COLUMNS says; 80 columns where neither says anything."""
    told = stream.isatty() or os.environ.get("COLUMNS", "").isdigit()
    return _Console(file=stream, width=None if told else WIDTH, emoji=False)


def progress(done: ProgressColumn) -> Progress:
    """A bar on the standard error, silent where no terminal is; `done` says how far it is."""
    columns = TextColumn("{task.description}", markup=False), BarColumn(), done, TimeElapsedColumn()
    return Progress(*columns, console=console(sys.stderr), transient=True, disable=not sys.stderr.isatty())


def forget(stream: Any) -> None:
    """Sends what is still to be written to nobody, so that the end of the program doesn't fail on it."""
    nobody = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nobody, stream.fileno())
    os.close(nobody)


def open_streams() -> None:
    """Opens those of the three standard streams that are closed, and lets them take what their encoding lacks."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the program
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - the same
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a test may have put another in its place
            stream.reconfigure(errors="backslashreplace")
