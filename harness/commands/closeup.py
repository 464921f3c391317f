"""A finding seen from close by: cell by cell, as a picture, with fresh draws, in the smallest case, as a script."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keeprate.harness.commands.console import console as standard
from keeprate.harness.commands.shown import beside, departure
from keeprate.harness.commands.shrinking import Smallest, by_strength, shrink, together
from keeprate.harness.commands.snippet import needs, snippet
from keeprate.harness.errors import UsageError
from keeprate.harness.evidence.check import Check
from keeprate.harness.evidence.kinds import Evidence
from keeprate.harness.files import write
from keeprate.harness.judging.diagnosis import Cause
from keeprate.harness.judging.finding import BAD, Finding, weigh
from keeprate.harness.judging.request import Request
from keeprate.harness.judging.text import WIDTH, filled
from keeprate.harness.judging.verdict import Verdict
from keeprate.harness.protocol.case import Case
from keeprate.harness.protocol.engine import Job, Result
from keeprate.harness.untrusted_text import for_terminal
from keeprate.harness.workers.pool import Children

BLOCKS = " ▄▀█"  # nothing, lower, upper, both
ROWS = 10  # those that are furthest off


class Closeup:
    """One finding that was judged, with the workers to look at it further, which are ended by who started them."""

    def __init__(self, request: Request, finding: str, results: Mapping[str, Result], runner: Children) -> None:
        self._request, self._results, self._runner = request, results, runner
        self._given = request.given(*runner.offers())
        self._promise = self._given.promises[finding]
        self._case: Case = by_strength(self._promise, results)[0]
        self.is_kept = together(self._promise, request.alpha, results).status == "kept"

    def show(self, console: Console) -> None:
        """Prints what was counted, and a picture where the terminal can show one."""
        _, _, evidence = weigh(self._promise, self._results, self._request.alpha)
        if evidence is not None:
            console.print()
            show_table(evidence, console)
        if self._case.id in self._results and self._results[self._case.id].error:
            return  # it would end the same way
        picture = self._runner.picture(Job("backend", self._case, self._request.seed, {}))
        if picture and console.encoding.startswith("utf"):
            console.print()
            for line in (self._case.id, picture.title, *in_blocks(picture.rows)):
                console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)

    def show_together(self, other: tuple[Verdict, Mapping[str, Result]], seed: int, console: Console) -> int:
        """Prints what another run found, and what both say together; the exit code that follows."""
        verdict, results = other
        promise, alpha = self._promise, self._request.alpha
        both = together(promise, alpha, self._results, results)
        self.is_kept = self.is_kept and both.status == "kept"
        console.print()
        rows = {
            f"seed {self._request.seed}": together(promise, alpha, self._results),
            f"fresh seed {seed}": next(iter(verdict)),
            "together": both,
        }
        for name, found in rows.items():
            console.print(f"  {name:<24}{_said(found)}", highlight=False, markup=False, soft_wrap=True)
        console.print()
        why = "Evidence adds, and a seed that drew attention by failing was chosen for it: trust the fresh one."
        console.print(filled(why, console.width), highlight=False)
        return int(both.status in BAD and self._given.known.reason(str(promise.id)) is None)

    def show_smallest(self, console: Console, cause: Cause | None) -> None:
        """Prints ever smaller cases that still break for the same cause; what comes next is about the last.

        Args:
            cause: None for a finding that has none, of which the law alone is kept.
        """
        found = None
        if cause is not None:
            told = filled(f"cause: {cause.sentence}", console.width)
            console.print(f"\n{told}\nstill broken, and by this cause, in", highlight=False, markup=False)
            found = self._shrunk(console, cause.id)
        if found is None:
            kept = " by the same law, by this cause nowhere," if cause else " by the same law, as no cause was found,"
            ended = any(one.error for one in self._results.values())
            console.print(f"\nstill broken{'' if ended else kept} in", highlight=False, markup=False)
            found = self._shrunk(console, "")
        if found is None:
            console.print("  no case on its own", highlight=False)
        elif found.evidence is None:
            console.print(f"    {found.error}", highlight=False, markup=False, width=min(console.width, WIDTH))
        else:
            level = self._request.alpha * self._promise.share
            for label, text in found.evidence.rows(level):
                console.print(f"    {label:<9}{text}", highlight=False, markup=False, width=min(console.width, WIDTH))

    def _shrunk(self, console: Console, cause: str) -> Smallest | None:
        """Prints ever smaller cases; the last, if any breaks on its own."""
        found = None
        for found in shrink(self._given, self._promise, self._results, self._runner, cause):
            console.print(f"  {found.case.id}", highlight=False, markup=False, soft_wrap=True)
            self._case = found.case
        return found

    def script(self) -> tuple[str, str]:
        """A script that shows the fault on its own, and what it does, as a verb's phrase; empty if none shows any.

        Raises:
            UsageError: no script can be made.
        """
        request, law = self._request, self._promise.id.law
        ran = (self._results[case.id] for case in self._promise.cases if case.id in self._results)
        raised = next((result.error_kind for result in ran if result.error), "")
        case, text = self._scripted()
        calls = [(case, text)]
        _, _, evidence = weigh(self._promise, self._results, request.alpha)
        first = evidence.first if isinstance(evidence, Check) else None
        if first is not None:
            raised = raised or str(first.output)
            recorded = request.suite.recorded(case, first.given)
            if recorded != case:
                calls.insert(0, (recorded, self._script_of(recorded)))
        for case, text in calls:
            if seen := departure(text, beside(request.suite, case, law), raised):
                return text, seen
        return "", ""

    def _scripted(self) -> tuple[Case, str]:
        """The case, with its script; another that breaks too, if there can be no script of this one."""
        threshold, text = self._promise.threshold(self._request.alpha), str(self._promise.id)
        refused = None
        for case in [self._case, *by_strength(self._promise, self._results)]:
            result = self._results.get(case.id)
            breaks = result and (result.error or (text in result.evidence and result.evidence[text].reaches(threshold)))
            if case is self._case or breaks:
                try:
                    return case, self._script_of(case)
                except UsageError as error:
                    refused = refused or error
        assert refused is not None
        raise refused

    def _script_of(self, case: Case) -> str:
        request, offer = self._request, self._given.offer
        title, seed = f"{offer.name} {offer.version}".strip(), case.seed(request.seed, "backend")
        return snippet(request.suite, request.backend, title, case, self._promise.id.law, seed)


def show_further(seen: Closeup, console: Console, cause: Cause | None, *, shrink: bool, script: Path | None) -> None:
    """Prints the smallest case and writes a script, whichever is asked for; a promise that is kept has neither."""
    if seen.is_kept:
        told = "The promise is kept here, so there is nothing to shrink or to show"
        told += f", and {script} is not written." if script is not None else "."
        click.echo("\n" + for_terminal(filled(told, console.width)))
        return
    if shrink:
        seen.show_smallest(console, cause)
    if script is not None:
        show_script(seen, script)


def show_script(seen: Closeup, path: Path) -> None:
    """Writes a script where it shows the fault, and says what it shows, or that none does."""
    text, does = seen.script()
    if text:
        write(path, text)
        told = f"wrote {path}: it needs {needs(text)}, and {does}"
    else:
        told = f"{path} is not written: run alone, a script showed nothing that the reference doesn't. The fault may "
        told += "need more draws than a script makes, or other calls before it"
    click.echo("\n" + for_terminal(filled(told, standard(sys.stdout).width)))


def in_blocks(rows: Sequence[str]) -> Iterator[str]:
    """Two rows of entries in one of characters, dark where there is a 1."""
    for upper, lower in zip_longest(rows[::2], rows[1::2], fillvalue=""):
        yield "".join(BLOCKS[2 * int(up) + int(down)] for up, down in zip_longest(upper, lower, fillvalue="0"))


def _said(found: Finding) -> str:
    if (effect := found.effect) is not None:
        evidence = f"log10 e = {effect.log10_e:.1f} of {effect.threshold_log10_e:.1f} in {effect.n:,} draws"
        return f"{found.status}, {evidence}"
    detail = found.detail or {}
    told = f"{detail['wrong']:,} wrong" if "wrong" in detail else detail.get("reason", "")
    return f"{found.status}, {told}" if told else found.status


def show_table(evidence: Evidence, console: Console) -> None:
    """Prints what was counted, where it is furthest from the promise; nothing for a comparison that is exact."""
    if not (rows := evidence.table()):
        return
    (first, *headings), *rows = rows
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2))
    table.add_column(first, overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows[:ROWS]:
        table.add_row(*map(escape, row))
    console.print(table)
    if len(rows) > ROWS:
        console.print(f"  and {len(rows) - ROWS:,} {first}s that are nearer to the promise", highlight=False)
