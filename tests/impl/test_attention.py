"""Attention against PyTorch's under one mask, as it stands and as a layer, and under our transforms."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
import torch
from mlx.utils import tree_flatten, tree_map
from torch.nn import functional as F

from keeprate.impl import random, transforms
from keeprate.impl.attention import MultiHeadAttention, scaled_dot_product_attention

DTYPES = ("float32", "float64", "float16", "bfloat16")
# Batch, heads, heads of keys, queries, keys, channels: no tile, grouped heads, one query, one head of keys.
SHAPES = [(2, 3, 3, 33, 33, 16), (1, 6, 2, 5, 129, 8), (3, 2, 2, 1, 7, 4), (2, 4, 1, 9, 17, 32)]


def mask_of(q, k, p, key, hidden=None):
    """(B, H, L, S) True where kept: what the keys' own unit vectors leave of the weights; all scores are 0."""
    batch, heads, keys, _ = k.shape
    units = mx.broadcast_to(mx.eye(keys), (batch, heads, keys, keys))
    return np.asarray(scaled_dot_product_attention(q * 0, k * 0, units, p, mask=hidden, key=key) > 0)


def both(values, dtype):
    """The same values, rounded to dtype, for MLX and for PyTorch."""
    theirs = torch.from_numpy(values).to(getattr(torch, dtype))
    return mx.array(theirs.double().numpy(), getattr(mx, dtype)), theirs


def in_double(x):
    if isinstance(x, mx.array):
        return np.asarray(x.astype(mx.float32) if x.dtype == mx.bfloat16 else x).astype(np.float64)
    return x.detach().double().numpy()


def pytorchs(inputs, cotangent, p, kept, given_masks, **options):
    """Output and gradients, in the inputs' dtype."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    with given_masks(kept) as mode:
        out = F.scaled_dot_product_attention(*leaves, dropout_p=p, enable_gqa=True, **options)
    assert mode.draws == 1
    return [out, *torch.autograd.grad(out, leaves, cotangent)]


def errors(shape, dtype, p, hidden, seed, given_masks):
    """For the output and each gradient: our error, PyTorch's for the same mask, and the exact values; as means."""
    batch, heads, groups, queries, keys, channels = shape
    rng, key = np.random.default_rng(seed), mx.random.key(seed)
    sizes = [(batch, heads, queries, channels), *[(batch, groups, keys, channels)] * 2]
    pairs = [both(rng.normal(size=size), dtype) for size in (*sizes, sizes[0])]
    (*ours, cotangent), (*theirs, cotangent_theirs) = zip(*pairs, strict=True)
    ours_hidden, options = None, {}
    if hidden == "causal":
        ours_hidden, options = "causal", {"attn_mask": torch.ones(queries, keys).tril(keys - queries).bool()}
    elif hidden == "where":
        where = rng.random((batch, 1, queries, keys)) < 0.7
        where[..., 0] = True
        ours_hidden, options = mx.array(where), {"attn_mask": torch.from_numpy(where)}
    elif hidden == "added":
        ours_hidden, added = both(rng.normal(size=(heads, queries, keys)), dtype)
        options = {"attn_mask": added}
    kept = mask_of(ours[0], ours[1], p, key)

    def attend(q, k, v):
        return scaled_dot_product_attention(q, k, v, p, mask=ours_hidden, key=key)

    (out,), grads = mx.vjp(attend, list(ours), [cotangent])
    assert out.dtype == ours[0].dtype
    rounded = pytorchs(theirs, cotangent_theirs, p, kept, given_masks, **options)
    wide = {name: mask.double() if mask.is_floating_point() else mask for name, mask in options.items()}
    exact = pytorchs([x.double() for x in theirs], cotangent_theirs.double(), p, kept, given_masks, **wide)
    for one, other, true in zip((out, *grads), rounded, exact, strict=True):
        one, other, true = in_double(one), in_double(other), in_double(true)
        yield [np.sqrt((values**2).mean()) for values in (one - true, other - true, true)]


@pytest.mark.parametrize("p", [0.1, 0.9])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("hidden", ["nothing", "causal", "where", "added"])
def test_output_and_gradients_are_pytorchs_for_the_same_mask(shape, dtype, p, hidden, fresh_seed, given_masks):
    """As exact as PyTorch's, or to some steps of float32, which is all that MLX's exp gives in float64 too."""
    for ours, theirs, size in errors(shape, dtype, p, hidden, fresh_seed, given_masks):
        assert ours <= max(2 * theirs, 16 * np.finfo(np.float32).eps * size)


