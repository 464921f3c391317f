"""Which findings of a plan are judged in one place, because they share a case."""

from __future__ import annotations

from collections.abc import Mapping

from keeprate.harness.protocol.case import Promise


def groups(promises: Mapping[str, Promise]) -> dict[str, str]:
    """For each finding its group, by the id of its first case: findings that share a case are judged in one place."""
    leader: dict[str, str] = {}

    def lead(case: str) -> str:
        while leader.setdefault(case, case) != case:
            case = leader[case]
        return case

    for promise in promises.values():
        first = lead(promise.cases[0].id)
        for case in promise.cases[1:]:
            leader[lead(case.id)] = first
    return {text: lead(promise.cases[0].id) for text, promise in promises.items()}
