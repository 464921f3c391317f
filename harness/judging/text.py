"""A verdict in words, for a terminal of 80 columns or fewer: a table over the operators, remarks, the sentence."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from rich.markup import escape
from rich.table import Table

from keeprate.harness.judging.decision import Decision, never_asked
from keeprate.harness.judging.finding import BAD, Finding
from keeprate.harness.protocol.backend import LACKS
from keeprate.harness.protocol.case import ANY
from keeprate.harness.protocol.engine import GIVEN_UP

WIDTH = 80
FAILURES = 5  # of the reference that are named
KNOWN = "known"  # stands for the status of a known deviation that showed
TOGETHER = "all together"  # stands for an operator where a finding is over all


def operator(finding: Finding) -> str:
    """The operator of a finding, in words where it is over all."""
    return TOGETHER if finding.op == ANY else finding.op


def table(lines: Iterable[Sequence[str]], width: int, alarming: Collection[str] = ()) -> Table | str:
    """A table of texts, the first line its headings; where it is wider than `width`, a short list for each line.

    Args:
        alarming: the headings of columns in which a number is shown in red.
    """
    (first, *headings), *body = [list(line) for line in lines]
    needed = sum(max(map(len, column)) for column in zip([first, *headings], *body, strict=True))
    gap = 3 if needed + 3 * len(headings) <= width else 2
    if needed + gap * len(headings) > width:
        parts = [(escape(name), *map("  {} {}".format, map(escape, texts), headings)) for name, *texts in body]
        return "\n".join(chain.from_iterable(parts))
    made = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    made.add_column(first, no_wrap=True)
    for heading in headings:
        made.add_column(heading, justify="right", no_wrap=True)
    for line in body:
        cells = zip([first, *headings], line, strict=True)
        made.add_row(
            *(_red(text) if name in alarming and text not in ("0", "-") else escape(text) for name, text in cells)
        )
    return made


def _red(text: str) -> str:
    return f"[red]{escape(text)}[/]"


def rows(verdict: Decision) -> Iterator[tuple[str, ...]]:
    """The headings, and a row for each operator; columns of errors and of known deviations where there are any."""
    more = {"error": "errors", KNOWN: "known"}
    some = [what for what in more if any(_counted(finding) == what for finding in verdict)]
    yield "operator", "kept", "broken", *(more[what] for what in some), "not judged", "draws", "detects"
    for op in dict.fromkeys(map(operator, verdict)):
        mine = [finding for finding in verdict if operator(finding) == op]
        count = Counter(map(_counted, mine))
        if count["not_implemented"] == len(mine):  # which the remarks tell in one line
            continue
        judged = count["kept"] + count["broken"] + sum(count[what] for what in some)
        rates = [(item.parameters, item.effect) for item in mine if item.law == verdict.suite.headline and item.effect]
        told = [effect for parameters, effect in rates if effect.n and (parameters or op == TOGETHER)]
        worst = max((effect.detectable for effect in told), default=0.0)
        lost = any(item.law == verdict.suite.headline and item.status in ("unreadable", "error") for item in mine)
        yield (
            op,
            str(count["kept"]),
            str(count["broken"]),
            *(str(count[what]) for what in some),
            str(len(mine) - judged or "-"),
            millions(sum(effect.n for _, effect in rates)),
            f"{worst:.2g}" if worst and not lost and not verdict.unseen else "-",
        )


def _counted(finding: Finding) -> str:
    """As what a finding is counted: a known deviation that showed fails nothing."""
    return KNOWN if finding.known is not None and finding.status in BAD else finding.status


def millions(count: int) -> str:
    """A number of draws, short."""
    if count >= 1e5:
        return f"{count / 1e6:,.1f} M"
    return f"{count:,}" if count else "-"


def plural(number: int, word: str) -> str:
    """`1 worker`, `2 workers`, `2 entries`."""
    if number == 1:
        return f"1 {word}"
    return f"{number:,} {word[:-1]}ies" if word.endswith("y") else f"{number:,} {word}s"


def remarks(verdict: Decision) -> Iterable[str]:
    """What is worth a word beside the table: what was not judged, known deviations, versions, the seed."""
    yield ""
    if verdict.suite.headline and not verdict.unseen:
        yield f"detects: the smallest departure in {verdict.suite.headline} that this run would have caught"
    if verdict.unasked:
        yield f"never asked for: {never_asked(verdict.unasked)}"
    absent = [op for op in dict.fromkeys(item.op for item in verdict) if _absent(op, verdict)]
    if absent:
        yield f"not implemented: {', '.join(absent)}"
    reasons = Counter(
        (finding.status.replace("_", " "), (finding.detail or {}).get("reason", ""))
        for finding in verdict
        if finding.status in ("not_offered", "unreadable") or is_given_up(finding)
    )
    lacking = {key: number for key, number in reasons.items() if len(reasons) > 1 and key[1].startswith(LACKS)}
    for (status, reason), number in reasons.items():
        if (status, reason) not in lacking:
            yield f"{status}: {plural(number, 'finding')}, {reason}"
    for status in dict.fromkeys(status for status, _ in lacking):
        each = {reason.removeprefix(LACKS): number for (one, reason), number in lacking.items() if one == status}
        names = ", ".join(f"{name} ({number:,})" for name, number in each.items())
        yield f"{status}: {plural(sum(each.values()), 'finding')}, {LACKS}{names}"
    said = Counter((finding.detail or {}).get("remark") for finding in verdict)
    for remark, number in said.items():
        if remark:
            yield f"remarked: {plural(number, 'finding')}, {remark}"
    if "known" in verdict.run:
        yield f"known deviations are those of {verdict.run['known']}"
    known = [finding for finding in verdict if finding.known is not None]
    for reason in dict.fromkeys(finding.known for finding in known):
        seen = [item for item in known if item.known == reason and item.status in BAD]
        if seen:
            yield f"known deviation: {_first_of(seen)} ({reason})"
    listed = verdict.backend["isolated"] or "known" in verdict.run  # not those of the framework that a function is in
    gone = [finding for group in verdict.mended for finding in group if listed]
    for reason in dict.fromkeys(finding.known for finding in gone):
        yield f"known deviation no longer seen: {_first_of([one for one in gone if one.known == reason])} ({reason})"
    for text in verdict.reference["known"]:
        yield f"known deviation of the reference: {text}"
    failures = verdict.reference["failures"]
    for text in failures[:FAILURES]:
        yield f"the reference itself breaks {text}"
    if len(failures) > FAILURES:
        yield f"and {len(failures) - FAILURES} more"
    if not verdict.backend["isolated"]:
        yield "The backend was handed over as an object, so it was judged in this process: a crash would end it."
    seconds = verdict.run.get("seconds")
    took = f", {seconds:.0f} s with {plural(verdict.run['workers'], 'worker')}" if seconds is not None else ""
    sides = " against ".join(filter(None, (_versioned(side) for side in (verdict.backend, verdict.reference))))
    yield f"{sides}; profile {verdict.profile}, seed {verdict.seed}{took}"


def _first_of(findings: Sequence[Finding]) -> str:
    more = len(findings) - 1
    return findings[0].id + (f" and {more} more" if more else "")


def is_given_up(finding: Finding) -> bool:
    """True where no more was asked of an operator, or of the backend, that had taken too many workers down."""
    return finding.status == "error" and (finding.detail or {}).get("kind") == GIVEN_UP


def filled(text: str, width: int = WIDTH) -> str:
    """`text` in lines of so many columns, 80 at most; a word that is longer stays whole."""
    width = min(width, WIDTH)
    return textwrap.fill(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _absent(op: str, verdict: Decision) -> bool:
    return all(finding.status == "not_implemented" for finding in verdict if finding.op == op)


def _versioned(side: Mapping[str, str]) -> str:
    return " ".join(filter(None, (side["name"], side["version"])))


def sentence(verdict: Decision) -> str:
    """The verdict, and what it promises."""
    if verdict.verdict == "none":
        return verdict.sentence
    event = "is ever called broken by this ledger" if verdict.lasting else "fails this gate"
    return f"{verdict.sentence} A backend that keeps every promise {event} with probability at most {verdict.alpha:g}."
