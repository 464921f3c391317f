"""Findings of the public JSON as a page shows them: statuses in words and signs, places, groups by operator and law."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Finding = Mapping[str, Any]
WORDS = {
    "kept": "kept",
    "broken": "broken",
    "error": "error",
    "known": "known",
    "unreadable": "unreadable",
    "not_offered": "not offered",
    "not_implemented": "absent",
}
MARKS = {
    "kept": "✓",
    "broken": "✕",
    "error": "!",
    "known": "~",
    "unreadable": "?",
    "not_offered": "–",
    "not_implemented": "–",
}
TOGETHER = "-"  # in the place of an operator: the finding is over all of them
# From what must be seen first to what is only said.
URGENCY = ("broken", "error", "known", "unreadable", "kept", "not_offered", "not_implemented")


def status_of(finding: Finding) -> str:
    """The status, where `known` stands for a known deviation that was seen."""
    if finding["status"] in ("broken", "error") and finding["known"] is not None:
        return "known"
    return str(finding["status"])


def family(finding: Finding) -> str:
    """The law without its parameter."""
    return str(finding["law"]).partition(":")[0]


def place(finding: Finding) -> str:
    """Where a finding was judged, in words: what its group doesn't say already."""
    _, law, dtype, p, shape, context = str(finding["id"]).split("/")
    parts = [law.partition(":")[2], dtype, p, shape, context if context != "eager" else ""]
    return " ".join(part for part in parts if part not in ("", "-")) or "every dtype and p"


def called(op: str) -> str:
    """An operator's name, or what stands for all of them."""
    return "all together" if op == TOGETHER else op


@dataclass(frozen=True)
class Group:
    """The findings of one law for one operator."""

    op: str
    law: str
    findings: Sequence[Finding]

    @property
    def anchor(self) -> str:
        """Where the page shows them."""
        return f"{self.op}.{self.law}"

    @cached_property
    def counts(self) -> Counter[str]:
        """Findings by status."""
        return Counter(status_of(finding) for finding in self.findings)

    @property
    def status(self) -> str:
        """The most urgent status among them."""
        return next(status for status in URGENCY if self.counts[status])

    @property
    def number(self) -> int:
        """How many of them have this status."""
        return self.counts[self.status]

    @property
    def label(self) -> str:
        """All of it in words."""
        parts = [f"{self.counts[status]} {WORDS[status]}" for status in URGENCY if self.counts[status]]
        return f"{called(self.op)}, {self.law}: {', '.join(parts)}"

    @property
    def shown(self) -> list[Finding]:
        """What gets a row: everything that was looked at, the most urgent and the most evident first."""
        looked = [finding for finding in self.findings if status_of(finding) not in ("not_offered", "not_implemented")]
        return sorted(looked, key=lambda item: (URGENCY.index(status_of(item)), -part(item)))

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Why the others were not judged, and how many."""
        found = Counter(
            (finding["detail"] or {}).get("reason", "no reason given")
            for finding in self.findings
            if status_of(finding) in ("not_offered", "not_implemented")
        )
        return sorted(found.items())


def part(finding: Finding) -> float:
    """Log10 of the evidence, as a part of what breaks the finding; 0 where no e-value decides."""
    if finding["log10_e"] is None or not finding["threshold_log10_e"]:
        return 0.0
    return float(finding["log10_e"] / finding["threshold_log10_e"])
