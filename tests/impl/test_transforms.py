"""The operators without a key under our transforms, one or two together, and with a key under MLX's own."""

from functools import partial

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from keeprate.impl import alpha, dropout, modules, random, transforms
from keeprate.impl.transforms import checkpoint, vmap

OPERATORS = (
    dropout.dropout,
    dropout.dropout_,
    dropout.feature_dropout,
    dropout.feature_dropout_,
    dropout.dropout1d,
    dropout.dropout2d,
    dropout.dropout3d,
    alpha.alpha_dropout,
    alpha.alpha_dropout_,
    alpha.feature_alpha_dropout,
    alpha.feature_alpha_dropout_,
)
SINGLE = {"compile": transforms.compile, "vmap": vmap, "checkpoint": checkpoint}
PAIRS = [(outer, inner) for outer in SINGLE for inner in SINGLE if (outer, inner) != ("vmap", "vmap")]
TRANSFORMS = SINGLE | {f"{a}+{b}": lambda fn, a=a, b=b: SINGLE[a](SINGLE[b](fn)) for a, b in PAIRS}
EACH_OPERATOR = pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
EACH_TRANSFORM = pytest.mark.parametrize("transform", TRANSFORMS)


def rows(shape=(1024,)):
    """Three rows of ones, evaluated."""
    x = mx.ones((3, *shape))
    mx.eval(x)
    return x


def rows_for(op):
    return rows({dropout.dropout3d: (64, 1, 2, 1, 16)}.get(op, (64, 2, 16)))


def kept(out):
    """True where kept, for an input of ones: every operator maps a kept 1 to more than 0, a dropped one to no more."""
    return np.asarray(out) > 0


def drawn(masks, op):
    """One entry for each draw, of masks whose first axis counts calls."""
    if op.__name__.rstrip("_") in ("dropout", "alpha_dropout"):
        return masks
    return masks.reshape(len(masks), 64, -1, 16)[:, :, 0]


def called(transform, op, x):
    """Rows of op under a transform, each a call of its own; without vmap, op takes them one by one."""
    fn = TRANSFORMS[transform](lambda x, train=True: op(x, 0.5, train))
    return (lambda *train: fn(x, *train)) if "vmap" in transform else (lambda *train: stacked(fn, x, *train))


def stacked(fn, x, *train):
    return mx.stack([fn(row, *train) for row in x])


@EACH_OPERATOR
@EACH_TRANSFORM
def test_each_call_and_each_row_draws_anew(transform, op, fresh_seed, assert_independent):
    x = rows_for(op)
    call = called(transform, op, x)
    random.seed(fresh_seed)
    first, second = call(), call()
    random.seed(fresh_seed)
    again = call()
    assert set(np.unique(first)) == set(np.unique(op(+x[0], 0.5)))
    masks = drawn(np.concatenate([kept(first), kept(second)]), op)
    assert_independent(masks)
    assert_independent([masks, np.ones_like(masks)])  # kept at the rate promised
    assert mx.array_equal(again, first)
    assert (np.asarray(x) == 1).all()


@EACH_OPERATOR
@EACH_TRANSFORM
def test_output_and_gradient_have_one_mask(transform, op):
    x, fn = rows_for(op), TRANSFORMS[transform](lambda x: op(x, 0.5))
    for part in (x,) if "vmap" in transform else x:
        (out,), (grad,) = mx.vjp(fn, [part], [part])
        np.testing.assert_array_equal(np.asarray(grad) != 0, kept(out))


@EACH_OPERATOR
@EACH_TRANSFORM
def test_in_evaluation_nothing_changes_and_nothing_is_drawn(transform, op, fresh_seed):
    x = rows_for(op)
    call = called(transform, op, x)
    random.seed(fresh_seed)
    evaluated = [call(False) for _ in range(2)]
    trained = call(True)
    random.seed(fresh_seed)
    assert all(mx.array_equal(out, x) for out in evaluated)
    assert mx.array_equal(trained, call(True))
    assert mx.array_equal(call(False), x)


@EACH_TRANSFORM
@pytest.mark.parametrize(("p", "value"), [(0.0, 1), (1.0, 0)])
def test_the_ends_of_p_draw_nothing(transform, p, value, fresh_seed):
    random.seed(fresh_seed)
    assert (np.asarray(TRANSFORMS[transform](partial(dropout.dropout, p=p))(rows())) == value).all()
    next_drawn = mx.random.bernoulli(shape=(256,))
    random.seed(fresh_seed)
    assert mx.array_equal(next_drawn, mx.random.bernoulli(shape=(256,)))


