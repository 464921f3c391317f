"""The plan keeps its own promises: draws by formula, one budget, few findings, no lazy settings."""

import inspect
import subprocess
import sys
from collections import Counter
from math import prod

import numpy as np
import pytest

from keeprate.harness.evidence.tally import Tally
from keeprate.harness.protocol.case import FindingId
from keeprate.harness.protocol.suite import load_suite
from keeprate.specs.dropout.aims import ENDS, MAIN, RARE, WEIGHTS, detects
from keeprate.specs.dropout.contexts import CONTEXTS
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.inputs import PROBES, cotangent, filled
from keeprate.specs.dropout.laws.one_mask import constancy
from keeprate.specs.dropout.plan import plan
from keeprate.specs.dropout.sample import SPARING
from keeprate.specs.dropout.single_calls import STUDIES as FUNCTIONS
from keeprate.specs.dropout.suite import LAWS
from keeprate.specs.masks.rate import GRID
from keeprate.specs.masks.sample import chunks
from keeprate.specs.rounding import DTYPES

PROMISED = {"smoke": 0.02, "quick": 0.005, "gate": 0.001, "deep": 0.0003}
EVERY = pytest.mark.parametrize("profile", PROMISED)


@EVERY
def test_a_profile_catches_the_departure_that_it_promises(profile):
    promises = load_suite("dropout").promises(profile)
    for promise in promises.values():
        if promise.id.law == "keep_rate" and promise.id.parameters != "-" and promise.cases[0].parameters["p"] in MAIN:
            for case in promise.cases:
                assert detects(case, 1e-6 * promise.share) <= PROMISED[profile]


@pytest.mark.parametrize("profile", ["gate", "deep"])
@pytest.mark.parametrize("times", [0, 2.5])
def test_rates_at_which_drops_are_rare_are_told_from_none_and_from_two_and_a_half_times(profile, times):
    for promise in load_suite("dropout").promises(profile).values():
        p = promise.cases[0].parameters.get("p")
        if promise.id.law == "keep_rate" and promise.id.context == "eager" and p in RARE:
            (number,) = (case.draws for case in promise.cases if case.dtype == "float32")
            mean = times * p * number
            dropped = round(mean - 2.33 * mean**0.5 if times else 0)  # or more, 99 times in 100
            counts, planned = (number - dropped, dropped), len(DTYPES)
            tally = Tally(("kept", "dropped"), counts, (1 - p, p), within=(GRID,), planned=planned)
            assert tally.reaches(1e-6 * promise.share)


@EVERY
def test_shares_stay_within_the_budget_and_are_at_most_4000(profile):
    """An exact law has no share: its findings take nothing from what the others detect."""
    promises = load_suite("dropout").promises(profile)
    assert sum(promise.share > 0 for promise in promises.values()) <= 4000
    assert sum(promise.share for promise in promises.values()) <= 1
    assert sum(WEIGHTS.values()) <= 0.9 + 1e-12


def test_every_law_is_planned_and_every_planned_law_exists():
    families = {FindingId.parse(text).family for case in plan("quick") for text in case.findings}
    assert families == {law.name for law in LAWS}
    assert set(WEIGHTS) <= families


def test_profiles_plan_the_same_findings():
    quick, gate = ({text for case in plan(profile) for text in case.findings} for profile in ("quick", "gate"))
    sizes = {text.rpartition("/")[0].rpartition("/")[0] for text in quick ^ gate}  # large calls differ in size alone
    assert {text.split("/")[1].partition(":")[0] for text in sizes} <= {
        "outcomes",
        "keep_rate",
        "segments",
        "neighbours",
        "no_stretch_twice",
    }


