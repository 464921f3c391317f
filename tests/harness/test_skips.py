"""A test of ours is skipped for a listed reason alone where `KEEPRATE_MAY_SKIP` names a list, as in .ci/run."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = """
import pytest

def test_of_a_framework():
    pytest.skip("jax is not installed")

@pytest.mark.skipif(True, reason="it was flaky")
def test_of_a_mark():
    pass
"""
FILE = "import pytest\n\npytest.importorskip('no_such_module', reason='no_such_module is not installed')\n"


@pytest.fixture
def skipped(tmp_path, real_pytest, monkeypatch):
    """Runs tests that skip, under the conftest.py of this repository and a list of reasons."""
    shutil.copy(ROOT / "conftest.py", tmp_path)
    (tmp_path / "test_two.py").write_text(TESTS)
    (tmp_path / "test_file.py").write_text(FILE)

    def run(*reasons):
        (tmp_path / "reasons").write_text("".join(f"{line}\n" for line in reasons))
        monkeypatch.setenv("KEEPRATE_MAY_SKIP", "reasons")
        return real_pytest("-p", "keeprate.plugin", "-n", "0", "--rootdir", tmp_path, cwd=tmp_path)

    return run


def test_listed_reasons_are_skips(skipped):
    done = skipped("# why", "*is not installed", "it was flaky")
    assert done.code == 0, done.out
    assert "3 skipped" in done.out


def test_any_other_reason_fails_a_test_and_a_file(skipped):
    done = skipped("jax is not installed")
    assert done.code != 0
    assert "skipped for a reason that reasons doesn't list: no_such_module is not installed" in done.out


def test_a_mark_is_no_way_around_it(skipped):
    done = skipped("*is not installed")
    assert done.code == 1
    assert "skipped for a reason that reasons doesn't list: it was flaky" in done.out


def test_the_list_names_frameworks_that_are_extras():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = re.findall(r"^(\w+) is not installed$", (ROOT / ".ci" / "skips").read_text(encoding="utf-8"), re.M)
    assert named
    assert set(named) <= extras.keys()
