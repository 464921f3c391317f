"""What the runs of a ledger were asked to look at: what none was asked for doesn't wait, and isn't kept either."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from keeprate.harness.judging.decision import Unasked
from keeprate.harness.judging.request import Request, choice
from keeprate.harness.ledger.store import Ledger
from keeprate.harness.protocol.case import ANY, Promise, narrowed

Choice = tuple[tuple[str, ...], tuple[str, ...]]  # operators and dtypes, each empty for all


class Asked:
    """What runs of one subject and profile were asked for, all of them together.

    Attributes:
        never: the promises of the plan that none was asked for.
    """

    def __init__(self, ledger: Ledger, subject: int, request: Request) -> None:
        """Reads it; a run that says nothing was asked for the whole plan."""
        rows = ledger.db.execute(
            "SELECT DISTINCT coalesce(ops, '') AS ops, coalesce(dtypes, '') AS dtypes FROM run "
            "LEFT JOIN asked ON asked.run = run.id WHERE backend = ? AND profile = ?",
            (subject, request.profile),
        )
        self._choices: list[Choice] = [(choice(row["ops"]), choice(row["dtypes"])) for row in rows]
        found = {text for each in self._choices for text in narrowed(request.plan, *each)}
        self.never = {text: promise for text, promise in request.plan.items() if text not in found}

    def told(self, left: Iterable[Promise], seen: Collection[str]) -> tuple[Unasked, ...]:
        """What no run was asked for, by operator.

        Args:
            left: promises that no run was asked for and that nothing was drawn of.
            seen: operators of which something was drawn.
        """
        found: dict[str, set[str]] = {}
        for promise in left:
            found.setdefault(promise.id.op, set()).update(case.dtype for case in promise.cases)
        return tuple(self._of(op, dtypes - {ANY}, op in seen) for op, dtypes in found.items())

    def _of(self, op: str, dtypes: set[str], seen: bool) -> Unasked:
        mine = [each for ops, each in self._choices if not ops or op in ops]  # their dtypes
        lacking = dtypes.difference(*mine) if mine and all(mine) else set()
        return Unasked(op, tuple(sorted(lacking)), whole=not mine and not seen)
