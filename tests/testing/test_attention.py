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

    own = {"seed": torch.default_generator.manual_seed, "repeat": fresh_seed}
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
        (one_mask_for_all_queries, "uses one mask for all queries of a head", ("gradient", "outcomes")),
    ],
)
def test_what_was_shipped_is_failed_and_repeated(kernel, cause, others, fresh_seed):
    with pytest.raises(AssertionError) as failed:
        assert_attention_dropout(kernel, causal=False, grouped=False, profile="smoke", seed=fresh_seed)
    text = " ".join(str(failed.value).split())
    assert f"BROKEN {kernel.__name__} {cause}" in text
    assert not any(f"attention/{other}" in text for other in others)
    again = f"{kernel.__name__}, causal=False, grouped=False, profile='smoke', seed={fresh_seed}"
    assert f"assert_attention_dropout({again})" in text
    with pytest.raises(AssertionError) as again_failed:
        eval(f"assert_attention_dropout({again})")  # noqa: S307 - what the message says, pasted
    assert f"BROKEN {kernel.__name__} {cause}" in " ".join(str(again_failed.value).split())
    assert "to_json" not in text  # nobody holds the verdict


@pytest.mark.parametrize(
    ("fn", "options", "error", "words"),
    [
        (1, {}, keeprate.UsageError, "1 can't be called"),
        (lambda q, k, v: v, {}, keeprate.UsageError, "has no p"),
        (by_hand, {"layout": "bhds"}, keeprate.UsageError, "layout = 'bhds' is neither"),
        (by_hand, {"head_dim": 1}, keeprate.UsageError, "not a number of channels that shows a mask: 16 or more"),
        (by_hand, {"head_dim": 2.5}, keeprate.UsageError, "head_dim = 2.5 is not a number of channels"),
        (by_hand, {"vjp": True}, keeprate.UsageError, "vjp = True is neither a function nor False"),
        (by_hand, {"causal": "no"}, keeprate.UsageError, "causal = 'no' is neither True nor False"),
        (lambda q, k, v, keep_prob, causal, train: v, {}, keeprate.UsageError, "not of keeping, 'keep_prob'"),
        (lambda q, k, v, p, deterministic=True: v, {}, keeprate.UsageError, "on in evaluation, 'deterministic'"),
        (
            lambda q, k, v, p, causal, train: (v, q),
            {},
            keeprate.NoVerdictError,
            r"wrap it: lambda q, k, v, p, causal, train: .*\)\[0\]$",
        ),
        (by_hand, {"dtypes": "float8"}, keeprate.UsageError, "no dtype named 'float8'"),
        (by_hand, {"seed": 1, "repeat": 2}, keeprate.UsageError, "both are the number"),
        (
            lambda q, k, v, p, causal, train: None,
            {},
            keeprate.NoVerdictError,
            "of torch it returned None; .* and on= whose",
        ),
        (lambda q, k, v, p, causal, train: v[:, :1], {}, keeprate.NoVerdictError, r"returned shape \(1, 1, 7, 16\)"),
        (
            lambda q, k, v, p, mask, scale: v,
            {},
            keeprate.UsageError,
            "'mask' is neither a name of p .*, nor of the causal",
        ),
        (
            lambda q, k, v, p, inference: v,
            {},
            keeprate.UsageError,
            "on in evaluation, 'inference'; wrap it: lambda q, k",
        ),
        (by_hand, {"heads": 0}, keeprate.UsageError, "heads = 0 is not a number of heads, 1 or more"),
        (by_hand, {"heads": 4, "kv_heads": True}, keeprate.UsageError, "kv_heads = True is not a number of heads"),
        (by_hand, {"kv_heads": 2}, keeprate.UsageError, "give the heads of queries too, heads="),
        (
            by_hand,
            {"heads": 6, "kv_heads": 4},
            keeprate.UsageError,
            "no multiple of kv_heads = 4: .*kv_heads of 1, 2, 3, 6",
        ),
        (
            by_hand,
            {"heads": 6, "kv_heads": 3, "grouped": False},
            keeprate.UsageError,
            "grouped = False, but kv_heads = 3",
        ),
    ],
)
def test_bad_use_gets_one_sentence(fn, options, error, words):
    with pytest.raises(error, match=words):
        assert_attention_dropout(fn, **options)


def with_heads_last(q, k, v, p, causal, train):
    return by_hand(*(x.transpose(1, 2) for x in (q, k, v)), p, causal, train).transpose(1, 2)


def in_half_precision(q, k, v, p, causal, train):
    if q.dtype not in (torch.float16, torch.bfloat16):
        raise RuntimeError("only fp16 and bf16 are supported")
    return with_heads_last(q, k, v, p, causal, train)


