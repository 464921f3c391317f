"""Causes that are told by the recorded call alone: each is named of its mutant, and of nothing that resembles it."""

from pathlib import Path

import pytest

from keeprate.harness.judging.seen import Seen
from keeprate.harness.protocol.lookup import find
from keeprate.specs.dropout.hypotheses import recorded
from keeprate.suite import Case, Check, Counterexample

mutation = find(str(Path(__file__).parents[1] / "mutation.py"), group="", kind="module")
MUTANTS = dict(mutation.mutants())
BY_NAME = {one.name for one in recorded.HYPOTHESES}
NEW_PASSES = ("fact:pullbacks", "fact:tangents", "fact:retracing_of_gradient")
pytestmark = pytest.mark.usefixtures("one_thread")


def cause(mutant):
    told = vars(mutant).get("cause", ())
    return (told,) if isinstance(told, str) else told


BY_CHANCE = (
    "shared:StepOfTheCallBefore",  # in some seeds no stretch of it that is long enough comes again
    "shared:StaleEighthOfTwo",  # calls share their ends, so that in one seed of twenty no end has a dropped entry
)
ONCE_OTHERWISE = ("shared:OneForTheBatch", "contexts:LayerSeededOnce")  # named, of two causes that both fit
NAMED = {
    name: mutant
    for name, mutant in MUTANTS.items()
    if ({*cause(mutant)} & {*BY_NAME, *NEW_PASSES} and name not in BY_CHANCE)
    or name in ONCE_OTHERWISE
    or (name.startswith("derivatives:") and {*cause(mutant)} & {"own_mask", "slope:unscaled"})
}


@pytest.mark.parametrize("name", NAMED)
def test_of_a_mutant_its_cause_is_named_first(name):
    """What is recorded of an exact law is no chance; two masks of 1,024 entries agree with probability 2⁻¹⁰²⁴."""
    mutant = MUTANTS[name]
    families = mutation.families_of(mutant)
    request = mutation.asked_of(mutant, mutant.ops[0], mutation.profile_of(mutant))
    wanted = {text: one for text, one in request.promises.items() if one.id.family in families}
    verdict = mutation.judged(mutant, request.among(wanted))
    print(f"seed = {verdict.seed}")
    assert verdict.causes and verdict.causes[0].id in cause(mutant), str(verdict)


def seen(law, study, call, gave, wrong=1, strides="", checked=9):
    """A finding that broke, with its one case."""
    first = Counterexample({"call": call, "first": gave}, gave=gave)
    case = Case("dropout", "float32", {}, (), "eager", study, 1, None, (), strides=strides)
    finding = type("F", (), {"id": f"{law}{strides}", "family": law})()
    return Seen(finding, ((case, Check(checked, checked - wrong, wrong, first if wrong else None)),))


def told(*some, broken=None):
    return {one.name for one in recorded.accounts(some, broken or frozenset(one.finding.id for one in some))}


@pytest.mark.parametrize(
    ("law", "study", "call", "gave"),
    [
        ("state", "states", "after it was put back", "an exception"),
        ("state", "states", "in the call after that", "the same mask as"),
        ("state", "forked", "in the parent", "an exception"),
        ("seeding", "seeding", "seed 1 again", "another mask than"),
        ("seeding", "seeding", "seed 1, then a call in training", "the same mask as"),
        ("seeding", "between_processes", "seed 2 in another process", "the same mask as"),
        ("inplace", "inplace", "in place, training at p = 0.3", "value"),
        ("concurrency", "concurrency", "call 1 in thread 1 of 4 at once", "an exception"),
        ("concurrency", "concurrency", "after seed 1, in a fresh thread", "value"),
        ("concurrency", "concurrency", "seed 1 again, in a fresh thread", "an exception"),
        ("modes", "modes", "in a container, evaluation after training", "an exception"),
        ("modes", "modes", "in a container, training at first", "value"),
    ],
)
def test_another_wrong_call_says_nothing_of_it(law, study, call, gave):
    assert told(seen(law, study, call, gave)) == set()


def test_what_is_wrong_after_several_seeds_is_not_booked_to_one():
    kept = "52.00% were kept where 50% are to be"
    assert told(seen("seeding", "bounds", "after seed 0", kept)) == {"seed_rate"}
    assert told(seen("seeding", "bounds", "after seed 0", kept, wrong=2)) == set()


def test_strides_are_blamed_where_contiguous_inputs_are_right_and_only_there():
    strided, right = (
        seen("gradient", "gradients", "", "value", strides="step2"),
        seen("gradient", "gradients", "", "", 0),
    )
    broken = frozenset({"gradientstep2"})
    assert told(strided, right, broken=broken) == {"strided_gradient"}
    assert told(strided, broken=broken) == set()
    assert told(strided, seen("gradient", "gradients", "", "value")) == set()


def test_of_findings_that_are_kept_nothing_is_told():
    assert list(recorded.accounts([seen("state", "states", "", "", 0)], frozenset())) == []
