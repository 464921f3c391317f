"""Since when something is broken, and what is new: compared with the night before, or with the version before.

The order is that in which runs were entered. A night is a date (UTC): what a clock said, and it may have been wrong.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from keeprate.harness.judging.decision import Decision
from keeprate.harness.judging.finding import BAD
from keeprate.harness.judging.text import plural
from keeprate.harness.ledger.held import Held
from keeprate.harness.ledger.store import Ledger, digests
from keeprate.harness.ledger.stretch import Stretch, stretch_of, told_apart
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.case import Promise

VERSIONS = 30  # that are looked through for the one in which a fault began
LOOKED_UP = 50  # findings of a fault, at most, whose nights are looked up
EARLIER = """
SELECT each.id, version, run, night, nights FROM (
    SELECT other.id, other.version, max(run.id) AS run, min(run.id) AS first, count(DISTINCT night) AS nights
    FROM subject AS this JOIN subject AS other USING (suite, role, name, device) JOIN run ON backend = other.id
    WHERE this.id = :subject AND other.id != this.id GROUP BY other.id
) AS each JOIN run ON run.id = each.run
WHERE first < (SELECT min(id) FROM run WHERE backend = :subject) ORDER BY first DESC LIMIT :most
"""
SPANS = """
SELECT finding, status, count(DISTINCT night.night) AS nights, min(run.id) AS run, run.night AS first
FROM promise JOIN night ON promise = promise.id JOIN run ON run.backend = subject AND run.night = night.night
WHERE subject = ? AND finding IN ({}) GROUP BY finding, status
"""


@dataclass(frozen=True)
class Night:
    """A night to tell of.

    Args:
        subject: the row of the backend, in its version.
        run: the row of its run.
        date: its own.
        plan: every promise.
        ahead: dates that a clock was ahead with.
    """

    subject: int
    run: int
    date: str
    plan: Mapping[str, Promise]
    ahead: Sequence[str]

    @cached_property
    def counted(self) -> dict[str, str]:
        """What each promise counts."""
        return digests(self.plan)

    def dated(self, date: str) -> str:
        """A date in words, marked where a clock was ahead."""
        return f"{date} (a clock was ahead)" if date in self.ahead else date


@dataclass(frozen=True)
class Base:
    """What a night is compared with.

    Args:
        subject: the row of the backend, in that version.
        version: of the backend.
        same: whether that is the version of tonight: then it is the night before, else the last of the version before.
        night: its date.
        nights: how many that version had by then.
        stood: where each finding stood when it ended.
    """

    subject: int
    version: str
    same: bool
    night: str
    nights: int
    stood: Mapping[str, str]


@dataclass(frozen=True)
class Span:
    """How many nights ended with one status, and the first of them: its run and its date."""

    nights: int
    run: int
    first: str


@dataclass(frozen=True)
class _Version:
    """A version of the backend, and how its nights ended, by finding and status."""

    subject: int
    version: str
    spans: Mapping[str, Mapping[str, Span]]

    def ended(self, findings: Sequence[str], statuses: Sequence[str]) -> list[Span]:
        """Nights that ended with one of these statuses."""
        mine = [self.spans.get(text, {}) for text in findings[:LOOKED_UP]]
        return [each[status] for each in mine for status in statuses if status in each]


def base_of(ledger: Ledger, latest: Night) -> Base | None:
    """What a night is compared with; None if there is nothing before it."""
    row = ledger.db.execute(
        "SELECT max(id) AS run, night, count(DISTINCT night) AS nights FROM run "
        "WHERE backend = ? AND id < ? AND night != ?",
        (latest.subject, latest.run, latest.date),
    ).fetchone()
    who = latest.subject
    if row["run"] is None:
        row = next(iter(_versions_before(ledger, who, 1)), None)
        if row is None:
            return None
        who = row["id"]
    (version,) = ledger.db.execute("SELECT version FROM subject WHERE id = ?", (who,)).fetchone()
    held, same = Held(ledger, who, latest.counted), who == latest.subject
    stood = held.stood((latest.run, latest.date)) if same else held.stood()
    statuses = {id: each["status"] for id, each in stood.items()}
    return Base(who, version, same, row["night"], row["nights"], statuses)


def broke_before(ledger: Ledger, subject: int, counted: Mapping[str, str]) -> set[str]:
    """What was broken in the last night of the version before; none if there is no such version.

    Args:
        subject: the row of the backend, in its version.
        counted: what each promise counts.
    """
    versions = [Held(ledger, row["id"], counted) for row in _versions_before(ledger, subject, 1)]
    return {text for held in versions for text, each in held.stood().items() if each["status"] in BAD}


def _versions_before(ledger: Ledger, subject: int, most: int) -> list[sqlite3.Row]:
    """Other versions of a backend that were judged before this one, the latest first."""
    return ledger.db.execute(EARLIER, {"subject": subject, "most": most}).fetchall()


def is_first(ledger: Ledger, suite: str, offer: Offer) -> bool:
    """Whether the ledger has no run of this version of a backend."""
    if not ledger.path.exists():
        return True
    with ledger.reading():
        found = ledger.db.execute(
            "SELECT 1 FROM run JOIN subject ON subject.id = backend WHERE suite = ? AND name = ? AND version = ? "
            "AND device = ?",
            (suite, offer.name, offer.version, offer.device),
        )
        return found.fetchone() is None


def faults(verdict: Decision) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What failed, by cause, and by law what has no cause: its name, and the findings."""
    for cause in verdict.causes:
        yield cause.id, cause.explains
    for law, group in verdict.unexplained.items():
        yield law, tuple(finding.id for finding in group)


