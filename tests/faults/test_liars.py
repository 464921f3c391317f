"""Which liars are found, and which are not: docs/threats.md says why, and names each."""

import inspect
from pathlib import Path

import pytest

from keeprate.harness.judging.gate import answer
from keeprate.harness.judging.request import ask
from keeprate.harness.protocol.lookup import find
from keeprate.harness.workers.pool import InProcess

HERE = Path(__file__).parent
mutation = find(str(HERE.parent / "mutation.py"), group="", kind="module")
THREATS = (HERE.parent.parent / "docs" / "threats.md").read_text(encoding="utf-8")
LAWS = ("keep_rate", "outcomes", "purity", "shape", "seeding", "data", "evaluation", "calls")


def classes(name):
    module = find(str(HERE / f"{name}.py"), group="", kind="module")
    return {
        label: item
        for label, item in vars(module).items()
        if inspect.isclass(item) and item.__module__ == module.__name__
    }


LIARS = {label: item for label, item in classes("liars").items() if label != "Calls"}


@pytest.mark.parametrize("label", LIARS)
def test_a_liar_is_found_where_the_harness_looks_and_nowhere_else(label):
    request = mutation.without_causes(ask("", profile="quick", ops=["dropout"], dtypes=["float32"]).alone())
    asked = {
        text: one
        for text, one in request.promises.items()
        if one.id.context == "eager" and one.id.family in LAWS and one.id.parameters in ("-", "p0.3")
    }
    # In this process, as an object: no liar ends it, and a child of its own would take longer than the judging.
    verdict = answer(request.among(asked), InProcess(LIARS[label](), request.suite, request.names))
    status = {finding.id: finding.status for finding in verdict}
    assert set(status.values()) <= {"kept", "broken", "unreadable"}, status
    broken = {finding.law.partition(":")[0] for finding in verdict if finding.status == "broken"}
    print(f"seed = {verdict.seed}")
    assert verdict.verdict == ("broken" if LIARS[label].found else "conforms"), broken
    assert set(LIARS[label].found) <= broken


@pytest.mark.parametrize("label", LIARS)
def test_the_documentation_names_each_liar(label):
    assert f"`{label}`" in THREATS
