"""What a ledger tells of a backend: the verdict over all its runs, as public JSON, and what went before."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from keeprate.harness.errors import UsageError
from keeprate.harness.evidence.decoding import parsed
from keeprate.harness.judging.known import known_beside
from keeprate.harness.judging.request import Given, Request, ask
from keeprate.harness.judging.verdict import Verdict
from keeprate.harness.ledger.held import Held
from keeprate.harness.ledger.news import changes, mends, news
from keeprate.harness.ledger.since import Night, ahead, base_of, origins, other_code
from keeprate.harness.ledger.standing import Standing, standing
from keeprate.harness.ledger.store import Ledger, digests, selection
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.lookup import similar

NOTABLE = 40  # findings whose nights are told one by one: those with the most evidence
POINTS = 60  # nights of one finding, or of one law, that are told; spread over all there were
RUNS = 400  # the latest that are told
VERSIONS_TOLD = 30
EARLIER = 8  # other versions in which a finding is told
# The names of the columns are keys of the public JSON.
RUNS_OF = """
SELECT night, kind, profile, seconds, workers, host, cpu, keeprate, cases, draws, errors
FROM run WHERE backend = :subject ORDER BY id DESC LIMIT :most
"""
# Runs are in the order in which they were entered: a date is what a clock said, and may be wrong.
NIGHTS = """
SELECT night, status, n, log10_e, estimate
FROM night JOIN (SELECT night, max(id) AS run FROM run WHERE backend = :subject GROUP BY night) USING (night)
WHERE promise = :promise ORDER BY run
"""
VERSIONS = """
WITH told AS (
    SELECT other.id, other.version, other.device, max(run.id) AS latest, min(run.id) AS earliest,
        count(*) AS runs, sum(draws) AS draws
    FROM subject AS this JOIN subject AS other USING (suite, role, name) JOIN run ON backend = other.id
    WHERE this.id = :subject GROUP BY other.id ORDER BY other.id = this.id DESC, latest DESC LIMIT :most
), ended AS (  -- where each finding stood last, however it was counted
    SELECT subject, status, max(at) FROM (
        SELECT promise.id, subject, finding, (
            SELECT run.id FROM run CROSS JOIN night ON night.promise = promise.id AND night.night = run.night
            WHERE backend = subject ORDER BY run.id DESC LIMIT 1
        ) AS at FROM promise WHERE subject IN (SELECT id FROM told)
    ) AS each JOIN run ON run.id = at JOIN night ON promise = each.id AND night.night = run.night
    GROUP BY subject, finding
)
SELECT version, device, (SELECT profile FROM run WHERE run.id = latest) AS profile,
    (SELECT night FROM run WHERE run.id = earliest) AS first, (SELECT night FROM run WHERE run.id = latest) AS last,
    runs, draws,
    (SELECT count(*) FROM ended WHERE subject = told.id AND status IN ('kept', 'broken', 'error')) AS judged,
    (SELECT count(*) FROM ended WHERE subject = told.id AND status IN ('broken', 'error')) AS broken
