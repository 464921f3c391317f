"""The public JSON as a page needs it: what is wrong and since when, counts, and words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from keeprate.reports.groups import TOGETHER, Finding, Group, called, family, part, place, status_of
from keeprate.reports.numbers import figure


@dataclass(frozen=True)
class Broken:
    """Something that is wrong: a cause that was found, or a law that broke without one.

    Args:
        sentence: what is wrong, and where.
        seen: what was counted; empty where the first finding says it.
        findings: those that it explains, the most telling first.
        says: since when, and whether it is new; empty where no ledger tells.
        origin: the same as data.
        picture: rows of 1 and 0 that show it; of a cause.
        cause: whether it is one.
    """

    sentence: str
    seen: str
    findings: Sequence[Finding]
    says: str
    origin: Mapping[str, Any] | None
    picture: Sequence[str]
    cause: bool

    @property
    def first(self) -> Finding:
        """The most telling of its findings."""
        return self.findings[0]


@dataclass(frozen=True)
class Reading:
    """A document of public JSON, read for showing."""

    data: Mapping[str, Any]

    @property
    def findings(self) -> Sequence[Finding]:
        """In the order of the plan."""
        found: Sequence[Finding] = self.data["findings"]
        return found

    @property
    def ledger(self) -> Mapping[str, Any] | None:
        """What a ledger adds; None for a single gate."""
        return self.data.get("ledger")

    @property
    def runs(self) -> int:
        """Runs whose evidence is added up, so that one pass may not show it; 0 for one gate, repeated exactly."""
        if self.ledger is None or [run["kind"] for run in self.ledger["runs"]] == ["gate"]:
            return 0
        return int(self.ledger["versions"][0]["runs"])

    @property
    def verdict(self) -> str:
        """`conforms`, `broken` or `none`."""
        return str(self.data["verdict"])

    @property
    def backend(self) -> str:
        """Who was judged, with its version."""
        return versioned(self.data["backend"])

    @property
    def reference(self) -> str:
        """Against whom."""
        return versioned(self.data["reference"])

    @cached_property
    def counts(self) -> Counter[str]:
        """Findings by status."""
        return Counter(status_of(finding) for finding in self.findings)

    @cached_property
    def groups(self) -> dict[tuple[str, str], Group]:
        """By operator and law."""
        found: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            found.setdefault((finding["op"], family(finding)), []).append(finding)
        return {key: Group(*key, items) for key, items in found.items()}

    @cached_property
    def ops(self) -> list[str]:
        """Operators of which something was looked at, in the order of the plan."""
        return list(dict.fromkeys(op for (op, _), group in self.groups.items() if group.shown))

    @cached_property
    def unseen(self) -> dict[str, int]:
        """Operators of which nothing was looked at so far, and how many promises wait of each."""
        waiting = dict.fromkeys(place.split("/")[0] for place in self._waiting)
        return {op: self.waiting_in(op) for op in waiting if op not in self.ops}

    @property
    def _waiting(self) -> Mapping[str, int]:
        """Promises of which nothing was drawn so far, by `op/law`."""
        found: Mapping[str, int] = (self.ledger or {}).get("waiting", {})
        return found

    def waiting(self, op: str, law: str) -> int:
        """Promises of which nothing was drawn so far."""
        return self._waiting.get(f"{op}/{law}", 0)

    def waiting_in(self, op: str) -> int:
        """The same of one operator."""
        return sum(number for place, number in self._waiting.items() if place.split("/")[0] == op)

    @property
    def waits(self) -> int:
        """The same of all."""
        return sum(self._waiting.values())

    @property
    def absent(self) -> list[str]:
        """Operators that it hasn't."""
        others = [op for op in dict.fromkeys(op for op, _ in self.groups) if op not in self.ops]
        return [op for op in others if self._statuses(op) == {"not_implemented"}]

    @property
    def not_offered(self) -> list[str]:
        """Operators that it has, and of which nothing that is judged."""
        others = [op for op in dict.fromkeys(op for op, _ in self.groups) if op not in (*self.ops, *self.unseen)]
        return [op for op in others if self._statuses(op) != {"not_implemented"}]

    def _statuses(self, op: str) -> set[str]:
        return {group.status for (each, _), group in self.groups.items() if each == op}

    @property
    def laws(self) -> list[str]:
        """Laws that were planned, causes before consequences where the document says so."""
        present = dict.fromkeys(law for _, law in self.groups)
        order = [law for law in self.data.get("laws", {}) if law in present]
        return [*order, *(law for law in present if law not in order)]

    def words(self, law: str) -> Mapping[str, Any]:
        """What the document says of a law; empty words where it is silent."""
        silent = {"promise": "", "catches": [], "blind_to": [], "source": ""}
        said: Mapping[str, Any] = self.data.get("laws", {}).get(law, silent)
        return said

    @property
    def draws(self) -> int:
        """Draws of the headline law, in all findings that are of one operator."""
        law = self.data.get("headline", "")
        return sum(item["n"] or 0 for item in self.findings if family(item) == law and item["op"] != TOGETHER)

    @cached_property
    def failing(self) -> list[Finding]:
        """What broke and was not known, in the order of telling."""
        return sorted((item for item in self.findings if item["rank"] is not None), key=lambda item: int(item["rank"]))

    @property
    def leading(self) -> list[tuple[Finding, int]]:
        """Of each law that failed its first finding, and how many more there are."""
        counts, leads = Counter(family(finding) for finding in self.failing), set(self.data["leads"])
        return [(item, counts[family(item)] - 1) for item in self.failing if item["id"] in leads]

    def foremost(self, number: int) -> list[Finding]:
        """The first finding of each law that failed, and others, so that there are `number` if there are as many."""
        first = [finding for finding, _ in self.leading]
        others = [finding for finding in self.failing if finding not in first]
        return [*first, *others[: max(0, number - len(first))]]

    @property
    def deviations(self) -> list[tuple[str, list[Finding]]]:
        """Known deviations that were seen, by the reason given for them."""
        return _by_reason(item for item in self.findings if status_of(item) == "known")

    @property
    def mended(self) -> list[tuple[str, list[Finding]]]:
        """Known deviations that are no longer seen, by the reason given for them."""
        mended = set(self.data["mended"])
        return _by_reason(item for item in self.findings if item["id"] in mended and item["known"] is not None)

    @property
    def causes(self) -> Sequence[Mapping[str, Any]]:
        """What was found to lie behind what failed, that which explains most first."""
        found: Sequence[Mapping[str, Any]] = self.data.get("causes", ())
        return found

    @property
    def resembles(self) -> Sequence[Mapping[str, Any]]:
        """Known faults that break the same laws, most alike first."""
        found: Sequence[Mapping[str, Any]] = self.data.get("resembles", ())
        return found

    def cause(self, finding: Finding) -> Mapping[str, Any] | None:
        """What explains a finding; None if nothing does."""
        return next((cause for cause in self.causes if finding["id"] in cause["explains"]), None)

    @property
    def faults(self) -> Mapping[str, int]:
        """Known faults that the laws were tried on, by their kind."""
        found: Mapping[str, int] = self.data.get("faults", {})
        return found

    def caught(self, law: str) -> Mapping[str, int]:
        """Those that a law has been shown to catch."""
        found: Mapping[str, int] = self.data.get("laws", {}).get(law, {}).get("faults", {})
        return found

    @cached_property
    def anchors(self) -> set[str]:
        """Where findings are shown."""
        return {group.anchor for group in self.groups.values() if group.op in self.ops}

    @property
    def watched(self) -> list[Finding]:
        """Kept findings with the most evidence against them, if it is much."""
        watched = set(self.data["watched"])
        return sorted((item for item in self.findings if item["id"] in watched), key=part, reverse=True)

    @property
    def sentence(self) -> str:
        """The verdict."""
        return str(self.data["sentence"])

    @cached_property
    def broken(self) -> list[Broken]:
        """What is wrong: the causes, then the laws that broke without one, and errors by what was raised."""
        by_id = {item["id"]: item for item in self.failing}
        origins = {each["of"]: each for each in (self.ledger or {}).get("origins", ())}
        found: list[Broken] = []
        for cause in self.causes:
            if items := [by_id.pop(text) for text in cause["explains"] if text in by_id]:
                since = origins.get(cause["id"])
                says = since["says"] if since else ""
                found.append(Broken(cause["sentence"], cause["seen"], items, says, since, cause["picture"], cause=True))
        alike: dict[str, list[Finding]] = {}
        for item in by_id.values():
            alike.setdefault(_raised(item) or family(item), []).append(item)
        for what, items in alike.items():
            since = origins.get(family(items[0]))
            shown = since.get("shown") if since else None
            ops = listed(dict.fromkeys(called(item["op"]) for item in items))
            says = f"breaks {what}, in {ops}{_by_how_much(items[0], shown)}"
            if items[0]["status"] == "error":
                says = f"ends in an error, in {ops}: {what.rstrip('.')}"
            sentence = f"{self.data['backend']['name']} {says}."
            found.append(Broken(sentence, "", items, since["says"] if since else "", since, (), cause=False))
        return found

    @property
    def known(self) -> int:
        """Known deviations that were seen."""
        return self.counts["known"]

    def dated(self, date: str) -> str:
        """A date, marked where a clock was ahead."""
        return f"{date} (a clock was ahead)" if date in (self.ledger or {}).get("ahead", ()) else date

    @property
    def headline(self) -> str:
        """The answer: what is wrong, by how much, and where; or the verdict in a sentence."""
        if self.verdict != "broken" or not self.broken:
            return self.sentence
        more = len(self.broken) - 1
        return self.broken[0].sentence + (f" And {counted(more, 'more fault')}." if more else "")

    @property
    def detects(self) -> float | None:
        """The smallest departure of the headline law that would have been caught in every operator; None without it."""
        law = self.data.get("headline", "")
        found = [
            item["detectable"] for item in self.findings if item["law"] == law and item["n"] and item["parameters"]
        ]
        return max(found, default=None)

    @property
    def chance(self) -> str:
        """How often a faithful backend would fail, in words."""
        alpha = self.data["alpha"]
        odds = {1e-6: "once in a million", 1e-3: "once in a thousand", 1e-9: "once in a billion"}
        return odds.get(alpha, f"with probability {alpha:g}")


