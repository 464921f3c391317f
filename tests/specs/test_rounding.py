"""How far a value may be off: what faithful frameworks do is allowed, what a narrow constant does is not."""

import numpy as np
import pytest
import torch

from keeprate.specs.dropout import reference
from keeprate.specs.dropout.aims import ENDS, MAIN
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.inputs import probes
from keeprate.specs.rounding import bounds, holds, representable, ulp

DTYPES = ("float32", "float64", "float16", "bfloat16")


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_ulp_is_the_distance_to_the_next_number(dtype, fresh_seed):
    torch.manual_seed(fresh_seed)
    x = torch.randn(1000, dtype=torch.float64).mul(torch.randn(1000).exp()).to(getattr(torch, dtype)).abs()
    beyond = torch.nextafter(x, torch.full_like(x, torch.inf)).to(torch.float64)
    assert np.array_equal(ulp(x.to(torch.float64).numpy(), dtype), (beyond - x.to(torch.float64)).numpy())


@pytest.mark.parametrize("dtype", DTYPES)
def test_representable_is_what_torch_rounds_to(dtype, fresh_seed):
    x = (
        np.random.default_rng(fresh_seed).normal(size=1000).astype(np.float32).astype(np.float64)
    )  # torch rounds to it first
    assert np.array_equal(
        representable(x, dtype), torch.from_numpy(x).to(getattr(torch, dtype)).to(torch.float64).numpy()
    )


def test_a_dtype_holds_another_where_each_number_comes_back():
    wider = {"float64": [64], "float32": [64, 32], "bfloat16": [64, 32], "float16": [64, 32, 16]}
    for dtype, bits in wider.items():
        assert [size for size in (64, 32, 16) if holds(np.dtype(f"f{size // 8}"), dtype)] == bits


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", ["dropout", "alpha_dropout"])
def test_other_roundings_of_the_same_formula_are_allowed(name, dtype):
    contract = CONTRACTS[name]
    values = probes(contract, dtype)
    exact = CONTRACTS[name]
    for p in (*MAIN, *ENDS):
        allowed = reference.table(contract, dtype, p, values)
        once = reference.table(exact, "float64", p, values)  # one rounding, from exact arithmetic
        assert allowed.is_kept(representable(once.kept, dtype)).all(), p
        assert allowed.is_dropped(representable(once.dropped, dtype)).all(), p


def test_constants_formed_in_a_narrow_dtype_are_not_allowed():
    values = probes(CONTRACTS["dropout"], "float32")
    allowed = reference.table(CONTRACTS["dropout"], "float32", 0.1, values)
    narrow = np.array(values) * representable(1 / representable(0.9, "float16"), "float16")
    assert not allowed.is_kept(representable(narrow, "float32")).any()


def test_where_pytorch_overflows_the_largest_number_is_allowed():
    low, high = bounds(np.array([np.inf, -np.inf, np.nan]), np.zeros(3), "float16")
    assert (low[0], high[0]) == (65504, np.inf)
    assert (low[1], high[1]) == (-np.inf, -65504)
    assert np.isnan(low[2])
    assert np.isnan(high[2])
