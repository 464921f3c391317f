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

Rows = list[dict[str, Any]]
LOOKS = "SELECT look.*, text FROM look LEFT JOIN form ON form.id = form"


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
                for path in sorted(sources, key=_last_night):  # what was counted last is what goes on being counted
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


def _last_night(path: Path) -> str:
    with Ledger(path) as source:
        return str(source.db.execute("SELECT coalesce(max(night), '') FROM run").fetchone()[0])


class _Absorption:
    """One ledger taken into another."""

    def __init__(self, target: Ledger, source: Ledger) -> None:
        self._target, self._source = target, source
        self._subjects: dict[int, int] = {}  # rows of the source by those of the target
        self._runs: dict[int, int] = {}

    def all(self) -> None:
        """Takes everything; in a transaction of the caller's.

        Raises:
            UsageError: two runs share a seed, one run is in both with other contents, or it is too long ago that a
                shared one can be counted once.
        """
        for row in self._rows("SELECT * FROM subject"):
            old = row.pop("id")
            self._subjects[old] = self._target.subject(**row)
        before, theirs = _by_key(self._target), _by_key(self._source)
        for key, run in theirs.items():
            self._take_run(key, run, before)
        for subject, mine in self._subjects.items():
            judged = {key for key, run in theirs.items() if subject in (run["backend"], run["reference"])}
            ours = {key for key, run in before.items() if mine in (run["backend"], run["reference"])}
            if judged <= ours:
                continue
            looks: dict[int, int] = {}  # rows of the source by those of the target
            both: set[int] = set()  # those of the target that have the evidence of both
            for promise in self._rows("SELECT * FROM promise WHERE subject = ? AND digest NOT NULL", subject):
                # If the source has all runs that the target has, its totals take the place of those.
                self._take_promise(promise, mine, looks, both, replace=bool(ours) and ours <= judged)
            for key in judged - ours:
                parts = self._parts(theirs[key]["id"], looks)
                self._target.db.executemany("INSERT INTO recent VALUES (:run, :look, :passes, :amounts)", parts)
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
        self._runs[run["id"]] = self._target.db.insert("run", **row)

    def _parts(self, run: int, looks: Mapping[int, int]) -> Rows:
        """What a run of the source added to some of its looks, as rows of the target."""
        parts = self._rows("SELECT * FROM recent WHERE run = ?", run)
        return [part | {"run": self._runs[run], "look": looks[part["look"]]} for part in parts if part["look"] in looks]

    def _take_promise(
        self, promise: dict[str, Any], mine: int, looks: dict[int, int], both: set[int], *, replace: bool
    ) -> None:
        """Adds the evidence of one promise; where other cells were counted, that of the source, which is later."""
        target, who = self._target, (mine, promise["finding"], promise["digest"])
        theirs, row = self._rows(f"{LOOKS} WHERE promise = ?", promise["id"]), self._target.promise(*who)
        ours = {look["case_id"]: look for look in target.db.execute(f"{LOOKS} WHERE promise = ?", (row,)).fetchall()}
        texts = [(look["text"], ours[look["case_id"]]["text"]) for look in theirs if look["case_id"] in ours]
        if any(one != other and None not in (one, other) for one, other in texts):
            target.leave_aside(row)
            row, ours = target.promise(*who), {}
        for look in theirs:
            old = ours.get(look["case_id"])
            values = self._values(look, None if replace else old, promise["finding"])
            if old is None:
                looks[look["id"]] = target.db.insert("look", promise=row, case_id=look["case_id"], **values)
            else:
                looks[look["id"]] = old["id"]
                both.add(old["id"])
                target.db.change("look", old["id"], **values)
        if promise["peak"] is not None:
            target.raise_peak(row, promise["peak"])
        target.db.executemany(
            "INSERT INTO night VALUES (:row, :night, :status, :n, :log10_e, :estimate) ON CONFLICT DO UPDATE SET "
            "status = excluded.status, n = excluded.n, log10_e = excluded.log10_e, estimate = excluded.estimate "
            "WHERE (excluded.status = 'broken', coalesce(excluded.n, 0)) > (status = 'broken', coalesce(n, 0))",
            [night | {"row": row} for night in self._rows("SELECT * FROM night WHERE promise = ?", promise["id"])],
        )
        for picture in self._rows("SELECT text FROM picture WHERE promise = ?", promise["id"]):
            target.db.execute("INSERT OR IGNORE INTO picture VALUES (?, ?)", (row, picture["text"]))

    def _values(self, look: dict[str, Any], old: sqlite3.Row | None, finding: str) -> dict[str, Any]:
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
            values["form"] = self._target.db.row("form", text=form)
        return values

    def _take_away(self, run: Mapping[str, Any], looks: Mapping[int, int], both: set[int]) -> None:
        """Subtracts what a run that both ledgers have now counts twice.

        Raises:
            UsageError: neither ledger keeps what it added, or it doesn't add up.
        """
        db, mine = self._target.db, self._runs[run["id"]]
        if run["apart"]:
            parts = self._parts(run["id"], looks)
        elif run["cases"] and not db.execute("SELECT apart FROM run WHERE id = ?", (mine,)).fetchone()["apart"]:
            raise UsageError(
                f"{self._source.path}: its run of {run['night']} is in another ledger too, and so long ago that "
                "neither keeps apart what it added. Merge ledgers earlier, or leave one out"
            )
        else:
            parts = [dict(part) for part in db.execute("SELECT * FROM recent WHERE run = ?", (mine,))]
        for part in parts:
            if part["look"] not in both:
                continue
            look = db.execute(f"{LOOKS} WHERE look.id = ?", (part["look"],)).fetchone()
            values = {"passes": max(1, look["passes"] - part["passes"])}
            try:
                if part["amounts"] is not None:
                    values["total"] = less(look["text"], look["total"], part["amounts"])
            except ValueError as error:
                raise UsageError(f"{self._source.path}: its run of {run['night']} doesn't add up: {error}") from None
            db.change("look", part["look"], **values)


def _by_key(ledger: Ledger) -> dict[str, dict[str, Any]]:
    return {row["key"]: dict(row) for row in ledger.db.execute("SELECT * FROM run ORDER BY id")}
