"""What hypotheses are tested on, and where: broken findings with their evidence, and places that were looked at."""

from __future__ import annotations

from typing import NamedTuple

from keeprate.harness.evidence.account import Account
from keeprate.harness.evidence.kinds import Evidence
from keeprate.harness.judging.finding import Finding
from keeprate.harness.protocol.case import Case


class Seen(NamedTuple):
    """A broken finding, and what each of its cases gave.

    Args:
        finding: the finding.
        parts: its cases, each with its evidence; None for a case that gave nothing.
    """

    finding: Finding
    parts: tuple[tuple[Case, Evidence | None], ...]


class Told(NamedTuple):
    """A hypothesis, with its parameter, that was tested in one place.

    Args:
        name: the hypothesis, with its parameter.
        op, dtype, context: where it was tested.
        account: how it fared there.
        shape: of the input there; empty for none in particular.
    """

    name: str
    op: str
    dtype: str
    context: str
    account: Account
    shape: tuple[int, ...] = ()
