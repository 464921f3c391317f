"""Cases that could be drawn next, and which of them is worth it most, found without a look at each."""

from __future__ import annotations

import heapq
import itertools
import math
from dataclasses import dataclass

URGENCY = 4  # a suspicious case is drawn as if it had been gone through a quarter as often: twice the resolution
EXACT = 0.1  # of a night's seconds: what repeats of exact cases may take, since they resolve nothing
STALE = 4  # entries of a line for each place, at most: those that no longer hold are thrown away then


@dataclass(frozen=True)
class Place:
    """A case that could be drawn next.

    Args:
        case: its id.
        draws: what one pass over it draws.
        passes: how often it was gone through, those under way included.
        seconds: about what one pass takes a worker; 0 where nothing like it was timed yet.
        suspicious: the evidence of one of its findings is on the way to its threshold.
        exact: it rests on no statistics.
        broke: in the version before, so that it is asked first whether it was mended.
    """

    case: str
    draws: int
    passes: int
    seconds: float = 0.0
    suspicious: bool = False
    exact: bool = False
    broke: bool = False


class Places:
    """All of a night: statistical cases in one line, exact ones in another."""

    def __init__(self) -> None:
        self._now: dict[str, Place] = {}
        self._lines: dict[bool, list[tuple[tuple[float, ...], int, Place]]] = {False: [], True: []}
        self._number = itertools.count()

    def put(self, place: Place) -> None:
        """Adds a place, in place of that of the same case."""
        line = self._lines[place.exact]
        if len(line) > STALE * len(self._now):
            line[:] = [entry for entry in line if self._holds(entry[2])]
            heapq.heapify(line)
        self._now[place.case] = place
        heapq.heappush(line, (_order(place), next(self._number), place))

    def drop(self, case: str) -> None:
        """Takes a case out."""
        self._now.pop(case, None)

    def first(self, part: float) -> Place | None:
        """The place to draw at next; None if there is none.

        What was never looked at comes first: what the version before broke, then the cheapest, so that a short night
        looks at many. Then exact cases, the least often seen first, as long as they took less than their part of the
        night. Then what resolves most in a second.

        Args:
            part: of the night's seconds so far, what exact cases took.
        """
        random, exact = self._head(self._lines[False]), self._head(self._lines[True])
        if fresh := [place for place in (random, exact) if place and not place.passes]:
            return min(fresh, key=_order)
        return exact if exact and (part < EXACT or not random) else random

    def _head(self, line: list[tuple[tuple[float, ...], int, Place]]) -> Place | None:
        while line and not self._holds(line[0][2]):
            heapq.heappop(line)
        return line[0][2] if line else None

    def _holds(self, place: Place) -> bool:
        return self._now.get(place.case) is place


def _order(place: Place) -> tuple[float, ...]:
    if not place.passes:
        return False, not place.broke, place.draws
    return (True, place.passes, place.draws) if place.exact else (True, -_gain(place))


def _gain(place: Place) -> float:
    """How much finer a pass resolves, in a second.

    The smallest departure that N draws show is about 1/√N, so a pass of d draws adds √(N + d) − √N to its inverse:
    about √(d / passes) / 2. If the sum over all cases is to grow fastest, a case gets draws as the square of its speed.
    """
    if not place.seconds:
        return math.inf
    return math.sqrt(place.draws * (URGENCY if place.suspicious else 1) / place.passes) / place.seconds
