"""What failed, on a screen of 80 columns or fewer: causes, failures without one, the table, the verdict."""

from __future__ import annotations

import io
import shlex
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest

from rich.console import Console
from rich.markup import escape

from keeprate.harness.judging.decision import Decision
from keeprate.harness.judging.diagnosis import Cause
from keeprate.harness.judging.finding import Finding
from keeprate.harness.judging.text import WIDTH, filled, operator, plural, remarks, rows, sentence, table
from keeprate.harness.protocol.case import ANY, parameters_text
from keeprate.harness.protocol.law import Law
from keeprate.harness.untrusted_text import for_terminal

BLOCKS = {"11": "█", "10": "▌", "01": "▐", "00": " "}  # two entries in a place: dark is kept
BY_FAR = 10  # times as many findings without a cause as with one
INDENT = 13  # columns of a label
SHORT = 40  # characters of what names a group
SHOWN = 3  # failures printed in full; the others are counted


def verdict_text(
    verdict: Decision, *, failures: bool = True, listing: str | None = "", cause_last: bool = False
) -> str:
    """The verdict without colour, 80 columns wide; with its failures, unless they were printed before.

    Args:
        listing: the line that lists all failures, where there is one already; None where a report does in any case.
        cause_last: as in `show`.
    """
    out = io.StringIO()
    screen = Console(file=out, width=WIDTH, color_system=None, emoji=False)
    show(verdict, screen, failures=failures, listing=listing, cause_last=cause_last)
    return for_terminal(out.getvalue())


def show(
    verdict: Decision,
    console: Console,
    *,
    failures: bool = True,
    above: Iterable[str] = (),
    listing: str | None = "",
    every: bool = False,
    cause_last: bool = False,
) -> None:
    """Prints the verdict on `console`, failures first, so that the last lines are the verdict.

    Args:
        above: lines that stand between the failures and the table.
        listing: as in `verdict_text`.
        every: each failure in full, not the first of each law alone.
        cause_last: the first cause stands at the end, where a terminal shows it.
    """
    width = min(console.width, WIDTH)
    causes = [f"{cause_text(one, verdict, width)}\n" for one in verdict.causes[:SHOWN]]
    in_full = [*causes, *_all(verdict, width)] if every else [*failure_texts(verdict, listing, width)]
    told = in_full if failures else causes
    last = causes[0] if causes and cause_last else ""
    for text in _with_commands_once([text for text in told if text != last]):
        console.print(escape(text), highlight=False, soft_wrap=True)
    for line in (*_causes(verdict, width), *above):
        console.print(escape(line), highlight=False, soft_wrap=True)
    console.print(table(rows(verdict), console.width, alarming=("broken", "errors")), highlight=False)
    for line in remarks(verdict):
        console.print(escape(filled(line, width)), highlight=False, soft_wrap=True)
    style = {"conforms": "bold green", "broken": "bold red", "none": "bold yellow"}[verdict.verdict]
    if verdict.waiting and verdict.conforms:  # so far
        style = "bold"
    word, _, rest = textwrap.fill(f"{verdict.verdict.upper()}  {sentence(verdict)}", width).partition("  ")
    console.print(f"[{style}]{word}[/]  {escape(rest)}", highlight=False, soft_wrap=True)
    if last:
        console.print(escape(f"\n{last.rstrip()}"), highlight=False, soft_wrap=True)


def failure_texts(verdict: Decision, listing: str | None = "", width: int = WIDTH) -> Iterator[str]:
    """A text for each of the first causes, for each of the first laws that failed without one, and one for the rest.

    What no cause explains comes first, where it is by far the most.
    """
    causes, families = verdict.causes, list(unexplained(verdict).items())
    mostly = sum(len(group) for _, group in families) > BY_FAR * sum(len(cause.explains) for cause in causes)
    named = causes[: SHOWN - mostly]
    shown = max(int(mostly), SHOWN - len(causes))
    texts = [cause_text(cause, verdict, width) + "\n" for cause in named]
    others = [
        failure_text(group[0], verdict.findings, verdict.laws[group[0].family], width) + _others(group, width) + "\n"
        for _, group in families[:shown]
    ]
    yield from (*others, *texts) if mostly else (*texts, *others)
    for cause in causes[len(named) :]:
        yield filled(f"Broken as well: {cause.sentence}", width) + "\n"
    if rest := dict(families[shown:]):
        what = "Broken as well, and not explained:" if causes else "Broken as well:"
        yield "\n".join([what, *_briefly(rest, width)]) + "\n"
    left = sum(len(group) for _, group in families)
    told = left <= min(shown, len(families))
    if listing is not None and not told:
        if listing:
            yield filled(f"To see all {len(verdict.failing):,}:", width) + f"\n  {listing}\n"
            return
        again = f"add --seed {verdict.seed} --json verdict.json to the gate"
        how = again if verdict.backend["isolated"] else "write verdict.to_json() to verdict.json"
        words = filled(f"To see all {len(verdict.failing):,}, {how}, then", width)
        yield f"{words}\n  keeprate report --json verdict.json --out report\n"


def _with_commands_once(blocks: Sequence[str]) -> Iterator[str]:
    """Without the command of a block that the next one ends with too."""
    for block, following in zip_longest(blocks, blocks[1:], fillvalue=""):
        text, _, command = block.rpartition("\n\n")
        yield f"{text}\n" if following.endswith(f"\n\n{command}") else block


