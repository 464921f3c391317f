"""The operators against PyTorch: bit for bit under one mask, and in what they refuse and leave alone."""

import warnings

import mlx.core as mx
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from keeprate.impl import alpha, dropout

RATES = (1e-6, 1e-5, 0.001, 0.1, 0.3, 0.5, 0.9, 0.99, 0.999)
DTYPES = ("float32", "float16", "bfloat16", "float64")
ENTRIES = {dropout.dropout: torch.dropout, alpha.alpha_dropout: torch.alpha_dropout}
CHANNELS = {
    dropout.feature_dropout: torch.feature_dropout,
    dropout.dropout1d: F.dropout1d,
    dropout.dropout2d: F.dropout2d,
    dropout.dropout3d: F.dropout3d,
    alpha.feature_alpha_dropout: torch.feature_alpha_dropout,
}
INPLACE = {
    dropout.dropout_: torch.dropout_,
    dropout.feature_dropout_: torch.feature_dropout_,
    alpha.alpha_dropout_: torch.alpha_dropout_,
    alpha.feature_alpha_dropout_: torch.feature_alpha_dropout_,
}
OPERATORS = (*ENTRIES, *CHANNELS, *INPLACE)
SHAPES = {dropout.dropout1d: (64, 6, 32), dropout.dropout3d: (64, 1, 2, 3, 32)}
SPECIAL = (0.0, -0.0, np.inf, -np.inf, np.nan, 65504.0, -65504.0, 6e-8, -1e-7, 1e-38)


def shape_for(op):
    return SHAPES.get(op, (64, 3, 2, 32))


def bits(values):
    """Exact values as integers, so that 0.0 and -0.0 differ; all NaN are one."""
    if isinstance(values, mx.array):
        values = np.asarray(values.astype(mx.float32) if values.dtype == mx.bfloat16 else values)
    else:
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return np.where(np.isnan(values), np.nan, values).astype(np.float64).view(np.int64)


def mask_of(op, shape, dtype, p, key):
    """True where kept: there, and only there, the output follows the input."""
    x = mx.ones(shape, getattr(mx, dtype))
    return np.asarray(op(+x, p, key=key) != op(2 * x, p, key=key))


def both(values, dtype):
    """The same values, rounded to dtype, for MLX and for PyTorch."""
    theirs = torch.from_numpy(values).to(getattr(torch, dtype))
    return mx.array(theirs.double().numpy(), getattr(mx, dtype)), theirs


def assert_same(op, reference, shape, dtype, p, seed, replay, channel=1):
    """Compare output and gradient; the channel axis is `channel` in PyTorch. Returns the mask."""
    rng, key = np.random.default_rng(seed), mx.random.key(seed)
    values = rng.normal(size=shape) * 10.0 ** rng.integers(-8, 5, shape)
    places = rng.random(shape) < 0.3
    values[places] = rng.choice(SPECIAL, int(places.sum()))
    x, x_theirs = both(values, dtype)
    ct, ct_theirs = both(rng.normal(size=shape), dtype)
    kept = mask_of(op, shape, dtype, p, key)

    out_theirs, grad_theirs = replay(
        reference,
        x_theirs.movedim(-1, channel),
        p,
        np.moveaxis(kept, -1, channel),
        ct_theirs.movedim(-1, channel),
    )

    (out,), (grad,) = mx.vjp(lambda x: op(x, p, key=key), [x], [ct])
    assert out.dtype == x.dtype
    np.testing.assert_array_equal(bits(out), bits(out_theirs.movedim(channel, -1)))
    np.testing.assert_array_equal(bits(grad), bits(grad_theirs.movedim(channel, -1)))
    return kept


@pytest.mark.parametrize("p", RATES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
def test_output_and_gradient_are_pytorchs_for_the_same_mask(op, dtype, p, fresh_seed, replay):
    reference = (ENTRIES | CHANNELS | INPLACE)[op]
    assert_same(op, reference, shape_for(op), dtype, p, fresh_seed, replay)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", ENTRIES, ids=lambda op: op.__name__)
def test_rare_drops_are_pytorchs_too(op, dtype, fresh_seed, replay):
    # Of 2^21 entries none is dropped with probability 8e-10.
    kept = assert_same(op, ENTRIES[op], (2048, 1024), dtype, 1e-5, fresh_seed, replay)
    assert not kept.all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_p_gives_pytorchs_noise(dtype, fresh_seed, replay):
    for p in np.random.default_rng(fresh_seed).random(50).tolist():
        for op, reference in ENTRIES.items():
            assert_same(op, reference, (8, 8), dtype, p, fresh_seed, replay)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16, np.array])
