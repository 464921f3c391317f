"""Pictures for a report: from a suite's rows to hexadecimal digits, for the finding that a report tells in full."""

from dataclasses import replace

import numpy as np
import pytest

from keeprate.harness.judging.finding import unjudged
from keeprate.harness.judging.gate import no_verdict
from keeprate.harness.judging.pictures import HEIGHT, WIDTH, pictures, rows_of
from keeprate.harness.judging.request import ask
from keeprate.harness.protocol.backend import Offer
from keeprate.specs.masks.packed_masks import PackedMasks
from keeprate.specs.masks.sample import picture_of
from keeprate.suite import Picture


def masks(shape, seed):
    mask = np.random.default_rng(seed).random(shape) < 0.7
    return PackedMasks.of(mask[None]), mask


@pytest.mark.parametrize("shape", [(64, 1024), (33, 64), (4, 6), (5, 7), (3, 1), (200,), (40, 76)])
def test_a_picture_shows_the_first_entries_of_a_mask(shape, fresh_seed):
    bits, mask = masks(shape, fresh_seed)
    width, rows = rows_of(picture_of(bits))
    shown = mask.reshape(-1, shape[-1])[:HEIGHT, :WIDTH]
    found = [[bit == "1" for bit in f"{int(row, 16):0{4 * len(row)}b}"[:width]] for row in rows]
    assert width == shown.shape[1]
    assert found == shown.tolist()


@pytest.mark.parametrize("picture", [None, Picture("title", ()), Picture("title", ("",))])
def test_where_there_is_nothing_to_show_there_is_no_picture(picture):
    assert rows_of(picture) is None


def test_of_each_law_the_first_that_broke_in_a_plain_call_leads():
    request = ask("mlx", profile="quick", ops=["dropout"], dtypes=["float32"])
    broken = tuple(unjudged(promise, "broken", "") for promise in request.promises.values())
    leads = replace(no_verdict(request, ""), findings=broken).leads
    laws = {finding.family for finding in broken}
    assert len(leads) == len(laws) > 10
    for finding in leads:
        plain = [one for one in broken if one.family == finding.family]
        assert finding.context == "eager" or all(one.context != "eager" for one in plain)


def test_what_ended_in_an_error_has_no_picture():
    request = ask("mlx", profile="quick", ops=["dropout"], dtypes=["float32"])
    offer = Offer("mine", "1", "cpu", ("float32",), tuple(request.names))
    one, other, *_ = request.promises.values()
    findings = [unjudged(one, "error", ""), unjudged(other, "broken", "")]
    drawn = pictures(request.given(offer), findings, {}, lambda job: Picture("title", ("10",)))
    assert list(drawn) == [str(other.id)]
