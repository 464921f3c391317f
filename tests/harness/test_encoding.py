"""Evidence in two parts: what adds, and what it is counted against; and what is no evidence at all."""

import json

import pytest

from keeprate.harness.evidence.check import failed, passed
from keeprate.harness.evidence.moments import Moments
from keeprate.harness.evidence.tally import Tally
from keeprate.harness.ledger.encoding import amounts_of, join, less, more, pack, split

EVIDENCE = {
    "tally": Tally(("kept", "dropped"), (7, 3), (0.7, 0.3), departure="rate"),
    "groups": Tally(("kept", "dropped"), [[7, 3], [2, 8]], [[0.7, 0.3], [0.1, 0.9]], groups=("p0.3", "p0.9")),
    "moments": Moments([0.7], [[1.5]], [[0.0]], [[10]], (-(2**64) - 1,), (3,)),
    "passed": passed(3),
    "failed": failed(5, 2, call="training", first="0.5 at (0, 0) gave −inf"),
}
FORM, AMOUNTS = split(EVIDENCE["tally"])
SUM, _ = split(EVIDENCE["moments"])


@pytest.mark.parametrize("evidence", EVIDENCE.values(), ids=EVIDENCE)
def test_evidence_is_the_same_after_it_was_taken_apart(evidence):
    assert join(*split(evidence)) == evidence


@pytest.mark.parametrize("evidence", EVIDENCE.values(), ids=EVIDENCE)
def test_amounts_are_the_same_alone(evidence):
    assert amounts_of(evidence) == split(evidence)[1]


@pytest.mark.parametrize("evidence", EVIDENCE.values(), ids=EVIDENCE)
def test_two_of_a_kind_less_one_of_them_is_the_other(evidence):
    form, amounts = split(evidence)
    both_form, both = split(evidence + evidence)
    assert both_form == form
    assert more(form, amounts, amounts) == both
    assert join(form, less(form, both, amounts)) == evidence


def test_no_more_can_be_taken_away_than_there_is():
    with pytest.raises(ValueError, match="counts what the total does not"):
        less(FORM, AMOUNTS, split(Tally(("kept", "dropped"), (8, 0), (0.7, 0.3)))[1])
    with pytest.raises(ValueError, match="differ in kind"):
        less(FORM, AMOUNTS, split(passed(1))[1])


@pytest.mark.parametrize(
    ("form", "amounts"),
    [
        (FORM, {"counts": [[-1, 3]]}),
        (FORM, {"counts": [[10**16, 3]]}),
        (FORM, {"counts": [[2**63, 3]]}),
        (FORM, {"counts": [[1.5, 3]]}),
        (FORM, {"counts": [[True, 3]]}),
        (FORM, {"counts": [["1", 3]]}),
        (FORM, {"counts": [[1, 2, 3]]}),
        (FORM, {"counts": []}),
        (FORM, {"counts": None}),
        (FORM, {}),
        (FORM, {"counts": [[1, 3]], "cells": ["a", "b"]}),
        (FORM.replace('"kept"', "1"), {"counts": [[1, 3]]}),
        (FORM.replace("0.7", "NaN"), {"counts": [[1, 3]]}),
        (FORM.replace("0.7", "1e999"), {"counts": [[1, 3]]}),
        (FORM.replace("tally", "pickle"), {"counts": [[1, 3]]}),
        (FORM.replace('"tally"', "[]"), {"counts": [[1, 3]]}),
        ("[]", {"counts": [[1, 3]]}),
        ("{", {"counts": [[1, 3]]}),
        ("[" * 100_000, {"counts": [[1, 3]]}),
        ('{"type":"check"}', {"checked": 3, "exact": -1, "wrong": 0}),
        ('{"type":"check"}', {"checked": 3, "exact": 3, "wrong": 1, "first": {"words": {"input": 7}}}),
        ('{"type":"check"}', {"checked": 3, "exact": 3, "wrong": 1, "first": {"words": ["input"]}}),
        ('{"type":"check"}', {"checked": 3, "exact": 3, "wrong": 1, "first": {"words": {}, "gave": 1}}),
        (FORM, {"counts": [[1, 3]], "more": 1}),
        (SUM, {"draws": [[10]], "total": [2**200 + 1], "slack": [3]}),
        (SUM, {"draws": [[10]], "total": [1.0], "slack": [3]}),
        (SUM, {"draws": [[10]], "total": [1], "slack": [-3]}),
    ],
)
def test_what_is_no_evidence_is_refused(form, amounts):
    with pytest.raises(ValueError, match=r"."):
        join(form, pack(amounts))


@pytest.mark.parametrize(
    "amounts",
    [b"", b"no zlib", AMOUNTS[:-3], pack({"counts": [0] * 10_000_000})],
    ids=["empty", "not compressed", "cut off", "a bomb"],
)
def test_what_does_not_unpack_is_refused(amounts):
    with pytest.raises(ValueError, match=r"."):
        join(FORM, amounts)


def test_amounts_are_plain_json():
    import zlib

    assert json.loads(zlib.decompress(AMOUNTS)) == {"counts": [[7, 3]]}
