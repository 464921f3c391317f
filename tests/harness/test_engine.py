"""The engine knows no operator: it judges a coin, by the same road as dropout."""

import json
import math
import re
from pathlib import Path

import msgspec
import pytest

from keeprate.harness.errors import BackendError, UsageError
from keeprate.harness.evidence.check import Check, failed, passed
from keeprate.harness.evidence.counterexample import Counterexample
from keeprate.harness.evidence.moments import Moments
from keeprate.harness.evidence.tally import Tally
from keeprate.harness.judging.gate import answer, open_runner
from keeprate.harness.judging.request import ask
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.case import Case, FindingId
from keeprate.harness.protocol.engine import GIVEN_UP, Job, Result, run
from keeprate.harness.protocol.groups import groups
from keeprate.harness.protocol.law import Law
from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import PROFILES, Suite, load_suite
from keeprate.harness.workers.pool import InProcess
from keeprate.harness.workers.resources import Resources

ALPHA = 1e-6


@pytest.fixture
def judged(coin, coins):
    """Judges a coin in child processes, or in this one if it needs none; returns the verdict."""

    def judge(kind, *, workers=0, **options):
        request = ask(f"{coins}:{kind}", suite=coin, profile="quick", **options)
        if workers:
            with open_runner(request, Resources(workers)) as runner:
                return answer(request, runner)
        backend = find(request.backend, group="keeprate.backends", kind="backend")
        return answer(request, InProcess(backend, request.suite, request.names))

    return judge


# A coin, end to end


def test_a_fair_coin_passes_the_gate(console_script, coin, coins, tmp_path, verdict):
    run = console_script(
        "gate", "--backend", f"{coins}:Fair", "--suite", coin, "--profile", "quick", "-n", "1", "--json", "v.json"
    )
    assert run.code == 0, run.out + run.err
    data = verdict(tmp_path / "v.json")
    assert data["verdict"] == "conforms"
    assert {finding["status"] for finding in data["findings"]} == {"kept"}


@pytest.mark.parametrize("kind", ["Fair", "Bent", "Crashing", "Nobody"])
def test_a_command_that_is_forked_is_the_console_script(keeprate, console_script, coin, coins, fresh_seed, kind):
    words = ["gate", "--backend", f"{coins}:{kind}", "--suite", coin, "--profile", "quick", "-n", "1"]
    forked, begun = (run(*words, "--seed", fresh_seed) for run in (keeprate, console_script))
    assert forked.code == begun.code
    assert re.sub(r"[\d.]+ s with", "", forked.out) == re.sub(r"[\d.]+ s with", "", begun.out)
    assert forked.err == begun.err


def test_a_bent_coin_fails_the_gate_and_is_not_thrown_to_the_end(keeprate, coin, coins, tmp_path, verdict):
    run = keeprate(
        "gate", "--backend", f"{coins}:Bent", "--suite", coin, "--profile", "quick", "-n", "1", "--json", "v.json"
    )
    assert run.code == 1, run.out + run.err
    found = {finding["id"]: finding for finding in verdict(tmp_path / "v.json")["findings"] if finding["n"]}
    planned = {str(case.findings[0]): case.draws for case in load_suite(coin).cases("quick")}
    for id, finding in found.items():
        if id.startswith("toss"):
            assert finding["status"] == "broken"
            assert finding["n"] < planned[id]
        else:
            assert finding["status"] == "kept"
            assert finding["n"] == planned[id]


def test_a_coin_on_its_edge_is_one_fault_and_not_two(judged):
    verdict = judged("OnEdge")
    status = {finding.id: finding.status for finding in verdict if finding.op == "toss"}
    assert status.pop("toss/lands/float32/-/-/eager") == "broken"
    assert set(status.values()) == {"unreadable"}


