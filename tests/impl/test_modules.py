"""The layers: the operators in the layer's mode, in place of mlx.nn's."""

import copy
import gc
import pickle
import weakref

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from keeprate.impl import alpha, dropout, modules, random, transforms

LAYERS = {
    modules.Dropout: dropout.dropout,
    modules.Dropout1d: dropout.dropout1d,
    modules.Dropout2d: dropout.dropout2d,
    modules.Dropout3d: dropout.dropout3d,
    modules.AlphaDropout: alpha.alpha_dropout,
    modules.FeatureAlphaDropout: alpha.feature_alpha_dropout,
}
EACH = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
UPSTREAM = [(modules.Dropout, nn.Dropout), (modules.Dropout2d, nn.Dropout2d), (modules.Dropout3d, nn.Dropout3d)]


def x_for(layer):
    x = mx.ones((64, 1, 2, 3, 16) if layer is modules.Dropout3d else (64, 3, 16))
    mx.eval(x)
    return x


def drops(out):
    """1024 fair draws, or more: none drops, or all do, with a chance of 2e-308."""
    return len(np.unique(out)) == 2


@EACH
def test_a_layer_calls_its_operator_in_training(layer, fresh_seed):
    random.seed(fresh_seed)
    out = layer(0.3)(x_for(layer))
    random.seed(fresh_seed)
    assert mx.array_equal(out, LAYERS[layer](x_for(layer), 0.3))


@EACH
def test_modes_take_turns(layer):
    drop, x = layer(0.5), x_for(layer)
    assert drops(drop(x))
    assert drop.eval()(x) is x
    assert drops(drop.train()(x))
    assert nn.Sequential(drop).train(False)(x) is x


@EACH
@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_p_is_checked_when_a_layer_is_made(layer, p):
    with pytest.raises(ValueError, match=r"p = .*from 0 to 1"):
        layer(p)


@EACH
def test_the_ends_of_p_are_allowed(layer):
    x = x_for(layer)
    assert layer(0.0)(x) is x
    assert not layer(1.0)(x).any()


@EACH
def test_a_layer_shows_itself_as_mlxs_do_and_has_no_parameters(layer):
    drop = layer(0.25)
    assert repr(drop) == f"{layer.__name__}(p=0.25)"
    assert repr(layer()) == f"{layer.__name__}(p=0.5)"
    assert not drop.parameters()
    assert not nn.Sequential(nn.Linear(2, 2), drop).freeze().trainable_parameters()["layers"][1]


@EACH
def test_a_layer_can_be_copied_and_pickled(layer):
    drop = layer(0.5).eval()
    for other in (copy.deepcopy(drop), pickle.loads(pickle.dumps(drop))):  # noqa: S301 - what was just written
        assert repr(other) == repr(drop)
        assert not other.training
        assert drops(other.train()(x_for(layer)))
        assert not drop.training


@pytest.mark.parametrize(("ours", "upstream"), UPSTREAM)
def test_ours_stand_in_for_mlxs(ours, upstream):
    """Same signature, same values out; in a model they are found and set alike."""
    x = mx.ones((64, 2, 2, 2, 16)[: 5 if ours is modules.Dropout3d else 4])
    assert set(np.unique(ours(0.5)(x))) == set(np.unique(upstream(0.5)(x)))
    assert repr(ours(p=0.5)) == repr(upstream(p=0.5))
    assert isinstance(ours(), nn.Module)


def test_three_dimensions_are_a_batch_for_dropout2d_as_in_pytorch():
    x = mx.ones((64, 4, 64))
    ours, theirs = np.asarray(modules.Dropout2d()(x)), np.asarray(nn.Dropout2d()(x))
    # 64 rows of 64 fair draws are all alike with a chance of 2^-4032.
    assert (ours == ours[:, :1]).all()
    assert not (ours == ours[:1]).all()
    assert (theirs == theirs[:1, :1]).all()


def test_along_shared_axes_one_draw_serves_all():
    x = mx.ones((64, 5, 32))
    for axes in [(1,), [-2], (1, -2)]:
        out = np.asarray(modules.Dropout(0.5, shared_axes=axes)(x))
        assert (out == out[:, :1]).all()
        # Of 64 rows of 32 fair draws, four or more repeat another with a chance of 2e-27.
        assert len(np.unique(out[:, 0], axis=0)) > 60
    assert repr(modules.Dropout(0.1, shared_axes=[1, 2])) == "Dropout(p=0.1, shared_axes=(1, 2))"
    assert modules.Dropout(0.5, shared_axes=(1,)).eval()(x) is x
    with pytest.raises(ValueError, match=r"shared_axes = \(3,\).*no axis 3"):
        modules.Dropout(0.5, shared_axes=(3,))(x)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda layer: transforms.compile(layer),
        lambda layer: transforms.compile(lambda x: layer(x)),
        lambda layer: transforms.compile(nn.Sequential(nn.Identity(), layer)),
        lambda layer: transforms.compile(transforms.compile(layer)),
        lambda layer: transforms.compile(transforms.checkpoint(layer)),
        lambda layer: transforms.checkpoint(transforms.compile(layer)),
        lambda layer: transforms.compile(transforms.vmap(lambda x: layer(x[None])[0])),
        lambda layer: transforms.vmap(transforms.compile(lambda x: layer(x[None])[0])),
    ],
)
@EACH
def test_what_was_compiled_in_one_mode_follows_the_layer_into_the_other(layer, wrap, first):
    drop, x = layer(0.5).train(first), x_for(layer)
    fn = wrap(drop)
    for training in (first, not first, first, not first):
        drop.train(training)
        for _ in range(2):
            assert drops(fn(x)) == training


def test_a_compiled_function_follows_each_of_its_layers_and_traces_once_for_each_state():
    one, two, traced = modules.Dropout(0.5), modules.Dropout(0.5), []

    @transforms.compile
    def fn(x):
        traced.append(1)
        return mx.stack([one(x), two(x)])

    x = mx.ones((1024,))
    for _ in range(2):
        for first in (True, False):
            for second in (True, False):
                one.train(first)
                two.train(second)
                for _ in range(2):
                    assert [drops(out) for out in fn(x)] == [first, second]
    assert len(traced) == 4


def test_a_layer_that_is_met_later_is_followed_too():
    early, late, x = modules.Dropout(0.5), modules.Dropout(0.5), mx.ones((1024,))
    fn = transforms.compile(lambda x, both: mx.stack([early(x), late(x) if both else x]))
    fn(x, False)
    late.eval()
    assert [drops(out) for out in fn(x, True)] == [True, False]
    late.train()
    early.eval()
    assert [drops(out) for out in fn(x, True)] == [False, True]
    early.train()
    assert [drops(out) for out in fn(x, True)] == [True, True]
    assert [drops(out) for out in fn(x, False)] == [True, False]


def test_a_layer_that_lives_for_one_call_is_not_kept():
    lived = []

    def fn(x):
        drop = modules.Dropout(0.5)
        lived.append(weakref.ref(drop))
        return drop(x)

    compiled, x = transforms.compile(fn), mx.ones((8,))
    for _ in range(3):
        mx.eval(mx.vjp(compiled, [x], [x]))  # traces in each call
    gc.collect()
    assert [ref() for ref in lived] == [None] * 3