@pytest.mark.parametrize("p", [1e-5, 0.1, 0.5])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_rounding_is_at_most_twice_pytorchs(dtype, p, fresh_seed, given_masks):
    for ours, theirs, _ in errors((2, 8, 8, 64, 64, 16), dtype, p, "nothing", fresh_seed, given_masks):
        assert ours <= 2 * theirs


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("hidden", [None, "causal"])
def test_where_nothing_drops_it_is_mlxs_own_and_draws_nothing(training, hidden, fresh_seed):
    mx.random.seed(fresh_seed)
    q, k, v = (mx.random.normal((2, heads, 9, 8)) for heads in (4, 2, 2))
    before = np.array(mx.random.state[0])
    out = scaled_dot_product_attention(q, k, v, 0.0 if training else 0.5, training, mask=hidden)
    assert mx.array_equal(out, mx.fast.scaled_dot_product_attention(q, k, v, scale=8**-0.5, mask=hidden))
    assert (np.array(mx.random.state[0]) == before).all()


@pytest.mark.parametrize("seen", ["all", "none"])
def test_a_query_that_sees_no_key_gets_what_mlx_gives_it(seen, fresh_seed):
    q, k, v = (mx.random.normal((1, 2, 5, 8), key=key) for key in mx.random.split(mx.random.key(fresh_seed), 3))
    mask = mx.full((5, 5), seen == "all")
    # One of 50 weights drops with a chance of 5e-8.
    dropped = scaled_dot_product_attention(q, k, v, 1e-9, mask=mask)
    assert mx.allclose(dropped, mx.fast.scaled_dot_product_attention(q, k, v, scale=8**-0.5, mask=mask), atol=1e-5)


def test_at_p_1_all_is_zero_and_nothing_is_drawn():
    q = mx.random.normal((1, 2, 5, 8))
    before = np.array(mx.random.state[0])
    assert not scaled_dot_product_attention(q, q, q, 1.0).any()
    assert (np.array(mx.random.state[0]) == before).all()


def test_each_head_query_and_row_of_the_batch_has_a_mask_of_its_own(fresh_seed, assert_independent):
    q, k = mx.zeros((3, 4, 6, 8)), mx.zeros((3, 2, 512, 8))
    assert_independent(mask_of(q, k, 0.5, mx.random.key(fresh_seed)).reshape(-1, 512))


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("training", [True, False])
def test_p_is_checked(p, training):
    q = mx.zeros((1, 1, 2, 4))
    with pytest.raises(ValueError, match=r"p = .*from 0 to 1"):
        scaled_dot_product_attention(q, q, q, p, training)
    with pytest.raises(ValueError, match=r"p = .*from 0 to 1"):
        MultiHeadAttention(8, 2, dropout=p)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ([(2, 5, 8)] * 3, "4 dimensions"),
        ([(2, 3, 5, 8), (2, 2, 5, 8), (2, 2, 5, 8)], "the 3 heads of q"),
        ([(2, 2, 5, 8), (2, 2, 5, 4), (2, 2, 5, 8)], "agree in batch and channels"),
        ([(2, 2, 5, 8), (1, 2, 5, 8), (1, 2, 5, 8)], "agree in batch and channels"),
        ([(2, 2, 5, 8), (2, 2, 6, 8), (2, 2, 5, 8)], "agree in batch and channels"),
    ],
)
def test_shapes_that_mlx_refuses_are_refused_with_dropout_too(shapes, words):
    arrays = [mx.zeros(shape) for shape in shapes]
    with pytest.raises(ValueError, match=words):
        scaled_dot_product_attention(*arrays, 0.5)
    with pytest.raises(ValueError, match=r"shape|heads"):
        mx.eval(scaled_dot_product_attention(*arrays, 0.0))


@pytest.mark.parametrize("shape", [(0, 2, 3, 4), (2, 2, 0, 4)])
def test_of_nothing_comes_nothing(shape):
    q = mx.zeros(shape)
    k = mx.zeros((shape[0], 2, 5, 4))
    assert scaled_dot_product_attention(q, k, k, 0.5).shape == shape


@pytest.mark.parametrize("training", [True, False])
def test_keys_without_heads_are_refused(training):
    q, k = mx.zeros((1, 2, 3, 4)), mx.zeros((1, 0, 3, 4))
    with pytest.raises(ValueError, match="has no heads"):
        scaled_dot_product_attention(q, k, k, 0.5, training)


def test_integers_are_refused():
    q = mx.zeros((1, 2, 3, 4), mx.int32)
    with pytest.raises(TypeError, match="takes floating-point dtypes"):
        scaled_dot_product_attention(q, q, q, 0.5)


def test_a_mask_with_another_name_is_refused():
    q = mx.zeros((1, 1, 2, 4))
    with pytest.raises(ValueError, match="mask = 'Causal'"):
        scaled_dot_product_attention(q, q, q, 0.5, mask="Causal")


