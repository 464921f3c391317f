"""Merges ledgers: evidence adds, and a run that several of them hold is counted once."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keeprate.harness import interrupts
from keeprate.harness.errors import UsageError
from keeprate.harness.files import check_writable
from keeprate.harness.ledger.encoding import check, less, more
from keeprate.harness.ledger.store import Ledger


def merge(sources: Sequence[Path], into: Path) -> int:
    """Writes a ledger with the evidence of all `sources`; returns how many runs it has.

    Raises:
        UsageError: a source is no ledger, two runs share seeds, or `into` exists already or can't be written.
    """
    check_writable(into)
    if into.exists():
        raise UsageError(f"'{into}' exists already, and was left as it is")
    unfinished = into
    try:
        # In a folder that nobody else has or can guess, and put in its place only if nothing has come there meanwhile.
        with tempfile.TemporaryDirectory(dir=into.resolve().parent, prefix=".merging.") as folder:
            unfinished = Path(folder) / "ledger.db"
            with Ledger(unfinished, create=True) as target:
                for path in sources:
                    interrupts.check()
                    with Ledger(path) as source, target.writing():
                        _Absorption(target, source).all()
                runs = int(target.db.execute("SELECT count(*) FROM run").fetchone()[0])
                target.db.execute("PRAGMA journal_mode = DELETE")  # one file, whole, until somebody writes to it
            os.link(unfinished, into)
    except FileExistsError:
        raise UsageError(f"'{into}' exists already, and was left as it is") from None
    except OSError as error:
        raise UsageError(f"can't write '{into}': {error.strerror}") from None
    except UsageError as error:  # perhaps of the file in that folder, which nobody has heard of
        raise UsageError(str(error).replace(str(unfinished), str(into))) from None
    return runs


class _Absorption:
    """One ledger taken into another."""

    def __init__(self, target: Ledger, source: Ledger) -> None:
        self._target, self._source = target, source
        self._maps: dict[str, dict[int, int]] = {}

    def all(self) -> None:
        """Takes everything; in a transaction of the caller's."""
        for table, key in {
            "plan": ("suite", "profile", "alpha", "digest"),
            "subject": ("plan", "role", "name", "version", "device"),
            "environment": ("keeprate", "python", "numpy", "scipy", "platform", "cpu"),
            "finding": ("text",),
            "form": ("text",),
        }.items():
            self._maps[table] = self._rows(table, key)
        before = self._runs(self._target.db)
        shared = self._take_runs(before)
        for subject in self._maps["subject"]:
            self._take_subject(subject, before, shared)
        self._take_nights()

    def _rows(self, table: str, key: Sequence[str]) -> dict[int, int]:
        """For each row of the source its id in the target, entered if it is new."""
        found = {}
        for row in _dicts(self._source.db, f"SELECT * FROM {table}"):  # noqa: S608 - a name of ours
            if "plan" in row:
                row["plan"] = self._maps["plan"][row["plan"]]
            more = {name: value for name, value in row.items() if name not in (*key, "id")}
            found[row["id"]] = self._target.row(table, more, **{name: row[name] for name in key})
        return found

    def _runs(self, db: sqlite3.Connection) -> dict[str, dict[str, Any]]:
        return {row["key"]: row for row in _dicts(db, "SELECT * FROM run ORDER BY id")}

    def _take_runs(self, before: Mapping[str, Mapping[str, Any]]) -> set[str]:
        """Enters the source's runs; returns the keys of those that the target had.

        Raises:
            UsageError: two runs of one backend or reference share a seed, or one run is in both with other contents.
        """
        shared, maps = set(), self._maps
        maps["run"] = {}
        for key, row in self._runs(self._source.db).items():
            row["backend"], row["environment"] = (
                maps["subject"][row["backend"]],
                maps["environment"][row["environment"]],
            )
            row["reference"] = maps["subject"].get(row["reference"])
            old = row.pop("id")
            if key in before:
                known = dict(before[key])
                maps["run"][old] = known.pop("id")
                if known != row:
                    raise UsageError(
                        f"{self._source.path}: its run of {row['night']} with seed {row['first_seed']} is in another "
                        "ledger with other contents: one of them was copied while it ran. Leave the shorter one out"
                    )
                shared.add(key)
                continue
            judged = [subject for subject in (row["backend"], row["reference"]) if subject is not None]
            if other := self._target.overlap(judged, row["first_seed"], row["seeds"]):
                raise UsageError(
                    f"{self._source.path}: its run of {row['night']} shares seeds from {row['first_seed']} on with a "
                    f"run of {other}: that would count the same draws twice"
                )
            maps["run"][old] = self._target.row("run", row, key=row.pop("key"))
        return shared

    def _take_subject(self, subject: int, before: Mapping[str, Mapping[str, Any]], shared: set[str]) -> None:
        """Adds the evidence of one subject, less that of the runs which both have."""
        mine = self._maps["subject"][subject]
        theirs = {
            key for key, row in self._runs(self._source.db).items() if subject in (row["backend"], row["reference"])
        }
        ours = {key for key, row in before.items() if mine in (row["backend"], row["reference"])}
        both = shared & theirs & ours
        if theirs <= both:  # nothing new
            return
        looks = self._take_looks(subject, mine, replace=bool(ours) and ours <= both)
        self._take_passes(subject, mine, replace=bool(ours) and ours <= both)
        if both and not ours <= both:
            self._take_away(both, subject, looks)
        self._take_recent({key for key in theirs if key not in both}, subject, looks)
        self._take_pictures(subject, mine)
        remarks = _dicts(self._source.db, "SELECT * FROM remark WHERE subject = ?", subject)
        self._target.db.executemany(
            "INSERT OR IGNORE INTO remark VALUES (?, ?, ?, ?, ?)",
            [(mine, row["case"], self._finding(row["finding"]), row["kind"], row["reason"]) for row in remarks],
        )

    def _take_pictures(self, subject: int, mine: int) -> None:
        rows = self._source.db.execute("SELECT finding, text FROM picture WHERE subject = ?", (subject,))
        self._target.db.executemany(
            "INSERT OR IGNORE INTO picture VALUES (?, ?, ?)",
            [(mine, self._maps["finding"][finding], text) for finding, text in rows],
        )

    def _take_looks(self, subject: int, mine: int, *, replace: bool) -> dict[int, int]:
        """Adds totals, or puts the source's in the place of the target's; rows of the source by those of the target."""
        found = {}
        for look in _dicts(
            self._source.db,
            "SELECT look.*, form.text FROM look JOIN form ON form.id = form WHERE subject = ?",
            subject,
        ):
            try:
                form, total = look["text"], look["total"]
                check(form, total)
                key = {"subject": mine, "case": look["case"], "finding": self._maps["finding"][look["finding"]]}
                old = self._target.db.execute(
                    "SELECT look.id, form.text, total FROM look JOIN form ON form.id = form "
                    'WHERE subject = :subject AND "case" = :case AND finding = :finding',
                    key,
                ).fetchone()
                if old is None:
                    values = {**key, "form": self._maps["form"][look["form"]], "total": total}
                    found[look["id"]] = self._insert_look(values)
                    continue
                if not replace:
                    if old[1] != form:
                        raise ValueError("they count other things")
                    total = more(form, old[2], total)
            except (KeyError, ValueError) as error:
                raise UsageError(
                    f"{self._source.path}: what it holds of {look['case']} can't be added: {error}"
                ) from None
            self._target.db.execute("UPDATE look SET total = ? WHERE id = ?", (total, old[0]))
            found[look["id"]] = old[0]
        return found

    def _take_passes(self, subject: int, mine: int, *, replace: bool) -> None:
        """Adds passes, or puts the source's in the place of the target's."""
        total = "excluded.passes" if replace else "passes + excluded.passes"
        self._target.db.executemany(
            f"INSERT INTO pass VALUES ({mine}, ?, ?) ON CONFLICT DO UPDATE SET passes = {total}",  # noqa: S608 - ours
            self._source.db.execute('SELECT "case", passes FROM pass WHERE subject = ?', (subject,)),
        )

    def _insert_look(self, values: Mapping[str, Any]) -> int:
        row = self._target.db.execute(
            'INSERT INTO look (subject, "case", finding, form, total) '
            "VALUES (:subject, :case, :finding, :form, :total)",
            values,
        ).lastrowid
        assert row is not None
        return row

    def _take_away(self, both: set[str], subject: int, looks: Mapping[int, int]) -> None:
        """Subtracts what runs that both ledgers have now count twice.

        Raises:
            UsageError: neither ledger keeps what such a run added.
        """
        runs = self._runs(self._source.db)
        for key in sorted(both):
            run = runs[key]
            mine = self._maps["run"][run["id"]]
            if _keeps(self._source.db, run["id"]):
                theirs = self._source.db.execute("SELECT look, amounts FROM recent WHERE run = ?", (run["id"],))
                rows = [(looks[look], amounts) for look, amounts in theirs if look in looks]
                passes = _passes(self._source.db, run["id"], subject)
            elif _keeps(self._target.db, mine):
                own, known = set(looks.values()), self._target.db
                found = known.execute("SELECT look, amounts FROM recent WHERE run = ?", (mine,)).fetchall()
                rows = [(look, amounts) for look, amounts in found if look in own]
                passes = _passes(known, mine, self._maps["subject"][subject])
            elif run["cases"]:
                raise UsageError(
                    f"{self._source.path}: its run of {run['night']} is in another ledger too, and so long ago that "
                    "neither keeps apart what it added. Merge ledgers earlier, or leave one out"
                )
            else:
                continue
            self._subtract(run["night"], rows)
            self._target.db.executemany(
                'UPDATE pass SET passes = max(1, passes - ?) WHERE subject = ? AND "case" = ?',
                [(number, self._maps["subject"][subject], case) for case, number in passes],
            )

    def _subtract(self, night: str, rows: Sequence[tuple[int, bytes]]) -> None:
        for look, amounts in rows:
            form, total = self._target.db.execute(
                "SELECT form.text, total FROM look JOIN form ON form.id = form WHERE look.id = ?", (look,)
            ).fetchone()
            try:
                rest = less(form, total, amounts)
            except ValueError as error:
                raise UsageError(f"{self._source.path}: its run of {night} doesn't add up: {error}") from None
            self._target.db.execute("UPDATE look SET total = ? WHERE id = ?", (rest, look))

    def _take_recent(self, keys: set[str], subject: int, looks: Mapping[int, int]) -> None:
        runs = self._runs(self._source.db)
        for key in keys:
            old = runs[key]["id"]
            rows = self._source.db.execute("SELECT look, amounts FROM recent WHERE run = ?", (old,))
            mine = self._maps["run"][old]
            self._target.db.executemany(
                "INSERT OR IGNORE INTO recent VALUES (?, ?, ?)",
                [(mine, looks[look], amounts) for look, amounts in rows if look in looks],
            )
            self._target.db.executemany(
                "INSERT OR IGNORE INTO recent_pass VALUES (?, ?, ?, ?)",
                [
                    (mine, self._maps["subject"][subject], case, passes)
                    for case, passes in _passes(self._source.db, old, subject)
                ],
            )

    def _take_nights(self) -> None:
        """Where both noted a night, the one that had seen more is kept."""
        rows = [
            (self._maps["subject"][row["subject"]], self._finding(row["finding"]), *list(row.values())[2:])
            for row in _dicts(self._source.db, "SELECT * FROM night")
        ]
        self._target.db.executemany(
            "INSERT INTO night VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET status = excluded.status, "
            "n = excluded.n, log10_e = excluded.log10_e, estimate = excluded.estimate WHERE excluded.n > n",
            rows,
        )

    def _finding(self, row: int) -> int:
        return self._maps["finding"].get(row, 0)


def _keeps(db: sqlite3.Connection, run: int) -> bool:
    """Whether a ledger keeps apart what a run added."""
    return db.execute("SELECT 1 FROM recent_pass WHERE run = ?", (run,)).fetchone() is not None


def _passes(db: sqlite3.Connection, run: int, subject: int) -> list[tuple[str, int]]:
    """The passes of a run over each case of a subject."""
    query = 'SELECT "case", passes FROM recent_pass WHERE run = ? AND subject = ?'
    return db.execute(query, (run, subject)).fetchall()


def _dicts(db: sqlite3.Connection, query: str, *parameters: Any) -> list[dict[str, Any]]:
    cursor = db.execute(query, parameters)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
