"""Where a case looks, whatever its operator."""

from __future__ import annotations

from dataclasses import replace

from keeprate.specs.attention import network
from keeprate.specs.attention.encoder import OPERATOR, SITES, Encoder
from keeprate.specs.attention.network import Network
from keeprate.specs.attention.place import Place
from keeprate.suite import Case

Where = Place | Network | Encoder
OPERATORS = ("attention", *network.OPERATORS, OPERATOR)


def place_of(case: Case) -> Where:
    """Where a case looks."""
    if case.op == OPERATOR:
        return Encoder.of(case)
    return Network.of(case) if case.op in network.OPERATORS else Place.of(case)


def looks(place: Where) -> list[Where]:
    """Where all masks of a call can be read, in the order of their draws."""
    return [replace(place, site=site) for site in range(len(SITES))] if isinstance(place, Encoder) else [place]
