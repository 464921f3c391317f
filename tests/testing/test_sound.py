"""What is sound passes in silence: PyTorch's eight operators and layers, NumPy's and MLX's, and leaves no trace."""

import contextlib
import random
from functools import partial
from types import SimpleNamespace

import mlx.core as mx
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from keeprate.impl import random as impl_random
from keeprate.impl.backends import mlx as of_mlx
from keeprate.impl.backends import numpy as of_numpy
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.testing import assert_dropout, score
from keeprate.testing.arrays import FRAMEWORKS
from keeprate.testing.asking import dtype_names
from keeprate.testing.calls import called
from keeprate.testing.kernel import _told

OPERATORS = (
    *("dropout", "dropout_", "feature_dropout", "dropout1d", "dropout2d", "dropout3d"),
    *("alpha_dropout", "feature_alpha_dropout"),
)
LAYERS = nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout


@pytest.mark.parametrize("op", OPERATORS)
def test_pytorchs_operators_pass_by_their_names(op, fresh_seed, capfd):
    fn = getattr(F, op, None) or getattr(torch, op)
    assert assert_dropout(fn, profile="smoke", seed=fresh_seed) is None
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("layer", LAYERS)
def test_pytorchs_layers_pass_as_classes(layer, fresh_seed):
    assert_dropout(layer, profile="smoke", seed=fresh_seed)


@pytest.mark.parametrize("op", OPERATORS)
def test_operators_of_numpy_pass(op, fresh_seed):
    assert_dropout(getattr(of_numpy, op), op, profile="smoke", seed=of_numpy.seed, repeat=fresh_seed)


@pytest.mark.parametrize("op", OPERATORS)
def test_operators_of_mlx_pass(op, fresh_seed):
    assert_dropout(getattr(of_mlx, op), op, profile="smoke", seed=impl_random.seed, repeat=fresh_seed)


def numpy_global(x, p, train):
    if not 0 <= p <= 1:
        raise ValueError(f"p = {p}")
    if x.dtype.kind != "f":
        raise TypeError(f"{x.dtype} can't be scaled")
    if not train or p == 0:
        return x
    if p == 1:
        return x * 0
    return np.where(np.random.random(x.shape) >= p, x * x.dtype.type(1 / (1 - float(p))), x.dtype.type(0))


def mlx_global(x, p, train):
    if not 0 <= p <= 1:
        raise ValueError(f"p = {p}")
    if not mx.issubdtype(x.dtype, mx.floating):
        raise TypeError(f"{x.dtype} can't be scaled")
    if not train or p == 0:
        return x
    if p == 1:
        return x * 0
    scale = mx.array(1 / (1 - float(p)), x.dtype)
    return mx.where(mx.random.bernoulli(1 - float(p), x.shape), x * scale, mx.zeros_like(x))


@pytest.mark.parametrize("fn", [numpy_global, mlx_global])
def test_the_framework_is_told_by_what_comes_back_and_its_global_generator_is_seeded(fn, fresh_seed):
    assert_dropout(fn, profile="smoke", seed=fresh_seed)


def test_quick_and_other_dtypes_pass_with_the_frameworks_transforms(fresh_seed):
    found = score(F.dropout, dtypes=(torch.float16, "bfloat16"), seed=fresh_seed)
    assert found["verdict"] == "conforms", found["text"]
    assert found["detectable"] <= 0.005
    assert {"the backend has no compile", "the backend has no module"} <= found["not_offered"].keys()
    assert not any("vmap" in reason or "checkpoint" in reason for reason in found["not_offered"])


def test_a_factory_of_layers_a_function_without_a_mode_and_ones_that_are_told_p_or_the_mode_by_name_pass(fresh_seed):
    assert_dropout(lambda p: nn.Dropout(p), profile="smoke", seed=fresh_seed)
    assert_dropout(partial(nn.Dropout2d), profile="smoke", seed=fresh_seed)
    assert_dropout(lambda x, p, *, training: F.dropout(x, p, training), profile="smoke", seed=fresh_seed)
    assert_dropout(lambda x, *, p, train: F.dropout(x, p, train), profile="smoke", seed=fresh_seed)
    assert_dropout(lambda x, p, inplace=False, training=True: F.dropout(x, p, training, inplace), profile="smoke")
    found = score(lambda x, p: F.dropout(x, p), profile="smoke", seed=fresh_seed)
    assert found["verdict"] == "conforms", found["text"]
    assert "the function(x, p) is told no mode" in found["not_offered"]


