"""What each case has shown of each promise, while a run adds to it: kept in memory, so that nothing is read twice."""

from __future__ import annotations

from pathlib import Path

import msgspec

from keeprate.harness.errors import UsageError
from keeprate.harness.evidence.kinds import Evidence
from keeprate.harness.ledger.encoding import amounts_of, join, split
from keeprate.harness.ledger.schema import Database
from keeprate.harness.protocol.engine import Result


class _Look(msgspec.Struct):
    """A row of `look`, and what the run that adds has in `recent`.

    Args:
        promise: the row of its promise.
        row: its own; 0 for one that is to be entered.
        form: the row of the form of its evidence; 0 where there is none.
        passes, total: of all runs.
        here, part: of this run.
        trouble: why the latest pass showed nothing, or not all: a kind, a reason, and what tells errors apart.
    """

    promise: int
    row: int = 0
    form: int = 0
    passes: int = 0
    total: Evidence | None = None
    here: int = 0
    part: Evidence | None = None
    trouble: tuple[str | None, str | None, str] = None, None, ""

    def after(self, result: Result, finding: str) -> _Look:
        """The same with a result added; raises ValueError or TypeError if that was counted otherwise."""
        found, total, part = result.evidence.get(finding), self.total, self.part
        if found is not None:
            total = found if total is None else total + found
            part = total if self.part is self.total else found if part is None else part + found
        passes, here = self.passes + result.passes, self.here + result.passes
        return _Look(self.promise, self.row, self.form, passes, total, here, part, _trouble(result, finding))


def joined(path: Path, form: str, amounts: bytes, finding: str) -> Evidence:
    """The evidence that a row holds.

    Raises:
        UsageError: it is none.
    """
    try:
        return join(form, amounts)
    except ValueError as error:
        raise UsageError(f"{path}: what it holds of {finding} is not evidence: {error}") from None


def promise_row(db: Database, subject: int, finding: str, digest: str) -> int:
    """The row of a promise; entered if it is new."""
    return db.row("promise", {"finding": finding}, subject=subject, digest=digest)


def leave_aside(db: Database, row: int) -> None:
    """Keeps what was counted of a promise, and counts no more there: it begins anew in another row."""
    db.change("promise", row, digest=None)


class Looks:
    """Those of one run at a time, in the transactions of whoever adds: `begin`, `add` some results, `write`; `keep`."""

    def __init__(self, db: Database, path: Path) -> None:
        self._db, self._path = db, path
        self._run, self._version = 0, 0
        self._kept: dict[tuple[str, str, str], _Look] = {}  # by role, case and finding, as the file has them
        self._new: dict[tuple[str, str, str], _Look] = {}  # as it is to have them

    def begin(self, run: int) -> None:
        """Forgets what was never written, and all that another connection may have changed."""
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        if (run, version) != (self._run, self._version):
            self._kept.clear()
            self._run, self._version = run, version
        self._new.clear()

    def add(self, subject: int, digest: str, finding: str, result: Result) -> Evidence | None:
        """The evidence of all passes over one case, for one finding; None if this result has none.

        What was counted in other cells before is left aside, and its promise begins anew.

        Raises:
            UsageError: what the ledger holds there is no evidence.
        """
        place = result.role, result.case, finding
        look = self._new.get(place) or self._kept.pop(place, None) or self._read(subject, digest, place)
        try:
            new = look.after(result, finding)
        except (TypeError, ValueError):
            self.write()
            self._kept.clear()  # other cases of the promise are left aside with it
            self._new.clear()
            leave_aside(self._db, look.promise)
            new = _Look(promise_row(self._db, subject, finding, digest)).after(result, finding)
        self._new[place] = new
        return new.total if finding in result.evidence else None

    def write(self) -> None:
        """Writes what was added since `begin`."""
        changed, recent = [], []
        for (_, case, _), look in self._new.items():
            total = amounts = None
            if look.total is not None:
                total = amounts_of(look.total)
                if not look.form or look.total.is_exact:  # a remark is part of the form, and may come later
                    look.form = self._db.row("form", text=split(look.total)[0])
                amounts = total if look.part is look.total else look.part and amounts_of(look.part)
            values = look.passes, look.form or None, total, *look.trouble
            if look.row:
                changed.append((*values, look.row))
            else:
                names = ("passes", "form", "total", "trouble", "reason", "error_kind")
                row = dict(zip(names, values, strict=True))
                look.row = self._db.insert("look", promise=look.promise, case_id=case, **row)
            recent.append((self._run, look.row, look.here, amounts))
        self._db.executemany(
            "UPDATE look SET passes = ?, form = ?, total = ?, trouble = ?, reason = ?, error_kind = ? WHERE id = ?",
            changed,
        )
        self._db.executemany(
            "INSERT INTO recent VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET passes = excluded.passes, "
            "amounts = excluded.amounts",
            recent,
        )

    def keep(self) -> None:
        """Takes what was written as what the file has, once it has."""
        self._kept |= self._new
        self._new.clear()

    def _read(self, subject: int, digest: str, place: tuple[str, str, str]) -> _Look:
        _, case, finding = place
        row = self._db.execute(
            "SELECT promise.id AS promise, look.id AS look, look.passes, form, text, total, recent.passes AS here, "
            "amounts FROM promise LEFT JOIN look ON look.promise = promise.id AND case_id = ? "
            "LEFT JOIN form ON form.id = form LEFT JOIN recent ON recent.look = look.id AND run = ? "
            "WHERE subject = ? AND digest = ?",
            (case, self._run, subject, digest),
        ).fetchone()
        if row is None:
            return _Look(promise_row(self._db, subject, finding, digest))
        if row["look"] is None:
            return _Look(row["promise"])
        total, part = (
            None if row[name] is None else joined(self._path, row["text"], row[name], finding)
            for name in ("total", "amounts")
        )
        return _Look(row["promise"], row["look"], row["form"] or 0, row["passes"], total, row["here"] or 0, part)


def _trouble(result: Result, finding: str) -> tuple[str | None, str | None, str]:
    """Why a pass gave no evidence of a finding, or not all of it: a kind of trouble, the reason, the kind of error."""
    kind = result.error_kind[:500]
    if result.error:
        return "error", result.error[:10000], kind
    for trouble, reasons in (("unreadable", result.unreadable), ("not_offered", result.not_offered)):
        if finding in reasons:
            return trouble, reasons[finding][:10000] or "no reason given", kind
    return None, None, kind
