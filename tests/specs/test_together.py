"""A fault that all operators share, in a gate as the plan draws it: what no finding sees alone, all see together."""

import math

import numpy as np
import pytest

from keeprate.harness.judging.gate import Docket, conclude
from keeprate.harness.judging.request import ask
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.engine import Result
from keeprate.specs.dropout.aims import APART, MAIN, TOGETHER, WEIGHTS
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.masks.rate import GRID, KEPT, RARE
from keeprate.suite import Tally

OFF = 0.0002  # of each main rate; the plan looks for 0.001
DTYPES = ("float32", "float16", "bfloat16")


def counted(case, off, random):
    """What `keep_rate` counts of a backend that drops with p + off, were it called as the plan says."""
    p, entries = case.parameters["p"], math.prod(CONTRACTS[case.op].mask_shape(case.shape))
    draws = -(-case.draws // entries) * entries
    kept = int(random.binomial(draws, 1 - p - off if p in MAIN else 1 - p))
    return Tally(KEPT, (kept, draws - kept), (1 - p, p), departure="rate", within=(GRID,) if p <= RARE else ())


def gate_of(off, seed):
    """The verdict of a gate over three dtypes about keep rates alone; `off` is a number for each operator and p."""
    random = np.random.default_rng(seed)
    asked = ask("", seed=seed).alone()
    asked = asked.among({text: one for text, one in asked.promises.items() if one.id.family == "keep_rate"})
    docket = Docket(asked.given(Offer("mine", "1", "cpu", DTYPES, tuple(asked.names))))
    for text, promise in docket.given.promises.items():
        for case in promise.cases:
            docket.add(Result("backend", case.id, {text: counted(case, off(case), random)}))
    return conclude(docket, {}, isolated=True, whole=True)


def broken(verdict):
    return [finding.id for finding in verdict if finding.status == "broken"]


@pytest.mark.parametrize(
    "off",
    [lambda case: OFF, lambda case: -OFF, lambda case: OFF if case.parameters["p"] < 0.5 else -OFF],
    ids=["dropped more", "dropped less", "each rate in its own way"],
)
def test_a_rate_that_is_off_by_little_everywhere_is_caught_by_what_all_show_together(off, fresh_seed):
    assert broken(gate_of(off, fresh_seed)) == ["-/keep_rate/-/-/-/-"]


def test_rates_that_are_right_are_kept_together(fresh_seed):
    """Fails once in a million."""
    verdict = gate_of(lambda case: 0.0, fresh_seed)
    assert broken(verdict) == []
    assert verdict.findings[-1].id == "-/keep_rate/-/-/-/-"


def test_one_operator_alone_is_no_fault_of_all(fresh_seed):
    off = gate_of(lambda case: 0.002 if case.op == "dropout" else 0.0, fresh_seed)
    assert {text.partition("/")[0] for text in broken(off)} == {"dropout"}


def test_what_is_judged_together_is_paid_from_the_reserve():
    assert sum(WEIGHTS.values()) + sum(TOGETHER.values()) == pytest.approx(0.95)
    assert set(WEIGHTS) - set(TOGETHER) == set(APART)