def of_64_channels(q, k, v, p, causal, train):
    assert q.shape[-1] == 64
    return by_hand(q, k, v, p, causal, train)


def on_cuda(q, k, v, p, causal, train):
    return by_hand(q.cuda(), k.cuda(), v.cuda(), p, causal, train)


def only(heads, kv_heads, attention):
    """A kernel that is compiled for these numbers of heads."""

    def compiled(q, k, v, p, causal, train):
        if (q.shape[1], k.shape[1], v.shape[1]) != (heads, kv_heads, kv_heads):
            raise ValueError(f"compiled for {heads} and {kv_heads} heads")
        return attention(q, k, v, p, causal, train)

    compiled.__name__ = attention.__name__
    return compiled


@pytest.mark.parametrize(
    ("fn", "options", "way"),
    [
        (with_heads_last, {}, "layout='bshd'"),
        (with_heads_last, {"on": "torch"}, "layout='bshd'"),
        (by_hand, {"layout": "bshd"}, "layout='bhsd'"),
        (in_half_precision, {"layout": "bshd"}, "dtypes=('float16',)"),
        (in_half_precision, {"head_dim": 64}, "layout='bshd', dtypes=('float16',)"),
        (of_64_channels, {}, "head_dim=64"),
        (only(8, 8, by_hand), {"heads": 8, "kv_heads": 2}, "kv_heads=8"),
    ],
)
def test_the_options_with_which_a_call_succeeds_are_named(fn, options, way):
    with pytest.raises(keeprate.NoVerdictError) as refused:
        assert_attention_dropout(fn, **options)
    assert f"called with arrays of torch; with {way} a call gives what it should" in str(refused.value)
    assert "on=" not in str(refused.value)


def test_a_framework_that_was_given_is_not_asked_for():
    with pytest.raises(keeprate.NoVerdictError) as refused:
        assert_attention_dropout(only(8, 2, by_hand), on="torch")
    text = str(refused.value)
    assert "of torch it raised ValueError: compiled for 8 and 2 heads; layout=, dtypes=, head_dim=, heads= and" in text
    assert "on=" not in text


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_a_function_that_needs_cuda_is_told_that_there_is_none():
    with pytest.raises(keeprate.NoVerdictError, match="on_cuda needs CUDA, and there is none here: it raised"):
        assert_attention_dropout(on_cuda)


def without_causal(q, k, v, p, causal, train):
    if causal:
        raise ValueError("no causal mask")
    return with_groups(q, k, v, p, causal, train)


@pytest.mark.parametrize(
    ("fn", "note", "others"),
    [
        (by_hand, "If it takes no such heads, say so: grouped=False", ("causal=False", "vjp=False")),
        (without_causal, "raises ValueError: no causal mask. If it has none, say so: causal=False", ("grouped=False",)),
    ],
)
def test_what_a_function_raises_for_can_be_left_out_as_the_failure_says(fn, note, others, fresh_seed):
    with pytest.raises(AssertionError) as failed:
        assert_attention_dropout(fn, profile="smoke", seed=fresh_seed)
    text = " ".join(str(failed.value).split())
    assert text.endswith(note)
    assert not any(other in text for other in others)


def spread(q, k, v):
    """Keys and values for each head of queries."""
    number = q.shape[1] // k.shape[1]
    return q, k.repeat_interleave(number, 1), v.repeat_interleave(number, 1)


def with_groups(q, k, v, p, causal, train):
    return by_hand(*spread(q, k, v), p, causal, train)


def one_mask_for_all_heads(q, k, v, p, causal, train):
    q, k, v = spread(q, k, v)
    weights = weights_of(q, k, causal)
    return weights * F.dropout(torch.ones_like(weights[:, :1]), p, train) @ v


def one_mask_for_each_group(q, k, v, p, causal, train):
    number, (q, k, v) = q.shape[1] // k.shape[1], spread(q, k, v)
    weights = weights_of(q, k, causal)
    noise = F.dropout(torch.ones_like(weights[:, ::number]), p, train)
    return weights * noise.repeat_interleave(number, 1) @ v


def every_group_alike(q, k, v, p, causal, train):
    groups, number, (q, k, v) = k.shape[1], q.shape[1] // k.shape[1], spread(q, k, v)
    weights = weights_of(q, k, causal)
    return weights * F.dropout(torch.ones_like(weights[:, :number]), p, train).repeat(1, groups, 1, 1) @ v


