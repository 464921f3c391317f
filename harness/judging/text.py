"""A verdict in words, for a terminal of 80 columns: what failed, a table over the operators, the verdict."""

from __future__ import annotations

import io
import shlex
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keeprate.harness.judging.decision import Decision
from keeprate.harness.judging.diagnosis import Cause
from keeprate.harness.judging.finding import Finding
from keeprate.harness.protocol.backend import LACKS
from keeprate.harness.protocol.case import ANY, parameters_text
from keeprate.harness.protocol.engine import GIVEN_UP
from keeprate.harness.protocol.law import Law
from keeprate.harness.untrusted_text import for_terminal

WIDTH = 80
FAILURES = 5  # of the reference that are named
BLOCKS = {"11": "█", "10": "▌", "01": "▐", "00": " "}  # two entries in a place: dark is kept
BY_FAR = 10  # times as many findings without a cause as with one
SHOWN = 3  # failures printed in full; the others are counted
TOGETHER = "all together"  # stands for an operator where a finding is over all


def verdict_text(verdict: Decision, *, failures: bool = True, listing: str = "") -> str:
    """The verdict without colour, 80 columns wide; with its failures, unless they were printed before.

    Args:
        listing: the line of Python that lists all failures, for whoever has no hold of the verdict.
    """
    out = io.StringIO()
    show(verdict, Console(file=out, width=WIDTH, color_system=None, emoji=False), failures=failures, listing=listing)
    return for_terminal(out.getvalue())


def show(
    verdict: Decision, console: Console, *, failures: bool = True, above: Iterable[str] = (), listing: str = ""
) -> None:
    """Prints the verdict on `console`, failures first, so that the last lines are the verdict.

    Args:
        above: lines that stand between the failures and the table.
        listing: as in `verdict_text`.
    """
    causes = (f"{cause_text(one, verdict)}\n" for one in verdict.causes[:SHOWN])
    told = failure_texts(verdict, listing) if failures else causes
    for text in told:
        console.print(escape(text), highlight=False, soft_wrap=True)
    for line in (*_causes(verdict), *above):
        console.print(escape(line), highlight=False, soft_wrap=True)
    console.print(_table(verdict))
    for line in remarks(verdict):
        console.print(escape(line), highlight=False, soft_wrap=True)
    style = {"conforms": "bold green", "broken": "bold red", "none": "bold yellow"}[verdict.verdict]
    word, _, rest = textwrap.fill(f"{verdict.verdict.upper()}  {sentence(verdict)}", WIDTH).partition("  ")
    console.print(f"[{style}]{word}[/]  {escape(rest)}", highlight=False, soft_wrap=True)


def failure_texts(verdict: Decision, listing: str = "") -> Iterator[str]:
    """A text for each of the first causes, for each of the first laws that failed without one, and one for the rest.

    What no cause explains comes first, where it is by far the most.
    """
    causes, families = verdict.causes, list(verdict.unexplained.items())
    mostly = sum(len(group) for _, group in families) > BY_FAR * sum(len(cause.explains) for cause in causes)
    named = causes[: SHOWN - mostly]
    shown = max(int(mostly), SHOWN - len(causes))
    texts = [cause_text(cause, verdict) + "\n" for cause in named]
    others = [
        failure_text(group[0], verdict.findings, verdict.laws[law]) + _others(group) + "\n"
        for law, group in families[:shown]
    ]
    yield from (*others, *texts) if mostly else (*texts, *others)
    for cause in causes[len(named) :]:
        yield filled(f"Broken as well: {cause.sentence}") + "\n"
    if rest := dict(families[shown:]):
        what = "Broken as well, and not explained:" if causes else "Broken as well:"
        yield "\n".join([what, *_briefly(rest)]) + "\n"
    left = sum(len(group) for _, group in families)
    told = left <= min(shown, len(families))
    if not told and all(finding.passes == 1 for finding in verdict.failing):  # for nights there is a report in any case
        if listing:
            yield filled(f"To see all {len(verdict.failing):,}:") + f"\n  {listing}\n"
            return
        again = f"add --seed {verdict.seed} --json verdict.json to the gate"
        how = again if verdict.backend["isolated"] else "write verdict.to_json() to verdict.json"
        words = filled(f"To see all {len(verdict.failing):,}, {how}, then")
        yield f"{words}\n  keeprate report --json verdict.json --out report\n"


def cause_text(cause: Cause, verdict: Decision) -> str:
    """A cause: what is wrong, what was seen, what it explains, a picture, and how to run the first of that again."""
    broken = len(verdict.failing)
    rows = [
        ("seen", cause.seen),
        ("explains", f"{len(cause.explains):,} of {plural(broken, 'broken finding')}"),
    ]
    lines = [textwrap.fill(f"BROKEN  {cause.sentence}", WIDTH, subsequent_indent=" " * 8, break_on_hyphens=False), ""]
    lines += [_row(label, text) for label, text in rows]
    for number, row in enumerate(cause.picture):
        drawn = "".join(BLOCKS[row[at : at + 2].ljust(2, "0")] for at in range(0, len(row), 2))
        note = f"   ({len(cause.picture)} rows of {plural(len(row), 'entry').replace('entrys', 'entries')})"
        lines.append(f"  {'picture' if not number else '':<9}  {drawn}{note if not number else ''}".rstrip())
    first = next(finding for finding in verdict.findings if finding.id == cause.explains[0])
    return "\n".join([*lines, "", _command(first.replay)])


