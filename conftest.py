"""What all tests share: seeds that are fresh and printed, never chosen; signals that each test finds as they were."""

import secrets
import signal

import psutil
import pytest

from keeprate.harness.workers.limits import counted
from keeprate.harness.workers.resources import USUAL


@pytest.hookimpl(optionalhook=True)  # without xdist there is no such hook
def pytest_xdist_auto_num_workers(config):
    """For `-n auto`, one more than there are cores in our own tests, of which some wait for what hangs."""
    return counted(USUAL) + (config.option.backend is None)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Says how a worker of pytest-xdist ended that should have gone on; without memory the system ends the largest."""
    if error:
        free = psutil.virtual_memory().available >> 20
        print(f"\n{node.gateway.id}: exit code {node.gateway._io.popen.wait(10)}; {free} MiB of memory are free")


@pytest.fixture
def fresh_seed():
    """A seed that no test chooses."""
    seed = secrets.randbits(31)
    print(f"fresh_seed = {seed}")  # pytest shows it when the test fails
    return seed


@pytest.fixture(autouse=True)
def signals_as_they_were():
    """A command that runs in this process sets its own."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def one_thread():
    """As in keeprate's own workers: the tests themselves use the cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
