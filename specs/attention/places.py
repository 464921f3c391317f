"""Where a case looks, whatever its operator."""

from __future__ import annotations

from keeprate.specs.attention.network import OPERATORS, Network
from keeprate.specs.attention.place import Place
from keeprate.suite import Case

Where = Place | Network


def place_of(case: Case) -> Where:
    """Where a case looks."""
    return Network.of(case) if case.op in OPERATORS else Place.of(case)