@pytest.mark.parametrize(
    ("heads", "kv_heads", "profile", "vjp"),
    [
        (8, 2, "smoke", None),
        (8, 2, "quick", None),
        (8, 2, "quick", False),
        (5, 5, "quick", None),
        (5, 5, "smoke", False),
        (1, 1, "smoke", None),
        (1, 1, "quick", False),
    ],
)
def test_one_that_is_compiled_for_one_number_of_heads_passes(profile, heads, kv_heads, vjp, fresh_seed):
    kernel = only(heads, kv_heads, with_groups)
    without = {"compile": False} if profile == "quick" else {}  # which takes long
    options = {"profile": profile, "vjp": vjp, "seed": fresh_seed, **without}
    assert_attention_dropout(kernel, heads=heads, kv_heads=kv_heads, **options)


def test_heads_alone_are_those_of_keys_too(fresh_seed):
    options = {"layout": "bshd", "head_dim": 16, "profile": "smoke", "seed": fresh_seed}

    def kernel(q, k, v, p, causal, train):
        assert q.shape[2:] == k.shape[2:] == (3, 16)
        return with_heads_last(q, k, v, p, causal, train)

    assert_attention_dropout(kernel, heads=3, **options)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_many_heads_that_share_keys_are_told_apart_in_gradients(dtype, fresh_seed):
    class Kernel(torch.autograd.Function):
        @staticmethod
        def forward(ctx, weights, v, noise):
            ctx.save_for_backward(weights, v, noise)
            return weights * noise @ v

        @staticmethod
        def backward(ctx, ct):
            weights, v, noise = ctx.saved_tensors
            other = noise.clone()
            other[:, 9] = noise[:, 9].roll(1, -1)
            return ct @ v.transpose(-1, -2) * noise, (weights * other).transpose(-1, -2) @ ct, None

    def kernel(q, k, v, p, causal, train):
        q, k, v = spread(q, k, v)
        weights = weights_of(q, k, causal)
        return Kernel.apply(weights, v, F.dropout(torch.ones_like(weights), p, train))

    without = {"compile": False, "vmap": False, "checkpoint": False, "causal": False}
    options = {"dtypes": dtype, "profile": "smoke", "seed": fresh_seed, **without}
    sound = only(12, 1, with_groups)
    assert_attention_dropout(sound, heads=12, kv_heads=1, **options)
    with pytest.raises(AssertionError) as failed:
        assert_attention_dropout(only(12, 1, kernel), heads=12, kv_heads=1, **options)
    text = str(failed.value)
    assert f"BROKEN  attention/gradient:values/{dtype}/" in text
    assert "attention/gradient:keys" not in text
    assert "attention/outcomes" not in text


@pytest.mark.parametrize(
    ("kernel", "vjp", "said"),
    [
        (one_mask_for_all_heads, None, "BROKEN one_mask_for_all_heads uses one mask for all heads of a sample."),
        (one_mask_for_each_group, None, "BROKEN one_mask_for_each_group uses one mask for heads that share keys."),
        (one_mask_for_each_group, False, "BROKEN one_mask_for_each_group uses one mask for heads that share keys."),
        (every_group_alike, None, "first slices 0 and 4 along axis 1 are one"),
    ],
)
def test_a_mask_that_heads_share_is_found_with_one_number_of_heads(kernel, vjp, said, fresh_seed):
    with pytest.raises(AssertionError) as failed:
        assert_attention_dropout(only(8, 2, kernel), heads=8, kv_heads=2, vjp=vjp, profile="smoke", seed=fresh_seed)
    text = " ".join(str(failed.value).split())
    assert said in text
    assert "compiled for" not in text  # no call has other heads, of those that look for causes either


def flash(q, k, v, dropout_p=0.0, softmax_scale=None, causal=False, deterministic=False):
    return with_groups(q, k, v, dropout_p, causal, True)


def test_a_parameter_that_is_off_unless_given_is_left_alone(fresh_seed):
    assert_attention_dropout(flash, profile="smoke", seed=fresh_seed)


def test_random_states_are_what_they_were(fresh_seed):
    torch.manual_seed(fresh_seed)
    mx.random.seed(fresh_seed)
    states = torch.get_rng_state(), mx.random.state[0].tolist()
    assert_attention_dropout(F.scaled_dot_product_attention, profile="smoke")
    assert torch.equal(torch.get_rng_state(), states[0])
    assert mx.random.state[0].tolist() == states[1]


def test_a_function_that_draws_at_p_0_is_told_so(fresh_seed):
    """What a law of seeds recorded is in words, without a counterexample."""

    def draws(q, k, v, p, causal, train):
        if not 0 <= p <= 1:
            raise ValueError(p)
        torch.rand(1)
        return F.scaled_dot_product_attention(q, k, v, None, p if train else 0.0, causal, enable_gqa=True)

    with pytest.raises(AssertionError, match="draws random numbers in evaluation"):
        assert_attention_dropout(
            draws, on="torch", profile="smoke", seed=torch.default_generator.manual_seed, repeat=fresh_seed
        )
