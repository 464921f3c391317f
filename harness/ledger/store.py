"""The ledger: evidence of many runs, added up for each version of a backend, in one SQLite file.

Every case is one transaction, so that whatever ends a run, the case in flight is lost at most, and several runs may
write at once. What a run adds is kept apart for the latest nights, so that ledgers that share some can be merged.
"""

from __future__ import annotations

import json
import platform
import secrets
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from keeprate.harness.errors import UsageError
from keeprate.harness.evidence.kinds import Evidence
from keeprate.harness.files import check_writable
from keeprate.harness.judging.pictures import checked
from keeprate.harness.judging.request import Request
from keeprate.harness.judging.verdict import Verdict
from keeprate.harness.ledger.encoding import join, split
from keeprate.harness.ledger.schema import begin_alone, connect
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.engine import GIVEN_UP, Result
from keeprate.harness.workers.machine import cpu

APART = 30  # nights of one backend whose runs are kept apart, and as many gates, which may be several a day
SEEDS = 1 << 20  # that a nightly run takes for itself: more passes than any case will see in a night


class UnwritableError(UsageError):
    """The ledger takes no more: its disk is full, or somebody holds it."""


@dataclass(frozen=True)
class Run:
    """A run that adds to a ledger.

    Args:
        id: its row.
        subjects: the rows of those whom it judges, by role.
        first_seed: the first of its seeds.
        night: the date (UTC) that it belongs to.
    """

    id: int
    subjects: dict[str, int]
    first_seed: int
    night: str