def masks_of_passes(fn, seed, batch=2, heads=3, size=64):
    """The masks, (B, H, size, size), that a call of fn(q, k, v) used: forward, for dV, for dQ and for dK."""
    zeros, units = mx.zeros((batch, heads, size, size)), mx.broadcast_to(mx.eye(size), (batch, heads, size, size))
    ones = mx.concatenate([mx.ones((batch, heads, size, 1)), mx.zeros((batch, heads, size, size - 1))], axis=-1)

    def passes(q, k, v):
        random.seed(seed)  # one mask for all three calls
        (out,), grads = mx.vjp(fn, [q, k, v], [v])
        return np.array(out), [np.array(grad) for grad in grads]

    forward, (_, _, dv) = passes(zeros, zeros, units)
    out, (dq, _, _) = passes(zeros, units, ones)
    _, (_, dk, _) = passes(units, zeros, ones)
    # Of a score the gradient is noise/size less out/size, where out is the row's mean of the noise.
    for_q, for_k = (each * size * size**0.5 + out[..., :1] > 0.5 for each in (dq, dk.swapaxes(-1, -2)))
    return forward > 0, dv.swapaxes(-1, -2) > 0, for_q, for_k


WRAPS = {
    "as it is": lambda fn: fn,
    "compile": transforms.compile,
    "checkpoint": transforms.checkpoint,
    "compile(checkpoint)": lambda fn: transforms.compile(transforms.checkpoint(fn)),
    "vmap": lambda fn: lambda q, k, v: transforms.vmap(lambda *rows: fn(*(row[None] for row in rows))[0])(q, k, v),
    "vmap(checkpoint)": lambda fn: (
        lambda q, k, v: transforms.vmap(transforms.checkpoint(lambda *r: fn(*(x[None] for x in r))[0]))(q, k, v)
    ),
}


@pytest.mark.parametrize("wrap", WRAPS)
def test_forward_pass_and_gradients_use_one_mask(wrap, fresh_seed, assert_independent):
    fn = WRAPS[wrap](lambda q, k, v: scaled_dot_product_attention(q, k, v, 0.5))
    forward, *backward = masks_of_passes(fn, fresh_seed)
    assert 0.45 < forward.mean() < 0.55  # 24,576 fair draws: outside with a chance of 1e-54
    for mask in backward:
        np.testing.assert_array_equal(mask, forward)
    assert_independent(forward.reshape(2 * 3, -1))


@pytest.mark.parametrize("wrap", WRAPS)
def test_each_call_has_a_mask_of_its_own(wrap, assert_independent):
    fn = WRAPS[wrap](lambda q, k, v: scaled_dot_product_attention(q, k, v, 0.5))
    zeros, units = mx.zeros((2, 3, 64, 64)), mx.broadcast_to(mx.eye(64), (2, 3, 64, 64))
    assert_independent([np.array(fn(zeros, zeros, units)) > 0 for _ in range(3)])


def test_a_layer_stands_in_for_mlxs(fresh_seed):
    mx.random.seed(fresh_seed)
    arguments = {"query_input_dims": 5, "key_input_dims": 6, "value_input_dims": 7, "value_dims": 8,
                 "value_output_dims": 9, "bias": True}  # fmt: skip
    ours, upstream = MultiHeadAttention(16, 4, **arguments, dropout=0.5), nn.MultiHeadAttention(16, 4, **arguments)
    ours.load_weights(tree_flatten(upstream.parameters()))
    q, k, v = (mx.random.normal((2, length, dims)) for length, dims in ((3, 5), (4, 6), (4, 7)))
    mask = mx.random.normal((3, 4))
    assert not mx.allclose(ours(q, k, v, mask), upstream(q, k, v, mask))  # 96 fair draws keep all with 1e-29
    assert mx.array_equal(ours.eval()(q, k, v, mask), upstream(q, k, v, mask))
    ours.train().dropout = 0.0
    assert mx.array_equal(ours(q, k, v, mask), upstream(q, k, v, mask))
    assert isinstance(ours, nn.MultiHeadAttention)
    assert "dropout=0.0" in repr(ours)


def test_a_compiled_layer_follows_its_mode_and_trains_through_a_checkpoint(fresh_seed):
    mx.random.seed(fresh_seed)
    layer, x = MultiHeadAttention(16, 4, dropout=0.5), mx.random.normal((2, 8, 16))
    compiled = transforms.compile(lambda x: layer(x, x, x))
    assert not mx.array_equal(compiled(x), compiled(x))
    layer.eval()
    assert mx.array_equal(compiled(x), compiled(x))
    layer.train()

    def gradients(layer, wrap):
        random.seed(fresh_seed)
        return nn.value_and_grad(layer, lambda x: (wrap(layer)(x, x, x) ** 2).sum())(x)[1]

    under, bare = (gradients(layer, wrap) for wrap in (transforms.checkpoint, transforms.compile))
    assert all(grad.any() for _, grad in tree_flatten(bare))
    close = tree_map(lambda one, other: mx.allclose(one, other, atol=1e-5).item(), under, bare)
    assert all(same for _, same in tree_flatten(close))
