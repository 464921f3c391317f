"""Bad use gets one sentence: what was given, the rule, the way out."""

import contextlib
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import keeprate
from keeprate.harness.protocol.lookup import installed
from keeprate.testing import assert_dropout, score
from keeprate.testing.dropout import _again


def with_seed(x, p, seed):
    return F.dropout(x, p)


def with_much(x, p, train, scale):
    return F.dropout(x, p, train)


def of_x(x):
    return x


def keeping(x, keep_prob, train):
    return F.dropout(x, 1 - keep_prob, train)


def my_dropout2d(x, p, train):
    return F.dropout2d(x, p, train)


def gives_numpy(x, p, train):
    return F.dropout(x, p, train).detach().numpy()


def gives_less(x, p, train):
    return F.dropout(x, p, train)[:1]


def gives_nothing(x, p, train):
    x.numel()
    F.dropout(x, p, train)


def gives_a_number(x, p, train):
    return float(x.sum())


def gives_a_pair(x, p, train):
    return F.dropout(x, p, train), None


def gives_a_dict(x, p, train):
    return {"seed": 3, "output": F.dropout(x, p, train)}


def is_yet_to_be_written(x, p, train):
    raise NotImplementedError("later")


def of_rank_4(x, p, train):
    assert x.ndim == 4
    return F.dropout(x, p, train)


def on_cuda(x, p, train):
    return F.dropout(x.cuda(), p, train)


def broken(x, p, train):
    x.numel()
    raise RuntimeError("some more\nboom")


@contextlib.contextmanager
def once():
    yield


USAGE = [
    (
        my_dropout2d,
        {"like": "dropout2d", "layout": "channel_last"},
        "layout = 'channel_last' is not 'channels_first' or 'channels_last'. Did you mean channels_last?",
    ),
    (with_seed, {}, "with_seed(x, p, seed) can't be called as with_seed(x, p, train): 'seed' is neither a name of p ("),
    (with_much, {}, "with_much(x, p, train, scale) can't be called as with_much(x, p, train): 'scale' is neither"),
    (lambda x, p, mode: x, {}, "'mode' is neither a name of p (p, rate, "),
    (lambda x, p, test: x, {}, ") nor one of the mode (train, training, is_training, is_train, train_mode); wrap it: "),
    (lambda x, p, eval_mode: x, {}, "has a mode that is on in evaluation, 'eval_mode'; wrap it: lambda x, p, train: "),
    (lambda x, p, deterministic=True: x, {}, "has a mode that is on in evaluation, 'deterministic'"),
    (lambda x, train, p: x, {}, "'train' is neither a name of p"),
    (lambda p, x, train: x, {}, "'x' is neither a name of p"),
    (lambda x, *, p, mode: x, {}, "'mode' is neither a name of p"),
    (of_x, {}, "of_x(x) takes no p: it is called as of_x(x, p, train)"),
    (
        keeping,
        {},
        "keeping: p is the probability of dropping, not of keeping, 'keep_prob'; wrap it: lambda x, p, train: ",
    ),
    (lambda x, *, retain_prob: x, {}, "p is the probability of dropping, not of keeping, 'retain_prob'"),
    (my_dropout2d, {}, "is it like='dropout2d' or like='dropout'?"),
    (F.dropout, {"like": "dropot2d"}, "no operator named 'dropot2d'. Did you mean dropout2d?"),
    (F.dropout, {"like": "torch.nn.functional.alpha_dropot"}, "Did you mean alpha_dropout?"),
    (F.dropout, {"like": 3}, "like = 3 is not the name of an operator"),
    (F.dropout, {"on": "torhc"}, "on = 'torhc' is not a framework. Did you mean torch?"),
    (F.dropout, {"on": 3}, "on = 3 is neither a framework's name nor an adapter"),
    (F.dropout, {"dtype": "float16"}, "assert_dropout has no option 'dtype'. Did you mean dtypes?"),
    (F.dropout, {"dtypes": ("float61",)}, "no dtype named 'float61'. Did you mean float64?"),
    (F.dropout, {"profile": "smok"}, "profile 'smok' is not one of smoke, quick, gate, deep"),
    (F.dropout, {"alpha": 2}, "alpha = 2 is not between 0 and 1"),
    (F.dropout, {"seed": 1, "repeat": 2}, "seed = 1 and repeat = 2: both are the number that repeats a run"),
    (F.dropout, {"leave_out": ("sedding",)}, "leave_out: no law named 'sedding'. Did you mean seeding?"),
    (F.dropout, {"seed": lambda: None}, "seed = the function is called with one number, which it doesn't take: "),
    (F.dropout, {"context": once()}, "context is used up after one call"),
    (F.dropout, {"context": 3}, "context = 3 is neither a context manager"),
    (nn.Dropout(0.3), {}, "is a layer with a p of its own: give its class, Dropout"),
    (nn.Sequential(nn.Dropout()), {}, "with a p of its own: give what makes it of p, lambda p: Sequential(…)"),
    (nn.Linear, {}, "Linear(0.5) did not make a layer: it raised TypeError"),
    (3, {}, "3 can't be called"),
]
NO_VERDICT = [
    (gives_numpy, {}, "gives_numpy returned a numpy.ndarray for a torch.Tensor"),
    (gives_less, {}, "gives_less returned shape (1, 3, 3, 4, 5) for an input of shape (2, 3, 3, 4, 5)"),
    (gives_nothing, {}, "gives_nothing returned None, not an array"),
    (gives_a_number, {}, "which doesn't tell the framework: give on=, or asarray= and asnumpy="),
    (gives_a_pair, {}, "one array is wanted; wrap it: lambda x, p, train: gives_a_pair(x, p, train)[0]"),
    (
        gives_a_dict,
        {},
        "a dict where one array is wanted; wrap it: lambda x, p, train: gives_a_dict(x, p, train)['output']",
    ),
    (gives_a_dict, {"on": "torch"}, "lambda x, p, train: gives_a_dict(x, p, train)['output']"),
    (gives_a_pair, {"on": "torch"}, "gives_a_pair returned a tuple where one array is wanted"),
    (lambda x, p, train: x, {}, "the function gave back its input, of numpy, torch"),
    (is_yet_to_be_written, {}, "raised NotImplementedError: later, called with an array of numpy, torch"),
    (is_yet_to_be_written, {"on": "torch"}, "raised NotImplementedError: later, called with an array of torch"),
    (of_rank_4, {"like": "dropout"}, "if it is for arrays of rank 4 alone, say so: ranks=(4,)"),
    (of_rank_4, {"like": "dropout", "on": "torch"}, "if it is for arrays of rank 4 alone, say so: ranks=(4,)"),
    (on_cuda, {}, "on_cuda"),
    (broken, {"on": "torch"}, "broken raised RuntimeError: boom, called with an array of torch"),
    (broken, {}, "broken took no array of numpy, torch"),
]


