"""Where a night's next draws buy most; a pure function of what was seen so far."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

URGENCY = 4  # a suspicious case is drawn as if it had been gone through a quarter as often: twice the resolution
SUSPICIOUS = 1 / 3  # of the threshold, in log10: a faithful finding gets there about once in a thousand
EXACT = 0.1  # of a night's seconds: what repeats of exact cases may take, since they resolve nothing


@dataclass(frozen=True)
class Place:
    """A case that could be drawn next.

    Args:
        case: its id.
        draws: what one pass over it draws.
        passes: how often it was gone through, those under way included.
        seconds: about what one pass takes a worker; 0 where nothing like it was timed yet.
        suspicious: the evidence of one of its findings is on the way to its threshold.
    """

    case: str
    draws: int
    passes: int
    seconds: float = 0.0
    suspicious: bool = False


def choose(places: Collection[Place], exact: Collection[Place] = (), part: float = 1.0) -> Place | None:
    """The place to draw at next; None if there is none.

    What was never looked at comes first, the cheapest first, so that a short night looks at many. Then exact cases,
    the least often seen first, as long as they took less than their part of the night. Then what resolves most in a
    second.

    Args:
        places: statistical cases.
        exact: cases that rest on no statistics, and were not gone through tonight.
        part: of the night's seconds so far, what exact cases took.
    """
    fresh = [place for place in (*places, *exact) if not place.passes]
    if fresh:
        return min(fresh, key=lambda place: place.draws)
    if exact and (part < EXACT or not places):
        return min(exact, key=lambda place: (place.passes, place.draws))
    return max(places, key=_gain, default=None)


def _gain(place: Place) -> float:
    """How much finer a pass resolves, in a second.

    The smallest departure that N draws show is about 1/√N, so a pass of d draws adds √(N + d) − √N to its inverse:
    about √(d / passes) / 2. If the sum over all cases is to grow fastest, a case gets draws as the square of its speed.
    """
    if not place.seconds:
        return math.inf
    return math.sqrt(place.draws * (URGENCY if place.suspicious else 1) / place.passes) / place.seconds
