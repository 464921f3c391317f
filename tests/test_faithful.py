"""Faithful backends that draw, compare, fill and round differently: each must pass, whatever the seed."""

import inspect
from pathlib import Path

import pytest

import keeprate
from harness.names import find

FOLDER = Path(__file__).parent / "mutants"


def faithful():
    yield pytest.param(str(FOLDER / "plain.py:Plain"), id="Plain")
    module = find(str(FOLDER / "faithful.py"), group="", kind="module")
    for name, item in vars(module).items():
        if inspect.isclass(item) and hasattr(item, "dropout") and item.__module__ == module.__name__:
            yield pytest.param(str(FOLDER / f"faithful.py:{name}"), id=name)


@pytest.mark.parametrize("backend", list(faithful()))
def test_a_faithful_backend_passes(backend):
    # Fails with probability 1e-6 when nothing is wrong: the verdict's own guarantee.
    verdict = keeprate.judge(backend, profile="quick", workers=1)
    print(f"seed = {verdict.seed}")
    assert verdict.conforms, str(verdict)
    assert {finding.status for finding in verdict} <= {"kept", "not_offered"}
