"""What shows a defect without keeprate, where it can be shown on any machine."""

import re
import subprocess
import sys
from pathlib import Path

from keeprate.harness.judging.known import known_beside
from keeprate.harness.protocol.suite import load_suite
from keeprate.impl.backends import torch

DEFECTS = Path(__file__).parents[1] / "docs" / "defects"


def test_a_model_of_mkls_generator_draws_masks_that_overlap():
    run = subprocess.run(
        [sys.executable, DEFECTS / "torch_intel_streams.py", "model"], capture_output=True, text=True, check=True
    )
    pairs = int(re.search(r"share a stretch: (\d+) ", run.stdout)[1])
    assert pairs > 0  # 17 are expected: none once in 3e7 runs
    said = [line for line in run.stdout.splitlines() if line.startswith("call ")]
    assert len(said) == min(pairs, 5)
    assert all(line.endswith("True (never)") for line in said)


def test_pytorch_is_known_to_repeat_itself_on_intel_cpus_alone():
    known = known_beside("torch")
    assert known.conditions == {"mkl_on_intel"}
    assert isinstance(torch.mkl_on_intel, bool)
    assert known.given([]).lines == ()
    accepted = {id for id in load_suite("dropout").promises("gate") if known.reason(id)}
    assert {id.split("/")[1] for id in accepted} >= {"no_mask_twice"}
    assert {id.split("/")[1] for id in accepted} <= {"no_mask_twice", "no_stretch_twice"}
    assert known_beside("torch-compile").conditions == known.conditions