@pytest.mark.parametrize(("profile", "one_in"), [("gate", 1_600_000), ("quick", 140_000)])
def test_constancy_finds_one_torn_channel_in_as_many_as_it_says(profile, one_in):
    assert f"{one_in:,}" in inspect.getdoc(constancy.function)
    seen = Counter()
    for case in plan(profile):
        entries = prod(CONTRACTS[case.op].mask_shape(case.shape))
        for text in case.findings:
            if "/constancy/float32/-/256x256x" in text and text.endswith("/eager"):
                seen[text] += entries * sum(-(-calls // SPARING) for calls in chunks(case.draws, entries))
    assert len(seen) == 5  # operators
    assert all(-np.expm1(channels * np.log1p(-1 / one_in)) >= 0.99 for channels in seen.values())


def test_smoke_is_a_part_of_quick_and_looks_at_every_law():
    smoke, quick = ({text for case in plan(profile) for text in case.findings} for profile in ("smoke", "quick"))
    assert smoke < quick
    assert {FindingId.parse(text).family for text in smoke} == {law.name for law in LAWS}
    contexts = {"eager", "grad", "linearize", "jvp", "module", "inplace", "thread"}
    assert {FindingId.parse(text).context for text in smoke} == contexts


def test_a_case_is_one_place():
    count = Counter(case.id for case in plan("gate"))
    assert max(count.values()) == 1


def test_every_study_of_single_calls_is_planned():
    assert set(FUNCTIONS) <= {case.study for case in plan("quick")}


def test_contexts_look_at_the_whole_grid_in_every_dtype():
    cases = [case for case in plan("gate") if case.op == "dropout" and case.context in {c.name for c in CONTEXTS}]
    for context in CONTEXTS:
        for dtype in DTYPES:
            mine = [case for case in cases if (case.context, case.dtype) == (context.name, dtype)]
            assert {case.parameters["p"] for case in mine if case.study == "gradients"} == {*MAIN, *ENDS}
            masks = {case.parameters["p"] for case in mine if case.study == "masks"}
            assert masks == set() if context.recomputed else masks == {*MAIN, *ENDS, *RARE}
            assert any(case.study.startswith("endpoints") for case in mine)


@pytest.mark.parametrize("dtype", DTYPES)
def test_fresh_threads_look_at_the_whole_grid(dtype):
    cases = [case for case in plan("gate") if (case.op, case.dtype, case.context) == ("dropout", dtype, "thread")]
    assert {case.parameters["p"] for case in cases if case.study == "masks"} == {*MAIN, *ENDS}


def test_the_reference_is_judged_plainly_and_in_passes_alone():
    assert {case.context for case in plan("quick") if case.reference_draws is not None} == {"eager", "grad"}


def hiding_places(cases):
    """Settings in which faults hid, where a law looks at nothing else."""
    looks = {}
    for case in cases:
        for text in case.findings:
            law = FindingId.parse(text).family
            looks.setdefault((case.op, case.dtype, law, case.context), []).append(case)
    for (op, dtype, law, context), mine in looks.items():
        where = f"{law} of {op} in {dtype} under {context}"
        if law != "rank" and {case.parameters.get("p") for case in mine} == {0.5}:
            yield f"{where}: p = 1/2 alone"
        batched = [case for case in mine if case.shape and CONTRACTS[op].channel_axis(len(case.shape)) == 1]
        if batched and all(case.shape[0] == 1 for case in batched):
            yield f"{where}: batches of one alone"
        if law in ("outcomes", "keep_rate") and context == "eager" and not CONTRACTS[op].optional:
            if not {case.strides for case in mine} > {""}:
                yield f"{where}: contiguous inputs alone"
            if not any(case.shape and case.shape[0] in (2, 3) for case in mine):
                yield f"{where}: no odd or small batch"
            if not any(case.draws > 2**21 for case in mine):
                yield f"{where}: short calls alone"


@EVERY
def test_no_law_looks_only_where_faults_hide(profile):
    assert list(hiding_places(plan(profile))) == []


@pytest.mark.parametrize(
    ("lazy", "says"),
    [
        (lambda case: case.replace(parameters={"p": 0.5}), "p = 1/2 alone"),
        (lambda case: case.replace(shape=(1, *case.shape[1:])), "batches of one alone"),
        (lambda case: case.replace(strides=""), "contiguous inputs alone"),
        (lambda case: case.replace(shape=(64, *case.shape[1:])), "no odd or small batch"),
        (lambda case: case.replace(draws=4096), "short calls alone"),
    ],
)
def test_a_plan_that_looks_only_where_faults_hide_is_found_out(lazy, says):
    found = list(hiding_places(map(lazy, plan("quick"))))
    assert any(one.endswith(says) for one in found)


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_input_and_no_cotangent_is_one_value_alone(dtype):
    for name, contract in CONTRACTS.items():
        shapes = {case.shape for case in plan("quick") if case.op == name and PROBES <= prod(case.shape) <= 1 << 17}
        for shape in shapes - {()}:
            assert len(np.unique(filled(contract, dtype, shape))) == PROBES
            ct = cotangent(shape, dtype, seed=0)
            assert len(np.unique(ct)) > PROBES // 2
            assert (ct > 0).any()
            assert (ct < 0).any()


@pytest.mark.parametrize("suite", ["dropout", "device", "attention"])
def test_a_plan_and_another_process_need_no_pytorch(suite):
    script = f"""
import sys
from keeprate.specs.attention import other_process
from keeprate.specs.dropout import other_process
from keeprate.suite import load_suite
assert load_suite({suite!r}).promises("quick")
print("torch" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "False\n"
