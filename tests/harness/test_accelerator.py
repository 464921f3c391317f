"""PyTorch's operators on an accelerator, where there is one."""

import json

import pytest

from keeprate.impl.backends import _torch_on

KINDS = [name for name in ("cuda", "mps") if name in _torch_on.devices]
pytestmark = [
    pytest.mark.accelerator,
    pytest.mark.skipif(not KINDS, reason="PyTorch sees no accelerator here"),
]


@pytest.mark.parametrize("device", KINDS or ["none"])
def test_pytorchs_dropout_keeps_its_promises_on_the_device(keeprate, tmp_path, device):
    """Fails with probability 1e-6 when nothing is wrong: the verdict's own guarantee."""
    words = "--backend", "torch", "--device", device, "--ops", "dropout", "--profile", "quick", "--json", "v.json"
    run = keeprate("gate", *words)
    assert run.code == 0, run.out + run.err
    told = json.loads((tmp_path / "v.json").read_text())["backend"]["device"]
    assert told.startswith(device)
    print(told)