def _briefly(families: Mapping[str, Sequence[Finding]]) -> Iterator[str]:
    """Laws with the number of their findings, and the first of these, which can be replayed."""
    heads = {law: f"  {law} ({len(group)})" for law, group in families.items()}
    width = max(map(len, heads.values()))
    for law, group in families.items():
        line = f"{heads[law]:<{width}}  {group[0].id}"
        yield line if len(line) <= WIDTH else f"{heads[law]}\n    {group[0].id}"


def _causes(verdict: Decision) -> Iterable[str]:
    """Known faults that break the same laws, most alike first; nothing where none is alike enough."""
    alike = verdict.likely_causes
    if not alike:
        return
    yield "Resembles one of these known faults; none was tested:"
    for _, cause in alike:
        real = f" Shipped by {cause.defect}." if cause.defect else ""
        text = f"{cause.says}.{real}"
        yield textwrap.fill(text, WIDTH, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False)
    yield ""


def _others(group: Sequence[Finding]) -> str:
    if len(group) == 1:
        return ""
    ops = dict.fromkeys(operator(finding) for finding in group)
    number = len(group) - 1
    return "\n" + _row("and", f"{number} more finding{'s' if number > 1 else ''} of this law, in {_list(ops)}")


def failure_text(finding: Finding, findings: Sequence[Finding], law: Law) -> str:
    """A finding in full: promise, effect, evidence, what the failing cases have in common, how to run it again."""
    head = f"{finding.status.replace('_', ' ').upper():<6}"
    rows = list(finding.rows)
    if finding.passes > 1:
        rows.append(("summed", f"over {finding.passes:,} passes; the command below makes one, which may not show it"))
    elsewhere = _elsewhere(finding, findings)
    if elsewhere:
        rows.append(("elsewhere", elsewhere))
    if finding.status == "broken":
        rows.append(("often", ", ".join(law.catches)))
    body = "\n".join(_row(label, text) for label, text in rows)
    promise = textwrap.fill(law.promise, WIDTH - 2, initial_indent="  ", subsequent_indent="  ")
    return f"{head}  {finding.id}\n\n{promise}\n\n{body}\n\n{_command(finding.replay)}"


def operator(finding: Finding) -> str:
    """The operator of a finding, in words where it is over all."""
    return TOGETHER if finding.op == ANY else finding.op


def _row(label: str, text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=f"  {label:<9}  ", subsequent_indent=" " * 13)


def _command(command: str) -> str:
    if not command.startswith("keeprate "):  # of a backend that is an object: a line of Python
        return f"  {command}"
    words = [shlex.quote(word) for word in shlex.split(command)]
    first = words.index("--backend")  # of the options
    lines = ["  " + " ".join(words[:first])]
    if len(lines[0]) > WIDTH - 2:
        lines = ["  " + " ".join(words[:2]), f"    {words[2]}"]
    lines.append("   ")
    for option in map(" ".join, zip(words[first::2], words[first + 1 :: 2], strict=True)):
        if len(lines[-1]) + 1 + len(option) > WIDTH - 2 and lines[-1].strip():
            lines.append("   ")
        lines[-1] += f" {option}"
    return " \\\n".join(lines)


def _elsewhere(finding: Finding, findings: Sequence[Finding]) -> str:
    """How the same law fares in the same place where only the dtype, or only the parameters, are others."""
    place = finding.op, finding.law, finding.shape, finding.strides, finding.context
    family = [
        other
        for other in findings
        if (other.op, other.law, other.shape, other.strides, other.context) == place and other is not finding
    ]
    dtypes = [
        (other.status, other.dtype) for other in family if other.parameters == finding.parameters and other.dtype != ANY
    ]
    settings = [
        (other.status, parameters_text(other.parameters))
        for other in family
        if other.dtype == finding.dtype and other.parameters
    ]
    parts = []
    for status in ("kept", "broken"):
        places = [
            f"{word} {_list(values)}"
            for word, others in (("in", dtypes), ("at", settings))
            if (values := [value for each, value in others if each == status])
        ]
        if places:
            parts.append(f"{status} {', '.join(places)}")
    return "; ".join(parts)


def _list(values: Iterable[str]) -> str:
    *first, last = dict.fromkeys(values)
    return f"{', '.join(first)} and {last}" if first else last


