"""Merges ledgers, and copies one: evidence adds, and a run that several of them hold is counted once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from keeprate.harness import interrupts
from keeprate.harness.errors import UsageError
from keeprate.harness.files import made
from keeprate.harness.ledger.encoding import check, less, more
from keeprate.harness.ledger.looks import leave_aside
from keeprate.harness.ledger.store import Ledger

Rows = list[dict[str, Any]]
CAUSES = "SELECT place, text FROM cause WHERE subject = ?"
PARTS = "SELECT look, passes, amounts FROM recent WHERE run = ?"
NIGHT = (  # the one that broke is kept, or else the one that had seen more
    "INSERT INTO night VALUES (:promise, :night, :status, :n, :log10_e, :estimate) ON CONFLICT DO UPDATE SET "
    "status = excluded.status, n = excluded.n, log10_e = excluded.log10_e, estimate = excluded.estimate "
    "WHERE status != 'broken' AND (excluded.status = 'broken' OR coalesce(excluded.n, 0) > coalesce(n, 0))"
)


def merge(sources: Sequence[Path], into: Path) -> int:
    """Writes a ledger with the evidence of all `sources`; returns how many runs it has.

    Raises:
        UsageError: a source is no ledger, two runs share seeds, or `into` exists already or can't be written.
    """
    with made(into) as unfinished, Ledger(unfinished, create=True) as target:
        order = _order(sources)
        for path in sorted(sources, key=_last_night):  # what was counted last is what goes on being counted
            interrupts.check()
            with Ledger(path) as source, target.writing():
                _Absorption(target, source, order).all()
        runs = int(target.db.execute("SELECT count(*) FROM run").fetchone()[0])
        target.db.execute("PRAGMA journal_mode = DELETE")  # one file, whole, until somebody writes to it
    return runs


def _order(sources: Sequence[Path]) -> dict[str, int]:
    """The place of each run in what the sources merge into, by its key: in order of dates, each source's own kept."""
    ahead = []
    for path in sources:
        with Ledger(path) as source:
            ahead.append([tuple(row) for row in source.db.execute("SELECT night, key FROM run ORDER BY id DESC")])
    found: dict[str, int] = {}
    while ahead := [rows for rows in ahead if rows]:
        _, key = min(ahead, key=lambda rows: rows[-1]).pop()
        found.setdefault(key, len(found) + 1)
    return found


def copy(source: Path, into: Path) -> int:
    """Writes what a ledger holds to another file, alone and whole, whatever ended its last run; returns its runs.

    Raises:
        UsageError: the source is no ledger, or `into` exists already or can't be written.
    """
    with Ledger(source) as ledger, made(into) as unfinished, ledger.reading():
        with closing(sqlite3.connect(unfinished)) as target:
            ledger.db.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
        return int(ledger.db.execute("SELECT count(*) FROM run").fetchone()[0])


def _last_night(path: Path) -> str:
    with Ledger(path) as source:
        return str(source.db.execute("SELECT coalesce(max(night), '') FROM run").fetchone()[0])


