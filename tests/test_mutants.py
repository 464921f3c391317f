"""Each mutant, a backend with one fault, must be failed by the law that is meant for it."""

import inspect
import re
from dataclasses import replace
from pathlib import Path

import pytest

from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import PROFILES, load_suite

mutation = find(str(Path(__file__).parent / "mutation.py"), group="", kind="module")
MUTANTS = dict(mutation.mutants())
# Their profile fails these 99 times in 100, so once in a million none of three; all others it fails whatever is drawn.
AT_THE_EDGE = ("correlated:Randu", "rate:BrainUniform", "rate:HalfUniform", "rate:OftenWhereRare")
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
    """Those meant for it that fail it where it is faulty, with and without their parameters; a fresh seed each time."""
    where, meant = mutation.places_of(mutant), mutation.families_of(mutant)
    request = mutation.asked_of(mutant, op, mutation.profile_of(mutant))
    promises = {text: one for text, one in request.promises.items() if one.id.family in meant}
    if where:
        promises = {text: one for text, one in promises.items() if one.id.context in where}
    laws = [finding.law for finding in failing(mutant, request.among(promises), early=True)]
    return {name for law in laws for name in (law, law.partition(":")[0])}


@pytest.mark.parametrize("name", [name for name, mutant in MUTANTS.items() if mutation.places_of(mutant)])
def test_a_mutant_is_not_accused_in_a_context_in_which_it_is_right(name):
    """By the laws that are meant for it, or by all where these look nowhere else."""
    mutant = MUTANTS[name]
    parts = {part for place in mutation.places_of(mutant) for part in place.split("+")}
    meant = mutation.families_of(mutant)
    for op in mutant.ops:
        request = mutation.asked_of(mutant, op, "smoke")
        promises = {text: one for text, one in request.promises.items() if parts.isdisjoint(one.id.context.split("+"))}
        promises = {text: one for text, one in promises.items() if one.id.family in meant} or promises
        assert promises and not failing(mutant, replace(request.among(promises), backend=""), early=False)


def failing(mutant, request, *, early):
    """What fails of it; all of it, or what does first."""
    verdict = mutation.judged(mutant, mutation.without_causes(request), early=early)
    print(f"seed = {verdict.seed}")
    failed = [finding for finding in verdict.failing if finding.status == "broken"]
    assert bool(failed) == (verdict.verdict == "broken"), str(verdict)  # and not by errors
    return failed


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_mutant_says_what_it_stands_for(mutant):
    assert re.search(r"( [A-P]\d+,?)+( \(.*\))?\.$|No row: ", inspect.getdoc(mutant).splitlines()[0])
    assert mutation.profile_of(mutant) in PROFILES
    assert mutation.families_of(mutant) <= set(load_suite("dropout").by_name)


def test_every_law_has_a_mutant():
    meant = {law for _, mutant in mutation.mutants() for law in mutation.families_of(mutant)}
    assert set(load_suite("dropout").by_name) <= meant
