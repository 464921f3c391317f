"""The three backends: values and strides, seeds, and the calls that the interface promises."""

import mlx.core as mx
import numpy as np
import pytest
import torch as pytorch

from impl.backends import mlx, mlx_nn, torch

BACKENDS = pytest.mark.parametrize("backend", [mlx, mlx_nn, torch], ids=lambda backend: backend.name)
EIGHT = (
    "dropout",
    "dropout_",
    "feature_dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "alpha_dropout",
    "feature_alpha_dropout",
)
FURTHER = ("feature_dropout_", "alpha_dropout_", "feature_alpha_dropout_")
# Zeros, the infinities, NaN, each dtype's extremes, subnormals included.
VALUES = {
    "float16": (0.0, -0.0, np.inf, -np.inf, np.nan, 65504.0, 2.0**-24, -(2.0**-14), 1 + 2.0**-10),
    "bfloat16": (0.0, -0.0, np.inf, -np.inf, np.nan, (2 - 2.0**-7) * 2.0**127, 2.0**-133, 1 + 2.0**-7),
    "float32": (0.0, -0.0, np.inf, -np.inf, np.nan, (2 - 2.0**-23) * 2.0**127, 2.0**-149, 1 + 2.0**-23),
    "float64": (0.0, -0.0, np.inf, -np.inf, np.nan, 1.7e308, 5e-324, 1 + 2.0**-52),
}


def views(base):
    """A (4, 6, 8) array through the strides that tests use."""
    return {
        "plain": base,
        "transposed": base.transpose(2, 0, 1),
        "stepped": base[::2, 1::3, ::4],
        "broadcast": np.broadcast_to(base[:, :1], base.shape),
        "scalar": base[0, 0, 0, ...],
    }


def strides_of(x):
    if isinstance(x, pytorch.Tensor):
        return tuple(step * x.element_size() for step in x.stride())
    mx.eval(x)
    return memoryview(x).strides


@BACKENDS
def test_a_backend_says_what_it_is(backend):
    assert isinstance(backend.name, str)
    assert isinstance(backend.version, str)
    assert isinstance(backend.device, str)
    assert backend.layout == ("channels_first" if backend is torch else "channels_last")
    assert set(backend.dtypes) <= set(VALUES)


@pytest.mark.parametrize("wide", [np.float32, np.float64])
@BACKENDS
def test_values_go_there_and_back_exactly(backend, wide):
    for dtype in backend.dtypes:
        if dtype == "float64" and wide == np.float32:
            continue
        x = np.array(VALUES[dtype], wide)
        native = backend.asarray(x, dtype)
        back = backend.asnumpy(native)
        assert backend.dtype_of(native) == dtype
        np.testing.assert_array_equal(back.astype(np.float64), x.astype(np.float64))
        zero = x == 0
        np.testing.assert_array_equal(np.signbit(back[zero]), np.signbit(x[zero]))


@pytest.mark.parametrize("view", views(np.zeros((4, 6, 8))))
@BACKENDS
def test_strides_are_kept(backend, view):
    x = views(np.arange(192, dtype=np.float32).reshape(4, 6, 8))[view]
    native = backend.asarray(x, "float32")
    np.testing.assert_array_equal(backend.asnumpy(native), x)
    assert strides_of(native) == x.strides


@BACKENDS
def test_negative_strides_and_empty_arrays_keep_their_values(backend):
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    for view in (x[::-1], x[:, ::-2], x[:0], x[:, :0]):
        native = backend.asarray(view, "float16")
        assert tuple(native.shape) == view.shape
        np.testing.assert_array_equal(backend.asnumpy(native), view)


@BACKENDS
def test_arrays_are_fresh(backend):
    for x in (np.ones((3, 4), np.float32), np.ones((3, 4), np.float32)[:, ::-1]):
        native = backend.asarray(x, "float32")
        x[:] = 7
        assert (backend.asnumpy(native) == 1).all()


@BACKENDS
def test_a_seed_decides_the_masks(backend):
    x = backend.asarray(np.ones((64, 64), np.float32), "float32")
    for seed in (0, 1, 2**63 - 1):
        backend.seed(seed)
        first = backend.asnumpy(backend.dropout(x, 0.5, True))
        backend.seed(seed)
        np.testing.assert_array_equal(backend.asnumpy(backend.dropout(x, 0.5, True)), first)


def test_mlx_and_torch_offer_every_operator_and_upstream_three():
    for backend in (mlx, torch):
        assert all(callable(getattr(backend, op)) for op in (*EIGHT, *FURTHER))
    assert [op for op in (*EIGHT, *FURTHER) if hasattr(mlx_nn, op)] == ["dropout", "dropout2d", "dropout3d"]


@pytest.mark.parametrize("op", [*EIGHT, *FURTHER])
@pytest.mark.filterwarnings("ignore:dropout2d")
@pytest.mark.parametrize("backend", [mlx, torch], ids=lambda backend: backend.name)
def test_operators_take_p_and_mode_by_position(backend, op):
    ndim = 5 if op == "dropout3d" else 3
    x = np.ones((8, *[1] * (ndim - 2), 64), np.float32)
    evaluated = getattr(backend, op)(backend.asarray(x, "float32"), 0.5, False)
    np.testing.assert_array_equal(backend.asnumpy(evaluated), x)
    # At least 64 fair draws: all alike with a chance of 2e-19 at most.
    wide = np.ones((8, 64, *[1] * (ndim - 2)), np.float32) if backend is torch else x
    trained = getattr(backend, op)(backend.asarray(wide, "float32"), 0.5, True)
    assert len(np.unique(backend.asnumpy(trained))) == 2


@pytest.mark.parametrize("op", [op for op in EIGHT if not op.endswith("_")])
@pytest.mark.filterwarnings("ignore:dropout2d")
def test_torch_works_in_place_on_demand(op):
    x = torch.asarray(np.ones((8, 64, 1), np.float32) if op != "dropout3d" else np.ones((8, 64, 1, 1, 1)), "float32")
    assert torch.inplace
    getattr(torch, op)(x, 0.5, True, inplace=True)
    assert len(x.unique()) == 2


@pytest.mark.parametrize("op", ["dropout", "dropout_", "alpha_dropout_"])
@pytest.mark.parametrize("backend", [mlx, torch], ids=lambda backend: backend.name)
def test_vjp_works_through_in_place_operators_and_leaves_x_alone(backend, op):
    values = np.arange(1, 257, dtype=np.float32)
    x, ct = backend.asarray(values, "float32"), backend.asarray(2 * values, "float32")
    out, grad = backend.vjp(lambda x: getattr(backend, op)(x, 0.5, True), x, ct)
    np.testing.assert_array_equal(backend.asnumpy(x), values)
    dropped = backend.asnumpy(grad) == 0
    assert len(np.unique(backend.asnumpy(out)[dropped])) == 1
    noise = backend.asnumpy(grad)[~dropped] / (2 * values)[~dropped]
    assert np.ptp(noise) < 1e-6 * noise.max()  # a quotient of two roundings, each within 2^-24


def test_upstreams_layers_are_called_as_they_are():
    x = mx.ones((8, 16, 64))
    for op in (mlx_nn.dropout, mlx_nn.dropout2d):
        assert (np.asarray(op(x, 0.5, False)) == 1).all()
    kept = np.asarray(mlx_nn.dropout2d(x, 0.5, True)) != 0
    assert (kept == kept[:1, :1]).all()
    assert set(np.unique(mlx_nn.dropout3d(x[None], 0.5, True))) == {0, 2}
    with pytest.raises(ValueError, match="not in"):
        mlx_nn.dropout(x, 1.0, True)
