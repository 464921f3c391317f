"""The published kill matrix speaks of the mutants that there are, and of what each profile promises to fail."""

import json
from pathlib import Path

import pytest

from harness.names import find
from harness.suite import load_suite

ROOT = Path(__file__).parents[1]
MATRIX = json.loads((ROOT / "docs" / "kill-matrix.json").read_text(encoding="utf-8"))
REMEDY = "out of date: make mutants"

mutation = find(str(Path(__file__).parent / "mutation.py"), group="", kind="module")
MUTANTS = dict(mutation.mutants())


def test_the_matrix_names_all_mutants_and_no_others():
    assert set(MATRIX) == set(MUTANTS), REMEDY


def test_each_mutant_is_killed_at_gate():
    assert [name for name, row in MATRIX.items() if not row["gate"]["marks"]] == []


def test_each_mutant_that_the_tests_judge_at_quick_is_killed_there():
    judged = {name for name, mutant in MUTANTS.items() if mutation.profile_of(mutant) == "quick"}
    assert judged <= {name for name, row in MATRIX.items() if row["quick"]["marks"]}


def test_what_the_matrix_calls_caught_at_quick_is_judged_by_the_tests():
    # Each mutant is judged at its own profile, which draws at least what `quick` draws.
    assert {name for name, row in MATRIX.items() if row["quick"]["marks"]} <= set(MUTANTS), REMEDY


def test_nine_in_ten_mutants_are_killed_at_quick():
    assert sum(bool(row["quick"]["marks"]) for row in MATRIX.values()) >= 0.9 * len(MATRIX)


def test_the_causes_are_those_of_the_matrix():
    assert {cause.name for cause in load_suite("dropout").causes} == set(MATRIX), REMEDY


@pytest.mark.parametrize(
    ("name", "says"),
    [("gradients:Redrawn", "The backward pass draws a mask of its own"), ("contexts:Frozen", "A compiled")],
)
def test_a_verdict_names_the_fault_that_it_resembles(name, says):
    mutant = MUTANTS[name]
    verdict = mutation.judged(mutant, mutation.alone(mutation.asked_of(mutant, mutant.ops[0], "quick")))
    print(f"seed = {verdict.seed}")
    text = str(verdict)
    causes = text[text.index("Looks like") : text.index("operator  ")]
    assert says in " ".join(causes.split())
    assert max(map(len, causes.splitlines())) <= 80
