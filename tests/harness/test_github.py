"""What GitHub Actions is told: annotations, and the job's summary."""

import json
import re

import pytest


@pytest.fixture
def in_actions(monkeypatch, tmp_path):
    summary = tmp_path / "summary.md"
    summary.write_text("an earlier step\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    return summary


def test_a_broken_promise_is_an_annotation(keeprate, coin, coins, in_actions):
    run = keeprate("gate", "--backend", f"{coins}:Bent", "--suite", coin)
    commands = [line for line in run.out.splitlines() if line.startswith("::")]
    assert len(commands) == 1  # one for each law
    title, text = re.fullmatch(r"::error title=([^:]+)::(.*)", commands[0]).groups()
    assert title.startswith("keeprate%3A toss/")
    assert "%0A" in text and "keeprate replay toss/" in text


def test_the_summary_is_added_to_what_other_steps_wrote(keeprate, coin, coins, in_actions):
    keeprate("gate", "--backend", f"{coins}:Bent", "--suite", coin)
    text = in_actions.read_text()
    assert text.startswith("an earlier step\n### ❌ coin keeps ")
    assert "| operator | kept | broken | not judged | draws | detects |\n|---|---:|" in text
    assert text.count("<details>") == text.count("</details>") == 1


def test_a_faithful_backend_has_a_summary_and_no_annotation(keeprate, coin, coins, in_actions):
    run = keeprate("gate", "--backend", f"{coins}:Fair", "--suite", coin)
    assert "::error" not in run.out
    assert "### ✅ coin keeps " in in_actions.read_text()


def test_nothing_is_said_elsewhere(keeprate, coin, coins, in_actions, monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS")
    run = keeprate("gate", "--backend", f"{coins}:Bent", "--suite", coin)
    assert "::error" not in run.out
    assert in_actions.read_text() == "an earlier step\n"


def test_a_summary_that_cannot_be_written_costs_nothing_else(keeprate, coin, coins, in_actions, monkeypatch, tmp_path):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    files = ("--json", "v.json", "--write-known", "known.txt")
    run = keeprate("gate", "--backend", f"{coins}:Bent", "--suite", coin, *files)
    assert run.code == 2
    assert " ".join(run.err.split()) == f"error: can't write the job's summary to '{tmp_path}': Is a directory"
    assert "BROKEN  coin keeps" in run.out and "::error title=" in run.out
    assert json.loads((tmp_path / "v.json").read_text())["verdict"] == "broken"
    assert "toss/fair" in (tmp_path / "known.txt").read_text()
