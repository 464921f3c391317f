"""Kernels of one rank: other inputs are given to them in it, and what that can't be said of is not offered."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import keeprate
from keeprate.harness.protocol.lookup import find
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.testing import assert_dropout, score
from keeprate.testing.ranks import of_ranks

sound = find(str(Path(__file__).with_name("faults.py")), group="", kind="module").sound


def of_rank_4(x, p, train):
    assert x.dim() == 4
    return sound(x, p, train)


def channels_of_rank_4(x, p, train):
    assert x.dim() == 4
    return F.dropout2d(x, p, train)


@pytest.mark.parametrize(("fn", "like"), [(of_rank_4, "dropout"), (channels_of_rank_4, "dropout2d")])
def test_a_kernel_of_rank_4_is_judged_by_every_law(fn, like, fresh_seed):
    assert_dropout(fn, like, ranks=(4,), profile="smoke", seed=fresh_seed)
    if like == "dropout":
        assert "say so: ranks=(4,)" in score(fn, like, profile="smoke", seed=fresh_seed)["sentence"]


def test_a_kernel_that_fails_for_some_ranks_is_told_how_to_say_which_it_takes(fresh_seed):
    def not_of_scalars(x, p, train):
        assert x.dim() > 0
        return sound(x, p, train)

    options = {"like": "dropout", "profile": "smoke", "seed": fresh_seed}
    text = score(not_of_scalars, **options)["text"]
    hint = "not_of_scalars raises for some ranks: if it is for arrays of rank 1, 2, 3, 4 and 5 alone, say so: "
    assert " ".join(text.split()).endswith(f"{hint}ranks=(1, 2, 3, 4, 5)")
    assert_dropout(not_of_scalars, ranks=(1, 2, 3, 4, 5), **options)


def test_a_fault_of_such_a_kernel_is_found_and_the_ranks_are_said(fresh_seed):
    def shared(x, p, train):
        assert x.dim() == 4
        mask = torch.rand(x.shape[1:]) >= p if train else torch.ones(x.shape[1:], dtype=torch.bool)
        return torch.where(mask, x / (1 - p) if train and p < 1 else x, torch.zeros_like(x))

    found = score(shared, ranks=4, profile="smoke", seed=fresh_seed)
    assert "neighbours" in found["broken"], found["text"]
    assert "arrays of ranks other than 4" in found["sentence"]


@pytest.mark.parametrize(
    ("op", "layout", "ranks", "shape", "given"),
    [
        ("dropout", "channels_first", (4,), (), (1, 1, 1, 1)),
        ("dropout", "channels_first", (2, 4), (3, 4, 5), (3, 4, 5, 1)),
        ("dropout", "channels_first", (2,), (3, 4, 5), (3, 20)),
        ("dropout", "channels_first", (0,), (3,), None),
        ("feature_dropout", "channels_first", (3,), (2, 5, 3, 4), (2, 5, 12)),
        ("feature_dropout", "channels_last", (4,), (2, 3, 5), (2, 3, 1, 5)),
        ("feature_dropout", "channels_last", (2,), (2, 3, 5), None),
        ("dropout1d", "channels_first", (3,), (5, 4), None),
        ("dropout2d", "channels_first", (4,), (5, 4), None),
    ],
)
def test_what_shares_a_draw_goes_on_to_share_it(op, layout, ranks, shape, given):
    seen = []

    def operator(x, p, train):
        seen.append(tuple(x.shape))
        return x

    fitted = of_ranks(operator, ranks, CONTRACTS[op], layout)
    if given is None:
        with pytest.raises(NotImplementedError, match="only arrays of rank"):
            fitted(torch.zeros(shape), 0.5, True)
    else:
        assert fitted(torch.zeros(shape), 0.5, True).shape == shape
        assert seen == [given]


@pytest.mark.parametrize(("ranks", "words"), [((7,), "takes no array of rank 7, but of 0, 1"), ("4", "whole numbers")])
def test_ranks_that_are_none_are_refused(ranks, words):
    with pytest.raises(keeprate.UsageError, match=words):
        assert_dropout(sound, ranks=ranks)