@pytest.mark.parametrize("nothing", [Check(0, 0), Tally(("heads", "tails"), (0, 0), (0.5, 0.5), departure="rate")])
@pytest.mark.parametrize(("samples", "unseen"), [(2, "unreadable"), (1, "evidence")])
def test_what_would_have_been_seen_later_is_not_judged_where_another_law_ends_the_case(samples, unseen, nothing):
    """Of all of a case, what compares nothing is broken and what counts nothing is kept; here it went no further."""
    words = {"promise": "Well.", "catches": ("a fault",), "blind_to": ("others",), "source": "a coin"}
    bent = Tally(("heads", "tails"), (1000, 0), (0.5, 0.5), departure="rate")

    class Two(Suite):
        name = "two"
        laws = (Law("first", function=lambda number: bent, **words), Law("later", function=lambda _: nothing, **words))

        def sample(self, case, backend, seed):
            yield from range(1, samples + 1)

    ids = tuple(f"toss/{law.name}/float32/-/-/eager" for law in Two.laws)
    case = Case("toss", "float32", {}, (), "eager", "throws", samples, samples, ids)
    result = run(Two(), None, Job("backend", case, 0, dict.fromkeys(ids, 9.0)))
    assert ids[0] in result.evidence
    assert ids[1] in getattr(result, unseen)
    if unseen == "unreadable":
        assert result.unreadable[ids[1]].startswith("first is broken here")


def test_what_no_law_explains_is_an_error(keeprate, real_pytest, coin, coins):
    blind = coin.replace("coin.py", "coin_blind.py")
    options = ("--backend", f"{coins}:OnEdge", "--suite", blind, "--profile", "quick")
    run = keeprate("gate", *options, "-n", "1")
    assert run.code == 1, run.out + run.err
    assert "lands is broken here; yet no other law fails there" in " ".join(run.out.split())
    run = real_pytest("-p", "keeprate.plugin", *options, "-q", "-p", "no:xdist")
    assert run.code == 1, run.out + run.err
    assert "2 failed, 2 passed" in run.out
    one = keeprate("replay", "toss/fair/float32/p0.5/-/eager", "--backend", f"{coins}:OnEdge", "--suite", coin)
    assert one.code == 0, one.out + one.err  # the law that may say why was not asked


def test_no_framework_is_imported_for_a_coin(python, coin, coins):
    script = f"""
import sys
from keeprate.harness.judging.gate import InProcess, answer
from keeprate.harness.judging.request import ask
from keeprate.harness.protocol.lookup import find
request = ask("", profile="quick", suite={coin!r})
verdict = answer(request, InProcess(find("{coins}:Fair", group="", kind="coin"), request.suite, request.names))
assert verdict.conforms, str(verdict)
loaded = {{*sys.modules}} | {{name.partition(".")[0] for name in sys.modules}}
print(sorted(loaded & {{"torch", "mlx", "keeprate.specs", "keeprate.impl"}}))
"""
    run = python(script)
    assert (run.code, run.out, run.err) == (0, "[]\n", "")


def test_a_crash_ends_its_own_case_alone(judged):
    verdict = judged("Crashing", workers=2)
    status = {finding.id: finding.status for finding in verdict}
    assert status == {
        "toss/fair/float32/p0.5/-/eager": "kept",
        "toss/fair/float32/p0.25/-/eager": "error",
        "toss/lands/float32/-/-/eager": "error",  # it rests on both cases
        "spin/fair/float32/p0.5/-/eager": "kept",
        "spin/fair/float32/p0.25/-/eager": "kept",
        "spin/lands/float32/-/-/eager": "kept",
    }
    assert verdict.exit_code == 1
    assert {finding.detail["kind"] for finding in verdict if finding.status == "error"} == {"code 9"}


def test_an_error_says_of_what_kind_it_is(judged):
    verdict = judged("Raising")
    errors = [finding.detail for finding in verdict if finding.status == "error"]
    assert len(errors) == 3
    assert {(detail["kind"], detail["reason"]) for detail in errors} == {("KeyError", "toss raised KeyError: 'heads'")}


def test_an_error_is_of_the_kind_of_what_it_is_from():
    assert BackendError("why").kind == ""
    assert BackendError("why", "SIGSEGV\x1b").kind == "SIGSEGV\\x1b"
    error = BackendError("why")
    error.__cause__ = ValueError("x")
    assert error.kind == "ValueError"


def test_what_a_backend_prints_reaches_nobody(keeprate, coin, coins):
    run = keeprate("gate", "--backend", f"{coins}:Talking", "--suite", coin, "--profile", "quick", "-n", "1")
    assert run.code == 0, run.out + run.err
    assert "offer" not in run.out
    assert "not JSON" not in run.out + run.err


# One seed, one verdict


def without_run(verdict):
    data = json.loads(verdict.to_json())
    del data["run"]
    return data


