"""Where a night's next draws buy most; a pure function of what was seen so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# A case that looks suspicious is drawn as if it had been gone through a quarter as often: twice the resolution.
URGENCY = 4
SUSPICIOUS = 1 / 3  # of the threshold, in log10: a faithful finding gets there about once in a thousand


@dataclass(frozen=True)
class Place:
    """A case that could be drawn next.

    Args:
        case: its id.
        draws: what one pass over it draws.
        passes: how often it was gone through, those under way included.
        suspicious: the evidence of one of its findings is on the way to its threshold.
    """

    case: str
    draws: int
    passes: int
    suspicious: bool = False


def choose(places: Iterable[Place]) -> Place | None:
    """The place to draw at next; None if there is none.

    What was never looked at comes first, the cheapest first, so that a short night looks at many. Then what is least
    resolved: one pass over any case draws what the plan's aim takes there, so that equal passes are equal resolution.
    """
    return min(places, key=_order, default=None)


def _order(place: Place) -> tuple[float, int]:
    return place.passes / (URGENCY if place.suspicious else 1), place.draws