def origins(ledger: Ledger, latest: Night, verdict: Decision, base: Base | None) -> list[dict[str, Any]]:
    """Of each fault: when and in which version it was first seen, who kept before what it breaks, if it is new."""
    found = list(faults(verdict))
    texts = [text for _, ids in found for text in ids[:LOOKED_UP]]
    (version,) = ledger.db.execute("SELECT version FROM subject WHERE id = ?", (latest.subject,)).fetchone()
    versions = [(latest.subject, version)]
    if found:
        earlier = _versions_before(ledger, latest.subject, VERSIONS)
        versions += [(row["id"], row["version"]) for row in earlier]
    spans = [_Version(subject, name, _spans(ledger, subject, texts)) for subject, name in versions]
    return [_origin(ledger, latest, of, ids, spans, base) for of, ids in found]


def _origin(
    ledger: Ledger, latest: Night, of: str, ids: Sequence[str], versions: Sequence[_Version], base: Base | None
) -> dict[str, Any]:
    since, first, kept = versions[0], Span(1, latest.run, latest.date), 0
    kept_by: _Version | None = None
    for one in versions:
        broke, whole = one.ended(ids, BAD), one.ended(ids, ("kept",))
        if broke:
            since, first = one, min(broke, key=lambda span: span.run)
        if before := [span.nights for span in whole if span.run < first.run]:
            kept_by, kept = one, max(before)
            break
    telling = _telling(since, ids, first.run)
    promise = latest.plan.get(telling)
    stretch, told = None, True
    if promise is not None and since is versions[0]:
        held = Held(ledger, since.subject, latest.counted)
        stretch = stretch_of(promise, held.by_run([telling]).get(telling, {}))
        if stretch and kept_by is since:
            told = stretch.starts
        elif stretch and kept_by:
            others = Held(ledger, kept_by.subject, latest.counted).parts_of(telling)
            told = told_apart(promise, [others], stretch.parts)
    origin = {
        "of": of,
        "findings": len(ids),
        "version": since.version,
        "first": first.first,
        "kept_by": kept_by and kept_by.version,
        "kept_nights": kept,
        "told": told,
        "new": base is not None and first.first == latest.date and since is versions[0],
        "shown": _shown(ledger, stretch) if stretch else None,
    }
    return {**origin, "says": _says(origin, latest, alone=base is None)}


