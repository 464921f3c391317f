"""The ledger: evidence of many runs, added up by promise for each version of a backend, in one SQLite file.

Results that have come together are one transaction, so that whatever ends a run, the cases in flight are lost at most,
and several runs may write at once. What a run adds is kept apart for the latest nights, so that ledgers that share some
can be merged.
"""

from __future__ import annotations

import hashlib
import json
import platform
import secrets
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from keeprate.harness.errors import UsageError
from keeprate.harness.evidence.decoding import parsed
from keeprate.harness.evidence.kinds import Evidence
from keeprate.harness.files import check_writable
from keeprate.harness.judging.request import Request
from keeprate.harness.ledger.code import code_of
from keeprate.harness.ledger.looks import Looks
from keeprate.harness.ledger.schema import Database, UnwritableError, begin_alone, connect
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.case import Promise, over_all
from keeprate.harness.protocol.engine import Result

APART = 30  # nights of one backend whose runs are kept apart, and as many gates, which may be several a day
SEEDS = 1 << 20  # that a nightly run takes for itself: more passes than any case will see in a night


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

    Cells and probabilities are part of it too, but known once something was counted: they are compared then. What a
    law's findings show together counts all of its cases.
    """
    parts: dict[str, list[str]] = {}
    for text, promise in plan.items():
        parts[text] = [text, *sorted(case.id for case in promise.cases)]
        parts.setdefault(str(over_all(promise.id.family)), []).extend(parts[text])
    return {text: hashlib.blake2b(json.dumps(ids).encode(), digest_size=16).hexdigest() for text, ids in parts.items()}


def selection(request: Request) -> dict[str, list[str]] | None:
    """The `ops` and `dtypes` that are asked for, none where it is all of them; None where it is the whole plan."""
    if request.is_whole:
        return None
    ops, every = ({promise.id.op: None for promise in side.values()} for side in (request.promises, request.plan))
    return {"ops": [] if ops == every else list(ops), "dtypes": list(request.dtypes)}


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

    @cached_property
    def _looks(self) -> Looks:
        return Looks(self.db, self.path)

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
                role: self._asked(
                    offer,
                    request.names,
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
            if digest := code_of(request.backend):
                self.db.insert("code", run=run, digest=digest)
            if some := selection(request):
                self.db.insert("asked", run=run, **{name: ",".join(names) for name, names in some.items()})
            self._forget(subjects["backend"])
        findings = {case.id: case.findings for promise in request.plan.values() for case in promise.cases}
        return Run(run, subjects, first, night, digests(request.plan), findings)

    def add(self, run: Run, result: Result, seconds: float) -> dict[str, Evidence]:
        """Adds what one pass over a case gave, or several at once; returns the evidence of all passes, by finding."""
        (totals,) = self.add_all(run, [result], seconds)
        return totals

    def add_all(self, run: Run, results: Sequence[Result], seconds: float) -> list[dict[str, Evidence]]:
        """Adds several results in one transaction; returns the evidence of all passes over the case of each.

        What was counted in other cells before, or against other probabilities, is left aside, and its promise begins
        anew.

        Args:
            seconds: since the run began.

        Raises:
            UsageError: what the ledger holds there is no evidence.
            UnwritableError: the file takes no more.
        """
        with self.writing():
            self._looks.begin(run.id)
            results = [_told(result) for result in results]
            totals = [self._add(run, result) for result in results]
            self._looks.write()
            self.db.execute(
                "UPDATE run SET cases = cases + ?, draws = draws + ?, errors = errors + ?, seconds = max(seconds, ?) "
                "WHERE id = ?",
                (
                    sum(result.passes for result in results),
                    sum(map(_draws, results)),
                    sum(bool(result.error) for result in results),
                    round(seconds, 3),
                    run.id,
                ),
            )
        self._looks.keep()
        return totals

    def _add(self, run: Run, result: Result) -> dict[str, Evidence]:
        subject, totals, told = run.subjects[result.role], {}, set().union(*_shown(result))
        for finding in run.findings[result.case]:
            if result.error or finding in told:
                total = self._looks.add(subject, run.digests[finding], finding, result)
                if total is not None:
                    totals[finding] = total
        return totals

    def raise_peak(self, promise: int, log10_e: float) -> None:
        """Notes the log10 e that a promise had at the end of a run, if it never had a larger one."""
        self.db.execute("UPDATE promise SET peak = max(coalesce(peak, ?1), ?1) WHERE id = ?2", (log10_e, promise))

    def drawn(self, subject: int) -> tuple[int, int]:
        """Runs and draws of a backend."""
        query = "SELECT count(*), coalesce(sum(draws), 0) FROM run WHERE backend = ?"
        runs, draws = self.db.execute(query, (subject,)).fetchone()
        return runs, draws

    def _asked(self, offer: Offer, names: Collection[str], **who: str) -> int:
        """The row of somebody who was asked for `names`; others, of which another profile's run has asked, stay."""
        if (before := self._offered(msgspec.json.encode(offer).decode(), **who)) is not None:
            others = [name for name in before.names if name not in {*names, *offer.names}]
            only = {name: ops for name, ops in before.only.items() if name in others}
            offer = msgspec.structs.replace(offer, names=(*offer.names, *others), only={**only, **offer.only})
        return self.subject(msgspec.json.encode(offer).decode(), **who)

    def shared_subject(self, offer: str, **who: str) -> int:
        """The same for another ledger's: what it offers there or here it offers."""
        before = self._offered(offer, **who)
        with suppress(msgspec.DecodeError, RecursionError):  # which whoever reads it is told of
            theirs = parsed(offer, Offer)
            offer = offer if before is None else msgspec.json.encode(before.joined(theirs)).decode()
        return self.subject(offer, **who)

    def _offered(self, offer: str, **who: str) -> Offer | None:
        """What somebody offered until now, `offer` if new; None if that can't be read, as whoever reads it is told."""
        row = self.db.row("subject", {"offer": offer}, **who)
        (text,) = self.db.execute("SELECT offer FROM subject WHERE id = ?", (row,)).fetchone()
        with suppress(msgspec.DecodeError, RecursionError):
            return parsed(text, Offer)
        return None

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
            "SELECT id FROM run WHERE backend = :subject AND kind = 'nightly' AND night NOT IN (SELECT "
            "night FROM run WHERE backend = :subject AND kind = 'nightly' GROUP BY night ORDER BY max(id) DESC "
            "LIMIT :apart) UNION "
            "SELECT id FROM (SELECT id FROM run WHERE backend = :subject AND kind = 'gate' "
            "ORDER BY id DESC LIMIT -1 OFFSET :apart)"
        )
        for change in ("DELETE FROM recent WHERE run", "UPDATE run SET apart = 0 WHERE apart AND id"):
            self.db.execute(f"{change} IN ({old})", {"subject": subject, "apart": APART})


def _shown(result: Result) -> tuple[Mapping[str, Any], ...]:
    return result.evidence, result.unreadable, result.not_offered


def _told(result: Result) -> Result:
    """`result`, or an error in the place of one that says nothing."""
    return result if any(_shown(result)) else result.replace(error=result.error or "its case gave no evidence")


def _draws(result: Result) -> int:
    """How many the backend made."""
    if result.role != "backend":
        return 0
    return max((item.n for item in result.evidence.values() if not item.is_exact), default=0)
