"""The ledger: evidence of many runs, added up by promise for each version of a backend, in one SQLite file.

Every case is one transaction, so that whatever ends a run, the case in flight is lost at most, and several runs may
write at once. What a run adds is kept apart for the latest nights, so that ledgers that share some can be merged.
"""

from __future__ import annotations

import hashlib
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
from keeprate.harness.judging.request import Request
from keeprate.harness.ledger.encoding import join, split
from keeprate.harness.ledger.schema import Database, begin_alone, connect
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.case import Promise
from keeprate.harness.protocol.engine import Result

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
        digests: what each promise of its plan counts, by finding.
        findings: those that each case of its plan is evidence for.
    """

    id: int
    subjects: dict[str, int]
    first_seed: int
    night: str
    digests: Mapping[str, str]
    findings: Mapping[str, tuple[str, ...]]


def digests(plan: Mapping[str, Promise]) -> dict[str, str]:
    """What each promise counts, by finding: its id, which names operator, law and parameters, and those of its cases.

    Cells and probabilities are part of it too, but known once something was counted: they are compared then.
    """
    parts = {text: [text, *sorted(case.id for case in promise.cases)] for text, promise in plan.items()}
    return {text: hashlib.blake2b(json.dumps(ids).encode(), digest_size=16).hexdigest() for text, ids in parts.items()}


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
    def db(self) -> Database:
        """The file, opened when it is first asked for."""
        return connect(self.path, **self._mode)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.close()
        with self.reading():
            if isinstance(error, sqlite3.Error):
                raise error

    def close(self) -> None:
        """Closes the file, which is whole in any case."""
        if "db" in self.__dict__:
            self.db.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Says in one sentence what SQLite complains of.

        Raises:
            UsageError: the file can't be read.
        """
        try:
            yield
        except sqlite3.Error as error:
            raise UsageError(f"{self.path}: the ledger can't be read: {error}") from None

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
        machine: Mapping[str, str],
        *,
        kind: str,
        workers: int,
        seed: int | None = None,
    ) -> Run:
        """Enters a run, with seeds that no other run of this backend has, nor of another beside the same reference.

        Args:
            machine: where it runs, and what is installed there: `platform`, `cpu`, and versions.
            seed: the first of its seeds; one that is free if None.

        Raises:
            UsageError: another run had one of the seeds.
            UnwritableError: the file takes no more.
        """
        seeds = SEEDS if kind == "nightly" else 1
        night = time.strftime("%Y-%m-%d", time.gmtime())
        with self.writing():
            subjects = {
                role: self.subject(
                    msgspec.json.encode(offer).decode(),
                    suite=request.suite_name,
                    role=role,
                    **{name: getattr(offer, name)[:500] for name in ("name", "version", "device")},
                )
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
            run = self.db.insert(
                "run",
                key=secrets.token_hex(16),
                backend=subjects["backend"],
                reference=subjects.get("reference"),
                kind=kind,
                profile=request.profile,
                alpha=request.alpha,
                named=request.backend[:500],
                workers=workers,
                night=night,
                first_seed=first,
                seeds=seeds,
                host=platform.node()[:500],
                apart=1,
                **dict.fromkeys(("seconds", "cases", "draws", "errors"), 0),
                **{name: text[:500] for name, text in machine.items()},
            )
            self._forget(subjects["backend"])
        findings = {case.id: case.findings for promise in request.plan.values() for case in promise.cases}
        return Run(run, subjects, first, night, digests(request.plan), findings)

    def add(self, run: Run, result: Result, seconds: float) -> dict[str, Evidence]:
        """Adds what one pass over a case gave, or several at once; returns the evidence of all passes, by finding.

        What was counted in other cells before, or against other probabilities, is left aside, and its promise begins
        anew.

        Args:
            seconds: since the run began.

        Raises:
            UsageError: what the ledger holds there is no evidence.
            UnwritableError: the file takes no more.
        """
        shown = (result.evidence, result.unreadable, result.not_offered)
        if not any(shown):
            result = result.replace(error=result.error or "its case gave no evidence")
        with self.writing():
            totals = {
                finding: self._add(run, result, finding)
                for finding in run.findings[result.case]
                if result.error or any(finding in part for part in shown)
            }
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
        return {finding: total for finding, total in totals.items() if total is not None}

    def _add(self, run: Run, result: Result, finding: str) -> Evidence | None:
        """The evidence of all passes over one case, for one finding; None if this one gave none."""
        subject, digest = run.subjects[result.role], run.digests[finding]
        old = self.db.execute(
            "SELECT promise.id AS promise, look.id AS look, look.passes, text, total, amounts FROM promise "
            "LEFT JOIN look ON look.promise = promise.id AND case_id = ? LEFT JOIN form ON form.id = form "
            "LEFT JOIN recent ON recent.look = look.id AND run = ? WHERE subject = ? AND digest = ?",
            (result.case, run.id, subject, digest),
        ).fetchone()
        total = part = result.evidence.get(finding)
        if total is not None and old and old["total"] is not None:
            try:
                total = self.joined(old["text"], old["total"], finding) + total
                if old["amounts"] is not None:
                    part = self.joined(old["text"], old["amounts"], finding) + result.evidence[finding]
            except (TypeError, ValueError):
                self.leave_aside(old["promise"])
                old, total = None, part
        trouble, reason = _trouble(result, finding)
        values: dict[str, Any] = {
            "passes": result.passes,
            "trouble": trouble,
            "reason": reason,
            "error_kind": result.error_kind[:500],
        }
        amounts = None
        if total is not None and part is not None:
            text, values["total"] = split(total)
            amounts = values["total"] if part is total else split(part)[1]
            if not old or old["text"] != text:
                values["form"] = self.db.row("form", text=text)
        if old and old["look"]:
            look = old["look"]
            self.db.change("look", look, **values | {"passes": old["passes"] + result.passes})
        else:
            promise = old["promise"] if old else self.promise(subject, finding, digest)
            look = self.db.insert("look", promise=promise, case_id=result.case, **values)
        self.db.execute(
            "INSERT INTO recent VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET passes = passes + excluded.passes, "
            "amounts = coalesce(excluded.amounts, amounts)",
            (run.id, look, result.passes, amounts),
        )
        return total

    def joined(self, form: str, amounts: bytes, finding: str) -> Evidence:
        """The evidence that a row holds.

        Raises:
            UsageError: it is none.
        """
        try:
            return join(form, amounts)
        except ValueError as error:
            raise UsageError(f"{self.path}: what it holds of {finding} is no evidence: {error}") from None

    def promise(self, subject: int, finding: str, digest: str) -> int:
        """The row of a promise; entered if it is new."""
        return self.db.row("promise", {"finding": finding}, subject=subject, digest=digest)

    def leave_aside(self, promise: int) -> None:
        """Keeps what was counted of a promise, and counts no more there: it begins anew in another row."""
        self.db.change("promise", promise, digest=None)

    def raise_peak(self, promise: int, log10_e: float) -> None:
        """Notes the log10 e that a promise had at the end of a run, if it never had a larger one."""
        self.db.execute("UPDATE promise SET peak = max(coalesce(peak, ?1), ?1) WHERE id = ?2", (log10_e, promise))

    def drawn(self, subject: int) -> tuple[int, int]:
        """Runs and draws of a backend."""
        query = "SELECT count(*), coalesce(sum(draws), 0) FROM run WHERE backend = ?"
        runs, draws = self.db.execute(query, (subject,)).fetchone()
        return runs, draws

    def subject(self, offer: str, **who: str) -> int:
        """The row of a backend or a reference; entered if it is new. What it offers may have changed."""
        row = self.db.row("subject", {"offer": offer}, **who)
        self.db.change("subject", row, offer=offer)
        return row

    def overlap(self, subjects: Collection[int], first: int, seeds: int) -> str | None:
        """The night of a run that judged one of `subjects`, the reference among them, with one of the seeds."""
        marks = ", ".join("?" * len(subjects))
        found = self.db.execute(
            f"SELECT night FROM run WHERE (backend IN ({marks}) OR reference IN ({marks})) "  # noqa: S608 - marks alone
            "AND first_seed < ? AND first_seed + seeds > ?",
            (*subjects, *subjects, first + seeds, first),
        ).fetchone()
        return found["night"] if found else None

    def _forget(self, subject: int) -> None:
        """Drops what older runs added from what is kept apart; their amounts stay in the totals."""
        old = (
            "SELECT id FROM run WHERE backend = :subject AND kind = 'nightly' AND night NOT IN (SELECT DISTINCT "
            "night FROM run WHERE backend = :subject AND kind = 'nightly' ORDER BY night DESC LIMIT :apart) UNION "
            "SELECT id FROM (SELECT id FROM run WHERE backend = :subject AND kind = 'gate' "
            "ORDER BY id DESC LIMIT -1 OFFSET :apart)"
        )
        for change in ("DELETE FROM recent WHERE run", "UPDATE run SET apart = 0 WHERE apart AND id"):
            self.db.execute(f"{change} IN ({old})", {"subject": subject, "apart": APART})


def _trouble(result: Result, finding: str) -> tuple[str | None, str | None]:
    """Why a pass gave no evidence of a finding, or not all of it: a kind of trouble, and the reason in words."""
    if result.error:
        return "error", result.error[:10000]
    for kind, reasons in (("unreadable", result.unreadable), ("not_offered", result.not_offered)):
        if finding in reasons:
            return kind, reasons[finding][:10000] or "no reason given"
    return None, None
