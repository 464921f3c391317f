"""Hypotheses about other processes, where a case can't look around: what was recorded there says what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from keeprate.specs.attention.processes import ALIKE, ANOTHER, UNLIKE
from keeprate.suite import NEVER, Account, Check, Hypothesis, Seen, Told

FIRST = {UNLIKE: "process_unlike", ANOTHER: "process_again", ALIKE: "process_alike"}  # by the first that is wrong


def _h(name: str, says: str, *laws: str) -> Hypothesis:
    return Hypothesis(name, "record", says, None, frozenset(laws))


HYPOTHESES = (
    _h("process_unlike", "draws different masks after the same seed", "seeding"),
    _h("process_alike", "draws the same first mask in every process where no seed is set", "seeding"),
    _h("process_again", "draws after one seed what it draws after another", "seeding", "streams", "no_stretch_twice"),
)


def accounts(seen: Iterable[Seen], broken: frozenset[str]) -> Iterator[Told]:
    """What the evidence of other processes tells.

    Args:
        seen: all findings that have evidence.
        broken: ids of those that broke.
    """
    for one in seen:
        for case, evidence in one.parts:
            if case.context != "process" or one.finding.id not in broken or not isinstance(evidence, Check):
                continue
            said = evidence.first.words.get("first", "") if evidence.first else ""
            name = "process_again" if one.finding.family == "no_stretch_twice" else FIRST.get(said)
            if evidence.wrong and name:
                account = Account(evidence.checked, 0.0, NEVER, said or evidence.where)
                yield Told(name, case.op, case.dtype, case.context, account)