def _table(verdict: Decision) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    (first, *headings), *lines = rows(verdict)
    table.add_column(first, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for op, kept, broken, *rest in lines:
        table.add_row(op, kept, broken if broken in ("0", "-") else f"[red]{broken}[/]", *rest)
    return table


def rows(verdict: Decision) -> Iterator[tuple[str, ...]]:
    """The headings, and a row for each operator."""
    yield "operator", "kept", "broken", "not judged", "draws", "detects"
    for op in dict.fromkeys(map(operator, verdict)):
        mine = [finding for finding in verdict if operator(finding) == op]
        count = Counter(finding.status for finding in mine)
        if count["not_implemented"] == len(mine):
            yield op, "-", "-", str(len(mine)), "-", "-"
            continue
        broken = count["broken"] + count["error"]
        rates = [(item.parameters, item.effect) for item in mine if item.law == verdict.suite.headline and item.effect]
        told = [effect for parameters, effect in rates if effect.n and (parameters or op == TOGETHER)]
        worst = max((effect.detectable for effect in told), default=0.0)
        lost = any(item.law == verdict.suite.headline and item.status in ("unreadable", "error") for item in mine)
        yield (
            op,
            str(count["kept"]),
            str(broken),
            str(len(mine) - count["kept"] - broken or "-"),
            millions(sum(effect.n for _, effect in rates)),
            f"{worst:.2g}" if worst and not lost and not verdict.unseen else "-",
        )


def millions(count: int) -> str:
    """A number of draws, short."""
    if count >= 1e5:
        return f"{count / 1e6:,.1f} M"
    return f"{count:,}" if count else "-"


def plural(number: int, word: str) -> str:
    """`1 worker`, `2 workers`."""
    return f"{number:,} {word}{'s' * (number != 1)}"


def remarks(verdict: Decision) -> Iterable[str]:
    """What is worth a word beside the table: what was not judged, known deviations, versions, the seed."""
    yield ""
    if verdict.suite.headline and not verdict.unseen:
        yield filled(f"detects: the smallest departure in {verdict.suite.headline} that this run would have caught")
    absent = [op for op in dict.fromkeys(item.op for item in verdict) if _absent(op, verdict)]
    if absent:
        yield filled(f"not implemented: {', '.join(absent)}")
    reasons = Counter(
        (finding.status.replace("_", " "), (finding.detail or {}).get("reason", ""))
        for finding in verdict
        if finding.status in ("not_offered", "unreadable") or is_given_up(finding)
    )
    lacking = {key: number for key, number in reasons.items() if len(reasons) > 1 and key[1].startswith(LACKS)}
    for (status, reason), number in reasons.items():
        if (status, reason) not in lacking:
            yield filled(f"{status}: {plural(number, 'finding')}, {reason}")
    for status in dict.fromkeys(status for status, _ in lacking):
        each = {reason.removeprefix(LACKS): number for (one, reason), number in lacking.items() if one == status}
        names = ", ".join(f"{name} ({number:,})" for name, number in each.items())
        yield filled(f"{status}: {plural(sum(each.values()), 'finding')}, {LACKS}{names}")
    said = Counter((finding.detail or {}).get("remark") for finding in verdict)
    for remark, number in said.items():
        if remark:
            yield filled(f"remarked: {plural(number, 'finding')}, {remark}")
    if "known" in verdict.run:
        yield filled(f"known deviations are those of {verdict.run['known']}")
    known = [finding for finding in verdict if finding.known is not None]
    for reason in dict.fromkeys(finding.known for finding in known):
        seen = [item for item in known if item.known == reason and item.status in ("broken", "error")]
        if seen:
            yield filled(f"known deviation: {_first_of(seen)} ({reason})")
    for group in verdict.mended:
        yield filled(f"known deviation no longer seen: {_first_of(group)}")
    for text in verdict.reference["known"]:
        yield filled(f"known deviation of the reference: {text}")
    failures = verdict.reference["failures"]
    for text in failures[:FAILURES]:
        yield filled(f"the reference itself breaks {text}")
    if len(failures) > FAILURES:
        yield f"and {len(failures) - FAILURES} more"
    if not verdict.backend["isolated"]:
        yield filled(
            "The backend was handed over as an object, so it was judged in this process: a crash would end it."
        )
    seconds = verdict.run.get("seconds")
    took = f", {seconds:.0f} s with {plural(verdict.run['workers'], 'worker')}" if seconds is not None else ""
    sides = " against ".join(filter(None, (_versioned(side) for side in (verdict.backend, verdict.reference))))
    yield filled(f"{sides}; profile {verdict.profile}, seed {verdict.seed}{took}")


def _first_of(findings: Sequence[Finding]) -> str:
    more = len(findings) - 1
    return findings[0].id + (f" and {more} more" if more else "")


def is_given_up(finding: Finding) -> bool:
    """True where no more was asked of an operator, or of the backend, that had taken too many workers down."""
    return finding.status == "error" and (finding.detail or {}).get("kind") == GIVEN_UP


def filled(text: str) -> str:
    """`text` in lines of 80 columns."""
    return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


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
