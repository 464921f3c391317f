"""What GitHub Actions shows of a verdict: an annotation for each broken law, and the job's summary.

The format is GitHub's: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

import html
import os
from collections.abc import Iterator
from pathlib import Path

import click

from harness.finding import Finding
from harness.text import by_law, failure_text, remarks, rows, sentence
from harness.verdict import Verdict

SHOWN = 10  # annotations of one step that GitHub shows


def report(verdict: Verdict) -> None:
    """Writes both, where `GITHUB_ACTIONS` is set; nothing anywhere else."""
    if not os.environ.get("GITHUB_ACTIONS"):
        return
    for line in commands(verdict):
        click.echo(line)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with Path(summary).open("a", encoding="utf-8") as file:  # other steps have written to it
            file.write(markdown(verdict))


def commands(verdict: Verdict) -> Iterator[str]:
    """A workflow command for each law that is broken, the likeliest cause first."""
    for finding in _leading(verdict)[:SHOWN]:
        text = _text(finding, verdict)
        yield f"::error title={_property(f'keeprate: {finding.id}')}::{_data(text)}"


def markdown(verdict: Verdict) -> str:
    """The verdict as Markdown: the sentence, the operators, what is broken, how it was judged."""
    mark = {"conforms": "✅", "broken": "❌", "none": "⚠️"}[verdict.verdict]
    heading, *table = rows(verdict)
    lines = [
        f"### {mark} {html.escape(sentence(verdict))}",
        "",
        f"| {' | '.join(heading)} |",
        f"|---|{'---:|' * (len(heading) - 1)}",
        *(f"| {' | '.join(cells)} |" for cells in table),
        "",
    ]
    for finding in _leading(verdict):
        text = _text(finding, verdict).replace("```", "'''")
        summary = f"<code>{html.escape(finding.id)}</code>"
        lines += [f"<details><summary>{summary}</summary>", "", "```text", text, "```", "", "</details>", ""]
    lines += [f"> {html.escape(line)}  " for line in remarks(verdict) if line]
    return "\n".join(lines) + "\n"


def _leading(verdict: Verdict) -> list[Finding]:
    """The first failing finding of each law."""
    failing = by_law((finding for finding in verdict if finding.fails), verdict.laws)
    return [group[0] for group in failing.values()]


def _text(finding: Finding, verdict: Verdict) -> str:
    return failure_text(finding, verdict.findings, verdict.laws[finding.law.partition(":")[0]])


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
