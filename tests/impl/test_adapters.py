"""The backends: values and strides, seeds, and the calls that the interface promises."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import mlx.core as mx
import numpy as np
import pytest
import torch as pytorch

from keeprate.impl.backends import mlx, mlx_nn, torch, torch_compile_by_hand

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


LAYERS = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")


def kept(backend, out):
    return backend.asnumpy(out) > 0


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


@pytest.mark.parametrize("backend", [mlx, torch], ids=lambda backend: backend.name)
def test_a_state_that_is_put_back_gives_its_masks_again(backend):
    x = backend.asarray(np.ones(1024, np.float32), "float32")
    backend.seed(1)
    backend.dropout(x, 0.5, True)
    state = backend.get_state()
    masks = [kept(backend, backend.dropout(x, 0.5, True)) for _ in range(2)]
    backend.seed(2)
    for _ in range(2):
        backend.set_state(state)
        for mask in masks:
            np.testing.assert_array_equal(kept(backend, backend.dropout(x, 0.5, True)), mask)


@pytest.mark.parametrize("op", [*EIGHT, *FURTHER])
@pytest.mark.filterwarnings("ignore:dropout2d", "ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("backend", [mlx, torch], ids=lambda backend: backend.name)
def test_tangents_and_later_gradients_are_those_of_one_pass(backend, op):
    x = backend.asarray(np.ones((4, 1, 64) if op != "dropout3d" else (4, 1, 1, 1, 64), np.float32), "float32")
    along = 2 * x

    def fn(x):
        return getattr(backend, op)(x, 0.5, True)

    backend.seed(1)
    out, gradient = backend.vjp(fn, x, along)
    backend.seed(1)
    out_again, tangent = backend.jvp(fn, x, along)
    np.testing.assert_array_equal(backend.asnumpy(out_again), backend.asnumpy(out))
    np.testing.assert_array_equal(backend.asnumpy(tangent), backend.asnumpy(gradient))
    assert (backend.asnumpy(x) == 1).all()
    if backend is torch:  # MLX wants the cotangent at once
        backend.seed(1)
        _, pullback = backend.linearize(fn, x)
        backend.linearize(fn, x)
        for _ in range(2):
            np.testing.assert_array_equal(backend.asnumpy(pullback(along)), backend.asnumpy(gradient))


def test_upstreams_layers_are_called_as_they_are():
    x = mx.ones((8, 16, 64))
    for op in (mlx_nn.dropout, mlx_nn.dropout2d):
        assert (np.asarray(op(x, 0.5, False)) == 1).all()
    kept = np.asarray(mlx_nn.dropout2d(x, 0.5, True)) != 0
    assert (kept == kept[:1, :1]).all()
    assert set(np.unique(mlx_nn.dropout3d(x[None], 0.5, True))) == {0, 2}
    with pytest.raises(ValueError, match="not in"):
        mlx_nn.dropout(x, 1.0, True)


def transforms_of(backend):
    names = [name for name in ("compile", "vmap", "checkpoint") if hasattr(backend, name)]
    assert names == ["vmap", "checkpoint"] if backend is torch else names == ["compile", "vmap", "checkpoint"]
    return {name: getattr(backend, name) for name in names}


@BACKENDS
def test_transforms_take_a_function_of_x_and_of_x_and_the_mode(backend):
    x = backend.asarray(np.ones((8, 512), np.float32), "float32")
    for transform in transforms_of(backend).values():
        fn = transform(lambda x, train=True: backend.dropout(x, 0.5, train))
        outs = [fn(x), fn(x, True), fn(x, False), fn(x, True)]
        # 512 fair draws and more: all alike with a chance of 2e-154 at most.
        assert [len(np.unique(backend.asnumpy(out))) for out in outs] == [2, 2, 1, 2]


@BACKENDS
def test_what_mlx_and_torch_keep_upstream_does_not(backend):
    x = backend.asarray(np.ones((2, 1024), np.float32), "float32")

    def op(x):
        return backend.dropout(x, 0.5, True)

    rows = kept(backend, backend.vmap(op)(x))
    unmapped = kept(backend, backend.vmap(lambda _: op(x))(x))
    out, grad = backend.vjp(backend.checkpoint(op), x, x)
    # Masks of 1024 fair draws or more are equal with a chance of 2^-1024.
    assert (rows[0] == rows[1]).all() == (backend is mlx_nn)
    assert (unmapped[0] == unmapped[1]).all() == (backend is mlx_nn)
    assert (kept(backend, out) == (backend.asnumpy(grad) > 0)).all() == (backend is not mlx_nn)


@pytest.mark.parametrize(
    ("backend", "layers"),
    [(mlx, LAYERS), (mlx_nn, ("dropout", "dropout2d", "dropout3d")), (torch, ("dropout_", *LAYERS))],
    ids=["mlx", "mlx-nn", "torch"],
)
def test_a_layer_is_trained_evaluated_and_trained(backend, layers):
    for op in EIGHT:
        if op not in layers:
            with pytest.raises(NotImplementedError, match=f"{op} has no layer"):
                backend.module(op, 0.5)
            continue
        ndim = {"dropout2d": 4, "dropout3d": 5}.get(op, 3)
        wide = (32, 32, *[1] * (ndim - 2)) if backend is torch else (32, *[1] * (ndim - 2), 32)
        layer = backend.module(op, 0.5)
        for mode, outcomes in (("train", 2), ("eval", 1), ("train", 2)):
            getattr(layer, mode)()
            out = layer(backend.asarray(np.ones(wide, np.float32), "float32"))
            assert len(np.unique(backend.asnumpy(out))) == outcomes


def test_variational_dropout_has_one_mask_for_all_steps():
    out = kept(mlx, mlx.variational_dropout(mx.ones((32, 5, 32)), 0.5, True))
    assert (out == out[:, :1]).all()
    assert not (out == out[:1]).all()
    assert kept(mlx, mlx.variational_dropout(mx.ones((32, 5, 32)), 0.5, False)).all()


def test_arrays_are_ready_for_another_thread():
    """MLX evaluates in no other thread what was called in this one."""
    lazy = mx.array(np.ones(3, np.float64)).astype(mx.float16) + 1
    ready = [mlx.asarray(x, "float16") for x in (np.ones(3), np.ones((2, 3)).T, np.ones(3)[::-1])]
    assert _in_thread(lambda: [mlx.asnumpy(mlx.dropout(x, 0.0, True) * 2).max() for x in ready]) == [2, 2, 2]
    with pytest.raises(RuntimeError, match="no Stream"):
        raise _in_thread(lambda: mlx.asnumpy(lazy))


def test_torch_compile_offers_what_torch_does_and_loads_no_compiler_until_it_compiles():
    code = """
