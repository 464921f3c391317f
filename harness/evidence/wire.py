"""Evidence as it travels and as a ledger keeps it: JSON, of any kind that this process knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keeprate.harness.evidence import account, check, moments, tally  # noqa: F401 - the kinds that every process knows
from keeprate.harness.evidence.decoding import one_at_a_time
from keeprate.harness.evidence.kinds import KINDS, Evidence


def of_json(data: Any) -> Evidence:
    """Evidence from what its `to_json` wrote, or anyone else.

    Raises:
        ValueError: it is none, or of a kind that nothing here has entered.
    """
    name = data.get("type") if isinstance(data, Mapping) else None
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"no kind of evidence is called {name!r}: is its suite loaded?")
    with one_at_a_time:
        return kind.from_json(data)


def decoded(kind: type, data: Any) -> Evidence:
    """The same as a `dec_hook` of msgspec, for types that hold evidence and nothing else that it doesn't know."""
    assert kind is Evidence
    return of_json(data)
