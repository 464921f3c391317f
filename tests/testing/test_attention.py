"""Attention in a test of one's own: what is sound passes in silence, two faults that were shipped are named."""

import mlx.core as mx
import pytest
import torch
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import keeprate
from keeprate.impl.attention import scaled_dot_product_attention
from keeprate.testing import assert_attention_dropout

pytestmark = pytest.mark.usefixtures("one_thread")


def weights_of(q, k, causal):
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if causal:
        scores = scores.masked_fill(~torch.ones(scores.shape[-2:]).tril().bool(), -torch.inf)
    return torch.softmax(scores, dim=-1)


def by_hand(q, k, v, p, causal, train):
    return F.dropout(weights_of(q, k, causal), p, train) @ v


def test_pytorchs_own_passes(fresh_seed, capfd):
    assert assert_attention_dropout(F.scaled_dot_product_attention, profile="smoke", seed=fresh_seed) is None
    assert capfd.readouterr() == ("", "")


def test_one_that_is_written_by_hand_passes_in_other_dtypes(fresh_seed):
    dtypes = (torch.float64, "float32")
    assert_attention_dropout(by_hand, grouped=False, dtypes=dtypes, profile="smoke", seed=fresh_seed)


def test_one_with_names_layout_and_heads_of_its_own_passes(fresh_seed):
    def flash(q, k, v, dropout_p=0.0, softmax_scale=None, causal=False):
        assert q.shape[-1] == 64
        heads_first = (x.transpose(1, 2) for x in (q, k, v))
        return F.scaled_dot_product_attention(*heads_first, None, dropout_p, causal).transpose(1, 2)

    assert_attention_dropout(flash, layout="bshd", head_dim=64, grouped=False, profile="smoke", seed=fresh_seed)


def test_one_that_takes_half_precision_alone_and_returns_more_than_its_output_passes(fresh_seed):
    def flash(q, k, v, p, causal):
        assert q.dtype == torch.float16 and q.shape[-1] == 64
        return F.scaled_dot_product_attention(q, k, v, None, p, causal), q.sum()

    def wrapped(q, k, v, p, causal, train):
        return flash(q, k, v, p if train else 0.0, causal)[0]

    own = {"seed": torch.manual_seed, "repeat": fresh_seed}
    assert_attention_dropout(wrapped, dtypes="float16", head_dim=64, grouped=False, profile="smoke", **own)


def test_one_that_is_checkpointed_inside_passes_and_is_not_mapped(fresh_seed):
    def attention(q, k, v, p, causal, train):
        return checkpoint(by_hand, q, k, v, p, causal, train, use_reentrant=False)

    assert_attention_dropout(attention, grouped=False, seed=fresh_seed)


def test_one_with_a_generator_of_its_own_passes_where_nothing_is_computed_again(fresh_seed):
    own = torch.Generator()

    def attention(q, k, v, p, causal, train):
        weights = weights_of(q, k, causal)
        if not 0 <= p <= 1:
            raise ValueError(p)
        if not train or p in (0, 1):
            return weights * (not train or p == 0) @ v
        kept = torch.empty(weights.shape).bernoulli_(1 - p, generator=own)
        return weights * kept.to(q.dtype) / (1 - p) @ v

    without = {"checkpoint": False, "vmap": False, "compile": False}
    assert_attention_dropout(attention, grouped=False, seed=own.manual_seed, repeat=fresh_seed, **without)


def test_ours_passes(fresh_seed):
    def attention(q, k, v, p, causal, train):
        return scaled_dot_product_attention(q, k, v, p, train, mask="causal" if causal else None)

    assert_attention_dropout(attention, on="mlx", profile="smoke", seed=fresh_seed)


class TimesP(torch.autograd.Function):
    """The backward pass multiplies by p in place of 1/(1 − p), as github.com/NVIDIA/apex/pull/816 tells."""

    @staticmethod
    def forward(ctx, q, k, v, kept, p):
        weights = weights_of(q, k, False)
        ctx.save_for_backward(q, k, v, weights, kept)
        ctx.p = p
        return weights * kept / (1 - p) @ v

    @staticmethod
    def backward(ctx, ct):
        q, k, v, weights, kept = ctx.saved_tensors
        noise = kept * ctx.p
        by_weight = ct @ v.transpose(-1, -2) * noise
        of_scores = weights * (by_weight - (by_weight * weights).sum(-1, keepdim=True)) / q.shape[-1] ** 0.5
        return of_scores @ k, of_scores.transpose(-1, -2) @ q, (weights * noise).transpose(-1, -2) @ ct, None, None