def said(error, fn, options):
    with pytest.raises(error) as caught:
        assert_dropout(fn, **options)
    return str(caught.value)


@pytest.mark.parametrize(("fn", "options", "words"), USAGE)
def test_what_does_not_exist_or_can_not_be_called_is_named_with_the_way_out(fn, options, words):
    text = said(keeprate.UsageError, fn, options)
    assert words in text
    assert "\n" not in text


@pytest.mark.parametrize(("fn", "options", "words"), NO_VERDICT)
def test_a_function_that_gives_no_such_array_is_told_in_one_sentence_and_scored_as_not_judged(fn, options, words):
    text = said(keeprate.NoVerdictError, fn, options)
    assert words in text
    assert "\n" not in text
    found = score(fn, **options)
    assert (found["verdict"], found["sentence"]) == ("none", text)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_a_function_that_needs_cuda_is_told_that_there_is_none():
    assert "it needs CUDA, and there is none here" in said(keeprate.NoVerdictError, on_cuda, {})
    assert "on_cuda needs CUDA, and there is none here" in said(keeprate.NoVerdictError, on_cuda, {"on": "torch"})


def test_an_adapter_whose_framework_is_not_installed_is_refused_as_frameworks_are(monkeypatch):
    for name, package in (("paddle", "paddle"), ("keras-torch", "keras"), ("equinox", "jax")):
        adapter = installed("keeprate.backends")[name]
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)  # as if it weren't
            patch.delitem(sys.modules, adapter, raising=False)
            assert f"on = '{name}': it can't be imported here, " in said(keeprate.UsageError, F.dropout, {"on": name})


def test_a_line_that_repeats_a_run_shows_a_lambda_as_one():
    again = _again(lambda x, p: x, F.dropout, {"seed": lambda number: None, "profile": "smoke"}, 3)
    assert again == "lambda …, like=dropout, profile='smoke', seed=lambda …, repeat=3"


def test_a_seed_that_has_no_effect_is_a_broken_promise_with_the_way_out(fresh_seed):
    own = np.random.default_rng()

    def dropout(x, p, train):
        if not train or p == 0:
            return x * 1
        mask = torch.from_numpy(own.random(tuple(x.shape)) >= p)
        return torch.where(mask, x * torch.tensor(1 / (1 - p) if p < 1 else 0, dtype=x.dtype), torch.zeros_like(x))

    text = score(dropout, profile="smoke", seed=fresh_seed)["text"]
    assert "dropout was seeded as its framework is. If it draws from elsewhere, give what sets that: seed=" in " ".join(
        text.split()
    )


def test_what_was_left_out_is_said(fresh_seed):
    def takes_any_p(x, p, train):
        return F.dropout(x, min(max(float(p), 0.0), 1.0), train)

    options = {"profile": "smoke", "seed": fresh_seed}
    with pytest.raises(AssertionError) as failed:
        assert_dropout(takes_any_p, **options)
    hint = 'If it is left to the callers of takes_any_p to check p and dtypes, say so: leave_out="arguments"'
    assert " ".join(str(failed.value).split()).endswith(hint)
    assert_dropout(takes_any_p, leave_out="arguments", **options)
    left_out = "Left out, as asked: the law arguments, arrays of ranks other than 3 and 4."
    for fn, on, verdict in ((takes_any_p, "torch", "conforms"), (lambda x, p, train: x, "numpy", "broken")):
        found = score(fn, "dropout", on=on, leave_out=["arguments"], ranks=(4, 3), **options)
        assert found["verdict"] == verdict, found["text"]
        assert found["sentence"].endswith(f" promises. {left_out}")
        assert found["left_out"] == ["the law arguments", "arrays of ranks other than 3 and 4"]
        assert "arguments" not in {**found["kept"], **found["broken"]}
        assert left_out in " ".join(found["text"].split()) or verdict == "conforms"


def test_a_failure_with_more_than_it_tells_has_the_line_that_lists_all(fresh_seed):
    def halves(x, p, train):
        return x / 2

    with pytest.raises(AssertionError) as failed:
        assert_dropout(halves, "dropout", profile="smoke", seed=fresh_seed)
    line = f"score(halves, like='dropout', profile='smoke', seed={fresh_seed})[\"failing\"]"
    assert line in str(failed.value)
    assert "to_json" not in str(failed.value)
    listed = eval(line)  # noqa: S307 - what a person pastes
    assert f"To see all {len(listed):,}:" in str(failed.value)
