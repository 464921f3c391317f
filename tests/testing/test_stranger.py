"""A stranger's project: its own configuration, warnings as errors, in parallel and in any order; one test is red."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

STRANGER = Path(__file__).parent / "stranger"
RANDOMLY = ("-p", "randomly") if importlib.util.find_spec("pytest_randomly") else ()


def test_of_three_tests_of_a_stranger_in_parallel_one_is_red_and_says_how_to_repeat_it(tmp_path):
    project = tmp_path / "stranger"
    shutil.copytree(STRANGER, project, ignore=shutil.ignore_patterns("__pycache__"))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PY_COLORS"))}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "2", *RANDOMLY]
    done = subprocess.run(
        command, cwd=project, env=clean | {"COLUMNS": "100"}, capture_output=True, text=True, timeout=300, check=False
    )
    text = done.stdout + done.stderr
    assert done.returncode == 1, text
    assert re.search(r"1 failed, 2 passed", text), text
    assert "FAILED tests/test_kernels.py::test_fused_dropout - AssertionError: BROKEN" in text
    # The line of the test is shown, and none of ours.
    assert '>       assert_dropout(fused_dropout, like="dropout", profile="smoke")' in text.replace("    >", ">")
    assert "keeprate/testing/" not in text.replace("\\", "/")
    again = re.search(r"assert_dropout\(fused_dropout, like='dropout', profile='smoke', seed=\d+\)", text)
    assert again, text
    # The same first line again, of the same findings.
    script = f"from keeprate.testing import assert_dropout\nfrom kernels import fused_dropout\n{again[0]}"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=project / "tests", capture_output=True, text=True, timeout=300, check=False
    )
    first = re.search(r"AssertionError: (.*)", text)[1]
    assert f"AssertionError: {first}" in done.stderr