@EACH_TRANSFORM
def test_each_draw_in_one_function_has_its_own_mask(transform, assert_independent):
    def twice(x):
        return mx.stack([dropout.dropout(x), alpha.alpha_dropout(x)])

    x = rows()
    fn = TRANSFORMS[transform](twice)
    (out,), (grad,) = mx.vjp(lambda x: fn(x).reshape(-1, 1024), [x], [mx.ones((6, 1024))])
    assert_independent(kept(out))
    # Of what reaches an input along two masks, each part must be there or not as in the output.
    slopes = np.unique(np.asarray(grad))
    assert len(slopes) == 4


@pytest.mark.parametrize("transform", [name for name in TRANSFORMS if "vmap" in name])
def test_an_input_that_is_not_mapped_is_dropped_apart_in_each_row(transform, assert_independent):
    x = mx.ones((1024,))
    out = TRANSFORMS[transform](lambda _: dropout.dropout(x))(rows())
    assert_independent(kept(out))


@EACH_TRANSFORM
def test_derivatives_go_through_in_either_order(transform, assert_independent):
    """Forward mode, reverse mode, twice, and inside `compile`: one mask in each derivative."""
    x = rows()
    fn = TRANSFORMS[transform](dropout.dropout)

    (out,), (tangent,) = mx.jvp(fn, [x], [3 * x])
    assert mx.array_equal(tangent, 3 * out)
    for loss in (
        mx.value_and_grad(lambda x: fn(x).sum()),
        transforms.compile(mx.value_and_grad(lambda x: fn(x).sum())),
    ):
        first, second = loss(x), loss(x)
        assert first[0] == first[1].sum()
        assert_independent([kept(first[1]).ravel(), kept(second[1]).ravel()])
    curvature = mx.grad(lambda x: mx.grad(lambda x: (fn(x) ** 3).sum())(x).sum())(x)
    assert set(np.unique(curvature)) == {0, 48}  # 6 · 2³ · x where kept


@EACH_TRANSFORM
def test_rows_of_a_gradient_are_drawn_apart(transform, assert_independent):
    fn = TRANSFORMS[transform](dropout.dropout)
    over_rows = vmap(mx.grad(lambda x: (fn(x[None])[0] if "vmap" in transform else fn(x)).sum()))
    if "checkpoint" in transform and not transform.startswith("vmap"):
        with pytest.raises(ValueError, match=r"vmap.*Depends"):  # MLX refuses it of any mx.checkpoint
            over_rows(rows())
    else:
        assert_independent(list(kept(over_rows(rows()))))


@EACH_TRANSFORM
def test_a_stream_changes_no_mask(transform, fresh_seed):
    x, fn = rows(), TRANSFORMS[transform](dropout.dropout)
    outs = []
    for stream in (mx.default_stream(mx.cpu), mx.new_stream(mx.cpu)):
        with mx.stream(stream):
            random.seed(fresh_seed)
            outs.append(np.array(fn(x)))
    np.testing.assert_array_equal(*outs)


@EACH_TRANSFORM
def test_what_a_function_raises_leaves_the_state_as_it_was(transform, fresh_seed):
    random.seed(fresh_seed)
    with pytest.raises(ValueError, match="p = nan"):
        TRANSFORMS[transform](lambda x: dropout.dropout(x, float("nan")))(rows())
    after = dropout.dropout(rows())
    random.seed(fresh_seed)
    assert mx.array_equal(after, dropout.dropout(rows()))


def test_a_transform_draws_apart_from_what_is_drawn_outside(assert_independent):
    x = rows()[0]
    fns = [
        dropout.dropout,
        transforms.compile(dropout.dropout),
        checkpoint(dropout.dropout),
        transforms.compile(dropout.dropout),
    ]
    assert_independent([kept(fn(x)) for fn in fns] + [np.asarray(mx.random.bernoulli(shape=x.shape))])


def test_compile_traces_once_for_each_mode():
    traced = []

    def op(x, train):
        traced.append(train)
        return dropout.dropout(x, 0.5, train)

    fn, x = transforms.compile(op), rows()
    for train in (True, False, True, False):
        fn(x, train)
        fn(x, train=train)
    assert traced == [True, True, False, False]


def test_compile_captures_what_it_is_told_to(fresh_seed, assert_independent):
    state = [mx.zeros(())]

    def op(x):
        state[0] = state[0] + 1
        return dropout.dropout(x) * mx.random.uniform(shape=x.shape)

    fn = transforms.compile(op, inputs=[state, mx.random.state], outputs=[state, mx.random.state])
    random.seed(fresh_seed)
    first, second = np.asarray(fn(rows())), np.asarray(fn(rows()))
    random.seed(fresh_seed)
    np.testing.assert_array_equal(fn(rows()), first)
    assert state[0] == 3
    assert_independent([first > 0, second > 0])
    # 24-bit numbers: of the about 768 places where both keep, 5 agree with a chance of 2e-24.
    assert ((first == second) & (first > 0)).sum() < 5


