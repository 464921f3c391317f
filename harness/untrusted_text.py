"""What foreign code says, made fit to be shown: whatever it raises, and whatever signs are in it."""

from __future__ import annotations

from typing import Any

LONG, SHORT = 2000, 200  # characters of an error, which may have lines, and of a name or a value


def clean(text: str, most: int = LONG) -> str:
    """`text`, cut to `most` characters, with escapes for what a terminal obeys or UTF-8 lacks; lines stay lines."""
    cut = f"{text[:most]}… ({len(text):,} characters)" if len(text) > most else text
    return "".join(sign if sign.isprintable() or sign == "\n" else _escaped(sign) for sign in cut)


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")


def line(text: str) -> str:
    """The same for what is shown in a line: a name, a version."""
    return clean(text, SHORT).replace("\n", "\\n")


def told(error: BaseException) -> str:
    """The class of an exception and what it says, which may raise in its turn."""
    return f"{_class(error)}: {_said(error)}"


def briefly(error: BaseException) -> str:
    """The class of an exception, and the first line of what it says."""
    return f"{_class(error)}: {first_line(error)}"


def first_line(error: BaseException) -> str:
    """The first line of what an exception says."""
    return (_said(error).strip().splitlines() or ["(no message)"])[0][:SHORT]


def _class(error: BaseException) -> str:
    try:
        return line(type(error).__name__)
    except Exception:  # noqa: BLE001 - of its metaclass
        return "an exception without a name"


def _said(error: BaseException) -> str:
    try:
        return clean(str(error))
    except Exception as another:  # noqa: BLE001 - foreign code may raise anything
        return f"(its text can't be had: {_class(another)})"


def shown(value: Any) -> str:
    """What Python shows of a value, which may raise when it is asked."""
    try:
        return line(repr(value))
    except Exception as error:  # noqa: BLE001 - foreign code may raise anything
        return f"a {line(type(value).__name__)} whose repr raises {type(error).__name__}"
