"""What hypotheses look at, by the operator of a case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keeprate.specs.attention.encoder import OPERATOR
from keeprate.specs.attention.hypotheses.clues import Clues
from keeprate.specs.attention.hypotheses.encoder_clues import EncoderClues
from keeprate.specs.attention.hypotheses.passes import Passes
from keeprate.specs.attention.hypotheses.recurrent_clues import RecurrentClues
from keeprate.specs.attention.network import OPERATORS
from keeprate.suite import Case

KINDS: dict[str, type[Clues]] = {**dict.fromkeys(OPERATORS, RecurrentClues), OPERATOR: EncoderClues}


def clues(case: Case, backend: Any, seed: int) -> Iterator[Clues]:
    """One sample: all that hypotheses may ask for."""
    yield KINDS.get(case.op, Passes)(case, backend, seed)
