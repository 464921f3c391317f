"""The kernels of examples/: the sound one passes, the one that reserves too few counters fails by that cause."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from keeprate.harness.protocol.lookup import find
from keeprate.testing import score

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "kernels.md").read_text(encoding="utf-8")
COMPILER = os.environ.get("CC", "cc")
NEEDS = {  # what each needs to be there, and whether it is
    "c": (f"a C compiler, {COMPILER}", shutil.which(COMPILER)),
    "numba": ("numba", importlib.util.find_spec("numba")),
    "triton": ("triton", importlib.util.find_spec("triton")),
}
OPTIONS = {"like": "dropout", "profile": "smoke"}
# Triton reads TRITON_INTERPRET when it is imported, which PyTorch may have done here.
APART = """
import json, sys
import triton_dropout
from keeprate.testing import score
fn = getattr(triton_dropout, sys.argv[1])
print(json.dumps(score(fn, **json.loads(sys.argv[2]), seed=triton_dropout.seed)))
"""


def scored(name, function, number, **more):
    options = OPTIONS | {"repeat": number} | more
    if name != "triton":
        module = find(str(ROOT / "examples" / f"{name}_dropout.py"), group="", kind="module")
        return score(getattr(module, function), **options, seed=module.seed)
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    command = [sys.executable, "-c", APART, function, json.dumps(options)]
    done = subprocess.run(
        command, cwd=ROOT / "examples", env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(params=NEEDS)
def example(request):
    what, there = NEEDS[request.param]
    if not there:
        pytest.skip(f"this example needs {what}, which isn't here")
    return request.param


def test_the_sound_kernel_passes(example, fresh_seed):
    found = scored(example, "dropout", fresh_seed)
    assert found["verdict"] == "conforms", found["text"]


def test_the_kernel_that_reserves_too_few_counters_fails_by_that(example, fresh_seed):
    # Interpreted, a call takes a hundredth of a second; gradients have the counters of their outputs.
    without = {"vjp": False} if example == "triton" else {}
    found = scored(example, "with_few_counters", fresh_seed, **without)
    assert {"no_stretch_twice", "all_shifts"} <= set(found["broken"]), found["sentence"]
    assert "makes each mask by shifting the one before by 16,385 entries" in " ".join(found["text"].split())


def test_the_page_names_each_example_and_nothing_else():
    files = {path.name for path in (ROOT / "examples").iterdir() if path.suffix in (".py", ".c")}
    assert set(re.findall(r"\(\.\./examples/([\w.]+)\)", PAGE)) == files
    assert {f"{name}_dropout.py" for name in NEEDS} <= files
