"""What foreign code says, made fit to be shown: whatever it raises, whatever signs are in it, wherever it is shown.

`clean` is for what comes in: errors, names, values. The others are for what goes out, whoever has written it: a ledger
and a verdict may be anybody's.
"""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Iterable
from typing import Any

LONG, SHORT = 2000, 200  # characters of an error, which may have lines, and of a name or a value

# Where a line is a command to GitHub Actions: `::` begins it, or `##[` is anywhere in it. Rich's markup escapes a `[`.
_COMMAND = re.compile(r"^( *)(?=::)|(?<=#)(?=#\\*\[)", re.MULTILINE)
# What Markdown takes for more than text, GitHub's tables, links and formulas included; underscores in a word are none.
_MARKUP = re.compile(r"[\\`*\[\]<>&~|#@$]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.", re.IGNORECASE)
# Where C++ was, as some messages say at their end, in lines of their own or in a text that is quoted.
_FRAMES = re.compile(r"(?:\n|\\n)(?:Exception raised from |frame #\d+: |<omitting python)(?:(?!\n|\\n|'\)).)*")
_QUOTED = re.compile(r"""\b(\w*(?:Error|Exception))\((['"])(.+?)\2\)""")
_BLOCK = re.compile(r"^(\d+)(?=[.)](?:\s|$))|^(?=[-+](?:\s|$)|[-=]+$)")  # what begins an item, or underlines a heading


def clean(text: str, most: int = LONG) -> str:
    """`text`, cut to `most` characters, with escapes for what a terminal obeys or UTF-8 lacks; lines stay lines."""
    return _printable(f"{text[:most]}… ({len(text):,} characters)" if len(text) > most else text)


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or sign == "\n" else sign.encode("unicode_escape").decode() for sign in text
    )


def printable(value: Any) -> Any:
    """JSON values that anyone may have written, with the same escapes in every text, keys included."""
    if isinstance(value, str):
        return _printable(value)
    if isinstance(value, dict):
        return {_printable(key): printable(item) for key, item in value.items()}
    return [printable(item) for item in value] if isinstance(value, list | tuple) else value


def for_terminal(text: str) -> str:
    """Lines that a terminal shows and doesn't obey, nor GitHub Actions, which reads commands from what is printed."""
    return _COMMAND.sub(r"\1\\", _printable(text))


def for_markdown(text: str) -> str:
    """`text` in one line, as nothing but text, in a table too."""
    line = clean(" ".join(text.split()))
    return _BLOCK.sub(r"\1\\", _MARKUP.sub(r"\\\g<0>", line))


def table_row(cells: Iterable[str]) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(map(for_markdown, cells))} |"


def code_block(text: str) -> str:
    """Lines of Markdown that show `text` as it is."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}text\n{_printable(text)}\n{fence}"


def for_html(text: str) -> str:
    """`text` for an element or a quoted attribute; lines stay lines."""
    return html.escape(clean(text))


def github_error(title: str, text: str) -> str:
    """The line that has GitHub Actions show an error.

    Source: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
    """
    head = _data(title).replace(":", "%3A").replace(",", "%2C")
    return f"::error title={head}::{_data(text)}"


def _data(text: str) -> str:
    return _printable(text).replace("%", "%25").replace("\n", "%0A")


def line(text: str) -> str:
    """The same for what is shown in a line: a name, a version."""
    return clean(text, SHORT).replace("\n", "\\n")


def told(error: BaseException) -> str:
    """The class of an exception and what it says, which may raise in its turn."""
    return f"{class_of(error)}: {_said(error)}"


def briefly(error: BaseException) -> str:
    """The class of an exception, and the last line of what it says: before that frameworks tell how they came there.

    Where several lines quote another exception, that one is told: they are about it.

    Args:
        error: an exception that foreign code raised.
    """
    lines = _lines(error)
    quoted = _QUOTED.search("\n".join(lines)) if len(lines) > 1 else None
    said = f"{quoted[1]}: {quoted[3]}".removesuffix("\\n") if quoted else lines[-1]
    return f"{class_of(error)}: {said}"


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, cut between words where it is long.

    Args:
        error: an exception that foreign code raised.
    """
    return textwrap.shorten(_lines(error)[0], SHORT, placeholder=" …")


def _lines(error: BaseException) -> list[str]:
    return [line for line in _said(error).splitlines() if line.strip()] or ["(no message)"]


def class_of(error: BaseException) -> str:
    """The name of the class of an exception."""
    try:
        return line(type(error).__name__)
    except Exception:  # noqa: BLE001 - of its metaclass
        return "an exception without a name"


def _said(error: BaseException) -> str:
    try:
        return clean(_FRAMES.sub("", str(error)))
    except Exception as another:  # noqa: BLE001 - foreign code may raise anything
        return f"(its text can't be had: {class_of(another)})"


def shown(value: Any) -> str:
    """What Python shows of a value, which may raise when it is asked.

    Args:
        value: anything that foreign code returned.
    """
    try:
        return line(repr(value))
    except Exception as error:  # noqa: BLE001 - foreign code may raise anything
        return f"a {line(type(value).__name__)} whose repr raises {type(error).__name__}"
