"""Known deviations among findings: those that no longer show, and the lines that a list still lacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from keeprate.harness.judging.finding import Finding

NEW = "broken when this list was written"
UNASKED = ("not_offered", "not_implemented")


def unlisted(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    """What broke and is on no list, as patterns with a reason: of an exact law ids, of a statistical one all there are.

    Which findings of a statistical law reach their thresholds differs from seed to seed, so ids of one run are too few.
    """
    lines: dict[str, str] = {}
    for finding in findings:
        if finding.fails:
            patterns = [finding.id] if finding.evidence is None else _patterns(finding, findings)
            lines |= dict.fromkeys(patterns, NEW)
    return list(lines.items())


def _patterns(finding: Finding, findings: Iterable[Finding]) -> Iterator[str]:
    """What matches every finding of the same operator and law, and none of a law whose name begins alike."""
    mine = _subject(finding)
    for end in sorted({":" if ":" in other.law else "/" for other in findings if _subject(other) == mine}):
        yield f"{'/'.join(mine)}{end}*"


def no_longer_seen(findings: Iterable[Finding]) -> Iterator[list[Finding]]:
    """Known deviations that are kept, each with those that hold or break together with it.

    A finding of an exact law stands alone. Of a statistical law some are kept by chance while others break: so all that
    a reason covers of an operator and a law must be kept.
    """
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        if finding.known is not None and finding.status not in UNASKED:
            groups.setdefault((finding.known, *_subject(finding)), []).append(finding)
    for group in groups.values():
        kept = [finding for finding in group if finding.status == "kept"]
        if all(finding.evidence is None for finding in group):
            yield from ([finding] for finding in kept)
        elif kept == group:
            yield kept


def _subject(finding: Finding) -> tuple[str, str]:
    return finding.op, finding.family
