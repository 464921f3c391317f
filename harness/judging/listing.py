"""What `--write-known` writes: a list by which the same backend passes again, whatever the seed, and nothing new does.

Which findings of a statistical fault reach their thresholds differs from seed to seed, and so does which of its
consequences show. So a cause is listed with all that it would explain. A statistical law that breaks without one is
listed by operator, with those that there is much evidence against beside it; with all that are statistical, where it is
the law that the others rest on. Findings of an exact law without a cause are listed one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from keeprate.harness.judging.diagnosis import Cause
from keeprate.harness.judging.finding import Finding
from keeprate.harness.protocol.case import ANY
from keeprate.harness.untrusted_text import line

NEW = "broken when this list was written"
HEAD = "# Known deviations of this backend: pattern # reason. Replace each reason by your own."


def known_text(lines: Iterable[tuple[str, str]], before: str = HEAD) -> str:
    """The text of a list: the one that there was, as it stands, and new patterns with their reasons."""
    return "\n".join([*before.splitlines(), *(f"{pattern}  # {reason}" for pattern, reason in lines)]) + "\n"


def unlisted(findings: Sequence[Finding], causes: Iterable[Cause], headline: str) -> list[tuple[str, str]]:
    """What broke and is on no list, as patterns with a reason: the sentence of a cause, where there is one.

    Args:
        findings: all of a verdict.
        causes: those of what failed.
        headline: the law whose probabilities the other statistical laws count with; empty for none.
    """
    judged = [finding for finding in findings if finding.evidence is not None or finding.status == "error"]
    failing = {finding.id: finding for finding in findings if finding.fails}
    lines: dict[str, str] = {}
    for cause in causes:
        lines = dict.fromkeys(_patterns(cause.reaches.union(cause.explains), judged), line(cause.sentence)) | lines
        for text in cause.explains:
            failing.pop(text, None)
    exact = [text for text, finding in failing.items() if finding.effect is None]
    subjects = {_subject(finding) for finding in failing.values() if finding.effect is not None}
    ops, lost = {op for op, _ in subjects}, {op for op, law in subjects if law == headline}
    random = (finding for finding in judged if finding.effect is not None)
    subjects |= {_subject(one) for one in random if one.op in lost or (one.op in ops and one.is_suspect)}
    broken = {finding.id for finding in judged if _subject(finding) in subjects}
    for pattern in (*exact, *_patterns(broken, judged)):
        lines.setdefault(pattern, NEW)
    return list(lines.items())


def _patterns(listed: Collection[str], judged: Sequence[Finding]) -> Iterator[str]:
    """What matches `listed` and nothing else that was judged, in whole laws, dtypes or contexts where these are whole.

    With what all findings show together of the statistical laws among them.
    """
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in judged:
        groups.setdefault(_subject(finding), []).append(finding)
    together = {finding.family for finding in judged if finding.id in listed and finding.effect is not None}
    for (op, law), group in groups.items():
        left = {finding.id for finding in group if finding.id in listed or (op == ANY and law in together)}
        for pattern in _candidates(op, law, group) if left else ():
            matched = {finding.id for finding in group if fnmatchcase(finding.id, pattern)}
            if matched & left and matched <= {*listed, *left}:
                yield pattern
                left -= matched


def _candidates(op: str, law: str, group: Sequence[Finding]) -> Iterator[str]:
    """Patterns of findings of one law in one operator, and of no law whose name begins alike: the widest first."""
    begins = [f"{op}/{law}{end}" for end in sorted({":" if ":" in finding.law else "/" for finding in group})]
    dtypes, contexts = ({getattr(finding, name) for finding in group} for name in ("dtype", "context"))
    yield from (f"{begin}*" for begin in begins)
    for begin in begins:
        each = begin if begin.endswith("/") else f"{begin}*/"
        yield from (f"{each}{dtype}/*" for dtype in sorted(dtypes))
        yield from (f"{each}*/{context}" for context in sorted(contexts))
    yield from (finding.id for finding in group)


def _subject(finding: Finding) -> tuple[str, str]:
    return finding.op, finding.family
