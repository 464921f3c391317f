"""JSON and plain values as types of ours, in whichever thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

Decoded = TypeVar("Decoded")

# msgspec 0.22 looks at a type when it first decodes one. Where two threads do that at once it may end the process.
one_at_a_time = threading.RLock()


def converted(data: Any, kind: type[Decoded], hook: Callable[[type, Any], Any] | None = None) -> Decoded:
    """Plain values as a `kind`; `hook` makes the types that msgspec doesn't know.

    Raises:
        msgspec.ValidationError: they are none.
    """
    with one_at_a_time:
        return msgspec.convert(data, kind, dec_hook=hook)


def parsed(text: str | bytes, kind: type[Decoded]) -> Decoded:
    """JSON as a `kind`.

    Raises:
        msgspec.DecodeError: it is none, or no JSON.
        RecursionError: it is nested too deeply.
    """
    with one_at_a_time:
        return msgspec.json.decode(text, type=kind)
