"""The kernels of examples/: the sound one passes, the one that reserves too few counters fails by that cause.

Triton's interpreter takes a hundredth of a second for each call, so of its faulty kernel only two calls are looked at.
"""

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
SOUND = """
import json, sys
import triton_dropout
from keeprate.testing import score
print(json.dumps(score(triton_dropout.dropout, **json.loads(sys.argv[1]), seed=triton_dropout.seed)))
"""
SHIFTED = """
import sys
import torch
import triton_dropout
triton_dropout.seed(int(sys.argv[1]))
one, other = (triton_dropout.with_few_counters(torch.ones(65536), 0.5, True) for _ in range(2))
assert torch.equal(one[16384:], other[:-16384]) and not torch.equal(one, other)
"""


def scored(name, function, number):
    module = find(str(ROOT / "examples" / f"{name}_dropout.py"), group="", kind="module")
    return score(getattr(module, function), **OPTIONS, repeat=number, seed=module.seed)


def interpreted(script, argument):
    """What a process prints in which Triton runs on the CPU."""
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    command = [sys.executable, "-c", script, argument]
    done = subprocess.run(
        command, cwd=ROOT / "examples", env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(params=NEEDS)
def example(request):
    what, there = NEEDS[request.param]
    if not there:
        pytest.skip(f"this example needs {what}, which isn't here")
    return request.param


def test_the_sound_kernel_passes(example, fresh_seed):
    if example == "triton":
        found = json.loads(interpreted(SOUND, json.dumps(OPTIONS | {"repeat": fresh_seed})).splitlines()[-1])
    else:
        found = scored(example, "dropout", fresh_seed)
    assert found["verdict"] == "conforms", found["text"]


@pytest.mark.parametrize("example", ["c", "numba"], indirect=True)
def test_the_kernel_that_reserves_too_few_counters_fails_by_that(example, fresh_seed):
    found = scored(example, "with_few_counters", fresh_seed)
    assert {"no_stretch_twice", "all_shifts"} <= set(found["broken"]), found["sentence"]
    assert "makes each mask by shifting the one before by 16,385 entries" in " ".join(found["text"].split())


@pytest.mark.parametrize("example", ["triton"], indirect=True)
def test_tritons_faulty_kernel_begins_a_mask_with_the_last_three_quarters_of_the_one_before(example, fresh_seed):
    interpreted(SHIFTED, str(fresh_seed))


def test_the_page_names_each_example_and_nothing_else():
    files = {path.name for path in (ROOT / "examples").iterdir() if path.suffix in (".py", ".c")}
    assert set(re.findall(r"\(\.\./examples/([\w.]+)\)", PAGE)) == files
    assert {f"{name}_dropout.py" for name in NEEDS} <= files
