"""What is imported by whom, in a fresh process: the import linter sees the arrows, this sees what they drag in."""

import subprocess
import sys

import pytest


def imported_by(module):
    """The top-level packages that are loaded once `module` is imported, and of ours the next names as well."""
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True, timeout=60)
    found = [name.split(".") for name in done.stdout.split()]
    return {parts[1] if parts[0] == "keeprate" and len(parts) > 1 else parts[0] for parts in found}


@pytest.mark.parametrize(
    "module",
    [
        "keeprate.specs.dropout.plan",
        "keeprate.specs.dropout.suite",
        "keeprate.specs.masks.independence",
        "keeprate.harness.plugin",
        "keeprate.harness.workers.child_main",
        "keeprate.harness.commands.entry",
    ],
)
def test_a_plan_and_the_judge_need_no_framework(module):
    found = imported_by(module)
    assert module.split(".")[1] in found
    assert found.isdisjoint({"torch", "mlx", "jax", "impl"})


def test_the_public_module_loads_nothing_until_it_is_asked():
    assert imported_by("keeprate").isdisjoint({"harness", "specs", "impl", "reports", "numpy"})


def test_the_command_line_starts_without_pytest():
    assert imported_by("keeprate.harness.commands.entry").isdisjoint({"pytest", "_pytest", "xdist"})


@pytest.mark.parametrize("module", ["keeprate.impl.dropout", "keeprate.impl.alpha", "keeprate.impl.backends.mlx"])
def test_the_operators_need_neither_the_judge_nor_its_tools(module):
    found = imported_by(module)
    assert {"impl", "mlx"} <= found
    assert found.isdisjoint({"harness", "specs", "reports", "pytest", "scipy", "torch"})


def test_the_torch_backend_needs_no_mlx():
    found = imported_by("keeprate.impl.backends.torch")
    assert "torch" in found
    assert found.isdisjoint({"mlx", "harness", "specs", "pytest", "scipy"})
