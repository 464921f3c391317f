"""What is imported by whom, in a fresh process: the import linter sees the arrows, this sees what they drag in."""

import subprocess
import sys

import pytest


def imported_by(module):
    """The top-level packages that are loaded once `module` is imported."""
    script = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module", ["keeprate", "specs.dropout.plan", "specs.dropout.suite", "harness.plugin", "harness.workers.child_main"]
)
def test_a_plan_and_the_judge_need_no_framework(module):
    found = imported_by(module)
    assert module.partition(".")[0] in found
    assert found.isdisjoint({"torch", "mlx", "jax", "impl"})


def test_the_public_module_starts_without_pytest():
    assert imported_by("keeprate").isdisjoint({"pytest", "_pytest", "xdist"})


@pytest.mark.parametrize("module", ["impl.dropout", "impl.alpha", "impl.backends.mlx"])
def test_the_operators_need_neither_the_judge_nor_its_tools(module):
    found = imported_by(module)
    assert {"impl", "mlx"} <= found
    assert found.isdisjoint({"harness", "specs", "reports", "keeprate", "pytest", "scipy", "torch"})


def test_the_torch_backend_needs_no_mlx():
    found = imported_by("impl.backends.torch")
    assert "torch" in found
    assert found.isdisjoint({"mlx", "harness", "specs", "pytest", "scipy"})
