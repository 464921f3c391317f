"""Faithful backends that draw, compare, fill and round differently: each must pass, whatever the seed."""

from pathlib import Path

import pytest

from harness.gate import answer, runner_for
from harness.names import find
from harness.question import ask

mutation = find(str(Path(__file__).parent / "mutation.py"), group="", kind="module")


NAMED = [pytest.param(mutation.address(backend), id=name) for name, backend in mutation.faithful().items()]


@pytest.mark.parametrize("backend", NAMED)
def test_a_faithful_backend_passes(backend):
    # Fails with probability 1e-6 when nothing is wrong: the verdict's own guarantee.
    question = ask(backend, profile="quick").alone()
    verdict = answer(question, runner_for(question, 1))
    print(f"seed = {verdict.seed}")
    assert verdict.conforms, str(verdict)
    assert {finding.status for finding in verdict} <= {"kept", "not_offered"}