class _Absorption:
    """One ledger taken into another."""

    def __init__(self, target: Ledger, source: Ledger, order: Mapping[str, int]) -> None:
        self._target, self._source, self._order = target, source, order
        self._subjects: dict[int, int] = {}  # rows of the source by those of the target
        self._runs: dict[int, int] = {}
        self._forms: dict[str, int] = {}  # rows of the target, by their text

    def all(self) -> None:
        """Takes everything; in a transaction of the caller's.

        Raises:
            UsageError: two runs share a seed, one run is in both with other contents, or it is too long ago that a
                shared one can be counted once.
        """
        for row in self._rows("SELECT * FROM subject"):
            old, offer = row.pop("id"), row.pop("offer")
            self._subjects[old] = self._target.shared_subject(offer, **row)
        before, theirs = _by_key(self._target), _by_key(self._source)
        for key, run in theirs.items():
            self._take_run(key, run, before)
        for subject, mine in self._subjects.items():
            judged = {key for key, run in theirs.items() if subject in (run["backend"], run["reference"])}
            ours = {key for key, run in before.items() if mine in (run["backend"], run["reference"])}
            if judged <= ours:
                continue
            causes = [(mine, *row) for row in self._source.db.execute(CAUSES, (subject,))]
            if causes:
                self._target.db.execute("DELETE FROM cause WHERE subject = ?", (mine,))
                self._target.db.executemany("INSERT INTO cause VALUES (?, ?, ?)", causes)
            looks: dict[int, int] = {}  # rows of the source by those of the target
            both: set[int] = set()  # those of the target that have the evidence of both
            # If the source has all runs that the target has, its totals take the place of those, and its path goes on.
            self._take_promises(subject, mine, looks, both, replace=ours <= judged)
            for key in judged - ours:
                old, new = theirs[key]["id"], self._runs[theirs[key]["id"]]
                parts = ((new, *part) for part in self._parts(old, looks))
                self._target.db.executemany("INSERT INTO recent VALUES (?, ?, ?, ?)", parts)
            for key in () if ours <= judged else sorted(judged & ours):
                self._take_away(theirs[key], looks, both)

    def _rows(self, query: str, *parameters: Any) -> Rows:
        return [dict(row) for row in self._source.db.execute(query, parameters)]

    def _take_run(self, key: str, run: Mapping[str, Any], before: Mapping[str, Mapping[str, Any]]) -> None:
        row = {**run, "id": None} | {role: self._subjects.get(run[role]) for role in ("backend", "reference")}
        if key in before:
            self._runs[run["id"]] = before[key]["id"]
            if before[key] != {**row, "id": before[key]["id"], "apart": before[key]["apart"]}:
                raise UsageError(
                    f"{self._source.path}: its run of {row['night']} with seed {row['first_seed']} is in another "
                    "ledger with other contents: one of them was copied while it ran. Leave the shorter one out"
                )
            return
        judged = [subject for subject in (row["backend"], row["reference"]) if subject is not None]
        if other := self._target.overlap(judged, row["first_seed"], row["seeds"]):
            raise UsageError(
                f"{self._source.path}: its run of {row['night']} shares seeds from {row['first_seed']} on with a "
                f"run of {other}: that would count the same draws twice"
            )
        self._runs[run["id"]] = new = self._target.db.insert("run", **row | {"id": self._order[key]})
        for table in ("code", "asked"):
            for row in self._rows(f"SELECT * FROM {table} WHERE run = ?", run["id"]):  # noqa: S608 - names of ours
                self._target.db.insert(table, **row | {"run": new})

    def _parts(self, run: int, looks: Mapping[int, int]) -> Iterator[tuple[int, int, bytes | None]]:
        """What a run of the source added to some of its looks: rows of the target, passes and amounts."""
        for look, passes, amounts in self._source.db.execute(PARTS, (run,)):
            if look in looks:
                yield looks[look], passes, amounts

    def _take_promises(self, subject: int, mine: int, looks: dict[int, int], both: set[int], *, replace: bool) -> None:
        """Adds what one subject showed; where other cells were counted, that of the source is used, which is later.

        What was broken in one of several doesn't decide in what they merge into: each had its own chance to be wrong.
        """
        db, theirs, ours = self._target.db, _looks(self._source, subject), _looks(self._target, mine)
        held: dict[str, int] = dict(
            db.execute("SELECT digest, id FROM promise WHERE subject = ? AND digest NOT NULL", (mine,)).fetchall()
        )
        rows: dict[int, int] = {}  # of the source's promises by those of the target
        db.execute("UPDATE promise SET peak = NULL WHERE subject = ?", (mine,))
        for promise in self._rows("SELECT * FROM promise WHERE subject = ? AND digest NOT NULL", subject):
            row = held.get(promise["digest"])
            new, known = theirs.get(promise["id"], {}), ours.get(row or 0, {})
            texts = [(new[case]["text"], known[case]["text"]) for case in new.keys() & known]
            if row and any(one != other and None not in (one, other) for one, other in texts):
                leave_aside(self._target.db, row)
                row, known = None, {}
            row = row or db.insert("promise", subject=mine, finding=promise["finding"], digest=promise["digest"])
            rows[promise["id"]] = row
            if replace:
                db.change("promise", row, peak=promise["peak"])
            for case, look in new.items():
                old = known.get(case)
                values = self._values(look, None if replace else old, promise["finding"])
                if old is None:
                    looks[look["id"]] = db.insert("look", promise=row, case_id=case, **values)
                else:
                    looks[look["id"]] = old["id"]
                    both.add(old["id"])
                    db.change("look", old["id"], **values)
        for table, taken in (("night", NIGHT), ("picture", "INSERT OR IGNORE INTO picture VALUES (:promise, :text)")):
            query = (
                f"SELECT {table}.* FROM {table} JOIN promise ON promise.id = promise "  # noqa: S608 - names of ours
                "WHERE subject = ?"
            )
            found = map(dict, self._source.db.execute(query, (subject,)))
            db.executemany(taken, (one | {"promise": rows[one["promise"]]} for one in found if one["promise"] in rows))

    def _values(self, look: sqlite3.Row, old: sqlite3.Row | None, finding: str) -> dict[str, Any]:
        """What a row says of a look, with that of `old` added."""
        values = {name: look[name] for name in ("passes", "trouble", "reason", "error_kind")}
        if old is not None:
            values["passes"] += old["passes"]
        if look["total"] is not None:
            form, total = look["text"], look["total"]
            try:
                check(form, total)
                values["total"] = total if old is None or old["total"] is None else more(form, old["total"], total)
            except ValueError as error:
                raise UsageError(f"{self._source.path}: what it holds of {finding} can't be added: {error}") from None
            if form not in self._forms:
                self._forms[form] = self._target.db.row("form", text=form)
            values["form"] = self._forms[form]
        return values

    def _take_away(self, run: Mapping[str, Any], looks: Mapping[int, int], both: set[int]) -> None:
        """Subtracts what a run that both ledgers have now counts twice.

        Raises:
            UsageError: neither ledger keeps what it added, or it doesn't add up.
        """
        db, mine = self._target.db, self._runs[run["id"]]
        parts: Iterable[tuple[int, int, bytes | None]]
        if run["apart"]:
            parts = self._parts(run["id"], looks)
        elif run["cases"] and not db.execute("SELECT apart FROM run WHERE id = ?", (mine,)).fetchone()["apart"]:
            raise UsageError(
                f"{self._source.path}: its run of {run['night']} is in another ledger too, and so long ago that "
                "neither keeps apart what it added. Merge ledgers earlier, or leave one out"
            )
        else:
            parts = map(tuple, db.execute(PARTS, (mine,)).fetchall())
        for row, passes, amounts in parts:
            if row not in both:
                continue
            query = "SELECT passes, total, text FROM look LEFT JOIN form ON form.id = form WHERE look.id = ?"
            look = db.execute(query, (row,)).fetchone()
            values = {"passes": max(1, look["passes"] - passes)}
            try:
                if amounts is not None:
                    values["total"] = less(look["text"], look["total"], amounts)
            except ValueError as error:
                raise UsageError(f"{self._source.path}: its run of {run['night']} doesn't add up: {error}") from None
            db.change("look", row, **values)


def _looks(ledger: Ledger, subject: int) -> dict[int, dict[str, sqlite3.Row]]:
    """What each case showed, by the row of its promise and its id."""
    found: dict[int, dict[str, sqlite3.Row]] = {}
    for look in ledger.db.execute(
        "SELECT look.*, text FROM promise JOIN look ON promise = promise.id LEFT JOIN form ON form.id = form "
        "WHERE subject = ?",
        (subject,),
    ):
        found.setdefault(look["promise"], {})[look["case_id"]] = look
    return found


def _by_key(ledger: Ledger) -> dict[str, dict[str, Any]]:
    return {row["key"]: dict(row) for row in ledger.db.execute("SELECT * FROM run ORDER BY id")}