def backward_times_p(q, k, v, p, causal, train):
    if not train or p in (0, 1):
        return by_hand(q, k, v, p, causal, train)
    return TimesP.apply(q, k, v, (torch.rand(*q.shape[:3], k.shape[2]) >= p).to(q.dtype), p)


def one_mask_for_all_queries(q, k, v, p, causal, train):
    """Of shape (b, h, 1, s_kv), as github.com/NVIDIA/TransformerEngine/pull/227 tells of its predecessor."""
    weights = weights_of(q, k, causal)
    return weights * F.dropout(torch.ones_like(weights[:, :, :1]), p, train) @ v


@pytest.mark.parametrize(
    ("kernel", "cause", "others"),
    [
        (backward_times_p, "multiplies the gradient by p, not by 1/(1 − p).", ("neighbours",)),
        (one_mask_for_all_queries, "uses one mask for all queries of a head.", ("gradient", "outcomes")),
    ],
)
def test_what_was_shipped_is_failed_and_repeated(kernel, cause, others, fresh_seed):
    with pytest.raises(AssertionError) as failed:
        assert_attention_dropout(kernel, causal=False, grouped=False, profile="smoke", seed=fresh_seed)
    text = " ".join(str(failed.value).split())
    assert f"BROKEN {kernel.__name__} {cause}" in text
    assert not any(f"attention/{other}" in text for other in others)
    assert f"assert_attention_dropout({kernel.__name__}, seed={fresh_seed}, …)" in text


@pytest.mark.parametrize(
    ("fn", "options", "error", "words"),
    [
        (1, {}, keeprate.UsageError, "1 can't be called"),
        (lambda q, k, v: v, {}, keeprate.UsageError, "has no p"),
        (by_hand, {"layout": "bhds"}, keeprate.UsageError, "layout = 'bhds' is neither"),
        (by_hand, {"head_dim": 1}, keeprate.UsageError, "not a number of channels that shows a mask: 16 or more"),
        (by_hand, {"head_dim": 2.5}, keeprate.UsageError, "head_dim = 2.5 is not a number of channels"),
        (by_hand, {"head_dim": 16}, keeprate.UsageError, "gradients are read where heads have 32 channels"),
        (by_hand, {"vjp": True}, keeprate.UsageError, "vjp = True is neither a function nor False"),
        (by_hand, {"causal": "no"}, keeprate.UsageError, "causal = 'no' is neither True nor False"),
        (lambda q, k, v, keep_prob, causal, train: v, {}, keeprate.UsageError, "not of keeping, 'keep_prob'"),
        (lambda q, k, v, p, deterministic=True: v, {}, keeprate.UsageError, "on in evaluation, 'deterministic'"),
        (lambda q, k, v, p, causal, train: (v, q), {}, keeprate.NoVerdictError, "returned a tuple, not an array"),
        (by_hand, {"dtypes": "float8"}, keeprate.UsageError, "no dtype named 'float8'"),
        (by_hand, {"seed": 1, "repeat": 2}, keeprate.UsageError, "both are the number"),
        (lambda q, k, v, p, causal, train: None, {}, keeprate.NoVerdictError, "took no array"),
        (lambda q, k, v, p, causal, train: v[:, :1], {}, keeprate.NoVerdictError, r"returned shape \(1, 1, 4, 16\)"),
    ],
)
def test_bad_use_gets_one_sentence(fn, options, error, words):
    with pytest.raises(error, match=words):
        assert_attention_dropout(fn, **options)


def test_random_states_are_what_they_were(fresh_seed):
    torch.manual_seed(fresh_seed)
    mx.random.seed(fresh_seed)
    states = torch.get_rng_state(), mx.random.state[0].tolist()
    assert_attention_dropout(F.scaled_dot_product_attention, profile="smoke")
    assert torch.equal(torch.get_rng_state(), states[0])
    assert mx.random.state[0].tolist() == states[1]
