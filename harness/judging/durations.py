"""How long cases took: each study together, and the slowest of them."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from keeprate.harness.judging.text import WIDTH, filled
from keeprate.harness.protocol.case import Promise
from keeprate.harness.protocol.engine import Result


def by_study(results: Iterable[Result], plan: Mapping[str, Promise]) -> dict[str, float]:
    """Seconds of workers that each study took, the longest first; empty for results that a ledger tells."""
    studies = {case.id: case.study for promise in plan.values() for case in promise.cases}
    spent: defaultdict[str, float] = defaultdict(float)
    for result in results:
        if result.seconds:
            spent[studies[result.case]] += result.seconds
    return {study: round(spent[study], 3) for study in sorted(spent, key=spent.__getitem__, reverse=True)}


def slowest(results: Iterable[Result], studies: Mapping[str, float], number: int, width: int = WIDTH) -> Iterator[str]:
    """Lines that tell the `number` slowest cases, all of them for 0, as pytest does."""
    every = list(results)
    if not every:
        return
    first = heapq.nlargest(number or len(every), every, key=lambda result: result.seconds)
    told = ", ".join(f"{name} {spent:.2f}" for name, spent in studies.items())
    yield filled(f"seconds of workers by study: {told}", width)
    yield f"the slowest {len(first):,} of {len(every):,} cases:"
    for result in first:
        side = " of the reference" if result.role == "reference" else ""
        yield f"{result.seconds:9.2f} s  {result.case}{side}"
    yield ""
