"""Encoder layers in the suite of attention: sound ones conform, and each mutant is failed by the law meant for it."""

import contextlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import load_suite
from keeprate.impl.backends import torch as pytorch
from keeprate.specs.attention import looks, reference
from keeprate.specs.attention.encoder import BOTH, OPERATOR, SITES, Encoder
from keeprate.specs.attention.hypotheses import every, recurrent
from keeprate.specs.attention.hypotheses.encoder_clues import EncoderClues
from keeprate.suite import Unreadable

HERE = Path(__file__).parent
SOUND, FAULTY = (
    find(str(HERE / f"{name}.py"), group="", kind="module") for name in ("encoder_in_torch", "faulty_encoder")
)
MUTANTS = [item for item in vars(FAULTY).values() if isinstance(item, type) and "meant_for" in vars(item)]
SUITE = load_suite("attention")
judged = partial(find(str(HERE / "judging.py"), group="", kind="module").judged, ops=[OPERATOR])
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("backend", [pytorch, SOUND.Encoder()], ids=["pytorch", "by hand"])
def test_a_sound_layer_conforms(backend):
    """Fails with probability 1e-6 when nothing is wrong: the verdict's own guarantee."""
    verdict = judged(backend)
    assert verdict.conforms, str(verdict)
    assert {finding.status for finding in verdict if finding.context in ("eager", "grad", "thread")} == {"kept"}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_failed_by_the_law_meant_for_it_and_its_cause_is_told(mutant):
    families = {law.partition(":")[0] for law in mutant.meant_for}
    wanted = lambda one: one.family in families and one.context in ("eager", "grad")  # noqa: E731
    verdict = judged(mutant(), wanted, dtypes=["float32"])
    broken = {finding.law for finding in verdict if finding.status == "broken"}
    assert set(mutant.meant_for) <= broken, str(verdict)
    assert verdict.causes[0].id == mutant.cause, str(verdict)
    assert "in encoder_layer" in verdict.causes[0].sentence


@pytest.mark.parametrize("site", range(len(SITES)))
def test_no_hypothesis_accuses_a_sound_layer(site, fresh_seed):
    """Fails with a probability far below 1e-9: the fewest pairs that any looks at are hundreds."""
    asked = every.asked_of(OPERATOR)
    for shape, backward in ((every.TOKENS, False), (every.TOKEN, True)):
        some = [one for one in asked if (one.kind == "gradient") == backward]
        case = every.case_of("float32", "grad", shape, {"site": site}, some, OPERATOR)
        clues = EncoderClues(case, SOUND.Encoder(), fresh_seed)
        for one in some:
            for parameter in recurrent.PARAMETERS.get(one.name, [""]):
                with contextlib.suppress(Unreadable):
                    assert not one(clues, str(parameter)).accepted, f"{one.name}:{parameter}"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_each_mask_that_pytorch_is_given_is_read_off_its_output_and_its_gradient(dtype, p, fresh_seed):
    """Fails where all units of a token are dropped: with probability 1e-15 or so."""
    random = np.random.default_rng(fresh_seed)
    for site in range(len(SITES)):
        at = Encoder((3, 4, 128), dtype, p, site)
        masks = [random.random(shape) >= p for shape in at.mask_shapes]
        inputs, cotangent = at.turns(int)["inputs"]
        out, gradient = reference.replay(at, dtype, inputs, p, masks, cotangent)
        mask, off, _ = looks.read(at, out)
        assert not off.any()
        np.testing.assert_array_equal(mask, masks[site])
        assert not looks.shown(at, gradient, mask, out)[0].any()
        assert looks.shown(at, gradient, ~mask, out)[0].any()
    at = replace(at, site=BOTH)
    out, _ = reference.replay(at, dtype, at.inputs(int), p, masks, cotangent)
    both, off = looks.both(at, out)
    assert not off.any()
    np.testing.assert_array_equal(both, np.where(masks[3], 1 + masks[1], 0))
