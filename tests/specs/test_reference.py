"""PyTorch under a given mask, and the contracts that say which function that is."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from keeprate.harness.errors import NoVerdictError
from keeprate.specs.dropout import reference
from keeprate.specs.dropout.aims import ENDS, MAIN
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.inputs import PROBES, cotangent, probes
from keeprate.specs.given_mask import GivenMask, tensor, values

DTYPES = ("float32", "float64", "float16", "bfloat16")
EVERY = pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)


@pytest.mark.parametrize("contract", [one for one in CONTRACTS.values() if not one.optional], ids=lambda one: one.name)
def test_a_contract_says_what_pytorch_takes_and_refuses(contract):
    for rank in range(6):
        refused = reference.refuses(contract, "float32", 0.3, (2,) * rank, train=True)
        assert refused == (rank in contract.refused)
        assert not (refused and rank in contract.ranks)


@EVERY
def test_a_mask_that_is_given_is_the_mask_that_is_used(contract, fresh_seed):
    random = np.random.default_rng(fresh_seed)
    for rank in contract.ranks:
        x = np.reshape(random.choice(probes(contract, "float32"), 3**rank), (3,) * rank)
        mask = np.asarray(random.random(contract.mask_shape(x.shape)) < 0.5)
        out, gradient = reference.replay(contract, "float32", 0.3, x, mask, np.ones_like(x))
        both = reference.outcomes(contract, "float32", 0.3, x)
        whole = np.broadcast_to(mask.reshape(mask.shape + (1,) * (rank - mask.ndim)), x.shape)
        assert np.array_equal(out, np.where(whole, both.kept, both.dropped))
        assert np.array_equal(gradient != 0, whole)


@EVERY
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # which PyTorch itself imports
def test_a_tangent_of_pytorch_is_what_its_gradient_is(contract, dtype, fresh_seed):
    """An entry depends on its own input alone: `derivatives` takes one for the other."""
    random = np.random.default_rng(fresh_seed)
    x = np.reshape(random.choice(probes(contract, dtype), 3 ** max(contract.ranks)), (3,) * max(contract.ranks))
    along = cotangent(x.shape, dtype, seed=1)
    mask = np.asarray(random.random(contract.mask_shape(x.shape)) < 0.5)
    _, gradient = reference.replay(contract, dtype, 0.3, x, mask, along)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(tensor(x, dtype), tensor(along, dtype))
        with GivenMask(mask):
            out = reference.call(contract, dual, 0.3, True)
        tangent = torch.autograd.forward_ad.unpack_dual(out).tangent
    assert np.array_equal(values(tangent), gradient)


@EVERY
@pytest.mark.parametrize("dtype", DTYPES)
def test_kept_and_dropped_stay_apart_for_every_probe(contract, dtype):
    values = probes(contract, dtype)
    assert len(set(values)) == PROBES
    for p in (*MAIN, *ENDS, 1e-5, 1e-6):
        table = reference.table(contract, dtype, p, values)
        apart = (table.kept_low > table.dropped_high) | (table.kept_high < table.dropped_low)
        assert apart.all(), p
        assert np.isfinite(table.kept).all()


@EVERY
def test_an_unforced_call_gives_one_of_the_two_outcomes(contract):
    x = np.reshape(probes(contract, "bfloat16"), (4, 4) + (1,) * (max(contract.ranks) - 3) + (4,))
    x = x if max(contract.ranks) > 2 else x.reshape(8, 8)
    y = values(reference.call(contract, tensor(x, "bfloat16"), 0.3, True))
    assert reference.outcomes(contract, "bfloat16", 0.3, x).allows(y).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_pytorch_preserves_mean_and_variance_to_the_dtypes_rounding(dtype):
    contract = CONTRACTS["alpha_dropout"]
    step = torch.finfo(getattr(torch, dtype)).eps
    for p in MAIN:
        table = reference.table(contract, dtype, p, probes(contract, dtype))
        first = np.mean((1 - p) * table.kept + p * table.dropped)
        second = np.mean((1 - p) * table.kept**2 + p * table.dropped**2)
        largest = np.abs(table.kept).max()
        assert abs(first) < 2 * step * largest
        assert abs(second - 1) < 4 * step * largest**2


def test_a_reference_that_draws_otherwise_is_no_reference(monkeypatch):
    monkeypatch.setattr(torch, "dropout_", lambda x, p, train: x.bernoulli_(0.5).bernoulli_(0.5))
    with pytest.raises(NoVerdictError, match="drew 2 masks"):
        reference.replay(CONTRACTS["dropout_"], "float32", 0.3, np.ones(4), 1.0)


FORKED = """
import json, os
import numpy as np
from keeprate.specs.dropout import reference
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.suite import suite

for number in range(2):
    read, write = os.pipe()
    if not os.fork():
        suite.forked()
        drawn = reference.torch.rand(4).tolist()
        x, mask = np.ones(2), np.array([True, False])
        _, gradient = reference.replay(CONTRACTS["dropout"], "float32", 0.5, x, mask, x)
        os.write(write, json.dumps([drawn, gradient.tolist()]).encode())
        os._exit(0)
    os.close(write)
    print(os.read(read, 1 << 12).decode())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are spawned")
def test_pytorch_draws_afresh_and_replays_gradients_in_processes_that_are_forked():
    run = subprocess.run([sys.executable, "-P", "-c", FORKED], capture_output=True, text=True, check=True, timeout=120)
    (one, gradient), (other, same) = map(json.loads, run.stdout.splitlines())
    assert one != other
    assert gradient == same == [2.0, 0.0]
