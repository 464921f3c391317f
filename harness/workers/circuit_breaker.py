"""When a backend that takes its workers down is given up: one takes seconds to replace, and minutes to wait for."""

from __future__ import annotations

import threading
from collections import Counter

ENOUGH = 8  # lost workers
LIMIT = 3  # of those that had to be ended at a limit


class CircuitBreaker:
    """How many workers were lost to the cases of one side, and when that is enough.

    An operator is given up after eight lost workers, or three that had to be ended at a limit; all operators, if none
    of them had given an answer by then. Once three were ended at a limit, whichever operators they were lost to, each
    operator is given up at its first: so a backend that always hangs costs few more limits than it has operators, and
    an operator that answers is judged to its end. Several threads may tell it at once.
    """

    def __init__(self) -> None:
        self._counting = threading.Lock()
        self._answered = False
        self._lost: Counter[str] = Counter()  # by operator
        self._slow: Counter[str] = Counter()  # of these, at a limit
        self._last: dict[str, str] = {}
        self._latest = ""

    def answered(self) -> None:
        """Takes a case that was judged."""
        self._answered = True

    def lost(self, op: str, how: str, *, limit: bool) -> None:
        """Takes a lost worker: `how` it ended, and whether that was at a limit."""
        with self._counting:
            self._lost[op] += 1
            self._slow[op] += limit
            self._last[op] = self._latest = how

    def ended(self, op: str) -> str:
        """Why no more cases of `op` are to be run; empty if they are."""
        with self._counting:
            if not self._answered and _enough(self._lost.total(), self._slow.total()):
                return f"given up: every case so far ended the same way; the last one: {self._latest}"
            if _enough(self._lost[op], self._slow[op]):
                return f"given up: too many cases of {op} ended their worker; the last one: {self._last[op]}"
            if self._slow[op] and self._slow.total() >= LIMIT:
                return f"given up: cases of several operators ran into a limit; the last one: {self._last[op]}"
            return ""


def _enough(lost: int, slow: int) -> bool:
    return lost >= ENOUGH or slow >= LIMIT
