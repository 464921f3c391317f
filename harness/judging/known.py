"""Known deviations: a text file, one pattern of finding ids a line, with the reason after `#`.

`PATTERN if NAME # reason` counts only where the backend has that name, as it may on some machines alone.
`PATTERN if NAME below 5% # reason` counts only while less than that of what an exact law looked at is wrong.
The list of a reference is used too: what is known of it takes no verdict away.

An adapter's own list lies beside it, under its name: `mine.known` beside `mine.py`. It is used unless a person names
another, which then stands alone: `--known /dev/null` judges without any.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from keeprate.harness.errors import KeeprateError, UsageError
from keeprate.harness.files import kind, read
from keeprate.harness.judging.finding import Finding
from keeprate.harness.protocol.lookup import installed
from keeprate.harness.protocol.source import locate
from keeprate.harness.protocol.suite import load_suite
from keeprate.harness.untrusted_text import clean

UNASKED = ("not_offered", "not_implemented")
LINE = re.compile(r"(\S+)(?:\s+if\s+([^\W\d]\w*)(?:\s+below\s+(\d+(?:\.\d+)?)%)?)?")
LARGEST = 1 << 24  # bytes of a list: a hundred times every finding of every plan


class Deviation(NamedTuple):
    """A pattern (`fnmatch`, on the whole id), the reason, a name that the backend must have, and how much may be wrong.

    Args:
        condition: empty for none.
        below: a share of what an exact law looked at.
    """

    pattern: str
    reason: str
    condition: str = ""
    below: float = math.inf


@dataclass(frozen=True)
class Known:
    """Known deviations, in the order of the file.

    Args:
        path: the file; empty where there is none.
        text: what the file holds, comments and all.
    """

    lines: tuple[Deviation, ...] = ()
    path: str = ""
    text: str = ""

    def reason(self, finding: str, wrong: float = 0.0) -> str | None:
        """The reason given for `finding`, or None if no pattern matches it.

        Args:
            wrong: the share of what it looked at.
        """
        found = (line.reason for line in self.lines if wrong < line.below and fnmatchcase(finding, line.pattern))
        return next(found, None)

    @property
    def conditions(self) -> set[str]:
        """The names that lines ask for."""
        return {line.condition for line in self.lines if line.condition}

    def given(self, names: Collection[str]) -> Known:
        """The lines that count for a backend that has `names`."""
        return replace(self, lines=tuple(line for line in self.lines if line.condition in ("", *names)))

    def idle(self, findings: Collection[str]) -> list[str]:
        """The patterns that match none of `findings`: mistyped, or of another plan."""
        patterns = (line.pattern for line in self.lines)
        return [pattern for pattern in patterns if not any(fnmatchcase(text, pattern) for text in findings)]


def read_known(path: str | Path) -> Known:
    """The list in the file at `path`.

    Raises:
        UsageError: it can't be read, or a line has no reason, or is no pattern or one with a condition.
    """
    try:
        text = read(Path(path), LARGEST)
    except UsageError as error:
        raise UsageError(f"known deviations {error}") from None
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        said, _, reason = (clean(part.strip()) for part in line.partition("#"))
        if not said:  # an empty line, or a comment
            continue
        if not reason:
            raise UsageError(f"known deviations {path}, line {number}: '{said}' has no reason after '#'")
        if (found := LINE.fullmatch(said)) is None:
            raise UsageError(
                f"known deviations {path}, line {number}: '{said}' is neither PATTERN nor PATTERN if NAME, "
                "nor PATTERN if NAME below 5%"
            )
        pattern, condition, percent = found.groups()
        below = float(percent) / 100 if percent else math.inf
        lines.append(Deviation(pattern, reason, condition or "", below))
    return Known(tuple(lines), str(path), text)


def known_beside(backend: str) -> Known:
    """The list that lies beside the adapter called `backend`; an empty one where none does.

    Raises:
        UsageError: it can't be read, or a line has no pattern or no reason.
    """
    source = locate(backend)
    path = source.path.with_suffix(".known") if source else None
    return read_known(path) if path is not None and kind(path) == "file" else Known()


def nowhere(patterns: list[str], profile: str) -> list[str]:
    """Those of `patterns` that match no finding of any installed suite: an adapter's list serves all of them."""
    for name in installed("keeprate.suites") if patterns else ():
        with suppress(KeeprateError):  # a suite that can't be loaded, of which whoever asks for it is told
            findings = load_suite(name).promises(profile)
            patterns = [one for one in patterns if not any(fnmatchcase(text, one) for text in findings)]
    return patterns


def no_longer_seen(findings: Iterable[Finding]) -> Iterator[list[Finding]]:
    """Known deviations that are kept, each with those that hold or break together with it.

    A finding of an exact law stands alone. Of statistical laws some are kept by chance while others break, and one
    fault shows in several of them: so all that a reason covers of an operator must be kept.
    """
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        if finding.known is not None and finding.status not in UNASKED:
            groups.setdefault((finding.known, finding.op), []).append(finding)
    for group in groups.values():
        kept = [finding for finding in group if finding.status == "kept"]
        if all(finding.effect is None for finding in group):
            yield from ([finding] for finding in kept)
        elif kept == group:
            yield kept
