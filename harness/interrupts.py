"""The flag that a signal sets: whatever waits looks at it, so that a run ends between two steps, never within one.

So locks, threads and futures may be used as anywhere. Only the console script has its signals set the flag. In pytest,
or in a program that imports keeprate, Python raises KeyboardInterrupt in the main thread, as it always does.
"""

from __future__ import annotations

import atexit
import math
import os
import queue
import signal
import time
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any, TypeVar

LOOK = 0.1  # seconds between two looks at the flag
TOGETHER = 2.0  # seconds within which signals are one: a key pressed twice, what a shell passes on that had it as well
Value = TypeVar("Value")


class Terminated(BaseException):
    """SIGTERM, as KeyboardInterrupt is SIGINT."""


_asked = 0  # the signal that nobody has answered yet; 0 for none
_since = math.inf  # what `time.monotonic` said at the first signal


def listen() -> None:
    """Has SIGINT and SIGTERM set the flag from now on; where a shell has SIGINT ignored, it stays so."""
    global _asked, _since
    _asked, _since = 0, math.inf
    signal.signal(signal.SIGTERM, _note)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _note)
    atexit.register(_ignore)  # while Python itself ends, the exit code is what it is


def _ignore() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _note(number: int, frame: Any) -> None:
    """Sets the flag; a signal that comes later ends the process at once, and its workers end with it."""
    global _asked, _since
    now = time.monotonic()
    if now - _since > TOGETHER:
        os._exit(128 + number)
    if _since == math.inf:
        _asked, _since = number, now


def check() -> None:
    """Ends the run here if a signal has asked for that.

    Raises:
        KeyboardInterrupt: it was SIGINT.
        Terminated: it was SIGTERM.
    """
    if _asked:
        raise KeyboardInterrupt if _asked == signal.SIGINT else Terminated


def answered() -> None:
    """Takes the signal as answered: what is done from now on, as a night's report, is done to its end."""
    global _asked
    _asked = 0


def get(source: queue.SimpleQueue[Value]) -> Value:
    """The next item of a queue, looking at the flag while there is none.

    Raises:
        KeyboardInterrupt, Terminated: a signal has come.
    """
    while True:
        check()
        with suppress(queue.Empty):
            return source.get(timeout=LOOK)


def result(future: Future[Value]) -> Value:
    """What a future gives, looking at the flag until it does.

    Raises:
        KeyboardInterrupt, Terminated: a signal has come.
    """
    while not wait([future], timeout=LOOK).done:
        check()
    return future.result()
