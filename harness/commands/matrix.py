"""Frameworks × operators × promises: backends that were judged alike, counted in one table each and one over all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keeprate.harness.errors import UsageError
from keeprate.harness.judging.finding import BAD
from keeprate.harness.judging.text import TOGETHER
from keeprate.harness.protocol.case import ANY
from keeprate.harness.protocol.lookup import installed, similar
from keeprate.harness.protocol.source import locate
from keeprate.harness.untrusted_text import for_markdown, table_row

COUNTED = ("kept", "known", "broken", "error", "unreadable", "not_offered")
ABSENT = "not_implemented"


@dataclass(frozen=True)
class Row:
    """What became of one backend.

    Args:
        backend: how it was named.
        version: as it says.
        cells: how many findings there are of each kind, by operator and law; none for an operator that it lacks.
        seconds: how long judging took.
        error: why there is no verdict; empty if there is one.
    """

    backend: str
    version: str = ""
    cells: Mapping[tuple[str, str], Counter[str]] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""

    @property
    def total(self) -> Counter[str]:
        """All cells together."""
        return sum(self.cells.values(), Counter())

    @property
    def failed(self) -> int:
        """Findings that are broken or ended in an error, and not known to."""
        return sum(self.total[kind] for kind in BAD)

    @property
    def operators(self) -> list[str]:
        """Those that the backend has, in the order of the plan."""
        return list(dict.fromkeys(op for op, _ in self.cells if op != ANY))

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        operators: dict[str, dict[str, dict[str, int]]] = {}
        for (op, law), count in self.cells.items():
            operators.setdefault(op, {})[law] = {kind: count[kind] for kind in COUNTED}
        return {
            "backend": self.backend,
            "version": self.version,
            "error": self.error,
            "seconds": self.seconds,
            "operators": operators,
        }


def check_out(out: Path) -> None:
    """Looks whether a table can be written as `out` is named.

    Raises:
        UsageError: it is neither Markdown nor JSON.
    """
    if out.suffix not in (".md", ".json"):
        raise UsageError(f"'{out}' is neither F.md nor F.json: a table is written as Markdown or as JSON")


def names_of(backends: Sequence[str]) -> list[str]:
    """The backends that a person named; those that are installed for `all`.

    Raises:
        UsageError: there is no such backend, or none is named.
    """
    if not backends:
        raise UsageError("--backends names none: all, or names separated by commas")
    if tuple(backends) == ("all",):
        return list(installed("keeprate.backends"))
    for name in backends:
        if locate(name) is None:
            known = list(installed("keeprate.backends"))
            raise UsageError(f"no backend named '{name}'.{similar(name, known)} Installed: {', '.join(known)}")
    return list(backends)


def row_of(backend: str, verdict: Mapping[str, Any]) -> Row:
    """The row of a verdict, which is given as public JSON."""
    cells: dict[tuple[str, str], Counter[str]] = {}
    for finding in verdict["findings"]:
        if finding["status"] == ABSENT:
            continue
        known = finding["status"] in BAD and finding["known"] is not None
        kind = "known" if known else finding["status"]
        cells.setdefault((finding["op"], finding["law"].partition(":")[0]), Counter())[kind] += 1
    seconds = verdict["run"].get("seconds", 0.0)
    if verdict["verdict"] == "none":
        failures = verdict["reference"]["failures"]
        return Row(backend, error=f"the reference failed: {failures[0]}" if failures else "nothing was judged")
    return Row(backend, verdict["backend"]["version"], cells, seconds)


def exit_code(rows: Sequence[Row], *, named: bool) -> int:
    """1 if any breaks a promise or ends in an error, 3 if none could be judged, or one that was `named` couldn't."""
    if any(row.failed for row in rows):
        return 1
    missing = [row for row in rows if row.error]
    return 3 if len(missing) == len(rows) or (named and missing) else 0


def text_of(rows: Sequence[Row], out: Path, profile: str, seed: int) -> str:
    """All rows, as JSON where `out` ends in .json, else as Markdown."""
    if out.suffix == ".json":
        data = {"schema": 1, "profile": profile, "seed": seed, "backends": [row.to_json() for row in rows]}
        return json.dumps(data, indent=1) + "\n"
    head = f"# Frameworks × operators × promises\n\nProfile `{profile}`, seed {seed}.\n"
    return "\n".join([head, *summary(rows), "", *(line for row in rows for line in details(row))])


def summary(rows: Sequence[Row]) -> Iterator[str]:
    """A table in Markdown, a line for each backend."""
    yield "| backend | version | operators | kept | known | not kept | not judged | time |"
    yield "|---|---|---|---:|---:|---:|---:|---:|"
    for row in rows:
        if row.error:
            yield table_row([row.backend, "", f"no verdict: {row.error}", *[""] * 5])
            continue
        total = row.total
        judged = total["kept"] + total["known"] + row.failed
        lacking = total["unreadable"] + total["not_offered"]
        numbers = (
            f"{total['kept']:,} of {judged:,}",
            *(f"{count:,}" for count in (total["known"], row.failed, lacking)),
        )
        yield table_row([row.backend, row.version, str(len(row.operators)), *numbers, f"{row.seconds:.0f} s"])


def details(row: Row) -> Iterator[str]:
    """What one backend keeps: laws by operators."""
    if row.error:
        return
    yield f"## {for_markdown(f'{row.backend} {row.version}')}\n"
    operators = dict.fromkeys(op for op, _ in row.cells)
    yield table_row(["promise", *(TOGETHER if op == ANY else op for op in operators)])
    yield "|---|" + "---|" * len(operators)
    for law in dict.fromkeys(law for _, law in row.cells):
        cells = (_cell(row.cells.get((op, law), Counter())) for op in operators)
        yield f"| {for_markdown(law)} | {' | '.join(cells)} |"
    yield ""


def _cell(count: Counter[str]) -> str:
    """How many findings are kept, and what the others are; a dash where nothing was judged."""
    words = {
        "kept": "{}",
        "broken": "**{} broken**",
        "error": "**{} errors**",
        "known": "{} known",
        "unreadable": "{} unreadable",
    }
    return ", ".join(text.format(count[kind]) for kind, text in words.items() if count[kind]) or "–"
