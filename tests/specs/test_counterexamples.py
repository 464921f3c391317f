"""What a counterexample says: its words are made of its data, and stay as they are."""

import json
import math

import msgspec
import pytest

from keeprate.harness.errors import BackendError
from keeprate.harness.evidence.check import failed
from keeprate.harness.evidence.wire import of_json
from keeprate.specs.dropout.counterexamples import (
    Call,
    call,
    no_mask,
    raised,
    taken,
    torn,
    wrong_dtype,
    wrong_mask,
    wrong_shape,
    wrong_value,
)

TRAINING = call("training at p = {p}", p=0.3)
GIVEN = {"call": "training at p = {p}", "given": {"p": 0.3}}
TOLD = {"call": "training at p = 0.3"}


@pytest.mark.parametrize(
    ("first", "words", "data"),
    [
        (
            wrong_value(TRAINING, 0.5, (0, 7), 0.123456789, 0.625, 0.0),
            {**TOLD, "first": "input 0.5 at (0, 7) gave 0.12345679", "PyTorch": "kept 0.625, dropped 0"},
            {**GIVEN, "gave": "value", "input": 0.5, "at": [0, 7], "output": 0.12345679, "allowed": [0.625, 0.0]},
        ),
        (
            wrong_value(Call(), -math.inf, (), math.nan, -0.0, -0.0),
            {"first": "input -inf gave nan", "PyTorch": "-0"},
            {"gave": "value", "input": "-inf", "output": "nan", "allowed": [-0.0]},
        ),
        (
            wrong_value(Call(), 1.0, (), 1.0, math.nan, math.nan),
            {"first": "input 1 gave 1", "PyTorch": "nan"},
            {"gave": "value", "input": 1.0, "output": 1.0, "allowed": ["nan"]},
        ),
        (
            wrong_shape(call("training on shape {shape}", shape=(0, 4)), (1,), (0, 4)),
            {"call": "training on shape 0x4", "first": "shape (1,) for an input of shape (0, 4)"},
            {
                "call": "training on shape {shape}",
                "given": {"shape": [0, 4]},
                "gave": "another shape",
                "output": [1],
                "allowed": [[0, 4]],
            },
        ),
        (
            wrong_dtype(TRAINING, "float32", "float16"),
            {**TOLD, "first": "float16 came back as float32"},
            {**GIVEN, "gave": "another dtype", "output": "float32", "allowed": ["float16"]},
        ),
        (
            raised(TRAINING, BackendError("dropout raised KeyError: 'x'", "KeyError"), "takes it"),
            {**TOLD, "first": "dropout raised KeyError: 'x'", "PyTorch": "takes it"},
            {**GIVEN, "gave": "an exception", "output": "KeyError"},
        ),
        (
            taken(call("p = {p}, {mode}", p=math.nan, mode="evaluation")),
            {"call": "p = nan, evaluation", "first": "was taken, and gave a result", "PyTorch": "refuses it"},
            {"call": "p = {p}, {mode}", "given": {"p": "nan", "mode": "evaluation"}, "gave": "a result"},
        ),
        (
            wrong_mask(call("seed 2"), "the same mask as", call("after seed 1")),
            {"call": "seed 2", "first": "the same mask as after seed 1"},
            {"call": "seed 2", "gave": "the same mask as", "output": "after seed 1"},
        ),
        (
            no_mask(call("seed 2")),
            {"call": "seed 2", "first": "an output of another shape than its input"},
            {"call": "seed 2", "gave": "another shape"},
        ),
        (
            torn((0, 1)),
            {"first": "channel (0, 1) is kept in one place and dropped in another"},
            {"gave": "a torn channel", "at": [0, 1]},
        ),
    ],
)
def test_a_counterexample_is_told_in_words_and_as_data(first, words, data):
    assert first.words == words
    assert json.loads(json.dumps(first.data(), allow_nan=False)) == data
    assert list(first.words) == [label for label in ("call", "first", "PyTorch") if label in words]
    check = failed(5, 2, first)
    assert of_json(msgspec.json.decode(msgspec.json.encode(check))) == check


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (call("evaluation at p = {p}", p=0.0), "evaluation at p = 0.0"),
        (call("p = {p}, {mode}", p=1 + 1e-9, mode="training"), "p = 1.000000001, training"),
        (call("on {layout} input of shape {shape}", layout="step2", shape=(7, 9)).after("training "),
         "training on step2 input of shape 7x9"),
        (call("on shape {shape}", shape=()).after("training at p = {p} ", p=1).then(": the input"),
         "training at p = 1 on shape scalar: the input"),
    ],
)  # fmt: skip
def test_a_call_is_told_with_what_was_given(made, text):
    assert str(made) == text


def test_what_foreign_code_says_is_cleaned():
    check = failed(1, 1, raised(Call(), BackendError("it raised \x1b[2J", "\x1b")))
    assert check.first.words == {"first": "it raised \\x1b[2J"}
    assert check.first.output == "\\x1b"


def test_numbers_have_as_many_digits_as_tell_them_apart_and_their_distance():
    one = wrong_value(call("training"), 0.5, (3,), 1 / 5.6 * (1 + 2e-10), 1 / 5.6, 0.0)
    assert one.words["first"] == "input 0.5 at (3) gave 0.17857142861, off by 2.0e-10 of it"
    assert one.words["PyTorch"] == "kept 0.17857142857, dropped 0"
    other = wrong_value(call("training"), 0.5, (3,), 0.25, 1 / 5.6, 0.0)
    assert other.words["first"] == "input 0.5 at (3) gave 0.25"
