"""What GitHub Actions shows of a verdict: an annotation for each cause, and the job's summary."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from keeprate.harness.errors import UsageError
from keeprate.harness.judging.finding import Finding
from keeprate.harness.judging.screen import cause_text, failure_text, unexplained
from keeprate.harness.judging.text import remarks, rows, sentence
from keeprate.harness.judging.verdict import Verdict
from keeprate.harness.untrusted_text import code_block, for_html, for_markdown, github_error, table_row

SHOWN = 10  # annotations of one step that GitHub shows


def annotated(verdict: Verdict) -> list[str]:
    """A workflow command for each cause, and each law that is broken without one; none outside GitHub Actions."""
    return list(commands(verdict)) if os.environ.get("GITHUB_ACTIONS") else []


def add_summary(verdict: Verdict) -> None:
    """Adds the verdict to the job's summary; does nothing outside GitHub Actions.

    Raises:
        UsageError: the file of the summary can't be written.
    """
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not os.environ.get("GITHUB_ACTIONS") or not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:  # other steps have written to it
            file.write(markdown(verdict))
    except OSError as error:
        raise UsageError(f"can't write the job's summary to '{path}': {error.strerror}") from None


def commands(verdict: Verdict) -> Iterator[str]:
    """The annotations, as GitHub reads them from the output."""
    told = [(f"keeprate: {cause.id}", cause_text(cause, verdict)) for cause in verdict.causes]
    told += [(f"keeprate: {finding.id}", _text(finding, verdict)) for finding in _unexplained(verdict)]
    for title, text in told[:SHOWN]:
        yield github_error(title, text)


def _unexplained(verdict: Verdict) -> list[Finding]:
    """Of each law that failed without a cause, and each error, the first finding."""
    return [group[0] for group in unexplained(verdict).values()]


def markdown(verdict: Verdict) -> str:
    """The verdict as Markdown: the sentence, the operators, what is broken, how it was judged."""
    mark = {"conforms": "⏳" if verdict.waiting else "✅", "broken": "❌", "none": "⚠️"}[verdict.verdict]
    heading, *table = rows(verdict)
    lines = [
        f"### {mark} {for_markdown(sentence(verdict))}",
        "",
        table_row(heading),
        f"|---|{'---:|' * (len(heading) - 1)}",
        *map(table_row, table),
        "",
    ]
    for cause in verdict.causes:
        lines += [f"**{for_markdown(cause.sentence)}**", "", code_block(cause_text(cause, verdict)), ""]
    for finding in _unexplained(verdict):
        summary = f"<details><summary><code>{for_html(finding.id)}</code></summary>"
        lines += [summary, "", code_block(_text(finding, verdict)), "", "</details>", ""]
    lines += [f"> {for_markdown(line)}  " for line in remarks(verdict) if line]
    return "\n".join(lines) + "\n"


def _text(finding: Finding, verdict: Verdict) -> str:
    return failure_text(finding, verdict.findings, verdict.laws[finding.family])