FROM told
"""
BEFORE = """
SELECT finding, other.version, other.device, at.profile, night.night, status, n, log10_e, estimate, max(at.id) AS run
FROM subject AS this JOIN subject AS other USING (suite, role, name)
JOIN promise ON subject = other.id JOIN night ON promise = promise.id
JOIN run AS at ON at.backend = other.id AND at.night = night.night
WHERE this.id = ? AND other.id != this.id AND finding IN ({}) GROUP BY other.id, finding ORDER BY run DESC
"""
OTHERS = """
SELECT name, version, night AS last, count(*) AS runs, max(run.id) AS run FROM run JOIN subject ON subject.id = backend
WHERE name != (SELECT name FROM subject WHERE id = :subject) GROUP BY name ORDER BY name LIMIT 100
"""
PROFILES = """
SELECT profile, count(*) AS runs, night AS last, max(id) AS run FROM run WHERE backend = :subject GROUP BY profile
ORDER BY run DESC
"""


@dataclass(frozen=True)
class Latest:
    """Whom a ledger is to tell of.

    Args:
        given: what was asked of it.
        subjects: its row and that of the reference, by role.
        run: of its latest run: what a verdict says of it, and its `night`.
        number: the row of that run.
    """

    given: Given
    subjects: dict[str, int]
    run: dict[str, Any]
    night: str
    number: int


def tell(
    ledger: Ledger,
    suite: str,
    known: str | Path | None = None,
    backend: str | None = None,
    *,
    profile: str | None = None,
    run: int | None = None,
    asked: Request | None = None,
) -> dict[str, Any]:
    """The public JSON of a backend over all its runs of the version that was judged last.

    Args:
        suite: what it must have been judged by: a suite is code, and a ledger doesn't choose what is run.
        known: the path of a list of known deviations; None for the one beside `backend`, if that is given.
        backend: what --backend said, or the name that reports show; that of the latest run if None.
        profile: whose plan is told; that of the latest night if None, or of the latest gate where there was no night.
        run: the row of the run whose backend, version and profile are told, whatever others there are.
        asked: what that run was asked, so that what it wasn't can be said.

    Raises:
        UsageError: the ledger has no such backend, can't be read, or holds what is no evidence.
    """
    with ledger.reading():
        found = latest(ledger, suite, known, backend, profile, run)
        now = standing(found.given, ledger, found.subjects, found.run)
        held = Held(ledger, found.subjects["backend"], digests(found.given.request.plan))
        broken = {item.id for item in now.verdict if item.status == "broken"}
        pictures = {text: one for text, one in held.pictures().items() if text in broken}
        now = replace(now, verdict=replace(now.verdict, pictures=pictures))
        tonight = {"asked": some} if asked and (some := selection(asked)) else {}
        return {**now.verdict.public(), "ledger": _ledger(ledger, found, now, held) | tonight}


def latest(
    ledger: Ledger,
    trusted: str,
    known: str | Path | None = None,
    backend: str | None = None,
    profile: str | None = None,
    run: int | None = None,
) -> Latest:
    """The latest run of `backend`, as for `tell`."""
    row = ledger.db.execute(
        "SELECT run.*, suite, offer FROM run JOIN subject ON subject.id = backend "
        "WHERE (:backend IS NULL OR :backend IN (named, name)) AND (:run IS NULL OR run.id = :run) "
        "ORDER BY suite = :suite DESC, run.id DESC",
        {"backend": backend, "suite": trusted, "run": run},
    ).fetchone()
    if row is None and backend is not None:
        names = [row["named"] for row in ledger.db.execute("SELECT DISTINCT named FROM run ORDER BY named LIMIT 100")]
        raise UsageError(
            f"{ledger.path}: no run of backend '{backend}'.{similar(backend, names)} "
            f"There are: {', '.join(names) or 'none'}"
        )
    if row is None:
        raise UsageError(f"{ledger.path}: nothing was ever judged. First: keeprate nightly --ledger {ledger.path}")
    if row["suite"] != trusted:
        raise UsageError(f"{ledger.path}: its evidence is from suite '{row['suite']}', not '{trusted}': see --suite")
    asked = row if run is not None else _asked(ledger, row["backend"], profile)
    request = ask(
        "", profile=asked["profile"], alpha=row["alpha"], seed=asked["first_seed"], known=known, suite=trusted
    )
    if known is None and backend is not None:  # whom a person names; a ledger doesn't choose which list is read
        request = replace(request, known=known_beside(backend))
    request = replace(request, backend=row["named"])
    subjects: dict[str, int] = {role: row[role] for role in ("backend", "reference") if row[role] is not None}
    beside = ledger.db.execute("SELECT offer FROM subject WHERE id = ?", (row["reference"],)).fetchone()
    offers = _offer(ledger, row["offer"]), _offer(ledger, beside["offer"]) if beside else None
    of_run = {name: row[name] for name in ("seconds", "workers", "host")} | {"started": f"{row['night']}T00:00:00Z"}
    return Latest(request.given(*offers), subjects, of_run, row["night"], row["id"])


def _asked(ledger: Ledger, backend: int, profile: str | None) -> sqlite3.Row:
    """The run whose plan is told: the latest night, which a gate of another profile doesn't hide, or a profile's."""
    rows = ledger.db.execute(
        "SELECT profile, first_seed FROM run WHERE backend = ? ORDER BY kind = 'nightly' DESC, id DESC", (backend,)
    ).fetchall()
    found: sqlite3.Row | None = next((row for row in rows if profile in (None, row["profile"])), None)
    if found is None:
        there = ", ".join(dict.fromkeys(row["profile"] for row in rows))
        raise UsageError(f"{ledger.path}: no run of this version had profile {profile}. There are: {there}")
    return found


def _offer(ledger: Ledger, text: str) -> Offer:
    """What a backend offered, as the ledger has it.

    Raises:
        UsageError: it is something else.
    """
    try:
        return parsed(text, Offer)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UsageError(f"{ledger.path}: the record of what a backend offers can't be read: {error}") from None


def _ledger(ledger: Ledger, latest: Latest, now: Standing, held: Held) -> dict[str, Any]:
    request, verdict, subject = latest.given.request, now.verdict, latest.subjects["backend"]
    night = Night(subject, latest.number, latest.night, request.plan, ahead(ledger))
    base = base_of(ledger, night)
    since, mended = origins(ledger, night, verdict, base), mends(ledger, night, verdict, base)
    rank = {
        item.id: (item.fails, item.status != "kept", item.effect.part if item.effect else 0.0)
        for item in verdict
        if item.status not in ("not_implemented", "not_offered")
    }
    broken = {item.id for item in verdict if item.status == "broken"}
    notable = sorted(rank, key=lambda text: rank[text], reverse=True)[:NOTABLE]
    return {
        "night": latest.night,
        "news": news(night, base, verdict, since, mended),
        "compared": base and {"version": base.version, "night": base.night, "nights": base.nights, "same": base.same},
        "origins": since,
        "mends": mended,
        "ahead": night.ahead[:NOTABLE],
        "other_code": other_code(ledger, subject),
        "profiles": _rows(ledger, PROFILES, {"subject": subject}),
        "waiting": dict(verdict.waiting),
        "unasked": [one.to_json() for one in verdict.unasked],
        "once_broken": [
            {"id": text, "night": row["night"], "log10_e": row["log10_e"]}
            for text, row in held.broke().items()
            if text not in broken
        ],
        "counted_otherwise": len(now.otherwise),
        "runs": _rows(ledger, RUNS_OF, {"subject": subject, "most": RUNS})[::-1],
        "versions": _versions(ledger, subject, verdict),
        "changes": changes(verdict, base),
        "history": {
            text: _spread(_rows(ledger, NIGHTS, {"subject": subject, "promise": held.ids.get(text)}))
            for text in notable
        },
        "before": _before(ledger, subject, notable),
        "others": _rows(ledger, OTHERS, {"subject": subject}),
        "laws": _laws(ledger, subject, held, request),
    }


def _versions(ledger: Ledger, subject: int, verdict: Verdict) -> list[dict[str, Any]]:
    """Versions of the backend; of this one what the verdict says, of the others what their last nights ended with."""
    mine, *others = _rows(ledger, VERSIONS, {"subject": subject, "most": VERSIONS_TOLD})
    status = Counter(item.status for item in verdict)
    broken = status["broken"] + status["error"]
    return [mine | {"judged": status["kept"] + broken, "broken": broken}, *others]


def _rows(ledger: Ledger, query: str, parameters: Mapping[str, Any] | Sequence[Any]) -> list[dict[str, Any]]:
    """What a query finds, but for the run that puts it in order."""
    return [
        {name: row[name] for name in row.keys() if name != "run"}  # noqa: SIM118 - a row has no other keys
        for row in ledger.db.execute(query, parameters)
    ]


def _before(ledger: Ledger, subject: int, findings: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Where findings stood at the end of other versions of the backend, the latest first."""
    found: dict[str, list[dict[str, Any]]] = {}
    query = BEFORE.format(", ".join("?" * len(findings)))
    for row in _rows(ledger, query, (subject, *findings)):
        found.setdefault(row.pop("finding"), []).append(row)
    return {text: found[text][:EARLIER] for text in findings if text in found}


