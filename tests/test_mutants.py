"""Each mutant, a backend with one fault, must be failed by the law that is meant for it."""

import inspect
import re
from pathlib import Path

import pytest
import torch

from harness.gate import answer, runner_for
from harness.names import find
from harness.question import ask
from harness.suite import PROFILES, load_suite
from harness.workers import InProcess

FOLDER = Path(__file__).parent / "mutants"


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """As in keeprate's own workers: the tests themselves use the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def mutants():
    for path in sorted(FOLDER.glob("*.py")):
        module = find(str(path), group="", kind="module")
        for name, item in vars(module).items():
            if inspect.isclass(item) and hasattr(item, "meant_for") and item.__module__ == module.__name__:
                yield pytest.param(item, id=f"{path.stem}:{name}")


def laws_of(mutant):
    return {mutant.meant_for} if isinstance(mutant.meant_for, str) else set(mutant.meant_for)


def places_of(mutant):
    """The contexts in which it is faulty; none where it is in all."""
    where = getattr(mutant, "where", ())
    return (where,) if isinstance(where, str) else where


def judged(mutant, op, where):
    """The verdict at its profile: called plainly, and in the contexts that have a part of `where`."""
    dtypes = ("float32",) if len(mutant.dtypes) == 4 else mutant.dtypes  # one is enough, unless it chose
    name = f"{FOLDER}/contexts.py:{mutant.__name__}" if "process" in where else ""
    question = ask(name, profile=getattr(mutant, "profile", "quick"), ops=[op], dtypes=dtypes)
    parts = {"eager", "grad", *(part for place in where for part in place.split("+"))}
    asked = question.among(
        {text: one for text, one in question.promises.items() if not parts.isdisjoint(one.id.context.split("+"))}
    )
    if name:
        return answer(asked, runner_for(asked, 1))
    # In this process, as an object: a child of its own would take longer than the judging.
    return answer(asked, InProcess(mutant(), asked.suite, asked.names))


@pytest.mark.parametrize("mutant", list(mutants()))
def test_a_mutant_is_failed_by_the_law_meant_for_it(mutant):
    where = places_of(mutant)
    for op in mutant.ops:
        verdict = judged(mutant, op, where)
        print(f"seed = {verdict.seed}")
        failed = [finding for finding in verdict if finding.status == "broken"]
        laws = [finding.law for finding in failed if not where or finding.context in where]
        broken = {name for law in laws for name in (law, law.partition(":")[0])}
        assert verdict.verdict == "broken", f"{op}: {verdict.verdict}"
        if where:
            parts = {part for place in where for part in place.split("+")}
            right = {finding.context for finding in failed if parts.isdisjoint(finding.context.split("+"))}
            assert not right, f"{op} is accused in {sorted(right)}, where it is right"
        assert laws_of(mutant) & broken, f"{op} is broken by {sorted(broken)}, not by {sorted(laws_of(mutant))}"


@pytest.mark.parametrize("mutant", list(mutants()))
def test_a_mutant_says_what_it_stands_for(mutant):
    assert re.search(r"( [A-P]\d+,?)+( \(.*\))?\.$|No row: ", inspect.getdoc(mutant).splitlines()[0])
    assert getattr(mutant, "profile", "quick") in PROFILES
    assert {law.partition(":")[0] for law in laws_of(mutant)} <= set(load_suite("dropout").laws)


def test_every_law_has_a_mutant():
    meant = {law.partition(":")[0] for parameter in mutants() for law in laws_of(parameter.values[0])}
    assert set(load_suite("dropout").laws) <= meant
