"""What a ledger tells of a backend: the verdict over all its runs, as public JSON, and what went before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from keeprate.harness.errors import UsageError
from keeprate.harness.judging.request import Request, ask
from keeprate.harness.judging.verdict import Verdict
from keeprate.harness.ledger.nightly import standing
from keeprate.harness.ledger.store import Ledger
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.case import Promise
from keeprate.harness.protocol.lookup import similar

NOTABLE = 40  # findings whose nights are told one by one: those with the most evidence
POINTS = 60  # nights of one finding, or of one law, that are told; spread over all there were
RUNS = 400  # the latest that are told
EARLIER = 8  # other versions in which a finding is told


@dataclass(frozen=True)
class Latest:
    """The latest run of a backend, and the request that it was asked."""

    request: Request
    offers: tuple[Offer, Offer | None]
    subjects: dict[str, int]
    run: dict[str, Any]


def tell(ledger: Ledger, suite: str, known: str | Path | None = None, backend: str | None = None) -> dict[str, Any]:
    """The public JSON of a backend over all its runs of the version that was judged last.

    Args:
        suite: what it must have been judged by: a suite is code, and a ledger doesn't choose what is run.
        known: the path of a list of known deviations.
        backend: what --backend said, or the name that reports show; that of the latest run if None.

    Raises:
        UsageError: the ledger has no such backend, or its evidence is that of another plan than this keeprate's.
    """
    found = latest(ledger, suite, known, backend)
    verdict, pending = standing(found.request, found.offers, ledger, found.subjects, found.run)
    broken = {item.id for item in verdict if item.status == "broken"}
    pictures = {text: one for text, one in ledger.pictures(found.subjects["backend"]).items() if text in broken}
    verdict = replace(verdict, pictures=pictures)
    return {**verdict.public(), "ledger": _ledger(ledger, found, verdict, pending)}


def latest(ledger: Ledger, trusted: str, known: str | Path | None = None, backend: str | None = None) -> Latest:
    """The latest run of `backend`, as for `tell`."""
    row = ledger.db.execute(
        "SELECT run.named, run.first_seed, run.seconds, run.workers, run.host, run.night, backend, reference, offer, "
        "suite, profile, alpha, digest FROM run JOIN subject ON subject.id = backend JOIN plan ON plan.id = plan "
        "WHERE :backend IS NULL OR :backend IN (run.named, subject.name) ORDER BY run.night DESC, run.id DESC LIMIT 1",
        {"backend": backend},
    ).fetchone()
    if row is None and backend is not None:
        names = [name for (name,) in ledger.db.execute("SELECT DISTINCT named FROM run ORDER BY named LIMIT 100")]
        raise UsageError(
            f"{ledger.path}: it has no run of backend '{backend}'.{similar(backend, names)} "
            f"There are: {', '.join(names) or 'none'}"
        )
    if row is None:
        raise UsageError(f"{ledger.path}: nothing was ever judged. First: keeprate nightly --ledger {ledger.path}")
    named, seed, seconds, workers, host, night, backend, reference, offer, suite, profile, alpha, digest = row
    if suite != trusted:
        raise UsageError(f"{ledger.path}: its evidence is that of suite '{suite}', not of '{trusted}': see --suite")
    request = ask(named, profile=profile, alpha=alpha, seed=seed, known=known, suite=suite)
    if request.digest != digest:
        raise UsageError(
            f"{ledger.path}: its evidence was drawn by another plan than that of this keeprate, and can't be judged "
            "by it. Use the keeprate that drew it, or draw another night first"
        )
    subjects: dict[str, int] = {"backend": backend} | ({"reference": reference} if reference is not None else {})
    beside = ledger.db.execute("SELECT offer FROM subject WHERE id = ?", (reference,)).fetchone()
    offers = _offer(ledger, offer), _offer(ledger, beside[0]) if beside else None
    run = {"seconds": seconds, "workers": workers, "host": host, "started": f"{night}T00:00:00Z"}
    return Latest(request, offers, subjects, run)


def _offer(ledger: Ledger, text: str) -> Offer:
    """What a backend offered, as the ledger has it.

    Raises:
        UsageError: it is something else.
    """
    try:
        return msgspec.json.decode(text, type=Offer)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UsageError(f"{ledger.path}: what a backend offered is not to be read: {error}") from None


def _ledger(ledger: Ledger, latest: Latest, verdict: Verdict, pending: int) -> dict[str, Any]:
    subject, night = latest.subjects["backend"], latest.run["started"][:10]
    before = _before(ledger, subject, night)
    rank = {
        item.id: (item.fails, item.status != "kept", item.effect.part if item.effect else 0.0)
        for item in verdict
        if item.status not in ("not_implemented", "not_offered")
    }
    notable = sorted(rank, key=lambda text: rank[text], reverse=True)[:NOTABLE]
    return {
        "pending": pending,
        "waiting": _waiting(latest.request, verdict),
        "runs": _runs(ledger, subject),
        "versions": _versions(ledger, subject),
        "changes": [
            {"id": item.id, "before": before.get(item.id), "now": item.status}
            for item in verdict
            if before and item.status != "not_implemented" and before.get(item.id, "kept") != item.status
        ],
        "history": {text: _history(ledger, subject, text) for text in notable},
        "before": {text: earlier for text in notable if (earlier := _earlier(ledger, subject, text))},
        "others": _others(ledger, subject),
        "laws": _laws(ledger, subject, latest.request.plan, latest.request.alpha),
    }


def _waiting(request: Request, verdict: Verdict) -> dict[str, int]:
    """Promises that wait for a case that was never gone through, by operator and law."""
    known = {item.id for item in verdict}
    waiting = [promise.id for text, promise in request.promises.items() if text not in known]
    return dict(Counter(f"{id.op}/{id.family}" for id in waiting))


def _before(ledger: Ledger, subject: int, night: str) -> dict[str, str]:
    """Where every finding stood when `night` began; empty for the first night."""
    rows = ledger.db.execute(
        "SELECT text, status FROM (SELECT finding, status, max(night) FROM night WHERE subject = ? AND night < ? "
        "GROUP BY finding) JOIN finding ON finding.id = finding",
        (subject, night),
    )
    return dict(rows.fetchall())


def _runs(ledger: Ledger, subject: int) -> list[dict[str, Any]]:
    names = ("night", "kind", "seconds", "workers", "host", "cpu", "keeprate", "cases", "draws", "errors")
    rows = ledger.db.execute(
        f"SELECT {', '.join(names)} FROM run JOIN environment ON environment.id = environment "  # noqa: S608
        "WHERE backend = ? ORDER BY night DESC, run.id DESC LIMIT ?",
        (subject, RUNS),
    ).fetchall()
    return [dict(zip(names, row, strict=True)) for row in reversed(rows)]


def _versions(ledger: Ledger, subject: int) -> list[dict[str, Any]]:
    names = ("version", "device", "profile", "first", "last", "runs", "draws", "judged", "broken")
    rows = ledger.db.execute(
        "WITH mine AS (SELECT name FROM subject WHERE id = ?), "
        "ended AS (SELECT subject, finding, status, max(night) FROM night GROUP BY subject, finding) "
        "SELECT version, device, profile, min(night), max(night), count(*), sum(draws), "
        "(SELECT count(*) FROM ended WHERE subject = backend AND status IN ('kept', 'broken')), "
        "(SELECT count(*) FROM ended WHERE subject = backend AND status = 'broken') "
        "FROM run JOIN subject ON subject.id = backend JOIN plan ON plan.id = plan "
        "WHERE name = (SELECT name FROM mine) GROUP BY backend ORDER BY max(night) DESC, max(run.id) DESC LIMIT 100",
        (subject,),
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


def _history(ledger: Ledger, subject: int, text: str) -> list[dict[str, Any]]:
    names = ("night", "status", "n", "log10_e", "estimate")
    rows = ledger.db.execute(
        "SELECT night, status, n, log10_e, estimate FROM night JOIN finding ON finding.id = finding "
        "WHERE subject = ? AND text = ? ORDER BY night",
        (subject, text),
    ).fetchall()
    return [dict(zip(names, row, strict=True)) for row in _spread(rows)]


def _earlier(ledger: Ledger, subject: int, text: str) -> list[dict[str, Any]]:
    """Where a finding stood at the end of other versions of the backend, the latest first."""
    names = ("version", "device", "profile", "night", "status", "n", "log10_e", "estimate")
    rows = ledger.db.execute(
        "SELECT version, device, profile, max(night) AS ended, status, n, log10_e, estimate FROM night "
        "JOIN subject ON subject.id = subject JOIN plan ON plan.id = plan "
        "WHERE subject IN (SELECT id FROM subject WHERE role = 'backend' AND id != :subject AND name = "
        "(SELECT name FROM subject WHERE id = :subject)) AND finding = (SELECT id FROM finding WHERE text = :text) "
        "GROUP BY subject ORDER BY ended DESC LIMIT :most",
        {"subject": subject, "text": text, "most": EARLIER},
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


def _others(ledger: Ledger, subject: int) -> list[dict[str, Any]]:
    """Other backends that the ledger holds, and when they were judged last."""
    names = ("name", "version", "last", "runs")
    rows = ledger.db.execute(
        "SELECT name, version, max(night), count(*) FROM run JOIN subject ON subject.id = backend "
        "WHERE name != (SELECT name FROM subject WHERE id = ?) GROUP BY name ORDER BY name LIMIT 100",
        (subject,),
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


def _laws(ledger: Ledger, subject: int, plan: Mapping[str, Promise], alpha: float) -> dict[str, list[dict[str, Any]]]:
    """For each law the largest part of its threshold that one of its findings had reached, by night."""
    ids = dict(ledger.db.execute("SELECT text, id FROM finding").fetchall())
    shares = [
        (ids[text], promise.id.family, promise.threshold(alpha))
        for text, promise in plan.items()
        if promise.share and text in ids
    ]
    ledger.db.execute("CREATE TEMP TABLE share (finding INTEGER PRIMARY KEY, law TEXT, threshold REAL)")
    ledger.db.executemany("INSERT INTO temp.share VALUES (?, ?, ?)", shares)
    nights = ledger.db.execute("SELECT DISTINCT night FROM run WHERE backend = ? ORDER BY night", (subject,))
    told = _spread([night for (night,) in nights])  # before they are looked up: a year has a million rows
    rows = ledger.db.execute(
        "SELECT law, night, max(log10_e / threshold) FROM temp.share CROSS JOIN night USING (finding) "  # noqa: S608 - marks
        f"WHERE subject = ? AND night IN ({', '.join('?' * len(told))}) "
        "AND log10_e IS NOT NULL GROUP BY law, night ORDER BY night",
        (subject, *told),
    ).fetchall()
    ledger.db.execute("DROP TABLE temp.share")
    found: dict[str, list[dict[str, Any]]] = {}
    for law, night, part in rows:
        found.setdefault(law, []).append({"night": night, "part": round(part, 4)})
    return found


def _spread(rows: Sequence[Any]) -> list[Any]:
    """At most `POINTS` of them, the first and the last among them."""
    if len(rows) <= POINTS:
        return list(rows)
    return [rows[round(number * (len(rows) - 1) / (POINTS - 1))] for number in range(POINTS)]
