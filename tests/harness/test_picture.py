"""Pictures for a report: from a suite's lines of text to rows of bits, for the finding that a report tells in full."""

import numpy as np
import pytest

from keeprate.harness.judging.finding import unjudged
from keeprate.harness.judging.pictures import HEIGHT, WIDTH, leading, rows_of
from keeprate.harness.judging.request import ask
from keeprate.specs.masks.packed_masks import PackedMasks
from keeprate.specs.masks.picture import lines


def masks(shape, seed):
    bits = PackedMasks.empty(1, shape)
    mask = np.random.default_rng(seed).random(shape) < 0.7
    bits.put(0, mask)
    return bits, mask


@pytest.mark.parametrize("shape", [(64, 1024), (33, 64), (4, 6), (5, 7), (3, 1), (200,), (40, 76)])
def test_a_picture_shows_the_first_entries_of_a_mask(shape, fresh_seed):
    bits, mask = masks(shape, fresh_seed)
    width, rows = rows_of(lines(bits))
    shown = mask.reshape(-1, shape[-1])[:HEIGHT, :WIDTH]
    found = [[bit == "1" for bit in f"{int(row, 16):0{4 * len(row)}b}"[:width]] for row in rows]
    assert width == shown.shape[1]
    missing = len(shown) - len(found)  # a last row in which nothing is kept can't be told from none
    assert found == shown[: len(found)].tolist() and missing in (0, 1) and not shown[len(found) :].any()


@pytest.mark.parametrize("text", [[], ["title"], ["title", "a mask"], ["title", "▀x"], ["title", ""]])
def test_other_lines_are_no_picture(text):
    assert rows_of(text) is None


def test_of_each_law_the_first_that_broke_in_a_plain_call_is_shown():
    promises = ask("mlx", profile="quick", ops=["dropout"], dtypes=["float32"]).promises
    broken = [unjudged(promise, "broken", "") for promise in promises.values()]
    chosen = leading(broken)
    laws = {finding.law.partition(":")[0] for finding in broken}
    assert len(chosen) == len(laws) > 10
    for finding in chosen:
        plain = [one for one in broken if one.law.partition(":")[0] == finding.law.partition(":")[0]]
        assert finding.context == "eager" or all(one.context != "eager" for one in plain)
    assert leading([unjudged(promise, "error", "") for promise in promises.values()]) == []