class Ledger:
    """A ledger; close it, or use it in a `with`, which says in one sentence what SQLite complains of."""

    def __init__(self, path: Path, *, create: bool = False, write: bool = False) -> None:
        """Opens a checked file; one that isn't there is made when a run begins.

        Raises:
            UsageError: there is no ledger at `path`, none can be made there, or it is none that can be trusted.
        """
        self.path = path
        self._mode = {"create": create, "write": write}
        if create:
            check_writable(path)
        if not create or path.exists():
            _ = self.db

    @cached_property
    def db(self) -> sqlite3.Connection:
        """The file, opened when it is first asked for."""
        return connect(self.path, **self._mode)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.close()
        if isinstance(error, sqlite3.Error):
            raise UsageError(f"{self.path}: the ledger can't be read: {error}") from None

    def close(self) -> None:
        """Closes the file, which is whole in any case."""
        if "db" in self.__dict__:
            self.db.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction: all of it or nothing.

        Raises:
            UnwritableError: the file takes no more.
        """
        try:
            try:
                begin_alone(self.db)
                yield
                self.db.execute("COMMIT")
            except BaseException:  # an interrupt as well, which may come just as it has begun
                if self.db.in_transaction:  # where a disk is full, SQLite may have ended it itself
                    self.db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise UnwritableError(
                f"{self.path}: the ledger can't be written: {error}. What it held before is kept"
            ) from None

    def begin(
        self,
        request: Request,
        offers: tuple[Offer, Offer | None],
        environment: dict[str, str],
        *,
        kind: str,
        workers: int,
        seed: int | None = None,
    ) -> Run:
        """Enters a run, with seeds that no other run of this backend has, nor of another beside the same reference.

        Args:
            seed: the first of its seeds; one that is free if None.

        Raises:
            UsageError: another run had one of the seeds.
            UnwritableError: the file takes no more.
        """
        seeds = SEEDS if kind == "nightly" else 1
        night = time.strftime("%Y-%m-%d", time.gmtime())
        with self.writing():
            plan = self._plan(request)
            subjects = {
                role: self._subject(plan, role, offer)
                for role, offer in zip(("backend", "reference"), offers, strict=True)
                if offer is not None
            }
            first = secrets.randbits(62) if seed is None else seed
            while other := self.overlap(subjects.values(), first, seeds):
                if seed is not None:
                    raise UsageError(
                        f"{self.path}: seed {seed} belongs to the run of {other}, whose evidence is there already. "
                        "Leave --seed out for a fresh one"
                    )
                first = secrets.randbits(62)
            cursor = self.db.execute(
                "INSERT INTO run (key, backend, reference, environment, kind, named, host, workers, night, seconds,"
                " first_seed, seeds, cases, draws, errors) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, 0, 0, 0)",
                (
                    secrets.token_hex(16),
                    subjects["backend"],
                    subjects.get("reference"),
                    self._environment(environment),
                    kind,
                    request.backend[:500],
                    platform.node()[:500],
                    workers,
                    night,
                    first,
                    seeds,
                ),
            )
            assert cursor.lastrowid is not None
            self._forget(subjects["backend"])
        return Run(cursor.lastrowid, subjects, first, night)

    def add(self, run: Run, result: Result, seconds: float) -> dict[str, Evidence]:
        """Adds what one pass over a case gave, or several at once; returns the evidence of all passes, by finding.

        Args:
            seconds: since the run began.

        Raises:
            UsageError: an earlier keeprate counted other cells there.
            UnwritableError: the file takes no more.
        """
        subject = run.subjects[result.role]
        with self.writing():
            totals = {
                text: self._add(run.id, subject, result.case, text, evidence)
                for text, evidence in result.evidence.items()
            }
            self._remark(subject, result)
            self.db.execute(
                'INSERT INTO pass (subject, "case", passes) VALUES (?, ?, ?) '
                "ON CONFLICT DO UPDATE SET passes = passes + excluded.passes",
                (subject, result.case, result.passes),
            )
            self.db.execute(
                "INSERT INTO recent_pass VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET passes = passes + excluded.passes",
                (run.id, subject, result.case, result.passes),
            )
            draws = max((item.n for item in result.evidence.values() if not item.is_exact), default=0)
            self.db.execute(
                "UPDATE run SET cases = cases + ?, draws = draws + ?, errors = errors + ?, seconds = max(seconds, ?) "
                "WHERE id = ?",
                (
                    result.passes,
                    draws if result.role == "backend" else 0,
                    bool(result.error),
                    round(seconds, 3),
                    run.id,
                ),
            )
        return totals

    def _add(self, run: int, subject: int, case: str, text: str, evidence: Evidence) -> Evidence:
        finding = self.finding(text)
        form, amounts = split(evidence)
        old = self.db.execute(
            'SELECT look.id, form.text, total FROM look JOIN form ON form.id = form WHERE subject = ? AND "case" = ? '
            "AND finding = ?",
            (subject, case, finding),
        ).fetchone()
        if old is None:
            values = (subject, case, finding, self.form(form), amounts)
            look = self.db.execute(
                'INSERT INTO look (subject, "case", finding, form, total) VALUES (?, ?, ?, ?, ?)', values
            ).lastrowid
            total = evidence
        else:
            look = old[0]
            try:
                total = join(old[1], old[2]) + evidence
            except (TypeError, ValueError) as error:
                raise UsageError(
                    f"{self.path}: {text} was counted otherwise by an earlier keeprate ({error}). Start another ledger"
                ) from None
            self.db.execute("UPDATE look SET total = ? WHERE id = ?", (split(total)[1], look))
        apart = self.db.execute("SELECT amounts FROM recent WHERE run = ? AND look = ?", (run, look)).fetchone()
        if apart is not None:
            amounts = split(join(form, apart[0]) + evidence)[1]
        self.db.execute("INSERT OR REPLACE INTO recent (run, look, amounts) VALUES (?, ?, ?)", (run, look, amounts))
        return total

    def _remark(self, subject: int, result: Result) -> None:
        """Replaces what was remarked of the case before: a remark is of the latest pass."""
        self.db.execute('DELETE FROM remark WHERE subject = ? AND "case" = ?', (subject, result.case))
        rows = [(self.finding(text), "unreadable", why) for text, why in result.unreadable.items()]
        rows += [(self.finding(text), "not_offered", why) for text, why in result.not_offered.items()]
        rows += [(0, "given_up" if result.error_kind == GIVEN_UP else "error", result.error)] if result.error else []
        self.db.executemany(
            "INSERT OR REPLACE INTO remark VALUES (?, ?, ?, ?, ?)",
            [(subject, result.case, finding, kind, why[:10000] or "no reason given") for finding, kind, why in rows],
        )

    def results(self, subject: int) -> dict[str, Result]:
        """What all passes over each case gave together.

        Raises:
            UsageError: something in the ledger is no evidence.
        """
        found: dict[str, dict[str, Any]] = {
            case: {"evidence": {}, "unreadable": {}, "not_offered": {}, "error": ""} for case in self.passes(subject)
        }
        rows = self.db.execute(
            'SELECT "case", finding.text, form.text, total FROM look JOIN finding ON finding.id = finding '
            "JOIN form ON form.id = form WHERE subject = ?",
            (subject,),
        )
        for case, text, form, amounts in rows:
            try:
                found[case]["evidence"][text] = join(form, amounts)
            except (KeyError, ValueError) as error:
                raise UsageError(f"{self.path}: what it holds of {text} is no evidence: {error}") from None
        remarks = self.db.execute(
            "SELECT \"case\", kind, coalesce(text, ''), reason FROM remark LEFT JOIN finding ON finding.id = finding "
            "WHERE subject = ?",
            (subject,),
        )
        for case, kind, text, reason in remarks:
            if case not in found:
                raise UsageError(f"{self.path}: it has a remark on {case}, which was never looked at")
            if kind in ("error", "given_up"):
                found[case] |= {"error": reason, "error_kind": GIVEN_UP if kind == "given_up" else ""}
            else:
                found[case][kind][text] = reason
        return {case: Result("", case, **parts) for case, parts in found.items()}

    def close_night(self, run: Run, verdict: Verdict) -> None:
        """Notes where every promise stands at the end of a run; a second run of one night replaces the first."""
        rows = [
            (
                run.subjects["backend"],
                self.finding(item.id),
                run.night,
                item.status,
                *((item.effect.n, item.effect.log10_e, item.effect.estimate) if item.effect else (None, None, None)),
            )
            for item in verdict
            if item.status != "not_implemented"
        ]
        with self.writing():
            self.db.executemany("INSERT OR REPLACE INTO night VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def keep_pictures(self, run: Run, pictures: Mapping[str, Any]) -> None:
        """Notes what broken findings look like, by id."""
        with self.writing():
            rows = [(run.subjects["backend"], self.finding(text), json.dumps(one)) for text, one in pictures.items()]
            self.db.executemany("INSERT OR REPLACE INTO picture VALUES (?, ?, ?)", rows)

    def pictures(self, subject: int) -> dict[str, dict[str, Any]]:
        """What broken findings look like, by id.

        Raises:
            UsageError: something in the ledger is no picture.
        """
        rows = self.db.execute(
            "SELECT finding.text, picture.text FROM picture JOIN finding ON finding.id = finding WHERE subject = ?",
            (subject,),
        )
        try:
            return {text: checked(json.loads(one)) for text, one in rows}
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise UsageError(f"{self.path}: one of its pictures is none: {error}") from None

    def latest(self, subject: int) -> dict[str, tuple[str, float]]:
        """Status and log10 e of every finding at the end of the latest night; 0 where no e-value decides."""
        rows = self.db.execute(
            "SELECT text, status, coalesce(log10_e, 0), max(night) FROM night JOIN finding ON finding.id = finding "
            "WHERE subject = ? GROUP BY finding",
            (subject,),
        )
        return {text: (status, log10_e) for text, status, log10_e, _ in rows}

    def fallen(self, subject: int) -> dict[str, float]:
        """Findings that an e-value had broken when a night ended, and the largest log10 e of those nights."""
        rows = self.db.execute(
            "SELECT text, max(log10_e) FROM night JOIN finding ON finding.id = finding "
            "WHERE subject = ? AND status = 'broken' AND log10_e IS NOT NULL GROUP BY finding",
            (subject,),
        )
        return dict(rows.fetchall())

    def drawn(self, subject: int) -> tuple[int, int]:
        """Runs and draws of a backend."""
        runs, draws = self.db.execute(
            "SELECT count(*), coalesce(sum(draws), 0) FROM run WHERE backend = ?", (subject,)
        ).fetchone()
        return runs, draws

    def passes(self, subject: int) -> dict[str, int]:
        """How often each case was gone through."""
        return dict(self.db.execute('SELECT "case", passes FROM pass WHERE subject = ?', (subject,)))

    def finding(self, text: str) -> int:
        """The row of a finding's id; entered if it is new."""
        return self.row("finding", text=text)

    def form(self, text: str) -> int:
        """The row of a form; entered if it is new."""
        return self.row("form", text=text)

    def _plan(self, request: Request) -> int:
        return self.row(
            "plan", suite=request.suite_name, profile=request.profile, alpha=request.alpha, digest=request.digest
        )

    def _subject(self, plan: int, role: str, offer: Offer) -> int:
        more: dict[str, Any] = {"offer": msgspec.json.encode(offer).decode()}
        row = self.row("subject", more, plan=plan, role=role, **_who(offer))
        self.db.execute("UPDATE subject SET offer = ? WHERE id = ?", (more["offer"], row))
        return row

    def _environment(self, environment: dict[str, str]) -> int:
        return self.row("environment", None, **environment, cpu=cpu())

    def row(self, table: str, more: dict[str, Any] | None = None, **key: Any) -> int:
        """The id of the row of `table` that has these values; inserted, with `more`, if there is none."""
        where = " AND ".join(f"{name} = :{name}" for name in key)
        found = self.db.execute(f"SELECT id FROM {table} WHERE {where}", key).fetchone()  # noqa: S608 - names of ours
        if found:
            return int(found[0])
        values = {**key, **(more or {})}
        names = ", ".join(values), ", ".join(f":{name}" for name in values)
        added = self.db.execute(f"INSERT INTO {table} ({names[0]}) VALUES ({names[1]})", values).lastrowid  # noqa: S608 - ours
        assert added is not None
        return added

    def overlap(self, subjects: Collection[int], first: int, seeds: int) -> str | None:
        """The night of a run that judged one of `subjects`, the reference among them, with one of the seeds."""
        marks = ", ".join("?" * len(subjects))
        found = self.db.execute(
            f"SELECT night FROM run WHERE (backend IN ({marks}) OR reference IN ({marks})) "  # noqa: S608 - marks alone
            "AND first_seed < ? AND first_seed + seeds > ?",
            (*subjects, *subjects, first + seeds, first),
        ).fetchone()
        return found[0] if found else None

    def _forget(self, subject: int) -> None:
        """Drops what older runs added from what is kept apart; their amounts stay in the totals."""
        for table in ("recent", "recent_pass"):
            self.db.execute(
                f"DELETE FROM {table} WHERE run IN ("  # noqa: S608 - a name of ours
                "SELECT id FROM run WHERE backend = :subject AND kind = 'nightly' AND night NOT IN (SELECT DISTINCT "
                "night FROM run WHERE backend = :subject AND kind = 'nightly' ORDER BY night DESC LIMIT :apart) UNION "
                "SELECT id FROM (SELECT id FROM run WHERE backend = :subject AND kind = 'gate' "
                "ORDER BY id DESC LIMIT -1 OFFSET :apart))",
                {"subject": subject, "apart": APART},
            )


def _who(offer: Offer) -> dict[str, str]:
    return {"name": offer.name[:500], "version": offer.version[:500], "device": offer.device[:500]}