def _telling(since: _Version, ids: Sequence[str], run: int) -> str:
    """Of what a fault breaks, the first that was kept before the run in which it was first seen; else the first."""
    before = (text for text in ids[:LOOKED_UP] if any(span.run < run for span in since.ended([text], ("kept",))))
    return next(before, ids[0])


def _shown(ledger: Ledger, stretch: Stretch) -> dict[str, Any] | None:
    """What the runs that broke a promise show, where others are told apart from them; None where it is all runs."""
    if not (stretch.starts or stretch.ends):
        return None
    nights = [
        ledger.db.execute("SELECT night FROM run WHERE id = ?", (run,)).fetchone()["night"]
        for run in (stretch.runs[0], stretch.runs[-1])
    ]
    evidence = stretch.evidence
    numbers = evidence.effect(1.0)
    return {
        "first": nights[0],
        "last": nights[1],
        "ends": stretch.ends,
        "n": evidence.n,
        "estimate": numbers.estimate if numbers else None,
        "expected": numbers.expected if numbers else None,
    }


def _says(origin: Mapping[str, Any], latest: Night, *, alone: bool) -> str:
    first, version, by, shown = latest.dated(origin["first"]), origin["version"], origin["kept_by"], origin["shown"]
    more = ""
    if shown and shown["first"] != origin["first"]:
        more += f"; what was drawn shows it from {latest.dated(shown['first'])} on"
    if shown and shown["ends"]:
        that = latest.dated(shown["last"])
        after = f"what else was drawn on {that}" if shown["last"] == latest.date else f"what was drawn after {that}"
        more += f"; {after} doesn't show it"
    if alone:
        return f"Broken from the first night on, {first}{more}; nothing before tells whether it is new."
    if origin["new"] and by is None:
        return f"Broken when it was first looked at, on {first}{more}; nothing before tells whether it is new."
    nights = plural(origin["kept_nights"], "night")
    if by is None:
        kept = ""
    elif by != version:
        kept = f"; kept by {by or 'another version'} over {nights}"
        kept += "" if origin["told"] else ", which drew too little to have shown it"
    elif origin["told"]:
        kept = f"; kept until then, over {nights}"
    else:
        before = "the night" if origin["kept_nights"] == 1 else f"the {nights}"
        kept = f", by all that was drawn until then: {before} before may have had it too"
    since = f"since {version}, first" if version else "first"
    new = "Not new" if not origin["new"] else "New" if origin["told"] or by != version else "Perhaps new"
    return f"{new}: broken {since} on {first}{kept}{more}."


def _spans(ledger: Ledger, subject: int, findings: Sequence[str]) -> dict[str, dict[str, Span]]:
    found: dict[str, dict[str, Span]] = {}
    for row in ledger.db.execute(SPANS.format(", ".join("?" * len(findings))), (subject, *findings)):
        found.setdefault(row["finding"], {})[row["status"]] = Span(row["nights"], row["run"], row["first"])
    return found


def ahead(ledger: Ledger) -> list[str]:
    """Dates of runs that are later than today, or than the date of a run that was entered after them."""
    found, latest = [], time.strftime("%Y-%m-%d", time.gmtime())
    for (night,) in ledger.db.execute("SELECT night FROM run ORDER BY id DESC"):
        if night > latest:
            found.append(night)
        latest = min(latest, night)
    return sorted(set(found))


def other_code(ledger: Ledger, subject: int) -> dict[str, Any] | None:
    """How many runs of this version judged other code than its latest one, and when the last did; None if none did."""
    rows = ledger.db.execute(
        "SELECT night, digest FROM run JOIN code ON run = run.id WHERE backend = ? ORDER BY run.id DESC", (subject,)
    ).fetchall()
    others = [row["night"] for row in rows if row["digest"] != rows[0]["digest"]]
    return {"runs": len(others), "last": others[0]} if others else None
