"""A backend that packs masks where its outputs are is read as one that doesn't; one whose pack lies is found out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from keeprate.harness.errors import BackendError, NoVerdictError
from keeprate.harness.judging.gate import answer
from keeprate.harness.judging.request import ask
from keeprate.harness.protocol.lookup import find
from keeprate.harness.workers.pool import InProcess
from keeprate.impl.backends import _torch_on
from keeprate.specs.dropout.packing import CHECKED
from keeprate.specs.dropout.sample import masks
from keeprate.specs.dropout.suite import suite

MUTANTS = Path(__file__).parents[1] / "mutants"
Plain = find(str(MUTANTS / "plain.py"), group="", kind="module").Plain


class Packed(Plain):
    dtypes = ("float32",)

    def __init__(self):
        super().__init__()
        self.packed = self.read = 0

    def asnumpy(self, x):
        self.read += 1
        return super().asnumpy(x)

    def pack(self, y, kept):
        self.packed += 1
        return np.packbits((super().asnumpy(y) == super().asnumpy(kept)).reshape(-1), bitorder="little")


class Tolerant(Packed):
    """Takes what is near for equal."""

    def pack(self, y, kept):
        near = np.isclose(super().asnumpy(y), super().asnumpy(kept), rtol=1e-5)
        return np.packbits(near.reshape(-1), bitorder="little")


class Former(Packed):
    """Packs what a buffer holds from an earlier, larger output: no small one shows it."""

    def pack(self, y, kept):
        bits = super().pack(y, kept)
        bits[4096:4100] ^= 255
        return bits


def case_of(op="dropout", calls=40):
    """The first in which masks of 65,536 entries are read."""
    asked = (op, "masks", "eager", "float32", {"p": 0.3})
    first = next(
        case
        for case in suite.cases("smoke")
        if (case.op, case.study, case.context, case.dtype, case.parameters) == asked and case.shape[0] >= 64
    )
    return first.replace(draws=calls * 65536)


@pytest.mark.parametrize("op", ["dropout", "dropout2d", "alpha_dropout"])
def test_packed_masks_are_those_of_outputs_that_are_read(op, fresh_seed):
    case = case_of(op)
    packed, plain = Packed(), Plain()
    pairs = zip(masks(case, packed, fresh_seed), masks(case, plain, fresh_seed), strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(one.mask.words, other.mask.words)
        assert (one.outcomes, one.constancy, one.repeats) == (other.outcomes, other.constancy, other.repeats)
        assert (one.sums is None) == (other.sums is None)
        assert one.sums is None or one.sums.total == other.sums.total
    calls = case.draws // one.mask.entries
    assert packed.packed >= 2 * calls
    assert packed.read < calls // 2


def test_an_output_that_is_not_pytorchs_is_read_whole_and_told_as_ever(fresh_seed):
    class Off(Packed):
        def dropout(self, x, p, train):
            out = super().dropout(x, p, train)
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls > 4:
                out.values[0, 7] += np.float32(0.5)
            return out

    case = case_of()
    samples = list(masks(case, Off(), fresh_seed))
    assert sum(one.outcomes.wrong for one in samples) == case.draws // 65536 - 4


@pytest.mark.parametrize(
    ("pack", "words"),
    [
        (lambda y, kept: np.zeros(1, np.uint8), "pack gave 1 bytes for 65,536 elements, not 8,192"),
        (lambda y, kept: [1], "pack gave a list"),
        (lambda y, kept: 1 / 0, "pack raised ZeroDivisionError"),
        (lambda y, kept: np.zeros(8192, np.uint8), r"pack says otherwise than asnumpy of [\d,]+ elements, the first"),
    ],
)
def test_a_pack_that_gives_something_else_ends_the_case_with_its_name(pack, words, fresh_seed):
    backend = Plain()
    backend.pack = pack
    with pytest.raises(BackendError, match=words):
        list(masks(case_of(), backend, fresh_seed))


def test_a_pack_that_lies_of_some_outputs_alone_is_found_on_those_that_are_read_whole(fresh_seed):
    class Sometimes(Packed):
        def pack(self, y, kept):
            bits = super().pack(y, kept)
            return bits if self.packed < 2 * CHECKED - 4 else bits ^ 1

    with pytest.raises(BackendError, match="pack says otherwise than asnumpy of 8,192 elements, the first at 0"):
        list(masks(case_of(), Sometimes(), fresh_seed))


def test_a_pack_that_lies_everywhere_is_the_adapters_fault_and_one_that_lies_of_large_outputs_fails_the_gate(
    fresh_seed,
):
    request = ask("", profile="smoke", ops="dropout", finding="dropout/neighbours:1/float32/-/64x1024/eager")
    request = replace(request.alone(), seed=fresh_seed)
    with pytest.raises(NoVerdictError, match=r"its adapter is at fault, not the framework\. pack tells what is equal"):
        answer(request, InProcess(Tolerant(), suite, request.names))
    verdict = answer(request, InProcess(Former(), suite, request.names))
    assert verdict.verdict == "broken"
    assert any("pack says otherwise than asnumpy" in (finding.detail or {}).get("reason", "") for finding in verdict)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_pytorchs_pack_for_devices_packs_as_numpy_does(dtype, fresh_seed):
    """On the CPU, where it isn't offered."""
    random = np.random.default_rng(fresh_seed)
    for shape in ((0,), (1,), (8,), (3, 5), (7, 64)):
        mask = random.random(shape) < 0.5
        kept = torch.full(shape, 1.5, dtype=getattr(torch, dtype))
        y = torch.where(torch.from_numpy(mask), kept, torch.zeros_like(kept))
        expected = np.packbits(mask.reshape(-1), bitorder="little")
        across = y.transpose(0, -1).contiguous().transpose(0, -1)
        for given in (y, across):
            np.testing.assert_array_equal(_torch_on.pack(given, kept), expected)