def _laws(ledger: Ledger, subject: int, held: Held, request: Request) -> dict[str, list[dict[str, Any]]]:
    """For each law the largest part of its threshold that one of its findings had reached, by night."""
    shares = [
        (held.ids[text], promise.id.family, promise.threshold(request.alpha))
        for text, promise in request.plan.items()
        if promise.share and text in held.ids
    ]
    ledger.db.execute("CREATE TEMP TABLE share (promise INTEGER PRIMARY KEY, law TEXT, threshold REAL)")
    ledger.db.executemany("INSERT INTO temp.share VALUES (?, ?, ?)", shares)
    nights = ledger.db.execute(
        "SELECT night, max(id) AS run FROM run WHERE backend = ? GROUP BY night ORDER BY run", (subject,)
    )
    told = _spread([row["night"] for row in nights])  # before they are looked up: a year has a million rows
    rows = ledger.db.execute(
        "SELECT law, night, max(log10_e / threshold) AS part FROM temp.share CROSS JOIN night USING (promise) "  # noqa: S608 - marks
        f"WHERE night IN ({', '.join('?' * len(told))}) AND log10_e IS NOT NULL GROUP BY law, night",
        told,
    ).fetchall()
    ledger.db.execute("DROP TABLE temp.share")
    found: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: told.index(row["night"])):
        found.setdefault(row["law"], []).append({"night": row["night"], "part": round(row["part"], 4)})
    return found


def _spread(rows: Sequence[Any]) -> list[Any]:
    """At most `POINTS` of them, the first and the last among them."""
    if len(rows) <= POINTS:
        return list(rows)
    return [rows[round(number * (len(rows) - 1) / (POINTS - 1))] for number in range(POINTS)]
