"""Recurrent layers in the suite of attention: sound ones conform, and each mutant is failed by the law meant for it."""

import contextlib
from pathlib import Path

import numpy as np
import pytest

from keeprate.harness.errors import NoVerdictError
from keeprate.harness.protocol.backend import check
from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import load_suite
from keeprate.impl.backends import torch as pytorch
from keeprate.specs.attention.hypotheses import every, recurrent
from keeprate.specs.attention.hypotheses.recurrent_clues import RecurrentClues
from keeprate.specs.attention.levels import levels
from keeprate.specs.attention.network import OPERATORS, Network
from keeprate.suite import Unreadable

HERE = Path(__file__).parent
SOUND, FAULTY = (
    find(str(HERE / f"{name}.py"), group="", kind="module") for name in ("recurrent_in_torch", "faulty_recurrent")
)
MUTANTS = [item for item in vars(FAULTY).values() if isinstance(item, type) and "meant_for" in vars(item)]
SUITE = load_suite("attention")
judged = find(str(HERE / "judging.py"), group="", kind="module").judged
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("backend", [pytorch, SOUND.Recurrent()], ids=["pytorch", "by hand"])
@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_sound_layer_conforms(backend, op, dtype):
    """Fails with probability 1e-6 when nothing is wrong: the verdict's own guarantee."""
    verdict = judged(backend, ops=[op], dtypes=[dtype])
    assert verdict.conforms, str(verdict)
    assert {finding.status for finding in verdict if finding.context in ("eager", "grad", "thread")} == {"kept"}


@pytest.mark.parametrize("mutant", MUTANTS)
@pytest.mark.parametrize("op", OPERATORS)
def test_a_mutant_is_failed_by_the_law_meant_for_it_and_its_cause_is_told(mutant, op):
    families = {law.partition(":")[0] for law in mutant.meant_for}
    wanted = lambda one: one.family in families and one.context in ("eager", "grad")  # noqa: E731
    verdict = judged(mutant(), wanted, ops=[op], dtypes=["float32"])
    broken = {finding.law for finding in verdict if finding.status == "broken"}
    assert set(mutant.meant_for) <= broken, str(verdict)
    assert verdict.causes[0].id == mutant.cause, str(verdict)
    assert op in verdict.causes[0].sentence


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("context", ["eager", "grad"])
def test_no_hypothesis_accuses_a_sound_layer(op, context, fresh_seed):
    """Fails with a probability far below 1e-9: the fewest pairs that any looks at are thousands."""
    asked = every.asked_of(op)
    case = every.case_of("float32", context, every.SEQUENCE, {}, asked, op)
    clues = RecurrentClues(case, SOUND.Recurrent(), fresh_seed)
    for one in asked:
        for parameter in recurrent.PARAMETERS.get(one.name, [""]):
            with contextlib.suppress(Unreadable):
                assert not one(clues, str(parameter)).accepted, f"{one.name}:{parameter}"


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("layers", [2, 3])
def test_no_two_things_that_a_mask_may_do_to_a_unit_look_alike(op, dtype, p, layers):
    found = levels(Network(op, (2, 2, 4), dtype, p, layers))
    values = sorted(float(out.min()) for out in found.outputs)
    assert all(np.ptp(out) <= found.room for out in found.outputs)
    assert min(np.diff(values)) > 3 * found.room
    assert abs(found.gradient).min() > 3 * found.gradient_room


def test_a_backend_may_have_one_of_the_operators_and_needs_one():
    check(SOUND.Recurrent(), "recurrent", SUITE)
    with pytest.raises(NoVerdictError, match="none of the operators attention, lstm_dropout, gru_dropout"):
        check(type("Empty", (SOUND.Recurrent,), dict.fromkeys(OPERATORS))(), "empty", SUITE)