AXES = [
    ((3, 4), 0, 0),
    ((3, 4), 1, 1),
    ((3, 4), -1, -1),
    ((3, 4), (1,), 0),
    (((3, 4), (4,)), (0, None), 0),
    (((4, 3), (3,)), (1, 0), 1),
    (((3, 4), (3, 4)), 0, 0),
]


@pytest.mark.parametrize(("shapes", "in_axes", "out_axes"), AXES)
def test_vmap_maps_the_axes_that_mlxs_maps(shapes, in_axes, out_axes):
    shapes = (shapes,) if isinstance(shapes[0], int) else shapes
    args = [mx.random.normal(shape) for shape in shapes]

    def total(*args):
        return sum(args) * 2

    assert mx.array_equal(vmap(total, in_axes, out_axes)(*args), mx.vmap(total, in_axes, out_axes)(*args))


def test_vmap_takes_trees_and_leaves_scalars_alone():
    tree = {"a": mx.ones((3, 64)), "b": [mx.ones((64,))]}

    def fn(tree, scale, train):
        return {"out": dropout.dropout(tree["a"] * tree["b"][0] * scale, 0.5, train)}

    mapped = vmap(fn, in_axes=({"a": 0, "b": [None]}, None, None))
    assert (np.asarray(mapped(tree, 3, False)["out"]) == 3).all()
    assert set(np.unique(mapped(tree, 3, True)["out"])) == {0, 6}


def test_vmap_refuses_to_map_nothing():
    with pytest.raises(ValueError, match="no argument is mapped"):
        vmap(lambda x: x, in_axes=None)(mx.ones(3))
    with pytest.raises(ValueError, match="no argument is mapped"):
        vmap(lambda train: mx.ones(3))(True)


def test_checkpoint_takes_keywords_and_trees():
    def fn(tree, *, train):
        return {"out": dropout.dropout(tree["a"], 0.5, train)}

    assert (np.asarray(checkpoint(fn)({"a": rows()}, train=False)["out"]) == 1).all()
    grad = mx.grad(lambda x: checkpoint(fn)({"a": x}, train=True)["out"].sum())(rows())
    assert set(np.unique(grad)) == {0, 2}


def test_checkpoint_of_a_layer_has_gradients_for_its_parameters():
    model = nn.Sequential(nn.Linear(8, 64), modules.Dropout(0.5))
    x = mx.random.normal((4, 8))
    again = checkpoint(model)
    before = np.array(model.layers[0].weight)

    def loss(x):
        out = again(x)
        return (out**2).sum() / 2, out

    (_, out), grads = nn.value_and_grad(model, loss)(x)
    slope = 2 * out  # ∂(out²/2)/∂(x·w) = out · 1/(1 − p), 0 where dropped
    np.testing.assert_allclose(grads["layers"][0]["weight"], slope.T @ x, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(model.layers[0].weight, before)


@EACH_OPERATOR
def test_a_key_decides_the_mask_under_mlxs_own_transforms(op, fresh_seed):
    x, keys = rows_for(op)[0], mx.random.split(mx.random.key(fresh_seed), 3)
    expected = mx.stack([op(+x, key=key) for key in keys])

    def keyed(x, key):
        return op(x, key=key)

    compiled, again = mx.compile(keyed), mx.checkpoint(keyed)
    mapped = mx.vmap(keyed, in_axes=(None, 0))
    assert mx.array_equal(mx.stack([compiled(x, key) for key in keys]), expected)
    assert mx.array_equal(mapped(x, keys), expected)
    assert mx.array_equal(mx.compile(mapped)(x, keys), expected)
    assert mx.array_equal(mx.vmap(compiled, in_axes=(None, 0))(x, keys), expected)
    (out,), (tangent,) = mx.jvp(lambda x: again(x, keys[0]), [x], [x])
    assert mx.array_equal(out, expected[0])
    np.testing.assert_array_equal(np.asarray(tangent) != 0, kept(out))
    for fn in (again, mx.compile(again), mx.checkpoint(compiled)):
        (out,), (grad,) = mx.vjp(lambda x, fn=fn: fn(x, keys[0]), [x], [x])
        assert mx.array_equal(out, expected[0])
        np.testing.assert_array_equal(np.asarray(grad) != 0, kept(out))