def test_a_library_that_patches_anothers_operators_is_judged_in_its_context(fresh_seed):
    calls = []

    @contextlib.contextmanager
    def patched():
        calls.append(1)
        yield

    assert_dropout(F.dropout, context=patched, profile="smoke", seed=fresh_seed)
    assert len(calls) > 100
    assert_dropout(F.dropout, context=contextlib.nullcontext(), profile="smoke", seed=fresh_seed)


def test_arrays_of_a_namespace_of_the_array_api_are_read_by_dlpack(fresh_seed):
    namespace = SimpleNamespace(asarray=torch.asarray, float32=torch.float32, float64=torch.float64)
    options = {"on": namespace, "seed": torch.manual_seed, "repeat": fresh_seed}
    assert_dropout(F.dropout, "dropout", profile="smoke", **options)


def test_what_a_function_can_not_stand_is_not_offered_and_said(fresh_seed):
    class Forward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, p, train):
            return F.dropout(x, p, train)

    def kernel(x, p, train):
        return Forward.apply(x, p, train)

    found = score(kernel, vjp=False, profile="smoke", seed=fresh_seed)
    assert found["verdict"] == "conforms", found["text"]
    assert "the backend has no vjp" in found["not_offered"]
    found = score(kernel, profile="smoke", seed=fresh_seed)
    assert any("backward" in reason for reason in found["not_offered"]), found["text"]


def test_a_function_that_raises_under_a_map_that_spares_its_input_is_not_offered_that_alone(fresh_seed):
    def dropout(x, p, train):
        if not 0 <= p <= 1 or not x.is_floating_point():
            raise ValueError(f"{x.dtype}, p = {p}")
        if not train or p == 0:
            return x * 1
        return x * (torch.empty_like(x).bernoulli_(1 - p).div_(1 - p) if p < 1 else 0)

    found = score(dropout, seed=fresh_seed)
    assert found["verdict"] == "conforms", found["text"]
    reason, *more = [text for text in found["not_offered"] if "vmap" in text]
    assert reason.startswith("under vmap of one x it raises RuntimeError: vmap: Cannot ask for different inplace")
    assert not more


def test_what_the_caller_has_set_reaches_no_run_and_is_put_back(fresh_seed):
    with np.errstate(all="raise"), torch.no_grad(), torch.inference_mode():
        found = score(F.dropout, profile="smoke", seed=fresh_seed)
        assert found["verdict"] == "conforms", found["text"]
        assert set(np.geterr().values()) == {"raise"}
        assert torch.is_inference_mode_enabled()
        assert not torch.is_grad_enabled()


def test_dtypes_of_every_framework_are_taken():
    assert dtype_names(np.float32) == dtype_names(torch.float32) == dtype_names(np.dtype("float32")) == ["float32"]
    assert dtype_names((mx.float16, np.float64, "bfloat16")) == ["float16", "float64", "bfloat16"]


def test_a_framework_is_not_told_by_an_input_that_comes_back():
    calls = []

    def inverted(x, p, train):
        return x if train else F.dropout(x, p, True)

    def warming_up(x, p, train):
        calls.append(train)
        return F.dropout(x, p, train) if len(calls) > 3 else x

    for fn in (inverted, warming_up, F.dropout):
        assert _told("dropout", called(fn), CONTRACTS["dropout"])["seed"] is FRAMEWORKS["torch"]()["seed"]


def test_a_function_with_a_generator_of_its_own_is_told_how_to_leave_checkpoint_out(fresh_seed):
    own = torch.Generator()

    def dropout(x, p, train):
        if not 0 <= p <= 1 or not x.is_floating_point():
            raise ValueError(f"{x.dtype}, p = {p}")
        if not train or p == 0:
            return x * 1
        kept = torch.rand(x.shape, generator=own) >= p
        return torch.where(kept, x * (1 / (1 - p) if p < 1 else 0), torch.zeros_like(x))

    options = {"seed": own.manual_seed, "repeat": fresh_seed}
    text = score(dropout, **options)["text"]
    assert " ".join(text.split()).endswith("If dropout isn't called under it, say so: checkpoint=False")
    assert_dropout(dropout, checkpoint=False, **options)


def test_random_states_and_threads_are_what_they_were(fresh_seed):
    torch.manual_seed(fresh_seed)
    np.random.seed(fresh_seed)
    mx.random.seed(fresh_seed)
    random.seed(fresh_seed)
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), mx.random.state[0].tolist(), random.getstate()
    threads = torch.get_num_threads()
    assert_dropout(F.dropout, profile="smoke")
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]
    assert mx.random.state[0].tolist() == states[2]
    assert random.getstate() == states[3]
    assert torch.get_num_threads() == threads
