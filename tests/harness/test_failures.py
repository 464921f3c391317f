"""docs/failures.md shows what benchmarks/failures.py makes, each fault as one screen."""

import re
from pathlib import Path

import pytest

from keeprate.harness.protocol.lookup import find

ROOT = Path(__file__).parents[2]
MADE = find(str(ROOT / "benchmarks" / "failures.py"), group="", kind="module")
TEXT = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8")
SCREENS = dict(re.findall(r"^## (.*?)\n.*?^```text\n(.*?)^```", TEXT, re.M | re.S))


def test_every_fault_is_on_the_page_in_the_template_of_today():
    assert list(SCREENS) == list(MADE.FAULTS)
    for fault in MADE.FAULTS:
        assert f"```diff\n{MADE.changed(fault)}```" in TEXT
        assert MADE.faulty(fault)


@pytest.mark.parametrize("fault", SCREENS)
def test_a_screen_has_24_lines_of_80_columns_and_ends_on_the_cause(fault):
    lines = SCREENS[fault].splitlines()
    assert len(lines) <= MADE.LINES
    assert max(map(len, lines)) <= MADE.COLUMNS
    assert any(re.fullmatch(r"  explains   \d+ of \d+ broken findings?", line) for line in lines)
    assert "--profile quick" in lines[-1]


def test_a_fault_is_shown_again_with_its_cause():
    screen = MADE.screen("What is kept is scaled by 1/p")
    assert "BROKEN  mine scales kept entries by 1/p, not by 1/(1 − p), in dropout." in screen
