"""What is left out of the work: the first or the last of an axis is told by its name, and no other fault is."""

from pathlib import Path

import numpy as np
import pytest

from keeprate.harness.protocol.engine import Job, run
from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import load_suite
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.hypotheses import every
from keeprate.specs.dropout.hypotheses.clues import standard

plain = find(str(Path(__file__).parents[1] / "mutants" / "plain.py"), group="", kind="module")
Plain = plain.Plain
SUITE = load_suite("dropout")
BY_NAME = {one.name: one for one in SUITE.hypotheses}
NAMES = ("left_out_unchanged", "left_out_kept", "left_out_dropped")


def masked(change):
    """A backend whose masks are changed."""

    def draw(self, shape, p):
        mask = Plain.draw(self, shape, p).copy()
        if mask.size and mask.ndim:
            change(mask)
        return mask

    return type("Masked", (Plain,), {"draw": draw})


def returned(change):
    """A backend that returns some inputs as they were."""

    def scaled(self, x, mask, p):
        values, noise = Plain.scaled(self, x, mask, p)
        there = np.zeros(x.values.shape, bool)
        if there.size and there.ndim:
            change(there)
        return np.where(there, x.values, values), noise

    return type("Returned", (Plain,), {"scaled": scaled})


def put(value, *places):
    """Sets what is there."""

    def change(array):
        for place in places:
            array[place] = value

    return change


FIRST, LAST = np.s_[:1], np.s_[-1:]
CHANNEL = np.s_[:, :1]
CASES = (
    (returned(put(True, FIRST)), "feature_dropout", "returns the first sample of a batch unchanged"),
    (returned(put(True, LAST)), "dropout2d", "returns the last sample of a batch unchanged"),
    (returned(put(True, np.s_[:, :1])), "dropout1d", "returns the first channel of each sample unchanged"),
    (returned(put(True, FIRST)), "dropout", "returns the first row of a batch (axis 0) unchanged"),
    (returned(put(True, np.s_[..., -1:])), "dropout", "returns the last entry of each row unchanged"),
    (returned(put(True, FIRST, LAST)), "dropout", "returns the first and the last row of a batch (axis 0) unchanged"),
    (masked(put(True, FIRST)), "dropout", "never drops the first row of a batch (axis 0)"),
    (masked(put(True, np.s_[:, -1:])), "dropout2d", "never drops the last channel of each sample"),
    (masked(put(False, LAST)), "dropout", "always drops the last row of a batch (axis 0)"),
    (masked(put(True, LAST)), "embedding_dropout", "never drops the last row"),
    # What these are true of is something else: a number of entries, a row in the middle, one in most calls, or all.
    (returned(lambda there: put(True, np.s_[-779:])(there.reshape(-1))), "dropout", ""),
    (masked(lambda mask: put(True, np.s_[:779])(mask.reshape(-1))), "dropout", ""),
    (masked(put(True, np.s_[1:2])), "dropout", ""),
    (masked(put(True, np.s_[:2])), "dropout2d", ""),
    (masked(put(True, ...)), "dropout", ""),
    (Plain, "dropout", ""),
    (Plain, "feature_dropout", ""),
)


@pytest.mark.parametrize(("made", "op", "said"), CASES, ids=[f"{op}-{said or 'none'}" for _, op, said in CASES])
def test_what_is_left_out_is_named_and_nothing_else_is(made, op, said, fresh_seed):
    """A place is kept in 64 calls by chance with a probability of 2⁻⁶⁴."""
    case = every._case(op, "float32", "eager", "clues", standard(CONTRACTS[op]), NAMES)
    result = run(SUITE, made(), Job("backend", case, fresh_seed, dict.fromkeys(case.findings)))
    assert not result.error
    accepted = [(text.split("/")[1], one) for text, one in result.evidence.items() if one.accepted]
    sentences = [BY_NAME[name].says.format_map(one.given) for name, one in accepted]
    assert (sentences[0] if sentences else "") == said
    assert len(sentences) <= 2  # what is returned as it was is kept as well


def test_the_first_sample_that_is_left_out_explains_all_that_breaks():
    """Values, masks, modes and gradients are wrong by it."""
    mutation = find(str(Path(__file__).parents[1] / "mutation.py"), group="", kind="module")
    verdict = mutation.judged(CASES[0][0], mutation.asked_of(CASES[0][0], "feature_dropout", "smoke"))
    assert verdict.causes[0].id == "left_out_unchanged"
    assert len(verdict.causes[0].explains) == len(verdict.failing)
