"""Hypotheses: each is accepted of a backend that has its fault, and of none of the others."""

from pathlib import Path

import numpy as np
import pytest

from keeprate.harness.protocol.engine import Job, run
from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import load_suite
from keeprate.specs.accounts import names_of
from keeprate.specs.dropout.aims import ENDS, MAIN
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.hypotheses import every, facts
from keeprate.specs.dropout.hypotheses.clues import standard
from keeprate.specs.masks import rates

MUTANTS = Path(__file__).parents[1] / "mutants"
SUITE = load_suite("dropout")
DRAWN = [one for one in every.HYPOTHESES if one.function is not None and one.name != "fact"]
# Of each of these what is true of it at the usual shape, the first of which is named; of what is vague nothing is said.
BEGINS = {f"begins_alike:{kind}" for kind in ("op", "dtype", "grad", "twin", "shape")}
ACCEPTED = {
    ("shared", "OneForTheBatch", "dropout", "eager"): ("shared_axis:0", {"period:call", "twins:call"}),
    ("shared", "WholeSamples", "feature_dropout", "eager"): ("shared_axis:1", {"twins:call"}),
    ("correlated", "FourTogether", "dropout", "eager"): ("shared_groups:4", {"shared_groups:2", "twins:call"}),
    ("shared", "SeededInEachCall", "dropout", "eager"): (
        "alike_first", {"alike_later", "period:calls", "fixed_number:call"} | BEGINS),
    ("shared", "CallsInPairs", "dropout", "eager"): ("alike_pairs", {"alike_later"} | BEGINS),
    ("shared", "CallsOfOneStream", "dropout", "eager"): ("moved", {"twins:calls"}),
    ("correlated", "PeriodOfAThousand", "dropout", "eager"): (
        "period:call", {"period:calls", "moved", "twins:call", "twins:calls"}),
    ("weak", "Antithetic", "dropout", "eager"): ("complements", {"twins:call"}),
    ("modes", "StaysInEvaluation", "dropout", "eager"): ("mode_evaluation", set()),
    ("rate", "FixedCount", "dropout", "eager"): ("fixed_number:call", set()),
    ("rate", "FavouredLane", "dropout", "eager"): ("lane:8", {"lane:4"}),
    ("rate", "TailKept", "dropout", "eager"): ("kept_run", set()),
    ("scale", "NotScaled", "dropout1d", "eager"): ("scale:none", {"slope:unscaled"}),
    ("scale", "ScaledByOneOverP", "dropout", "eager"): ("scale:by_p", {"slope:over_p"}),
    ("dtypes", "ThroughBrain", "dropout2d", "eager"): ("narrow:bfloat16", set()),
    ("alpha", "RatesExchanged", "alpha_dropout", "eager"): ("alpha:exchanged", {"alpha_line"}),
    ("alpha", "ThreeDigits", "alpha_dropout", "eager"): ("limit", {"alpha_line"}),
    ("alpha", "ScaleExchanged", "alpha_dropout", "eager"): ("alpha_line", {"slope:factor"}),
    ("alpha", "DroppedAfter", "feature_alpha_dropout", "eager"): ("alpha_line", set()),
    ("correlated", "BlocksOverlap", "dropout", "eager"): ("twins:call", set()),
    ("shared", "EighthsReserved", "dropout", "eager"): ("twins:calls", set()),
    ("alpha", "PlainDropout", "alpha_dropout", "eager"): ("alpha:plain", {"alpha_line", "slope:plain"}),
    ("gradients", "Redrawn", "dropout2d", "grad"): ("own_mask", set()),
    ("gradients", "NotMasked", "dropout_", "grad"): ("slope:unmasked", set()),
    ("gradients", "ScaledByP", "dropout", "grad"): ("slope:by_p", set()),
    ("gradients", "ReadOffTheOutput", "dropout", "grad"): ("read_off", set()),
    ("contexts", "OneForAllRows", "dropout", "vmap"): ("alike_rows", {"alike_later"}),
    ("modes", "DropsInEvaluation", "dropout", "eager"): ("evaluation_drops", {"mode_training", "draws_in:evaluation"}),
    ("seeds", "SeedIgnored", "dropout", "eager"): ("seed_ignored", set()),
    ("seeds", "AlwaysOneSeed", "dropout2d", "eager"): ("seed_one", set()),
    ("seeds", "ThirtyOneBitSeed", "dropout", "eager"): ("seed_cut:31", set()),
    ("seeds", "WordsAdded", "dropout", "eager"): ("seed_bounds", set()),
    ("channels", "ElementMask", "dropout2d", "eager"): ("by_element", set()),
    ("channels", "MiddleAxis", "dropout3d", "eager"): ("by_axis", set()),
    ("plain", "Plain", "dropout", "eager"): ("", set()),
    ("plain", "Plain", "feature_alpha_dropout", "grad"): ("", set()),
    ("faithful", "Selecting", "dropout", "eager"): ("", set()),
}  # fmt: skip


def accounts(file, name, op, context, seed):
    """How every hypothesis fares at the usual shape, by name; those that have nothing to look at left out."""
    return accounts_of(getattr(find(str(MUTANTS / f"{file}.py"), group="", kind="module"), name)(), op, context, seed)


def accounts_of(backend, op, context, seed):
    dtype = backend.dtypes[0]
    names = [name for one in DRAWN for name in names_of(one, every.PARAMETERS)]
    case = every._case(op, dtype, context, "clues", standard(CONTRACTS[op]), names)
    result = run(SUITE, backend, Job("backend", case, seed, dict.fromkeys(case.findings)))
    assert not result.error
    return {text.split("/")[1]: account for text, account in result.evidence.items()}


