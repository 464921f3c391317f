"""Stopping at the first broken promise: what is looked at, in which order, and what the verdict says of the rest."""

from dataclasses import replace
from pathlib import Path

import pytest

from keeprate.harness.judging.early import SMALL, TINY, answer_early, stages
from keeprate.harness.judging.gate import answer
from keeprate.harness.judging.known import Deviation, Known
from keeprate.harness.judging.request import ask
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.lookup import find
from keeprate.harness.workers.pool import InProcess

HERE = Path(__file__).parent
COINS = find(str(HERE / "coins.py"), group="", kind="module")
COIN = find(str(HERE / "coin.py"), group="", kind="module")
MUTANTS = HERE.parent / "mutants"


class Beside(COIN.Coin):
    """A coin whose reference is bent as well."""

    reference = f"{HERE / 'coins.py'}:Bent"


@pytest.fixture
def early():
    def judge(backend, suite=COIN.suite, seed=None, **changes):
        request = ask("", suite=str(HERE / "coin.py"), profile="quick", seed=seed)
        request = replace(request, suite=suite, reference=suite.reference, **changes)
        return answer_early(request, InProcess(backend, suite, request.names))[0]

    return judge


def statuses(verdict):
    return {finding.id.partition("/float32")[0]: finding.status for finding in verdict}


def test_it_stops_at_what_broke_and_says_how_much_was_not_judged(early):
    verdict = early(COINS.Bent())
    assert {finding.op for finding in verdict} == {"toss"}
    assert [finding.status for finding in verdict] == ["broken", "kept", "broken"]
    assert verdict.unseen == 3
    assert "stopped at the first that broke: 3 more were not judged." in " ".join(str(verdict).split())
    assert "detects:" not in str(verdict)


def test_an_error_stops_it_as_well(early):
    verdict = early(COINS.Raising())
    assert set(statuses(verdict).values()) == {"error"} and verdict.unseen == 4


def test_nothing_like_an_error_is_asked_after_it(early):
    class RaisesOnce(COINS.Fair):
        tosses = 0

        def toss(self, number, chance):
            self.tosses += 1
            raise KeyError("heads")

    coin = RaisesOnce()
    assert not early(coin).conforms
    assert coin.tosses == 1


def test_a_known_deviation_does_not(early):
    verdict = early(COINS.Bent(), known=Known((Deviation("toss/fair/*", "it is bent"),)))
    assert verdict.conforms and verdict.unseen == 0
    assert len(verdict) == 6


def test_where_nothing_breaks_the_verdict_is_the_gates(early, fresh_seed):
    request = ask("", suite=str(HERE / "coin.py"), profile="quick", seed=fresh_seed)
    whole = answer(request, InProcess(COINS.Fair(), request.suite, request.names)).public()
    stopped = early(COINS.Fair(), seed=fresh_seed).public()
    for data in (whole, stopped):
        del data["run"], data["pictures"]
    assert stopped == whole


def test_what_the_reference_breaks_as_well_is_no_verdict(early):
    verdict = early(COINS.Bent(), Beside())
    assert verdict.verdict == "none" and len(verdict.reference["failures"]) == 2


def test_the_verdict_does_not_depend_on_the_number_of_workers(keeprate, coin, coins, verdict, tmp_path, fresh_seed):
    found = []
    for workers in (1, 2):
        options = ("--suite", coin, "--seed", fresh_seed, "--profile", "quick", "-n", workers, "--json", "v.json")
        run = keeprate("gate", "-x", "--backend", f"{coins}:Bent", *options)
        assert run.code == 1
        found.append({name: value for name, value in verdict(tmp_path / "v.json").items() if name != "run"})
    assert found[0] == found[1]
    assert found[0]["unseen"] == 3


def test_a_ledger_takes_whole_cases_alone(command):
    run = command("gate", "-x", "--backend", "mine.py", "--ledger", "night.db")
    assert run.code == 2
    assert "-x judges the beginnings of cases, and --ledger F adds up whole ones" in " ".join(run.err.split())


def test_single_calls_come_first_then_tiny_samples_small_ones_and_the_rest():
    request = ask("mine.py", profile="gate", ops=["dropout"], seed=7)
    offer = Offer("mine", "1", "cpu", ("float32", "float16"), ("dropout", "vjp", "vmap"))
    given = request.given(offer)
    singles, tiny, small, large = stages(request.suite, (job for job in given.jobs() if job.role == "backend"))
    assert singles and not any(job.case.draws for job in singles)
    assert tiny and all(0 < job.case.draws <= TINY for job in tiny)
    assert small and all(TINY < job.case.draws <= SMALL for job in small)
    planned = {job.case.id: job.case.draws for job in given.jobs()}
    assert {job.case.id for job in (*singles, *tiny, *large)} == planned.keys()
    assert {job.case.id for job in small} <= {job.case.id for job in tiny}
    assert all(job.case.draws == planned[job.case.id] for job in large)
    for jobs in (singles, tiny, small, large):
        assert jobs[0].case.context == "eager" and jobs[0].case.dtype == "float32"
        ranks = [request.suite.rank(job.case.context) for job in jobs]
        assert ranks == sorted(ranks)


def test_the_cause_is_asked_before_it_stops():
    mutant = find(f"{MUTANTS / 'shared.py'}:OneForTheBatch", group="", kind="backend")
    request = ask("", profile="quick", ops=["dropout"], dtypes=["float32"]).alone()
    verdict, _ = answer_early(request, InProcess(mutant, request.suite, request.names))
    assert [cause.id for cause in verdict.causes] == ["shared_axis:0"]
    assert verdict.unseen > 100