@pytest.mark.parametrize("kind", ["Bent", "Crashing"])
def test_the_number_of_workers_changes_nothing(judged, fresh_seed, kind):
    verdicts = [without_run(judged(kind, workers=workers, seed=fresh_seed)) for workers in (1, 3)]
    assert verdicts[0] == verdicts[1]


def test_another_seed_gives_other_draws(judged, fresh_seed):
    one, other = (judged("Fair", seed=seed) for seed in (fresh_seed, fresh_seed + 1))
    assert [finding.effect.estimate for finding in one if finding.effect] != [
        finding.effect.estimate for finding in other if finding.effect
    ]


def test_a_run_without_a_seed_draws_one(coin, coins):
    seeds = {ask(f"{coins}:Fair", suite=coin, profile="quick").seed for _ in range(5)}
    assert len(seeds) > 1  # five equal seeds of 31 bits: once in 10**37 times


@pytest.mark.parametrize("kind", ["Fair", "Bent", "OnEdge"])
def test_a_finding_alone_has_the_evidence_of_the_full_run(judged, fresh_seed, kind):
    full = judged(kind, seed=fresh_seed)
    assert len(full) == 6
    for finding in full:
        assert list(judged(kind, seed=fresh_seed, finding=finding.id)) == [finding]


def test_replay_shows_a_finding_as_the_gate_did(keeprate, coin, coins, tmp_path, verdict, fresh_seed):
    gate = ["--backend", f"{coins}:Bent", "--suite", coin, "--profile", "quick", "-n", "1", "--seed", fresh_seed]
    assert keeprate("gate", *gate, "--json", "full.json").code == 1
    broken = next(item for item in verdict(tmp_path / "full.json")["findings"] if item["status"] == "broken")
    run = keeprate(*broken["replay"].split()[1:], "--json", "alone.json")  # the line as it is printed
    assert run.code == 1
    (alone,) = verdict(tmp_path / "alone.json")["findings"]
    for finding in (alone, broken):  # how the law fares elsewhere is not asked of one finding alone
        finding["rows"] = [row for row in finding["rows"] if row[0] != "elsewhere"]
    assert alone == broken
    assert f"BROKEN  {broken['id']}" in run.out


# The error budget


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("suite", ["dropout", "coin"])
def test_shares_of_the_whole_plan_add_up_to_the_budget_at_most(profile, suite, coin):
    promises = load_suite(coin if suite == "coin" else suite).promises(profile).values()
    assert promises
    assert math.fsum(ALPHA * promise.share for promise in promises) <= ALPHA * (1 + 1e-12)  # rounding of the sum
    assert all(promise.share >= 0 for promise in promises)


@pytest.mark.parametrize(
    "choice", [{"ops": ["dropout"]}, {"dtypes": ["float16"]}, {"ops": ["alpha_dropout"], "dtypes": ["float32"]}]
)
def test_a_threshold_does_not_depend_on_what_is_chosen(choice):
    whole, part = ask("mlx", profile="quick"), ask("mlx", profile="quick", **choice)
    assert 0 < len(part.promises) < len(whole.promises)
    for text, promise in part.promises.items():
        assert promise.share == whole.promises[text].share


def test_a_finding_alone_keeps_its_threshold():
    whole = ask("mlx", profile="quick").promises
    for text in ("dropout/keep_rate/float32/p0.3/64x1024/eager", next(reversed(whole))):
        (alone,) = ask("mlx", profile="quick", finding=text).promises.values()
        assert alone == whole[text]


def test_every_law_that_decides_by_evidence_has_a_share(coin):
    for suite in (load_suite("dropout"), load_suite(coin)):
        statistical = {name for name in suite.by_name if suite.weight(name)}
        assert suite.headline in statistical
        for promise in suite.promises("quick").values():
            assert (promise.share > 0) == (promise.id.family in statistical)


def test_a_law_without_a_share_is_never_broken_by_evidence():
    (promise, *_) = (item for item in load_suite("dropout").promises("quick").values() if not item.share)
    assert promise.threshold(ALPHA) == math.inf


# Plans


