"""Operators that drop whole rows: what is sound conforms, and each fault is failed by the law that is meant for it."""

from pathlib import Path

import numpy as np
import pytest

from keeprate.harness.judging.gate import answer
from keeprate.harness.judging.request import ask
from keeprate.harness.protocol.lookup import find
from keeprate.harness.workers.pool import InProcess
from keeprate.impl.backends import mlx
from keeprate.impl.backends import torch as of_torch
from keeprate.specs.dropout.contracts import CONTRACTS

Plain = find(str(Path(__file__).parents[1] / "mutants" / "plain.py"), group="", kind="module").Plain
ROWS = tuple(name for name, contract in CONTRACTS.items() if contract.granularity == "row")
pytestmark = pytest.mark.usefixtures("one_thread")


class ByElement(Plain):
    """Elements drop, not rows."""

    meant_for = "constancy"

    def rows(self, x):
        return x.values.shape


class BySample(Plain):
    """One draw for the whole batch."""

    meant_for = "neighbours"

    def rows(self, x):
        return (1,) * x.values.ndim


class AcrossTheBatch(Plain):
    """Columns drop: the mask is shared over the batch."""

    meant_for = "constancy"

    def rows(self, x):
        return (1, *x.values.shape[1:])


class ScalesInEvaluation(Plain):
    """Rows are scaled by 1 − p in evaluation."""

    meant_for = "evaluation"

    def evaluated(self, x, p):
        return self.result(x, x.values * np.float32(1 - p), np.float32(1 - p))


class NotScaled(Plain):
    """What is kept is not scaled: the mean of a branch is another in evaluation."""

    meant_for = "outcomes"

    def scale(self, p, dtype):
        return 1.0


class InPairs(Plain):
    """Two rows share a draw."""

    meant_for = "neighbours"

    def draw(self, shape, p):
        return np.repeat(super().draw((-(-shape[0] // 2), *shape[1:]), p), 2, axis=0)[: shape[0]]


def judged(backend, op):
    request = ask("", profile="quick", ops=[op]).alone()
    verdict = answer(request, InProcess(backend, request.suite, request.names))
    print(f"seed = {verdict.seed}")
    return verdict


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # by torch.func.jvp
@pytest.mark.parametrize("op", ROWS)
@pytest.mark.parametrize("backend", [Plain(), mlx, of_torch], ids=["numpy", "mlx", "torch"])
def test_what_is_sound_conforms(backend, op):
    """Fails with probability 1e-6 when nothing is wrong."""
    verdict = judged(backend, op)
    assert verdict.conforms, str(verdict)
    assert "kept" in {finding.status for finding in verdict}


@pytest.mark.parametrize("mutant", [ByElement, BySample, AcrossTheBatch, ScalesInEvaluation, NotScaled, InPairs])
def test_a_fault_is_failed_by_the_law_meant_for_it(mutant):
    assert mutant.meant_for in {finding.family for finding in judged(mutant(), "drop_path").failing}
