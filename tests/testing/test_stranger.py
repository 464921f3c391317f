"""A stranger's project: its own configuration, warnings as errors, in parallel and in any order; one test is red."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

STRANGER = Path(__file__).parent / "stranger"
RANDOMLY = ("-p", "randomly") if importlib.util.find_spec("pytest_randomly") else ()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stranger")
    shutil.copytree(STRANGER, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run(project, *arguments):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PY_COLORS"))}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(
        command, cwd=project, env=clean | {"COLUMNS": "100"}, capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_three_tests_of_a_stranger_run_in_parallel_and_one_is_red(project):
    code, text = run(project, "-n", "2", *RANDOMLY)
    assert code == 1, text
    assert re.search(r"1 failed, 2 passed", text), text
    assert "FAILED tests/test_kernels.py::test_fused_dropout - AssertionError: BROKEN" in text


def test_a_failure_shows_the_line_of_the_test_and_none_of_ours_and_the_line_that_repeats_it_does(project):
    code, text = run(project, "-n", "0", "-k", "fused")
    assert code == 1, text
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
