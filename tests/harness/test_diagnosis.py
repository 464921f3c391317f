"""Likely causes: what is alike, what is too little alike to be named, and how a verdict says it."""

from harness.diagnosis import LIKENESS, Mark, likely, traits_of
from harness.suite import Cause

FROZEN = traits_of([Mark("calls:0", "compile", 1, 1, off=0.2), Mark("no_mask_twice", "compile", 1, 1, wrong=0.5)])


def cause(name, kind, *marks):
    return Cause(name, kind, name, "", traits_of(marks))


def test_the_same_laws_in_the_same_place_are_wholly_alike():
    one = Cause("Frozen", "compile", "Frozen", "", FROZEN)
    other = cause("Eight bits", "rate", Mark("keep_rate", "eager", 15, 9, off=-0.002, p=(0.1, 0.001)))
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
    others = [cause(law, law, Mark(law, "eager", 1, 1)) for law in ("dtype", "shape", "strides", "seeding")]
    assert likely(FROZEN, others) == []
    assert likely(traits_of([]), others) == []


def test_one_of_each_kind_is_named_and_three_at_most():
    marks = [Mark(law, "eager", 1, 1) for law in ("outcomes", "shape", "strides", "dtype", "purity")]
    kinds = [cause(f"{kind} {number}", kind, *marks[: number + 4]) for kind in "abcd" for number in range(2)]
    named = likely(traits_of(marks), kinds)
    assert len({one.kind for _, one in named}) == len(named) == 3
    assert all(likeness >= LIKENESS for likeness, _ in named)


def test_a_mark_is_read_as_it_was_written():
    mark = Mark("keep_rate", "eager", 15, 9, 0, (0.1,), ("float32",), 4096, -0.002)
    again = Mark.from_json({key: tuple(x) if isinstance(x, list) else x for key, x in mark.to_json().items()})
    assert again == mark