def test_p_may_be_of_any_type_that_numpy_has(kind):
    for op in ENTRIES:
        key, p = mx.random.key(0), kind(0.3)
        assert mx.array_equal(op(mx.ones((8, 8)), p, key=key), op(mx.ones((8, 8)), float(p), key=key))


@pytest.mark.parametrize(
    ("op", "shape"),
    [
        (dropout.dropout1d, (5, 64)),
        (dropout.dropout3d, (2, 3, 2, 64)),
        (dropout.dropout3d, (2, 3, 64)),
        (dropout.dropout3d, (64,)),
        (dropout.dropout3d, (2, 1, 2, 2, 2, 64)),
    ],
)
@pytest.mark.filterwarnings("ignore:dropout3d")
def test_inputs_without_a_batch_are_those_pytorch_takes_as_such(op, shape, fresh_seed, replay):
    assert_same(op, CHANNELS[op], shape, "float32", 0.5, fresh_seed, replay, channel=0)


@pytest.mark.parametrize("shape", [(8, 16), (8, 5, 16), (8, 2, 2, 3, 16)])
@pytest.mark.parametrize(
    "op",
    [dropout.feature_dropout, dropout.dropout2d, alpha.feature_alpha_dropout],
    ids=lambda op: op.__name__,
)
@pytest.mark.filterwarnings("ignore:dropout2d")
def test_the_first_axis_is_the_batch_at_any_rank(op, shape, fresh_seed, replay):
    assert_same(op, CHANNELS[op], shape, "float32", 0.5, fresh_seed, replay)


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
def test_channels_are_drawn_apart(op, fresh_seed):
    kept = mask_of(op, shape_for(op), "float32", 0.5, mx.random.key(fresh_seed))
    per_channel = kept.reshape(64, -1, 32)[:, 0]
    # 2048 fair draws leave 800 to 1248 kept with a chance of all but 1e-22, and no two rows alike but 5e-7.
    assert 800 < per_channel.sum() < 1248
    assert len(np.unique(per_channel, axis=0)) == 64


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
@pytest.mark.parametrize(("p", "training"), [(0.5, False), (0.0, True), (0.0, False), (1.0, False)])
def test_evaluation_and_p_0_return_the_input_and_draw_nothing(op, p, training, fresh_seed):
    x = mx.arange(int(np.prod(shape_for(op))), dtype=mx.float32).reshape(shape_for(op))
    before = np.array(x)
    mx.random.seed(fresh_seed)
    assert op(x, p, training) is x
    np.testing.assert_array_equal(x, before)
    drawn = mx.random.bernoulli(shape=(256,))
    mx.random.seed(fresh_seed)
    assert mx.array_equal(drawn, mx.random.bernoulli(shape=(256,)))


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
def test_p_1_multiplies_by_0_and_draws_nothing(op, fresh_seed):
    x = mx.ones(shape_for(op)) * mx.array([1.0, -2.0, 0.0, -0.0, np.inf, -np.inf, np.nan, 3e38] * 4)
    mx.random.seed(fresh_seed)
    (out,), (grad,) = mx.vjp(lambda x: op(x, 1.0), [x], [x])
    drawn = mx.random.bernoulli(shape=(256,))
    mx.random.seed(fresh_seed)
    assert mx.array_equal(drawn, mx.random.bernoulli(shape=(256,)))
    theirs = F.dropout(torch.from_numpy(np.array(x)), 1.0)
    np.testing.assert_array_equal(bits(out), bits(theirs))
    np.testing.assert_array_equal(bits(grad), bits(theirs))


