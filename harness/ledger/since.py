"""Since when something is broken, and what is new: compared with the night before, or with the version before.

The order is that in which runs were entered. A night is a date (UTC): what a clock said, and it may have been wrong.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keeprate.harness.judging.decision import Decision
from keeprate.harness.judging.text import plural
from keeprate.harness.ledger.held import Held
from keeprate.harness.ledger.store import Ledger, digests
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.case import Promise

BAD = ("broken", "error")
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
class Base:
    """What a night is compared with.

    Args:
        version: of the backend.
        same: whether that is the version of tonight: then it is the night before, else the last of the version before.
        night: its date.
        nights: how many that version had by then.
        stood: where each finding stood when it ended.
    """

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


def base_of(ledger: Ledger, subject: int, run: int, night: str, plan: Mapping[str, Promise]) -> Base | None:
    """What the night of `run` is compared with; None if there is nothing before it."""
    row = ledger.db.execute(
        "SELECT max(id) AS run, night, count(DISTINCT night) AS nights FROM run "
        "WHERE backend = ? AND id < ? AND night != ?",
        (subject, run, night),
    ).fetchone()
    who = subject
    if row["run"] is None:
        row = ledger.db.execute(EARLIER, {"subject": subject, "most": 1}).fetchone()
        if row is None:
            return None
        who = row["id"]
    (version,) = ledger.db.execute("SELECT version FROM subject WHERE id = ?", (who,)).fetchone()
    held = Held(ledger, who, digests(plan))
    stood = held.stood((run, night)) if who == subject else held.stood()
    return Base(
        version, who == subject, row["night"], row["nights"], {id: each["status"] for id, each in stood.items()}
    )


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


def origins(ledger: Ledger, subject: int, night: str, verdict: Decision, base: Base | None) -> list[dict[str, Any]]:
    """Of each fault: when and in which version it was first seen, which version kept what it breaks, if it is new."""
    found = list(faults(verdict))
    texts = [text for _, ids in found for text in ids[:LOOKED_UP]]
    (version,) = ledger.db.execute("SELECT version FROM subject WHERE id = ?", (subject,)).fetchone()
    spans = [(version, _spans(ledger, subject, texts))]
    if found:
        earlier = ledger.db.execute(EARLIER, {"subject": subject, "most": VERSIONS}).fetchall()
        spans += [(row["version"], _spans(ledger, row["id"], texts)) for row in earlier]
    return [_origin(of, ids, night, spans, base) for of, ids in found]


def _origin(
    of: str,
    ids: Sequence[str],
    night: str,
    spans: Sequence[tuple[str, Mapping[str, Mapping[str, Span]]]],
    base: Base | None,
) -> dict[str, Any]:
    since, first, kept_by, kept = spans[0][0], night, None, 0
    for number, (version, statuses) in enumerate(spans):
        mine = [statuses.get(text, {}) for text in ids[:LOOKED_UP]]
        broke = [each[status] for each in mine for status in BAD if status in each]
        if broke:
            since, first = version, min(broke, key=lambda span: span.run).first
        elif number:  # tonight's own version has it, whatever was noted
            kept = max((each["kept"].nights for each in mine if "kept" in each), default=0)
            kept_by = version if kept else None
            break
    new = base is not None and not any(base.stood.get(text) in BAD for text in ids)
    origin = {"of": of, "findings": len(ids), "version": since, "first": first, "kept_by": kept_by, "kept_nights": kept}
    return {**origin, "new": new, "says": _says(origin, new=new, alone=base is None)}


def _says(origin: Mapping[str, Any], *, new: bool, alone: bool) -> str:
    if alone:
        return f"Broken from the first night on, {origin['first']}; nothing before tells whether it is new."
    since = f"since {origin['version']}, first" if origin["version"] else "first"
    kept = ""
    if origin["kept_by"] is not None:
        kept = f"; kept by {origin['kept_by'] or 'another version'} over {plural(origin['kept_nights'], 'night')}"
    return f"{'New' if new else 'Not new'}: broken {since} on {origin['first']}{kept}."


def _spans(ledger: Ledger, subject: int, findings: Sequence[str]) -> dict[str, dict[str, Span]]:
    found: dict[str, dict[str, Span]] = {}
    for row in ledger.db.execute(SPANS.format(", ".join("?" * len(findings))), (subject, *findings)):
        found.setdefault(row["finding"], {})[row["status"]] = Span(row["nights"], row["run"], row["first"])
    return found


def changes(verdict: Decision, base: Base | None) -> list[dict[str, Any]]:
    """What is otherwise than in the night that `verdict` is compared with; of what wasn't noted then, what is wrong."""
    if base is None:
        return []
    fine = ("kept", "not_offered", "not_implemented")
    return [
        {"id": item.id, "before": before, "now": item.status}
        for item in verdict
        if item.status != "not_implemented" and (before := base.stood.get(item.id)) != item.status
        if before is not None or item.status not in fine
    ]


def news(base: Base | None, verdict: Decision, origins: Iterable[Mapping[str, Any]]) -> str:
    """What is new, counted by faults: what follows from one that was there before is no news."""
    if base is None:
        return "The first night in this ledger: there is nothing to compare it with."
    if base.same:
        whom = f"the night before, {base.night}"
    else:
        whom = f"{base.version or 'the version before'}, judged over {plural(base.nights, 'night')} until {base.night}"
    now = {item.id: item.status for item in verdict}
    origins, named = list(origins), {cause.id for cause in verdict.causes}
    causes = sum(one["new"] for one in origins if one["of"] in named)
    laws = sum(one["new"] for one in origins if one["of"] not in named)
    follows = sum(base.stood.get(item.id, "kept") not in BAD for item in verdict if item.fails)
    follows -= sum(one["findings"] for one in origins if one["new"])
    bad = [text for text, status in base.stood.items() if status in BAD]
    mended = sum(now.get(text) == "kept" for text in bad)
    unseen = sum(text not in now for text in bad)
    parts = [
        f"{plural(causes, 'new cause')}" if causes else "",
        f"{plural(laws, 'law')} newly broken without a known cause" if laws else "",
        f"{plural(follows, 'more finding')} of what was broken before" if follows > 0 else "",
        f"{plural(mended, 'promise')} mended" if mended else "",
        f"{plural(unseen, 'promise')} broken then and not looked at yet" if unseen else "",
    ]
    return f"Compared with {whom}: {', '.join(filter(None, parts)) or 'nothing is new'}."


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
