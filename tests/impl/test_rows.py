"""Whole rows that drop: stochastic depth and embeddings, bit for bit PyTorch's under one mask."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
import torch

from keeprate.impl import random, transforms
from keeprate.impl.dropout import embedding_dropout
from keeprate.impl.paths import DropPath, drop_path

DTYPES = ("float32", "float64", "float16", "bfloat16")
RATES = (0.001, 0.1, 0.3, 0.5, 0.9, 0.999)
SHAPES = [(64,), (64, 3), (64, 3, 2, 5)]


def whole(table, p, training=True, key=None):
    """All rows of a table, looked up in order."""
    return embedding_dropout(table, mx.arange(len(table)), p, training, key=key)


def of_rows(x, p, training):
    """PyTorch's: each row is the one channel of a sample."""
    return torch.feature_dropout(x.reshape(len(x), 1, -1), p, training).reshape(x.shape)


def exactly(x):
    values = np.asarray(x.astype(mx.float32) if x.dtype == mx.bfloat16 else x) if isinstance(x, mx.array) else x
    values = values.double().numpy() if isinstance(values, torch.Tensor) else values.astype(np.float64)
    return np.where(np.isnan(values), np.nan, values).view(np.int64)


@pytest.mark.parametrize("p", RATES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("op", [drop_path, whole])
def test_output_and_gradient_are_pytorchs_for_the_same_mask(op, shape, dtype, p, fresh_seed, replay):
    rng, key = np.random.default_rng(fresh_seed), mx.random.key(fresh_seed)
    x, cotangent = (torch.from_numpy(rng.normal(size=shape) * 100).to(getattr(torch, dtype)) for _ in range(2))
    x[::7], cotangent[::5] = -0.0, torch.inf
    ours, ct = (mx.array(each.double().numpy(), getattr(mx, dtype)) for each in (x, cotangent))
    kept = np.asarray(op(mx.ones(shape), p, key=key) != 0)
    assert (kept == kept.reshape(64, -1)[:, :1].reshape(64, *[1] * (len(shape) - 1))).all()

    theirs = replay(of_rows, x, p, kept.reshape(64, 1, -1), cotangent)
    (out,), (grad,) = mx.vjp(lambda x: op(x, p, key=key), [ours], [ct])
    assert out.dtype == ours.dtype
    np.testing.assert_array_equal(exactly(out), exactly(theirs[0]))
    if op is whole:  # gradients of a word are added up, to 0.0 at first, which no −0.0 survives
        grad, theirs = grad + 0, [each + 0 for each in theirs]
    np.testing.assert_array_equal(exactly(grad), exactly(theirs[1]))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda fn: fn,
        transforms.compile,
        transforms.checkpoint,
        lambda fn: transforms.compile(transforms.checkpoint(fn)),
    ],
)
@pytest.mark.parametrize("op", [drop_path, whole])
def test_under_our_transforms_the_gradient_has_the_outputs_mask_and_each_call_its_own(op, wrap, assert_independent):
    fn, x = wrap(lambda x: op(x, 0.5)), mx.ones((4096, 2))
    outs = []
    for _ in range(3):
        (out,), (grad,) = mx.vjp(fn, [x], [x])
        assert mx.array_equal(out, grad)
        outs.append(np.array(out[:, 0]) > 0)
    assert_independent(outs)


def test_vmap_drops_the_paths_of_each_of_its_rows(assert_independent):
    rows = transforms.vmap(lambda x: drop_path(x, 0.5))(mx.ones((3, 4096, 2)))
    assert_independent(np.array(rows[..., 0]) > 0)


@pytest.mark.parametrize("op", [drop_path, whole])
def test_where_nothing_drops_nothing_is_drawn(op):
    x = mx.random.normal((64, 3))
    before = np.array(mx.random.state[0])
    for p, training in ((0.5, False), (0.0, True), (1.0, False)):
        assert mx.array_equal(op(x, p, training), x)
    assert not op(x, 1.0).any()
    assert (np.array(mx.random.state[0]) == before).all()


def test_what_is_no_row_is_refused():
    with pytest.raises(ValueError, match=r"shape \(\)"):
        drop_path(mx.array(1.0))
    for op in (drop_path, whole):
        with pytest.raises(ValueError, match="p = nan"):
            op(mx.ones((4, 2)), float("nan"))
        with pytest.raises(TypeError, match="floating"):
            op(mx.ones((4, 2), mx.int32), 0.5)


def test_a_word_drops_wherever_it_stands(fresh_seed):
    words, table = mx.random.randint(0, 512, (16, 100), key=mx.random.key(fresh_seed)), mx.ones((512, 4))
    key = mx.random.key(fresh_seed)
    out, kept = embedding_dropout(table, words, 0.5, key=key), whole(table, 0.5, key=key)
    assert mx.array_equal(out, kept[words])
    assert 150 < (kept[:, 0] > 0).sum() < 362  # 512 fair draws: outside with a chance of 1e-20
    gradient = mx.grad(lambda table: embedding_dropout(table, words, 0.5, key=key).sum())(table)
    times = np.bincount(np.array(words).reshape(-1), minlength=512)[:, None]
    assert mx.array_equal(gradient, kept * mx.array(times))


def test_a_layer_drops_paths_in_training_alone(fresh_seed):
    layer, x = DropPath(0.5), mx.ones((64, 3))
    random.seed(fresh_seed)
    out = layer(x)
    random.seed(fresh_seed)
    assert mx.array_equal(out, drop_path(x, 0.5))
    assert nn.Sequential(layer).eval()(x) is x
    assert repr(layer) == "DropPath(p=0.5)"
