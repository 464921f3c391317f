"""Each mutant, a backend with one fault, must be failed by the law that is meant for it."""

import inspect
import re
from copy import copy
from dataclasses import replace
from pathlib import Path

import pytest

from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import PROFILES, load_suite

mutation = find(str(Path(__file__).parent / "mutation.py"), group="", kind="module")
MUTANTS = dict(mutation.mutants())
# Their profile fails these 99 times in 100, so once in a million none of three; all others it fails whatever is drawn.
AT_THE_EDGE = ("correlated:Randu", "rate:BrainUniform", "rate:HalfUniform")
TRIES = 3
pytestmark = pytest.mark.usefixtures("one_thread")


# A whole gate, as one that shows in all operators together needs, is for the kill matrix.
@pytest.mark.parametrize("name", [name for name, mutant in MUTANTS.items() if not mutation.is_of_all(mutant)])
def test_a_mutant_is_failed_by_the_law_meant_for_it(name):
    mutant, tries = MUTANTS[name], TRIES if name in AT_THE_EDGE else 1
    for op in mutant.ops:
        meant, found = mutation.laws_of(mutant), []
        while not any(meant & broken for broken in found):
            assert len(found) < tries, f"{op} is broken by {found}, not by {sorted(meant)}"
            found.append(broken_laws(mutant, op))


def broken_laws(mutant, op):
    """The laws that fail it where it is faulty, with and without their parameters; a fresh seed at each call."""
    where = mutation.places_of(mutant)
    request = mutation.asked_of(mutant, op, mutation.profile_of(mutant))
    if not where:  # what else it breaks is for the kill matrix: a finding is the same alone
        families = {law.partition(":")[0] for law in mutation.laws_of(mutant)}
        request = request.among({text: one for text, one in request.promises.items() if one.id.family in families})
    suite = copy(request.suite)
    suite.hypotheses = ()  # the laws are tried here; looking for the cause takes as long as they do
    request = replace(request, suite=suite)
    verdict = mutation.judged(mutant, request, early=not where)  # elsewhere all that it breaks is looked at
    print(f"seed = {verdict.seed}")
    failed = [finding for finding in verdict if finding.status == "broken"]
    assert bool(failed) == (verdict.verdict == "broken"), f"{op}: {verdict.verdict}"
    if where:
        parts = {part for place in where for part in place.split("+")}
        right = {finding.context for finding in failed if parts.isdisjoint(finding.context.split("+"))}
        assert not right, f"{op} is accused in {sorted(right)}, where it is right"
    laws = [finding.law for finding in failed if not where or finding.context in where]
    return {name for law in laws for name in (law, law.partition(":")[0])}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_mutant_says_what_it_stands_for(mutant):
    assert re.search(r"( [A-P]\d+,?)+( \(.*\))?\.$|No row: ", inspect.getdoc(mutant).splitlines()[0])
    assert mutation.profile_of(mutant) in PROFILES
    assert {law.partition(":")[0] for law in mutation.laws_of(mutant)} <= set(load_suite("dropout").by_name)


def test_every_law_has_a_mutant():
    meant = {law.partition(":")[0] for _, mutant in mutation.mutants() for law in mutation.laws_of(mutant)}
    assert set(load_suite("dropout").by_name) <= meant