import sys
from keeprate.impl.backends import torch, torch_compile
missing = {name for name in vars(torch) if not name.startswith("_")} - set(vars(torch_compile))
print(torch_compile.name, missing or "all", callable(torch_compile.compile), "torch._dynamo" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert run.stdout == "torch-compile all True False\n"


@pytest.mark.parametrize(("shared", "causal"), [(4, False), (4, True), (2, False)])
def test_attention_by_hand_is_pytorchs_under_its_mask(shared, causal):
    """Both draw one mask of weights, in one order, from one seed; sums of 5 products are off by 1e-15 or so."""
    q, *others = (
        torch.asarray(np.random.default_rng().normal(size=(2, n, 5, 8)), "float64") for n in (4, shared, shared)
    )
    outs = []
    for backend in (torch, torch_compile_by_hand):
        backend.seed(1)
        outs.append([backend.asnumpy(backend.attention(q, *others, 0.3, causal, train)) for train in (True, False)])
    for one, other in zip(*outs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def _in_thread(work):
    """What work() returns or raises in a fresh thread."""
    with ThreadPoolExecutor(1) as pool:
        try:
            return pool.submit(work).result()
        except RuntimeError as error:
            return error
        finally:
            pool.submit(mx.clear_streams).result()  # without, MLX aborts the process as it exits
