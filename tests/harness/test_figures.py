"""Figures of README and docs/ are of today's plan: each page says which one in a stamp, each JSON under `made`."""

import json
import re
from pathlib import Path

import pytest

from keeprate.harness.evidence.likelihood import draws_to_detect
from keeprate.harness.protocol.lookup import find
from keeprate.specs.dropout.aims import AIMS, ALPHA, SHARED, WEIGHTS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
STAMP = re.compile(r"<!-- made by `(?P<command>[^`]+)`: (?P<made>[^>]+) -->")
GATE = re.compile(r"^(<!-- made by [^\n]+\n)?```text\noperator +kept +broken", re.MULTILINE)

stamps = find(str(ROOT / "benchmarks" / "stamps.py"), group="", kind="module")
calibrate = find(str(ROOT / "benchmarks" / "calibrate.py"), group="", kind="module")


def read(path):
    return path.read_text(encoding="utf-8")


def fields(made):
    return dict(part.split(" ", 1) for part in made.split(", "))


def stamped():
    """(page, command, fields of the stamp) of each stamp."""
    return [
        (path.relative_to(ROOT).as_posix(), found["command"], fields(found["made"]))
        for path in PAGES
        for found in STAMP.finditer(read(path))
    ]


@pytest.mark.parametrize(("page", "command", "made"), stamped(), ids=lambda each: each if isinstance(each, str) else "")
def test_what_a_page_shows_is_of_todays_plan(page, command, made):
    profile, _ = made["plan"].split()
    assert made["plan"] == stamps.plan_of(profile), f"{page} is out of date: {command}"
    assert made.keys() == stamps.stamp(profile).keys()


def test_a_stamp_of_another_plan_is_told_from_todays():
    plans = {stamps.plan_of(profile) for profile in ("smoke", "quick", "gate", "deep")}
    assert len(plans) == 4
    assert stamps.line("make gate", "gate") == STAMP.search(stamps.line("make gate", "gate"))[0]


def test_each_table_of_a_gate_and_the_page_of_failures_are_stamped():
    tables = [(path.name, found[1]) for path in PAGES for found in GATE.finditer(read(path))]
    assert {"README.md", "guarantees.md"} <= {name for name, _ in tables}
    unstamped = {name for name, made in tables if not made}
    assert unstamped <= {"failures.md"}  # which has one stamp for all
    assert STAMP.search(read(ROOT / "docs" / "failures.md"))["command"] == "python benchmarks/failures.py"


def test_the_draws_of_profiles_in_the_text_are_those_of_the_plan():
    share = ALPHA * WEIGHTS["keep_rate"] / SHARED
    text = " ".join(read(ROOT / "docs" / "statistics.md").split())
    for profile in ("quick", "gate", "deep"):
        number = draws_to_detect((0.7, 0.3), AIMS[profile].departure, share)
        assert f"{number:,}" in text, f"{profile} draws {number:,}: python benchmarks/figures.py"


def test_the_table_of_calibration_is_that_of_the_file_and_of_todays_plan():
    found = json.loads(read(ROOT / "docs" / "calibration.json"))
    assert "\n".join(calibrate.table(found["laws"])) in read(ROOT / "docs" / "statistics.md"), "make calibrate"
    assert found["made"]["plan"] == stamps.plan_of("quick"), "out of date: make calibrate"
