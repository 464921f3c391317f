"""Faithful backends that draw, compare, fill and round differently: each must pass, whatever the seed.

One operator of each is judged in a run, drawn afresh; `benchmarks/false_alarms.py` judges all.
"""

import random
from pathlib import Path

import pytest

from keeprate.harness.judging.request import ask
from keeprate.harness.protocol.lookup import find
from keeprate.specs.dropout.contracts import CONTRACTS

mutation = find(str(Path(__file__).parent / "mutation.py"), group="", kind="module")
FAITHFUL = mutation.faithful()
pytestmark = pytest.mark.usefixtures("one_thread")


def passes(name, request):
    """Fails with probability 1e-6 when nothing is wrong: the verdict's own guarantee."""
    verdict = mutation.judged(FAITHFUL[name], request)
    print(f"seed = {verdict.seed}")
    assert verdict.conforms, str(verdict)
    statuses = {finding.status for finding in verdict}
    assert "kept" in statuses
    assert statuses <= {"kept", "not_offered"}


@pytest.mark.parametrize("name", FAITHFUL)
def test_a_faithful_backend_passes(name):
    """In this process, as an object, which only has no other process to be compared with."""
    passes(name, ask("", profile="quick", ops=[random.choice(list(CONTRACTS))]).alone())


@pytest.mark.parametrize(
    "name", ["Plain", "Philox", "MersenneTwister", "Keyed", "Stateful"]
)  # seeded and counted in other ways
def test_what_a_faithful_backend_draws_elsewhere_passes(name):
    profile = "quick" if "float32" in FAITHFUL[name].dtypes else "gate"  # which asks other dtypes too
    request = ask(mutation.address(FAITHFUL[name]), profile=profile).alone()
    in_processes = {text: one for text, one in request.promises.items() if "process" in one.id.context}
    passes(name, request.among(in_processes))