def unexplained(verdict: Decision) -> dict[str, list[Finding]]:
    """What no cause explains: what is broken by its law, and errors by what was raised, whatever the law."""
    groups: dict[str, list[Finding]] = {}
    for law, found in verdict.unexplained.items():
        for finding in found:
            groups.setdefault(law if finding.status == "broken" else f"error: {_raised(finding)}", []).append(finding)
    return groups


def _raised(finding: Finding) -> str:
    """What an error says, without where it came."""
    reason: str = (finding.detail or {}).get("reason", "")
    return reason.partition(" raised ")[2] or reason


def _all(verdict: Decision, width: int) -> Iterator[str]:
    for finding in verdict.failing:
        yield failure_text(finding, verdict.findings, verdict.laws[finding.family], width) + "\n"


def cause_text(cause: Cause, verdict: Decision, width: int = WIDTH) -> str:
    """A cause: what is wrong, what was seen, what it explains, a picture, and how to run the first of that again."""
    failing = verdict.failing
    ended = any(finding.status == "error" for finding in failing)
    all_of_them = plural(len(failing), "finding") + " that failed" if ended else plural(len(failing), "broken finding")
    told = [("seen", cause.seen), ("explains", f"{len(cause.explains):,} of {all_of_them}")]
    lines = [textwrap.fill(f"BROKEN  {cause.sentence}", width, subsequent_indent=" " * 8, break_on_hyphens=False), ""]
    lines += [_row(label, text, width) for label, text in told]
    for number, whole in enumerate(cause.picture):
        row = whole[: 2 * max(1, width - INDENT)]
        drawn = "".join(BLOCKS[row[at : at + 2].ljust(2, "0")] for at in range(0, len(row), 2))
        note = f"   ({plural(len(cause.picture), 'row')} of {plural(len(row), 'entry')})"
        note = note if INDENT + len(drawn) + len(note) <= width else ""
        lines.append(f"  {'picture' if not number else '':<9}  {drawn}{note if not number else ''}".rstrip())
    first = next(finding for finding in verdict.findings if finding.id == cause.explains[0])
    return "\n".join([*lines, "", _command(first.replay, width)])


def _briefly(families: Mapping[str, Sequence[Finding]], width: int) -> Iterator[str]:
    """Laws with the number of their findings, and the first of these, which can be replayed."""
    heads = {
        law: f"  {law if len(law) < SHORT else f'{law[:SHORT]}…'} ({len(group)})" for law, group in families.items()
    }
    longest = max(map(len, heads.values()))
    for law, group in families.items():
        line = f"{heads[law]:<{longest}}  {group[0].id}"
        yield line if len(line) <= width else f"{heads[law]}\n    {group[0].id}"


def _causes(verdict: Decision, width: int) -> Iterable[str]:
    """Known faults that break the same laws, most alike first; nothing where none is alike enough."""
    alike = verdict.likely_causes
    if not alike:
        return
    yield filled("Resembles one of these known faults; none was tested:", width)
    for _, cause in alike:
        real = f" Shipped by {cause.defect}." if cause.defect else ""
        text = f"{cause.says}.{real}"
        yield textwrap.fill(text, width, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False)
    yield ""


def _others(group: Sequence[Finding], width: int) -> str:
    if len(group) == 1:
        return ""
    ops = dict.fromkeys(operator(finding) for finding in group)
    number, what = len(group) - 1, "of this law" if group[0].status == "broken" else "that ended in the same"
    return "\n" + _row("and", f"{number} more finding{'s' if number > 1 else ''} {what}, in {_list(ops)}", width)


def failure_text(finding: Finding, findings: Sequence[Finding], law: Law, width: int = WIDTH) -> str:
    """A finding in full: promise, effect, evidence, what the failing cases have in common, how to run it again."""
    head = f"{finding.status.replace('_', ' ').upper():<6}"
    told = list(finding.rows)
    if finding.passes > 1:
        told.append(("summed", f"over {finding.passes:,} passes; the command below makes one, which may not show it"))
    if places := elsewhere(finding, findings):
        told.append(("elsewhere", places))
    if finding.status == "broken":
        told.append(("often", ", ".join(law.catches)))
    body = "\n".join(_row(label, text, width) for label, text in told)
    promise = textwrap.fill(law.promise, width - 2, initial_indent="  ", subsequent_indent="  ")
    return f"{head}  {finding.id}\n\n{promise}\n\n{body}\n\n{_command(finding.replay, width)}"


def _row(label: str, text: str, width: int) -> str:
    return textwrap.fill(text, width, initial_indent=f"  {label:<9}  ", subsequent_indent=" " * INDENT)


def _command(command: str, width: int) -> str:
    if not command.startswith("keeprate "):  # of a backend that is an object: a line of Python
        return f"  {command}"
    words = [shlex.quote(word) for word in shlex.split(command)]
    first = words.index("--backend")  # of the options
    lines = ["  " + " ".join(words[:first])]
    if len(lines[0]) > width - 2:
        lines = ["  " + " ".join(words[:2]), f"    {words[2]}"]
    lines.append("   ")
    for option in map(" ".join, zip_longest(words[first::2], words[first + 1 :: 2], fillvalue="")):
        option = option.rstrip()  # the last may be a flag
        if len(lines[-1]) + 1 + len(option) > width - 2 and lines[-1].strip():
            lines.append("   ")
        lines[-1] += f" {option}"
    return " \\\n".join(lines)


def elsewhere(finding: Finding, findings: Sequence[Finding]) -> str:
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
