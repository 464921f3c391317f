"""What a ledger holds of one backend, or of the reference, of all that is counted as today's plan counts it."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from keeprate.harness.errors import UsageError
from keeprate.harness.evidence.kinds import Evidence
from keeprate.harness.judging.diagnosis import Cause
from keeprate.harness.judging.pictures import checked
from keeprate.harness.ledger.looks import joined
from keeprate.harness.ledger.store import Ledger
from keeprate.harness.protocol.engine import Result

Parts = dict[str, Evidence]  # what each case has shown of one promise
EVER = 0, sys.maxsize  # the first and the last of all runs
CAUSES = 200  # of one subject that are kept


class Held:
    """The evidence of one subject.

    Args:
        subject: its row.
        digests: what each promise counts today, by finding.

    Attributes:
        ids: the row of each promise, by finding.
        peaks: the largest log10 e that each had at the end of a run, by finding; none for those without one.
        otherwise: findings of which there is evidence that counts something else.
    """

    def __init__(self, ledger: Ledger, subject: int, digests: Mapping[str, str]) -> None:
        self._ledger, self._subject = ledger, subject
        rows = ledger.db.execute(
            "SELECT id, finding, digest, peak, "
            "EXISTS (SELECT 1 FROM look WHERE promise = promise.id AND total NOT NULL) AS counted "
            "FROM promise WHERE subject = ?",
            (subject,),
        ).fetchall()
        used = [row for row in rows if row["finding"] in digests and row["digest"] == digests[row["finding"]]]
        self._findings = {row["id"]: row["finding"] for row in used}
        self.ids = {row["finding"]: row["id"] for row in used}
        self.peaks = {row["finding"]: row["peak"] for row in used if row["peak"] is not None}
        self.otherwise = {row["finding"] for row in rows if row["counted"] and row["id"] not in self._findings}

    def _rows(self, query: str, *more: Any) -> Iterator[tuple[str, sqlite3.Row]]:
        """What a query over the subject's promises finds, each row with its finding, of those that count as today."""
        for row in self._ledger.db.execute(f"SELECT promise, {query}", (self._subject, *more)):
            if row["promise"] in self._findings:
                yield self._findings[row["promise"]], row

    def results(self, role: str = "backend") -> dict[str, Result]:
        """What all passes over each case gave together.

        Raises:
            UsageError: something in the ledger is no evidence.
        """
        found: dict[str, dict[str, Any]] = {}
        for text, row in self._rows(
            "case_id, passes, text, total, trouble, reason, error_kind FROM promise JOIN look ON promise = promise.id "
            "LEFT JOIN form ON form.id = form WHERE subject = ?"
        ):
            parts = found.setdefault(row["case_id"], {"evidence": {}, "unreadable": {}, "not_offered": {}, "passes": 1})
            parts["passes"] = max(parts["passes"], row["passes"])
            if row["total"] is not None:
                parts["evidence"][text] = joined(self._ledger.path, row["text"], row["total"], text)
            if row["trouble"] == "error":
                parts |= {"error": row["reason"], "error_kind": row["error_kind"]}
            elif row["trouble"]:
                parts[row["trouble"]][text] = row["reason"]
        return {case: Result(role, case, **parts) for case, parts in found.items()}

    def by_run(self, findings: Collection[str] = (), between: tuple[int, int] = EVER) -> dict[str, dict[int, Parts]]:
        """What each case has shown of findings in each run, of the runs that are kept apart, in their order.

        Args:
            findings: all if there are none.
            between: the first and the last run.

        Raises:
            UsageError: something in the ledger is no evidence.
        """
        ids = [self.ids[text] for text in findings if text in self.ids]
        if findings and not ids:
            return {}
        among = f"AND look.promise IN ({', '.join(map(str, ids))})" if ids else ""
        found: dict[str, dict[int, Parts]] = {}
        for text, row in self._rows(
            "case_id, run, text, amounts FROM promise JOIN look ON look.promise = promise.id "
            "JOIN recent ON recent.look = look.id JOIN form ON form.id = form "
            f"WHERE subject = ? AND amounts NOT NULL AND run BETWEEN ? AND ? {among} ORDER BY run",
            *between,
        ):
            evidence = joined(self._ledger.path, row["text"], row["amounts"], text)
            found.setdefault(text, {}).setdefault(row["run"], {})[row["case_id"]] = evidence
        return found

    def results_of(self, between: tuple[int, int]) -> dict[str, Result]:
        """What these runs, of those that are kept apart, gave together of each case of the backend: the evidence alone.

        Raises:
            UsageError: something in the ledger is no evidence.
        """
        found: dict[str, dict[str, Evidence]] = {}
        for text, by_run in self.by_run((), between).items():
            for parts in by_run.values():
                for case, evidence in parts.items():
                    mine = found.setdefault(case, {})
                    mine[text] = mine[text] + evidence if text in mine else evidence
        return {case: Result("backend", case, evidence) for case, evidence in found.items()}

    def parts_of(self, finding: str) -> Parts:
        """What each case has shown of a finding in all runs.

        Raises:
            UsageError: something in the ledger is no evidence.
        """
        rows = self._ledger.db.execute(
            "SELECT case_id, text, total FROM look JOIN form ON form.id = form WHERE promise = ? AND total NOT NULL",
            (self.ids.get(finding),),
        )
        return {row["case_id"]: joined(self._ledger.path, row["text"], row["total"], finding) for row in rows}

    def passes(self, findings: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
        """How often each case was gone through, by the promise that has seen least of it; none where one has nothing.

        Args:
            findings: those that each case is evidence for.
        """
        seen: dict[str, list[int]] = {}
        for _, row in self._rows("case_id, passes FROM promise JOIN look ON promise = promise.id WHERE subject = ?"):
            seen.setdefault(row["case_id"], []).append(row["passes"])
        return {case: min(seen[case]) for case, texts in findings.items() if len(seen.get(case, ())) == len(texts)}

    def stood(self, before: tuple[int, str] | None = None) -> dict[str, sqlite3.Row]:
        """Each finding's `status` and `log10_e` at the end of the latest night, in the order of runs.

        Args:
            before: a run and its night: the latest before these.
        """
        run, night = before or (sys.maxsize, "")
        query = (
            "status, log10_e FROM promise JOIN night ON promise = promise.id WHERE subject = ? AND night.night = "
            "(SELECT run.night FROM run CROSS JOIN night AS one ON one.promise = promise.id AND one.night = run.night "
            "WHERE backend = subject AND run.id < ? AND run.night != ? ORDER BY run.id DESC LIMIT 1)"
        )
        return dict(self._rows(query, run, night))

    def broke(self) -> dict[str, sqlite3.Row]:
        """For each finding that a night ever saw broken, the latest such `night`, and its `log10_e` then."""
        return dict(
            self._rows(
                "night.night, log10_e, max(run.id) FROM promise JOIN night ON promise = promise.id "
                "JOIN run ON backend = subject AND run.night = night.night "
                "WHERE subject = ? AND status = 'broken' GROUP BY promise"
            )
        )

    def causes(self) -> list[Cause]:
        """What was found to lie behind what broke, when that was last tested.

        Raises:
            UsageError: something in the ledger is not a cause.
        """
        rows = self._ledger.db.execute("SELECT text FROM cause WHERE subject = ? ORDER BY place", (self._subject,))
        try:
            return [Cause.from_json(json.loads(row["text"])) for row in rows]
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise UsageError(f"{self._ledger.path}: a cause in it can't be read: {error}") from None

    def pictures(self) -> dict[str, dict[str, Any]]:
        """What broken findings look like.

        Raises:
            UsageError: something in the ledger is no picture.
        """
        rows = self._rows("text FROM promise JOIN picture ON promise = promise.id WHERE subject = ?")
        try:
            return {finding: checked(json.loads(row["text"])) for finding, row in rows}
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise UsageError(f"{self._ledger.path}: a picture in it can't be read: {error}") from None
