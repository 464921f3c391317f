"""Likely causes: what is alike, what is too little alike to be named, and how a verdict says it."""

import pytest

from keeprate.harness.errors import BackendError
from keeprate.harness.evidence.counterexample import Counterexample
from keeprate.harness.evidence.tally import Tally
from keeprate.specs.dropout.counterexamples import Call, call, raised, taken, wrong_mask, wrong_shape, wrong_value
from keeprate.specs.dropout.likeness import (
    LIKENESS,
    Mark,
    call_of,
    cause,
    gave_of,
    likely,
    likely_causes,
    traits_of,
)

FROZEN = traits_of([Mark("calls:0", "compile", 1, 1, off=0.2), Mark("no_mask_twice", "compile", 1, 1, wrong=0.5)])


def known(name, kind, *marks):
    return cause(name, kind, name, "", traits_of(marks))


def test_the_same_laws_in_the_same_place_are_wholly_alike():
    one = cause("Frozen", "compile", "Frozen", "", FROZEN)
    other = known("Eight bits", "rate", Mark("keep_rate", "eager", 15, 9, off=-0.002, p=(0.1, 0.001)))
    (likeness, first), *_ = likely(FROZEN, [other, one])
    assert (first.name, likeness) == ("Frozen", 1.0)


def test_a_fault_of_plain_calls_is_the_same_whether_transforms_were_judged_or_not():
    plain = Mark("keep_rate", "eager", 15, 9, off=-0.002, p=(0.1,))
    assert traits_of([plain]) == traits_of([plain, Mark("keep_rate", "compile", 1, 1, off=-0.002)])


def test_a_fault_of_a_transform_is_looked_at_without_its_combinations():
    alone = Mark("gradient", "compile", 1, 1, wrong=0.4)
    assert traits_of([alone, Mark("gradient", "compile+checkpoint", 1, 1, wrong=0.4)]) == traits_of([alone])


def test_more_and_fewer_that_are_kept_are_told_apart():
    above, below = (traits_of([Mark("keep_rate", "eager", 1, 1, off=off)]) for off in (0.01, -0.01))
    assert above != below


def test_nothing_is_named_that_is_too_little_alike():
    others = [known(law, law, Mark(law, "eager", 1, 1)) for law in ("dtype", "shape", "strides", "seeding")]
    assert likely(FROZEN, others) == []
    assert likely(traits_of([]), others) == []


RAISED = Mark("endpoints", "eager", 9, 2, wrong=0.5, gave="an exception")
ENDED = Mark("shape", "eager", 9, 3, errors=3)
WRONG = Mark("outcomes", "eager", 9, 9, wrong=1.0, gave="zero")


@pytest.mark.parametrize("marks", [[RAISED], [ENDED], [RAISED, ENDED], []])
def test_nothing_is_named_where_all_that_broke_says_itself_what_happened(marks):
    assert likely_causes(marks, [known("alike", "endpoints", *marks)]) == []


@pytest.mark.parametrize("marks", [[RAISED, WRONG], [ENDED, WRONG], [Mark("shape", "eager", 9, 3, errors=2)]])
def test_one_wrong_result_among_errors_is_enough_to_name_causes(marks):
    ((likeness, named),) = likely_causes(marks, [known("alike", "endpoints", *marks)])
    assert (likeness, named.name) == (1.0, "alike")


def test_one_of_each_kind_is_named_and_three_at_most():
    marks = [Mark(law, "eager", 1, 1) for law in ("outcomes", "shape", "strides", "dtype", "purity")]
    kinds = [known(f"{kind} {number}", kind, *marks[: number + 4]) for kind in "abcd" for number in range(2)]
    named = likely(traits_of(marks), kinds)
    assert len({one.kind for _, one in named}) == len(named) == 3
    assert all(likeness >= LIKENESS for likeness, _ in named)


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("first", "call", "gave"),
    [
        (taken(call("p = {p}, {mode}", p=-1e-9, mode="evaluation")), "p is outside, evaluation", "a result"),
        (taken(call("p = {p}, {mode}", p=NAN, mode="training")), "p is outside, training", "a result"),
        (wrong_value(call("evaluation at p = {p}", p=0.0), -INF, (0, 1), NAN, 1, 1), "evaluation at p is zero", "NaN"),
        (wrong_value(call("training at p = {p}", p=1), 2, (), 2, 0, 0), "training at p is one", "its input"),
        (wrong_value(Call(), 0.5, (0, 7), 0.625, 0.62500001, -1.45), "", "nearly the right value"),
        (wrong_value(Call(), 0.5, (), 5, 0.6, 0), "", "another value"),
        (wrong_value(Call(), 0.5, (), INF, 0.6, 0), "", "infinity"),
        (raised(call("rank {rank}, training", rank=0), BackendError("it raised")), "rank , training", "an exception"),
        (
            wrong_shape(call("training on shape {shape}", shape=(0, 4)).then(": the input"), (1,), (0, 4)),
            "training on shape empty: the input",
            "another shape",
        ),
        (
            wrong_mask(call("seed 2"), "the same mask as", call("after seed 1")),
            "seed 2",
            "the same mask as after seed 1",
        ),
        (Counterexample({"first": "in words alone"}), "", ""),
        (Counterexample({}, "at p = {p}", {"p": "no number"}, "value", output=(1,)), "at p is outside", "NaN"),
        (None, "", ""),
    ],
)
def test_a_counterexample_is_known_again_without_what_is_particular_to_it(first, call, gave):
    assert (call_of(first), gave_of(first)) == (call, gave)


def test_the_sign_of_an_effect_does_not_depend_on_the_furthest_cell():
    cells, q = ("both", "one", "none"), (0.49, 0.42, 0.09)
    for counts in ((5000, 4100, 900), (4900, 4100, 1000)):  # fewer unlike pairs, whichever of the alike are more
        assert Tally(cells, counts, q, departure="correlation").off == pytest.approx(1 - 4100 / 4200)
    narrow = Tally(("low", "middle", "high"), (10, 80, 10), (0.25, 0.5, 0.25))
    assert narrow.off == pytest.approx(-0.3)
    assert Tally(("kept", "dropped"), (60, 40), (0.7, 0.3), departure="rate").off == pytest.approx(-0.1)


def test_what_masks_show_follows_from_outcomes_that_are_wrong():
    wrong, rate = Mark("outcomes", "eager", 9, 9, wrong=1.0), Mark("keep_rate", "eager", 15, 9, off=-0.2)
    assert traits_of([wrong, rate]) == traits_of([wrong])
    moments = Mark("moments:mean", "eager", 1, 1, off=0.2)
    assert traits_of([wrong, moments]) > traits_of([wrong])