@pytest.mark.parametrize("op", INPLACE, ids=lambda op: op.__name__)
@pytest.mark.parametrize("p", [0.5, 1.0])
def test_in_place_operators_write_to_the_array_given(op, p, fresh_seed):
    plain = getattr(alpha if "alpha" in op.__name__ else dropout, op.__name__.rstrip("_"))
    x = mx.random.normal((8, 16, 32))
    second_name, key = x, mx.random.key(fresh_seed)
    expected = plain(+x, p, key=key)
    assert op(x, p, key=key) is x
    assert mx.array_equal(second_name, expected)


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("p", [-1e-9, 1 + 1e-9, float("nan"), float("inf")])
def test_p_must_be_a_probability(op, p, training):
    with pytest.raises(ValueError, match=r"p = .*from 0 to 1"):
        op(mx.ones(shape_for(op)), p, training)


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
@pytest.mark.parametrize("dtype", [mx.int32, mx.uint8, mx.bool_, mx.complex64])
def test_dtypes_that_are_not_real_floating_pass_only_where_nothing_is_drawn(op, dtype):
    x = mx.ones(shape_for(op), dtype)
    with pytest.raises(TypeError, match="floating"):
        op(x)
    assert op(x, 0.5, False) is x
    assert op(x, 0.0) is x
    zero = op(x, 1.0)
    assert zero.dtype == dtype
    assert not zero.any()


@pytest.mark.parametrize("ndim", range(7))
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("op", [*ENTRIES, *CHANNELS], ids=lambda op: op.__name__)
def test_ranks_are_refused_where_pytorch_refuses_them(op, training, ndim):
    shape = (2,) * ndim
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            (ENTRIES | CHANNELS)[op](torch.ones(shape), 0.5, training)
        except RuntimeError:
            with pytest.raises(ValueError, match="shape"):
                op(mx.ones(shape), 0.5, training)
        else:
            assert op(mx.ones(shape), 0.5, training).shape == shape


@pytest.mark.parametrize("op", [*ENTRIES, dropout.dropout_, alpha.alpha_dropout_], ids=lambda op: op.__name__)
def test_scalars_work(op):
    y = op(mx.array(3.0), 0.5)
    assert y.shape == ()
    assert mx.isfinite(y)


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_empty_inputs_come_back_as_they_are(op, p):
    x = mx.zeros((0, *shape_for(op)[1:]))
    assert op(x, p) is x


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
def test_a_key_decides_the_mask_and_leaves_the_global_state_alone(op, fresh_seed):
    x, key = mx.ones(shape_for(op)), mx.random.key(fresh_seed)
    mx.random.seed(fresh_seed)
    one = op(+x, key=key)
    drawn = mx.random.bernoulli(shape=(256,))
    mx.random.seed(fresh_seed)
    assert mx.array_equal(drawn, mx.random.bernoulli(shape=(256,)))
    assert mx.array_equal(one, op(+x, key=key))
    # 2048 fair draws agree with a chance of 2^-2048.
    assert not mx.array_equal(one, op(+x, key=mx.random.split(key)[0]))


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
def test_without_a_key_a_seed_decides_the_masks_and_each_call_has_its_own(op, fresh_seed):
    x = mx.ones(shape_for(op))
    mx.random.seed(fresh_seed)
    one, two = op(+x), op(+x)
    mx.random.seed(fresh_seed)
    assert mx.array_equal(op(+x), one)
    assert mx.array_equal(op(+x), two)
    assert not mx.array_equal(one, two)


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
def test_operators_can_be_compiled_and_mapped_over_keys(op, fresh_seed):
    x, keys = mx.ones(shape_for(op)), mx.random.split(mx.random.key(fresh_seed), 3)
    compiled = mx.compile(op, inputs=mx.random.state, outputs=mx.random.state)
    assert not mx.array_equal(compiled(x), compiled(x))
    rows = mx.vmap(lambda x, key: op(x, key=key), in_axes=(None, 0))(x, keys)
    for row, key in zip(rows, keys, strict=True):
        assert mx.array_equal(row, op(+x, key=key))


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
def test_a_key_keeps_its_mask_when_checkpoint_runs_again(op, fresh_seed):
    x, key = mx.ones(shape_for(op)), mx.random.key(fresh_seed)
    checkpointed = mx.checkpoint(lambda x, key: op(x, key=key))
    (out,), (grad,) = mx.vjp(lambda x: checkpointed(x, key), [x], [x])
    (_, expected) = mx.vjp(lambda x: op(x, key=key), [x], [x])
    assert mx.array_equal(grad, expected[0])
    assert mx.array_equal(out, op(+x, key=key))
