"""Pictures for a report: what a backend draws where a promise is broken, and the reference beside it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from keeprate.harness.judging.finding import Finding
from keeprate.harness.judging.request import Given
from keeprate.harness.protocol.case import Case, Promise
from keeprate.harness.protocol.description import Picture
from keeprate.harness.protocol.engine import Job, Result

WIDTH, HEIGHT = 64, 32  # entries that are shown, at most
MOST = 8  # findings that have one


def pictures(
    given: Given,
    findings: Iterable[Finding],
    results: Mapping[str, Result],
    draw: Callable[[Job], Picture | None],
) -> dict[str, dict[str, Any]]:
    """By the id of a finding: rows of what each side draws, as hexadecimal digits.

    Args:
        findings: those that a report tells in full; the first of them that are broken have a picture.
        results: of the backend, by case: the one that speaks most clearly is shown.
        draw: what a job draws; None where nothing can be shown.
    """
    request = given.request
    found: dict[str, dict[str, Any]] = {}
    for finding in findings:
        if len(found) == MOST:
            break
        if finding.status != "broken" or finding.id not in given.promises:  # of many, which no one picture shows
            continue
        case = _clearest(given.promises[finding.id], results)
        mine = rows_of(draw(Job("backend", case, request.seed, {})))
        if not mine:
            continue
        beside: tuple[int, list[str]] | None = None
        if request.reference:
            beside = rows_of(draw(Job("reference", request.suite.for_reference(case), request.seed, {})))
        width, rows = mine
        alike = beside is not None and beside[0] == width
        found[finding.id] = {
            "case": case.id,
            "width": width,
            "backend": rows,
            "reference": beside[1] if alike and beside else [],
        }
    return found


def rows_of(picture: Picture | None) -> tuple[int, list[str]] | None:
    """How many entries a row has, and rows of bits as hexadecimal digits; None if there is nothing to show."""
    if picture is None or not picture.rows or not picture.rows[0]:
        return None
    rows = [row[:WIDTH] for row in picture.rows[:HEIGHT]]
    width = len(rows[0])
    digits = -(-width // 4)
    return width, [f"{int(row.ljust(4 * digits, '0'), 2):0{digits}x}" for row in rows]


def checked(data: Any) -> dict[str, Any]:
    """The picture that `data` is, which anyone may have written.

    Raises:
        ValueError, TypeError, AttributeError or KeyError: it is none.
    """
    case, width, sides = data["case"], data["width"], [data["backend"], data["reference"]]
    rows = [row for side in sides for row in side]
    if not (
        isinstance(case, str) and type(width) is int and 0 < width <= 64 and all(len(side) <= 32 for side in sides)
    ):
        raise ValueError("it is too large")
    if not all(re.fullmatch("[0-9a-f]+", row) and len(row) == -(-width // 4) for row in rows):
        raise ValueError("a row has other digits, or another number of them")
    return {"case": case, "width": width, "backend": list(sides[0]), "reference": list(sides[1])}


def _clearest(promise: Promise, results: Mapping[str, Result]) -> Case:
    def weight(case: Case) -> float:
        result = results.get(case.id)
        evidence = None if result is None else result.evidence.get(str(promise.id))
        return -math.inf if evidence is None else evidence.strength

    return max(promise.cases, key=weight)
