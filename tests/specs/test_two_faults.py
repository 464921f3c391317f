"""Two independent faults of one backend: both are named, whichever operators have them."""

import math
from pathlib import Path

from keeprate.harness.judging.gate import answer
from keeprate.harness.judging.request import ask
from keeprate.harness.protocol.lookup import find
from keeprate.harness.workers.pool import InProcess

MUTANTS = Path(__file__).parents[1] / "mutants"
LAWS = ("outcomes", "keep_rate", "neighbours", "slices", "constancy")


def mutant(file, name):
    return getattr(find(str(MUTANTS / f"{file}.py"), group="", kind="module"), name)


def judged(backend, ops, seed):
    asked = ask("", profile="quick", seed=seed, ops=ops, dtypes=["float32"]).alone()
    chosen = {text: one for text, one in asked.promises.items() if one.id.family in LAWS and one.id.context == "eager"}
    return answer(asked.among(chosen), InProcess(backend, asked.suite, asked.names))


def test_of_faults_in_two_operators_each_is_named_in_its_own(fresh_seed):
    """Each is exact, or broken by more than a thousand standard errors."""

    class Both(mutant("shared", "OneForTheBatch")):
        def __init__(self):
            self.unscaled = mutant("scale", "NotScaled")()
            super().__init__()

        def seed(self, value):
            super().seed(value)
            self.unscaled.random = self.random

        def dropout2d(self, *arguments):
            return self.unscaled.dropout2d(*arguments)

    verdict = judged(Both(), ["dropout", "dropout2d"], fresh_seed)
    said = {cause.id: cause.sentence for cause in verdict.causes}
    assert said.keys() == {"shared_axis:0", "scale:none"}
    assert said["shared_axis:0"] == "plain shares one mask among the rows of a batch (axis 0), in dropout."
    assert said["scale:none"] == "plain doesn't scale kept entries by 1/(1 − p), in dropout2d."
    assert not verdict.unexplained


def test_of_two_faults_in_one_operator_both_are_named(fresh_seed):
    """At p = 0.001 a rate of 0 is seen after a thousand entries; the scale is exact."""
    both = type("Both", (mutant("scale", "ScaledTwice"), mutant("rate", "EightBits")), {})
    verdict = judged(both(), ["dropout"], fresh_seed)
    said = {cause.id: cause.sentence for cause in verdict.causes}
    assert said.keys() == {"scale:twice", "rate:256_nearest"}
    assert said["scale:twice"] == "plain scales kept entries by 1/(1 − p) twice, in dropout."
    assert said["rate:256_nearest"] == "plain rounds p to a multiple of 1/256, in dropout."


def test_a_rate_that_is_off_hides_no_draws_that_are_shared(fresh_seed):
    """A rate that is off breaks laws of dependence too: what is true of dependence alone tells them."""

    class Both(mutant("plain", "Plain")):
        def draw(self, shape, p):
            size = math.prod(shape)
            return super().draw((-(-size // 2),), p - 0.01).repeat(2)[:size].reshape(shape)

    verdict = judged(Both(), ["dropout"], fresh_seed)
    explained = {
        cause.id: {text.split("/")[1].partition(":")[0] for text in cause.explains} for cause in verdict.causes
    }
    assert "neighbours" in explained.pop("shared_groups:2")
    assert not any("neighbours" in laws for laws in explained.values())


OF_MASKS = ("seeding", "state", "arguments", "reading_order", "no_mask_twice")


def broken_beside(fault, seed):
    """Laws of masks, in plain calls, that a backend with this fault and with no scale breaks."""
    both = type("Both", (fault, mutant("scale", "NotScaled"), mutant("faithful", "Stateful")), {})
    asked = ask("", profile="smoke", seed=seed, ops=["dropout"], dtypes=["float32"]).alone()
    chosen = {
        text: one for text, one in asked.promises.items() if one.id.family in OF_MASKS and one.id.context == "eager"
    }
    verdict = answer(asked.among(chosen), InProcess(both(), asked.suite, asked.names))
    assert {finding.family for finding in verdict if finding.status == "kept"} & {*OF_MASKS}
    return {finding.family for finding in verdict.failing}


def test_a_wrong_scale_breaks_no_law_of_masks_and_hides_none(fresh_seed):
    """Masks of 1,024 entries agree by chance with probability 2⁻¹⁰²⁴."""

    class Sound:
        pass

    assert broken_beside(Sound, fresh_seed) == set()
    assert broken_beside(mutant("seeds", "SeedIgnored"), fresh_seed) >= {"seeding"}
    assert broken_beside(mutant("states", "StateMovesOn"), fresh_seed) == {"state"}
