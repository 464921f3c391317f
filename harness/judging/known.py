"""Known deviations: a text file, one pattern of finding ids a line, with the reason after `#`.

An adapter's own list lies beside it, under its name: `mine.known` beside `mine.py`. It is used unless a person names
another, which then stands alone: `--known /dev/null` judges without any.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from keeprate.harness.errors import UsageError
from keeprate.harness.files import kind, read
from keeprate.harness.judging.finding import Finding
from keeprate.harness.protocol.source import locate

NEW = "broken when this list was written"
UNASKED = ("not_offered", "not_implemented")
HEAD = "# Known deviations of this backend: pattern # reason. Replace each reason by your own."
LARGEST = 1 << 24  # bytes of a list: a hundred times every finding of every plan


@dataclass(frozen=True)
class Known:
    """Patterns (`fnmatch`, on the whole id) with their reasons, in the order of the file.

    Args:
        path: the file; empty where there is none.
        text: what the file holds, comments and all.
    """

    patterns: tuple[tuple[str, str], ...] = ()
    path: str = ""
    text: str = ""

    def reason(self, finding: str) -> str | None:
        """The reason given for `finding`, or None if no pattern matches it."""
        return next((reason for pattern, reason in self.patterns if fnmatchcase(finding, pattern)), None)

    def idle(self, findings: Collection[str]) -> list[str]:
        """The patterns that match none of `findings`: mistyped, or of another plan."""
        return [pattern for pattern, _ in self.patterns if not any(fnmatchcase(text, pattern) for text in findings)]


def read_known(path: str | Path) -> Known:
    """The list in the file at `path`.

    Raises:
        UsageError: it can't be read, or a line has no pattern or no reason.
    """
    try:
        text = read(Path(path), LARGEST)
    except UsageError as error:
        raise UsageError(f"known deviations {error}") from None
    patterns = []
    for number, line in enumerate(text.splitlines(), start=1):
        pattern, _, reason = (part.strip() for part in line.partition("#"))
        if not pattern:  # an empty line, or a comment
            continue
        if not reason:
            raise UsageError(f"known deviations {path}, line {number}: '{pattern}' has no reason after '#'")
        patterns.append((pattern, reason))
    return Known(tuple(patterns), str(path), text)


def known_beside(backend: str) -> Known:
    """The list that lies beside the adapter called `backend`; an empty one where none does.

    Raises:
        UsageError: it can't be read, or a line has no pattern or no reason.
    """
    source = locate(backend)
    path = source.path.with_suffix(".known") if source else None
    return read_known(path) if path is not None and kind(path) == "file" else Known()


def known_text(lines: Iterable[tuple[str, str]], before: str = HEAD) -> str:
    """What `--write-known` writes: the list that there was, as it stands, and new patterns with their reasons."""
    return "\n".join([*before.splitlines(), *(f"{pattern}  # {reason}" for pattern, reason in lines)]) + "\n"


def unlisted(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    """What broke and is on no list, as patterns with a reason: of an exact law ids, of a statistical one all there are.

    Which findings of a statistical law reach their thresholds differs from seed to seed, so ids of one run are too few.
    """
    lines: dict[str, str] = {}
    for finding in findings:
        if finding.fails:
            patterns = [finding.id] if finding.effect is None else _patterns(finding, findings)
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
        if all(finding.effect is None for finding in group):
            yield from ([finding] for finding in kept)
        elif kept == group:
            yield kept


def _subject(finding: Finding) -> tuple[str, str]:
    return finding.op, finding.family
