"""The README's first example and the page on testing do as they say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import keeprate.testing
from keeprate.specs.transforms import TRANSFORMS
from keeprate.testing.dropout import LENDABLE, Options

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
KERNEL = """
from torch.nn import functional as F

def fused_dropout2d(x, p, train):
    return F.{}(x, p, train)
"""


CONFTEST = """
import random

import pytest


@pytest.fixture(autouse=True)
def the_state_of_random_stays():
    random.seed(7)
    yield
    assert random.random() == random.Random(7).random()
"""


def blocks(text):
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run(folder, *command):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(("kernel", "code"), [("dropout2d", 0), ("dropout", 1)])
def test_the_readmes_first_example_passes_what_is_sound_and_fails_what_is_not(kernel, code, tmp_path):
    first, *_ = blocks((ROOT / "README.md").read_text(encoding="utf-8"))
    (tmp_path / "test_kernels.py").write_text(first.replace('"dropout2d")', '"dropout2d", profile="smoke")'))
    (tmp_path / "kernels.py").write_text(KERNEL.format(kernel))
    (tmp_path / "conftest.py").write_text(CONFTEST)
    done = run(tmp_path, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0")
    assert done.returncode == code, done.stdout
    assert ("fused_dropout2d draws a mask for each element" in done.stdout) == bool(code)


def test_every_option_and_every_key_of_a_score_is_on_the_page():
    assert set(LENDABLE) >= {*TRANSFORMS, "vjp"}
    for name in {*Options.__annotations__, "like"}:
        assert f"`{name}`" in PAGE, name
    found = keeprate.testing.score(lambda x, p, train: None, on="torch", profile="smoke")
    assert found["verdict"] == "none"
    listed = re.search(r"It returns (.*?)\.\n", PAGE, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", listed[1])) == set(found)


def test_importing_it_loads_no_framework_and_nothing_that_judges():
    script = "import sys, keeprate.testing; print(*sys.modules)"
    loaded = run(ROOT, sys.executable, "-P", "-c", script).stdout.split()
    assert {"keeprate.testing", "keeprate.testing.dropout"} <= set(loaded)
    assert not {"torch", "mlx", "scipy", "pytest", "keeprate.harness.judging"} & set(loaded)
