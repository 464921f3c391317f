"""The published kill matrix speaks of the mutants that there are, and of what each profile promises to fail."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import load_suite

ROOT = Path(__file__).parents[1]
MATRIX = json.loads((ROOT / "docs" / "kill-matrix.json").read_text(encoding="utf-8"))
REMEDY = "out of date: make mutants"

mutation = find(str(Path(__file__).parent / "mutation.py"), group="", kind="module")
MUTANTS = dict(mutation.mutants())


def test_the_matrix_names_all_mutants_and_no_others():
    assert set(MATRIX) == set(MUTANTS), REMEDY


def test_the_matrix_was_made_from_the_mutants_as_they_are():
    assert {name: row["source"] for name, row in MATRIX.items()} == {
        name: mutation.source(mutant) for name, mutant in MUTANTS.items()
    }, REMEDY


def test_each_law_kills_a_mutant_that_no_other_law_kills():
    alone = set()
    for row in MATRIX.values():
        for profile in ("quick", "gate"):
            laws = {mark["law"].partition(":")[0] for mark in row[profile]["marks"]}
            alone |= laws if len(laws) == 1 else set()
    assert alone == set(load_suite("dropout").by_name)


def test_each_shipped_defect_has_a_mutant_or_a_reason_for_none():
    written = {defect for mutant in MUTANTS.values() for defect in mutation.defects_of(mutant)}
    known = {defect.id for defect in load_suite("dropout").defects}
    assert written <= known
    assert known - written == set(mutation.NOT_WRITTEN)


def test_each_mutant_is_killed_at_gate():
    assert [name for name, row in MATRIX.items() if not row["gate"]["marks"]] == []


def test_a_fault_of_all_that_none_shows_alone_is_seen_in_all_together():
    found = {name: MATRIX[name]["gate"]["marks"] for name, mutant in MUTANTS.items() if mutation.is_of_all(mutant)}
    assert "rate:OffInAll" in found
    for name, marks in found.items():
        assert {mark["context"] for mark in marks} == {"-"}, name
        assert MUTANTS[name].meant_for in {mark["law"] for mark in marks}


def test_each_mutant_that_the_tests_judge_at_quick_is_killed_there():
    judged = {name for name, mutant in MUTANTS.items() if mutation.profile_of(mutant) == "quick"}
    assert judged <= {name for name, row in MATRIX.items() if row["quick"]["marks"]}


def test_nine_in_ten_mutants_are_killed_at_quick():
    assert sum(bool(row["quick"]["marks"]) for row in MATRIX.values()) >= 0.9 * len(MATRIX)


def test_the_causes_are_those_of_the_matrix():
    assert {cause.name for cause in load_suite("dropout").causes} == set(MATRIX), REMEDY


@pytest.mark.parametrize(
    ("name", "says"),
    [("correlated:SumOfTwo", "Each third draw is the sum of the two before it")],
)
def test_a_verdict_without_a_cause_names_the_fault_that_it_resembles(name, says):
    mutant = MUTANTS[name]
    verdict = mutation.judged(mutant, mutation.asked_of(mutant, mutant.ops[0], "quick"))
    print(f"seed = {verdict.seed}")
    text = str(verdict)
    causes = text[text.index("Resembles") : text.index("operator  ")]
    assert says in " ".join(causes.split())
    assert max(map(len, causes.splitlines())) <= 80


def test_errors_alone_resemble_no_fault():
    mutant = MUTANTS["scale:NotScaled"]
    verdict = mutation.judged(mutant, mutation.asked_of(mutant, mutant.ops[0], "quick"))
    print(f"seed = {verdict.seed}")
    verdict = replace(verdict, causes=())
    assert verdict.likely_causes
    failed = [replace(one, status="error") if one.status == "broken" else one for one in verdict]
    assert replace(verdict, findings=failed).likely_causes == []
