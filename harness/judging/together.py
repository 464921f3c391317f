"""What all findings of a law show together: one finding more, over all operators, dtypes and contexts.

Only those count that are kept, and no known deviation. To choose these by what was seen costs nothing: where no finding
is broken all are chosen, whose product is an e-value, and that one is broken by chance is paid for by its own share.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from keeprate.harness.evidence.tally import Tally
from keeprate.harness.evidence.together import Together
from keeprate.harness.judging.finding import Finding, unjudged
from keeprate.harness.judging.request import Given
from keeprate.harness.protocol.case import Promise, over_all


def together(given: Given, findings: Sequence[Finding]) -> Iterator[Finding]:
    """One finding for each law that the suite names and that has several to put together."""
    request, by_law = given.request, defaultdict(list)
    for finding in findings:
        by_law[finding.family].append(finding)
    families = [id.family for id in {one.id.law: one.id for one in request.plan.values()}.values()]
    for law, share in request.suite.together.items():
        promise = Promise(over_all(law), share, (), 0)
        ways: dict[str, list[Tally]] = {}
        passes, listed = 1, False
        for finding in by_law[law]:
            if finding.status == "kept" and finding.known is None and isinstance(finding.evidence, Tally):
                ways.setdefault(finding.law, []).append(finding.evidence)
                passes = max(passes, finding.passes)
            listed |= finding.known is not None
        if sum(map(len, ways.values())) < 2:
            if listed:
                yield unjudged(promise, "unreadable", "known deviations cover what would be put together")
            continue
        evidence = Together(ways, families.count(law))
        text, broken = str(promise.id), evidence.reaches(promise.threshold(request.alpha))
        yield replace(
            unjudged(promise, "broken" if broken else "kept", ""),
            known=given.known.reason(text),
            replay=request.replay(text),
            evidence=evidence,
            level=request.alpha * share,
            detail=evidence.detail,
            passes=passes,
        )