def _raised(item: Finding) -> str:
    """What an error says, without where it came; empty for what is broken."""
    if item["status"] != "error":
        return ""
    reason = str((item["detail"] or {}).get("reason", "no reason given"))
    return reason.partition(" raised ")[2] or reason


def _by_how_much(item: Finding, shown: Mapping[str, Any] | None) -> str:
    """What was seen in the place of what was promised, as the end of a sentence.

    Args:
        shown: what the nights show that broke it, where others are told apart from them.
    """
    where, numbers = place(item), shown if shown and shown["estimate"] is not None else item
    if item["estimate"] is not None:
        return f": {figure(numbers['estimate'])} seen, {figure(numbers['expected'])} promised, in {where}"
    detail = item["detail"] or {}
    if detail.get("wrong"):
        return f": {detail['wrong']:,} of {detail['checked']:,} wrong, in {where}"
    return ""


def _by_reason(findings: Iterable[Finding]) -> list[tuple[str, list[Finding]]]:
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding["known"], []).append(finding)
    return list(found.items())


def promises(number: int) -> str:
    """`1 promise`, `2 promises`."""
    return counted(number, "promise")


def counted(number: int, word: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number:,} {word}{'s' * (number != 1)}"


def versioned(side: Mapping[str, Any]) -> str:
    """A name with its version."""
    return " ".join(filter(None, (side["name"], side["version"])))


def listed(words: Iterable[str], most: int = 3) -> str:
    """`a, b and c`; those beyond `most` are counted."""
    found = list(words)
    if len(found) > most:
        return f"{', '.join(found[:most])} and {len(found) - most} more"
    *first, last = found
    return f"{', '.join(first)} and {last}" if first else last
