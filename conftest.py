"""What all tests share: seeds that are fresh and printed, never chosen; signals that each test finds as they were."""

import gc
import os
import secrets
import shutil
import signal
from fnmatch import fnmatch
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from keeprate.harness.errors import BackendError, NotOffered, Unreadable
from keeprate.harness.protocol.hypothesis import Hypothesis
from keeprate.harness.workers.launch import SINGLE_THREADED
from keeprate.harness.workers.limits import counted
from keeprate.harness.workers.resources import USUAL

# `make quick` runs what neither starts workers nor judges whole plans: folders and files of tests/, less the latter.
QUICK = ("impl", "specs", "test_layers.py", "test_neutral.py", "test_structure.py")
HARNESS = ("circuit_breaker", "diagnosis", "docs", "encoding", "limits", "moments", "offer", "picture", "planner")
SLOWER = {
    f"test_{name}.py"
    for name in ("frameworks", "hypotheses", "not_offered", "plan", "recorded", "rows", "training", "two_faults")
}
LONGEST = ("test_examples.py", "test_jax.py")  # Triton's kernels are interpreted, JAX compiles each operation
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a shell's background: what tests interrupt inherits it
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.update(SINGLE_THREADED)  # whose threads would wait for one another in each of pytest-xdist's workers
MAY_SKIP = "KEEPRATE_MAY_SKIP"  # a file of patterns, one a line: why a test may be skipped there, and for nothing else


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Looks for no garbage while thousands of tests are collected, and later not among them: all are kept."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items):
    """Marks what is quick, and has what takes longest begin first, so that no worker waits for it at the end."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
    tests = Path(__file__).parent / "tests"
    names = {f"test_{name}.py" for name in HARNESS}
    for item in items:
        if item.path.is_relative_to(tests):
            folder = item.path.relative_to(tests).parts[0]
            chosen = item.path.name in names if folder == "harness" else folder in QUICK
            if chosen and item.path.name not in SLOWER:
                item.add_marker("quick")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Fails a test of ours that is skipped for a reason that isn't listed; a finding that isn't offered is none."""
    return allowed((yield), item.config)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """The same of a whole file."""
    return allowed((yield), collector.config)


def allowed(report, config):
    """The report, failed if it is of a skip for a reason that the file of `MAY_SKIP` doesn't list."""
    path = os.environ.get(MAY_SKIP)
    if path and report.skipped and not hasattr(report, "wasxfail") and config.option.backend is None:
        lines = (config.rootpath / path).read_text(encoding="utf-8").splitlines()
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not any(fnmatch(reason, line) for line in lines if line and not line.startswith("#")):
            report.outcome, report.longrepr = "failed", f"skipped for a reason that {path} doesn't list: {reason}"
    return report


@pytest.hookimpl(optionalhook=True)  # without xdist there is no such hook
def pytest_xdist_auto_num_workers(config):
    """For `-n auto`, three more than there are cores in our own tests, of which many wait for what hangs or starts."""
    return counted(USUAL) + 3 * (config.option.backend is None)


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


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Fills a folder once for all of pytest-xdist's workers: the first does, the others wait for it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name, fill):
        folder, filled = shared / name, shared / f"{name}.filled"
        with FileLock(shared / f"{name}.lock"):
            if not filled.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed half-way
                folder.mkdir()
                fill(folder)
                filled.touch()
        return folder

    return made


@pytest.fixture(autouse=True)
def signals_as_they_were():
    """A command that runs in this process sets its own."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def no_hypothesis_fails(monkeypatch):
    """A run goes on without a hypothesis that raises; none of ours may."""
    faults, ask = [], Hypothesis.__call__

    def asked(hypothesis, *arguments):
        try:
            return ask(hypothesis, *arguments)
        except (BackendError, NotOffered, Unreadable):
            raise
        except Exception as fault:  # whatever it is: the run goes on, and the test fails at its end
            if hypothesis.function.__module__.startswith("keeprate."):
                faults.append((hypothesis.name, fault))
            raise

    monkeypatch.setattr(Hypothesis, "__call__", asked)
    yield
    assert not faults


@pytest.fixture(scope="module")
def one_thread():
    """As in keeprate's own workers: the tests themselves use the cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