@pytest.mark.parametrize("profile", PROFILES)
def test_ids_of_the_dropout_plan_are_well_formed_and_unique(profile):
    suite = load_suite("dropout")
    cases = suite.cases(profile)
    assert len({case.id for case in cases}) == len(cases)
    promises = suite.promises(profile)
    for text, promise in promises.items():
        assert str(promise.id) == str(FindingId.parse(text)) == text
        assert promise.id.family in suite.by_name
        assert set(text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/:.+-_")


def test_a_plan_is_made_once_whatever_makes_it(coin, tmp_path, capsys):
    text = Path(coin).read_text(encoding="utf-8")
    plan = "    def plan(self, profile):\n        print('made')\n        yield from super().plan(profile)\n"
    (tmp_path / "suite.py").write_text(f"{text}\n\nclass Told(Coin):\n{plan}\n\nsuite = Told()\n")
    first, second = (load_suite(str(tmp_path / "suite.py")).promises("quick") for _ in range(2))
    assert first == second == load_suite(coin).promises("quick")
    assert capsys.readouterr().out == "made\n"


def test_every_law_of_the_suite_is_in_its_plan():
    suite = load_suite("dropout")
    for profile in PROFILES:
        assert {promise.id.family for promise in suite.promises(profile).values()} == set(suite.by_name)


def test_findings_that_share_a_case_are_one_group(coin):
    promises = load_suite(coin).promises("quick")
    by_group = {}
    for finding, group in groups(promises).items():
        by_group.setdefault(group, set()).add(finding)
    assert set(map(frozenset, by_group.values())) == {
        frozenset(text for text in promises if text.startswith(op)) for op in ("toss", "spin")
    }


@pytest.mark.parametrize("profile", PROFILES)
def test_no_case_of_dropout_is_in_two_groups(profile):
    promises = load_suite("dropout").promises(profile)
    found = groups(promises)
    assert found.keys() == promises.keys()
    group_of = {}
    for text, promise in promises.items():
        for case in promise.cases:
            assert group_of.setdefault(case.id, found[text]) == found[text]
    assert len(set(found.values())) > 8  # enough of them to share out


def test_the_reference_is_judged_first_and_by_draws_of_its_own():
    request = ask("torch", profile="gate", ops=["dropout"], dtypes=["float32"])
    offer = Offer("torch", "", "cpu", ("float32",), ("dropout", "vjp"))
    todo = request.given(offer).jobs()
    roles = [job.role for job in todo]
    first = roles.index("backend")
    assert set(roles[:first]) == {"reference"} and set(roles[first:]) == {"backend"}
    assert first < len(roles) - first  # what is no context of the reference
    assert sum(job.case.draws for job in todo[:first]) < sum(job.case.draws for job in todo[first:])
    for role in (todo[:first], todo[first:]):  # the longest first, so that no worker is left alone with it
        assert [job.case.draws for job in role] == sorted((job.case.draws for job in role), reverse=True)
    seeds = {(job.role, job.case.id): job.case.seed(request.seed, job.role) for job in todo}
    assert len(set(seeds.values())) == len(seeds)  # two of some 50 seeds of 31 bits agree once in a million runs
    assert all(0 <= seed < 2**31 for seed in seeds.values())


SPEAKING = """
class Speaking(Fair):
    name, version, device = "coin\\x1b[31m", "\\udcff\\n2", "d" * 100_000

    def toss(self, number, chance):
        raise ValueError("bad \\ud800 \\x1b]0;pwned\\x07 \\u202e" + "l" * 100_000)
"""


def test_what_a_backend_says_is_shown_and_kept_without_signs_that_a_terminal_obeys(
    keeprate, coin, coins, tmp_path, verdict, monkeypatch
):
    (tmp_path / "mine.py").write_text(Path(coins).read_text() + SPEAKING)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    options = ("--backend", "mine.py:Speaking", "--suite", coin, "--profile", "quick", "-n", "1")
    done = [
        keeprate("gate", *options, "--json", "v.json"),
        keeprate("nightly", *options, "--ledger", "n.db", "--budget", "1s", "--out", "pages"),
        keeprate("report", "--json", "v.json", "--out", "again"),
    ]
    assert [one.code for one in done] == [1, 1, 0], done
    data = verdict(tmp_path / "v.json")
    assert data["backend"]["name"] == r"coin\x1b[31m" and data["backend"]["version"] == r"\udcff\n2"
    assert len(data["backend"]["device"]) < 300
    (reason,) = {finding["detail"]["reason"] for finding in data["findings"] if finding["status"] == "error"}
    assert r"bad \ud800 \x1b]0;pwned\x07 \u202e" in reason and len(reason) < 3000
    pages = [(tmp_path / name).read_text() for name in ("summary.md", "pages/index.html", "again/report.md")]
    for text in [*pages, *(one.out + one.err for one in done)]:
        assert all(sign.isprintable() or sign == "\n" for sign in text)


@pytest.mark.parametrize("text", ["", "dropout", "a/b/c/d/e", "a/b/c/d/e/f/g", "a//c/d/e/f", "dropout/keep_rate"])
def test_a_malformed_id_is_refused_with_its_form_and_an_example(text):
    with pytest.raises(UsageError, match="the six of op/law/dtype/parameters/shape/context"):
        FindingId.parse(text)
    with pytest.raises(UsageError, match=re.escape("as in dropout/outcomes/float32/p0.1/64x1024/eager")):
        ask("mlx", finding=text)


# What travels between processes


def travelled(value):
    if isinstance(value, Case | Job):
        return msgspec.json.decode(msgspec.json.encode(value), type=type(value))
    return type(value).from_json(json.loads(json.dumps(value.to_json(), allow_nan=False)))


CASE = Case(
    *("dropout2d", "bfloat16", {"p": 0.3}, (2, 3, 4, 5), "compile+grad", "masks", 7, 3, ("a/b/c/d/e/f",), "step2"),
    needs=("vjp",),
)
EVIDENCE = {
    "tally": Tally(("kept", "dropped"), (7, 3), (0.7, 0.3), departure="rate"),
    "groups": Tally(("kept", "dropped"), [[7, 3], [2, 8]], [[0.7, 0.3], [0.1, 0.9]], groups=("p0.3", "p0.9")),
    "moments": Moments([0.7], [[1.5]], [[0.0]], [[10]], (2**64 + 1,), (3,)),
    "passed": passed(3),
    "failed": failed(5, 2, call="training", first="0.5 at (0, 0) gave −inf"),
}


@pytest.mark.parametrize(
    "value",
    [
        CASE,
        Case("dropout", "float32", {}, (), "eager", "shape", 0, 0, ()),
        Job("backend", CASE, 2**63 - 1, {"a/b/c/d/e/f": 8.5, "g/b/c/d/e/f": None}),
        Result("reference", CASE.id, EVIDENCE, unreadable={"x": "outcomes is broken here"}, error="it exited with 9"),
        EVIDENCE["passed"],
        EVIDENCE["failed"],
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_goes_through_a_pipe_comes_out_the_same(value):
    assert travelled(value) == value


def test_the_whole_dropout_plan_travels():
    for case in load_suite("dropout").cases("quick"):
        assert travelled(case) == case


def test_checks_add_and_keep_the_first_counterexample():
    total = passed(10) + failed(5, 2, first="a") + failed(1, 1, first="b")
    assert total == Check(16, 13, 3, Counterexample({"first": "a"}))
    assert total.broken
    assert not passed(10).broken


class GivesUp(InProcess):
    def map(self, jobs):
        for job in jobs:
            yield Result(job.role, job.case.id, error="no more of it", error_kind=GIVEN_UP)


def test_what_was_given_up_is_told_once_by_a_field_of_its_own(coin, coins, schema):
    request = ask("", suite=coin, profile="quick")
    fair = find(f"{coins}:Fair", group="keeprate.backends", kind="backend")
    verdict = answer(request, GivesUp(fair, request.suite, request.names))
    assert {finding.status for finding in verdict} == {"error"}
    told = {"reason": "no more of it", "kind": GIVEN_UP}
    assert all(finding.detail.items() >= told.items() for finding in verdict), verdict.findings[0].detail
    assert "error: 6 findings, no more of it" in str(verdict)
    schema.validate(json.loads(verdict.to_json()))


def test_evidence_is_the_same_after_it_has_travelled(coin, coins, fresh_seed):
    request = ask(f"{coins}:Fair", suite=coin, profile="quick", seed=fresh_seed)
    with open_runner(request, Resources(workers=1)) as children:
        todo = request.given(*children.offers()).jobs()
        far = {result.case: result.replace(seconds=0.0) for result in children.map(todo)}
    backend = find(request.backend, group="keeprate.backends", kind="backend")
    near = {job.case.id: run(request.suite, backend, job).replace(seconds=0.0) for job in todo}
    assert near == far