@pytest.mark.parametrize("place", ACCEPTED, ids=lambda place: f"{place[1]}-{place[2]}-{place[3]}")
def test_of_a_fault_the_hypothesis_that_is_true_is_accepted_and_no_other(place, fresh_seed):
    """A statistical hypothesis that is false is accepted of these with a probability below 10⁻⁹."""
    vague = {one.name for one in DRAWN if one.vague}
    found = [name for name, one in accounts(*place, fresh_seed).items() if one.accepted]
    named = [name for name in found if name.partition(":")[0] not in vague]
    true, as_well = ACCEPTED[place]
    assert (named[0] if named else "") == true
    assert set(named) <= {true} | as_well


@pytest.mark.parametrize("op", ["dropout", "feature_alpha_dropout"])
def test_an_operator_that_returns_its_input_is_not_said_to_scale_it(op, fresh_seed):
    plain = find(str(MUTANTS / "plain.py"), group="", kind="module").Plain
    idle = type("Idle", (plain,), {"mask": lambda self, x, shape, p: None, "scaled": as_it_is, "mapped": as_it_is})()
    named = [name for name, one in accounts_of(idle, op, "eager", fresh_seed).items() if one.accepted]
    assert named[0] == "unchanged"
    assert not {name for name in named if name.startswith(("scale", "by_count", "narrow"))}


def as_it_is(self, x, mask, p):
    """The input and a slope of 1, whatever the mask."""
    return x.values, np.ones_like(x.values)


def test_a_backend_without_gradients_is_asked_all_that_it_has(fresh_seed):
    made = find(str(MUTANTS / "shared.py"), group="", kind="module").OneForTheBatch
    without = type("Without", (made,), {"vjp": None})()
    names = [name for one in DRAWN for name in names_of(one, every.PARAMETERS) if one.kind != "gradient"]
    case = every._case("dropout", "float32", "eager", "clues", standard(CONTRACTS["dropout"]), names)
    result = run(SUITE, without, Job("backend", case, fresh_seed, dict.fromkeys(case.findings)))
    assert not result.error
    assert result.evidence["dropout/shared_axis:0/float32/-/23x41x19/eager"].accepted


def test_no_hypothesis_has_the_name_of_a_law():
    assert {one.name for one in every.HYPOTHESES}.isdisjoint(SUITE.by_name)
    assert len({one.name for one in every.HYPOTHESES}) == len(every.HYPOTHESES)


def test_what_a_hypothesis_explains_are_laws():
    for one in every.HYPOTHESES:
        assert one.laws | one.diluted <= SUITE.by_name.keys(), one.name


def test_single_calls_are_told_apart_by_as_few_features_as_do():
    calls = [{"at p = 1": one, "in evaluation": two} for one in (True, False) for two in (True, False)]
    assert facts._told_apart(calls, {0, 1}) == " at p = 1"
    assert facts._told_apart(calls, {0}) == " at p = 1 in evaluation"
    assert facts._told_apart(calls, {0, 1, 2, 3}) == ""
    assert facts._told_apart(calls, {0, 1, 2}) == " at p = 1 and in evaluation"
    assert facts._told_apart(calls, {0, 3}) is None


@pytest.mark.parametrize(
    ("drop", "named"),
    [
        (lambda p: p, set()),
        (lambda p: 1 - p, {"rate:exchanged"}),
        (lambda p: round(p * 256) / 256, {"rate:256_nearest"}),
        (lambda p: p * p, {"rate:again"}),
        (lambda p: (1 + p) / 2, {"rate:factor"}),
        (lambda p: min(1, 2 * p), {"rate:double"}),
        (lambda p: p / 2, {"rate:half"}),
        (lambda p: np.sqrt(p), {"rate:root"}),
        (lambda p: (np.floor(p * 256) + 1) / 256, {"rate:256_above"}),
        (lambda p: min(p, 0.9), {"rate:capped"}),
        (lambda p: p + 5e-4, {"rate:offset"}),
        (lambda p: 0.002 if p == 0.001 else p, set()),  # one rate that is off says nothing of why
    ],
)
def test_of_rates_the_formula_that_fits_all_is_accepted_and_no_other(drop, named, fresh_seed):
    """At 10⁷ draws a rate a thousandth off the formula is told apart with a probability above 1 − 10⁻⁹."""
    random, draws = np.random.default_rng(fresh_seed), 10**7
    counted = [rates.Rate(p, draws - int(random.binomial(draws, drop(p))), draws) for p in (*MAIN, *ENDS)]
    assert {name for name, account in rates.accounts_of(counted) if account.accepted} == named


def test_a_rate_that_is_off_at_one_p_alone_is_told_where_another_count_says_so_too(fresh_seed):
    """At 10⁶ draws a rate that is off by 0.02 is rounded to another digit with a probability below 10⁻⁹."""
    random, draws = np.random.default_rng(fresh_seed), 10**6
    counted = [
        rates.Rate(p, draws - int(random.binomial(draws, p + 0.02 * (p == 0.3))), draws) for p in MAIN for _ in range(2)
    ]
    found = {name: account for name, account in rates.accounts_of(counted) if account.accepted}
    assert found.keys() == {"rate:at"}
    assert found["rate:at"].given["what"] == "drops with probability 0.32 at p = 0.3, and at no other p"
