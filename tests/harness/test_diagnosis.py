"""Causes: hypotheses are tested once something is broken, accepted if they fit, and named if they explain."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keeprate.harness.evidence.account import ENOUGH, NEVER, Account
from keeprate.harness.judging.gate import answer
from keeprate.harness.judging.request import ask
from keeprate.harness.judging.screen import verdict_text
from keeprate.harness.judging.seen import Told
from keeprate.harness.judging.text import rows
from keeprate.harness.ledger.nightly import draw
from keeprate.harness.ledger.store import Ledger
from keeprate.harness.protocol.case import Case
from keeprate.harness.protocol.hypothesis import Hypothesis
from keeprate.harness.protocol.lookup import find
from keeprate.harness.workers.machine import described
from keeprate.harness.workers.pool import InProcess
from keeprate.suite import Tally

HERE = Path(__file__).parent
COINS = find(str(HERE / "coins.py"), group="", kind="module")
COIN = find(str(HERE / "coin.py"), group="", kind="module")
PICTURE = ("1010", "1010")


def bent(sample, by):
    sides, chance = sample
    chance = chance + float(by)
    counts = (int(sides.sum()), len(sides) - int(sides.sum()))
    against, promise = (Tally(("heads", "tails"), counts, (q, 1 - q)).log10_e for q in (chance, sample[1]))
    return Account(len(sides), against, promise, f"{counts[0]:,} heads", {"by": by}, PICTURE)


class Diagnosed(COIN.Coin):
    """Asks each operator that broke for a few more throws."""

    hypotheses = (
        Hypothesis("bent", "coin", "is bent by {by}", bent, frozenset({"fair"})),
        Hypothesis("edge", "coin", "stands on its edge", None, frozenset({"lands"})),
    )
    questioned = 0

    def questions(self, seen, can):
        type(self).questioned += 1
        for op in dict.fromkeys(one.finding.op for one in seen if one.finding.law == "fair"):
            ids = tuple(f"{op}/bent:{by}/float32/-/-/eager" for by in ("0.05", "0.2"))
            yield Case(op, "float32", {"p": 0.5}, (), "eager", "more", 20_000, None, ids)

    def accounts(self, seen, broken):
        for one in seen:
            if one.finding.id in broken and one.finding.law == "lands":
                evidence = one.parts[0][1]
                yield Told("edge", one.finding.op, "float32", "eager", Account(evidence.n, 0.0, NEVER, "so it was"))


class ByLittle(COINS.Fair):
    """All throws are bent by what only all of them show, whatever is drawn, and spins end on the edge."""

    def toss(self, number, chance):
        return (np.arange(number) < number * (chance + 0.0045)).astype(np.int64)

    def spin(self, number, chance):
        sides = self.toss(number, chance)
        sides[7] = 2 if chance == 0.25 else sides[7]
        return sides


class Both(COINS.Fair):
    """Tosses are bent, and spins end on the edge."""

    def toss(self, number, chance):
        return super().toss(number, chance + 0.05)

    def spin(self, number, chance):
        sides = super().spin(number, chance)
        sides[7] = 2
        return sides


@pytest.fixture
def judged(monkeypatch):
    monkeypatch.setattr(Diagnosed, "questioned", 0)

    def judge(backend):
        request = ask("", suite=str(HERE / "coin.py"), profile="quick")
        suite = Diagnosed()
        request = type(request)(**{**vars(request), "suite": suite})
        return answer(request, InProcess(backend, suite, request.names))

    return judge


def test_what_conforms_is_asked_nothing(judged):
    verdict = judged(COINS.Fair())
    assert (verdict.causes, Diagnosed.questioned) == ((), 0)


def test_the_hypothesis_that_fits_is_named_and_the_other_is_not(judged):
    (cause,) = judged(COINS.Bent()).causes
    assert cause.id == "bent:0.05"
    assert cause.sentence == "coin is bent by 0.05, in toss."
    assert set(cause.explains) == {f"toss/fair/float32/p{p}/-/eager" for p in (0.5, 0.25)}


def test_a_hypothesis_that_raises_costs_no_other_its_say(judged, monkeypatch):
    def divides(sample, by):
        if by == "0.2":
            raise ZeroDivisionError
        return bent(sample, by)

    (first, *others) = Diagnosed.hypotheses
    monkeypatch.setattr(Diagnosed, "hypotheses", (replace(first, function=divides), *others))
    (cause,) = judged(COINS.Bent()).causes
    assert cause.id == "bent:0.05"


def test_a_cause_reaches_what_it_would_explain_in_another_run(judged):
    class OnceBent(COINS.Fair):
        def toss(self, number, chance):
            return super().toss(number, chance + 0.05 * (chance == 0.5))

    (cause,) = judged(OnceBent()).causes
    assert cause.explains == ("toss/fair/float32/p0.5/-/eager",)
    assert cause.reaches == {f"toss/fair/float32/p{p}/-/eager" for p in (0.5, 0.25)}


def test_no_cause_explains_what_ended_in_an_exception(judged):
    class BentAndRaising(COINS.Bent):
        def toss(self, number, chance):
            if chance == 0.25:
                raise KeyError("heads")
            return super().toss(number, chance)

    verdict = judged(BentAndRaising())
    assert [cause.explains for cause in verdict.causes] == [("toss/fair/float32/p0.5/-/eager",)]
    assert [finding.status for found in verdict.unexplained.values() for finding in found] == ["error", "error"]


def test_two_faults_are_two_causes_and_each_finding_has_its_own(judged):
    verdict = judged(Both())
    assert {cause.id for cause in verdict.causes} == {"bent:0.05", "edge"}
    public = verdict.public()
    by = {finding["id"]: finding["explained_by"] for finding in public["findings"]}
    assert by["toss/fair/float32/p0.5/-/eager"] == "bent:0.05"
    assert by["spin/lands/float32/-/-/eager"] == "edge"
    assert by["toss/lands/float32/-/-/eager"] is None
    assert sum(map(len, (cause["explains"] for cause in public["causes"]))) <= len(verdict.failing)


@pytest.mark.parametrize("laws", [{"lands"}, {"lands", "fair"}], ids=["of another law", "of its law too"])
def test_what_shows_all_together_has_the_cause_that_would_break_its_law(judged, monkeypatch, laws):
    edge = Diagnosed.hypotheses[1]
    monkeypatch.setattr(Diagnosed, "hypotheses", (replace(edge, laws=frozenset(laws)),))
    monkeypatch.setattr(Diagnosed, "together", {"fair": 0.1})
    verdict = judged(ByLittle())
    (cause,) = verdict.causes
    assert {finding.id for finding in verdict.failing} == {"spin/lands/float32/-/-/eager", "-/fair/-/-/-/-"}
    assert ("-/fair/-/-/-/-" in cause.explains) == ("fair" in laws)


class BentOnItsEdge(COINS.Fair):
    """Tosses are bent, and some end on the edge."""

    def toss(self, number, chance):
        sides = super().toss(number, chance + 0.05)
        sides[7] = 2 if chance == 0.25 else sides[7]
        return sides


@pytest.mark.parametrize("on_edge", [True, False])
def test_a_consequence_is_explained_by_what_has_its_law_for_its_own_where_that_is_so(judged, monkeypatch, on_edge):
    bent, edge = Diagnosed.hypotheses
    bent = replace(bent, laws=frozenset({"fair", "lands"}), consequences=frozenset({"lands"}))
    monkeypatch.setattr(Diagnosed, "hypotheses", (bent, edge) if on_edge else (bent,))
    causes = {cause.id: {text.split("/")[1] for text in cause.explains} for cause in judged(BentOnItsEdge()).causes}
    assert causes == ({"bent:0.05": {"fair"}, "edge": {"lands"}} if on_edge else {"bent:0.05": {"fair", "lands"}})


def test_causes_with_one_sentence_are_one(judged, monkeypatch):
    bent, edge = Diagnosed.hypotheses
    assert {cause.id for cause in judged(BentOnItsEdge()).causes} == {"bent:0.05", "edge"}
    monkeypatch.setattr(Diagnosed, "hypotheses", (replace(bent, says="is odd"), replace(edge, says="is odd")))
    verdict = judged(BentOnItsEdge())
    (cause,) = verdict.causes
    assert cause.sentence == "coin is odd, in toss."
    assert {finding.law for finding in verdict.failing if finding.id in cause.explains} == {"fair", "lands"}


def test_the_first_screen_says_cause_effect_proof_and_command_in_24_lines_of_80(judged):
    lines = str(judged(COINS.Bent())).splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    assert lines[0] == "BROKEN  coin is bent by 0.05, in toss."
    text = "\n".join(lines)
    assert "explains   2 of 2 broken findings" in text and "picture    ▌▌   (2 rows of 4 entries)" in text
    assert "keeprate.judge(backend, seed=" in text


def test_on_a_terminal_the_last_lines_are_verdict_cause_and_command(judged):
    verdict = judged(Both())
    text = verdict_text(verdict, cause_last=True)
    assert text.count(verdict.causes[0].sentence) == 1
    end = text[text.index("BROKEN  coin keeps") :]
    assert f"BROKEN  {verdict.causes[0].sentence}" in end
    assert end.rstrip().splitlines()[-1].strip().startswith("keeprate.judge(backend, seed=")
    assert len(end.splitlines()) < 24


def test_one_exception_over_many_findings_is_told_once_and_counted_as_errors(judged):
    verdict = judged(COINS.Raising())
    text = str(verdict)
    assert text.count("ERROR   toss/") == 1
    assert "and        2 more findings that ended in the same, in toss" in text
    assert "in         toss/throws/float32/p0.5/-/eager" in text
    assert "3 ended in errors." in " ".join(text.split())
    heads, *ops = rows(verdict)
    assert heads[:4] == ("operator", "kept", "broken", "errors")
    assert [op[:4] for op in ops] == [("toss", "0", "0", "3"), ("spin", "3", "0", "0")]
    assert "errors" not in next(rows(judged(COINS.Bent())))


@pytest.mark.parametrize(
    ("account", "accepted", "contradicted"),
    [
        (Account(9, 0.0, NEVER), True, False),
        (Account(9, 0.0, ENOUGH - 0.1), False, False),  # nothing is wrong there
        (Account(9, ENOUGH, NEVER), False, True),
        (Account(0, 0.0, NEVER), False, False),  # nothing was looked at
    ],
)
def test_an_account_is_accepted_where_the_promise_is_broken_and_it_is_not(account, accepted, contradicted):
    assert (account.accepted, account.contradicted) == (accepted, contradicted)
    assert Account.from_json(account.to_json()) == account


def test_what_speaks_against_one_part_speaks_against_both():
    assert not (Account(9, 0.0, NEVER) + Account(9, NEVER, NEVER)).accepted


class ByRate(COIN.Coin):
    """Says of what broke by how much it is bent, to one digit, from the evidence that there is."""

    hypotheses = (Hypothesis("rate", "coin", "is bent by {by}", None, frozenset({"fair"})),)

    def accounts(self, seen, broken):
        for one in seen:
            if one.finding.id in broken:
                evidence = one.parts[0][1]
                by = float(f"{evidence.off:.1g}")
                account = Account(evidence.n, 0.0, NEVER, f"{evidence.n:,} throws", {"by": by})
                yield Told("rate", one.finding.op, "float32", "eager", account)


class BothHands(COIN.Coin):
    """Throws are made with the left hand, the right one, and both; one of these is looked at again."""

    hypotheses = (Hypothesis("bent", "coin", "is bent", None, frozenset({"fair"})),)
    looked_at = "left"

    def plan(self, profile):
        for how in ("eager", "left", "right", "left+right"):
            yield Case("toss", "float32", {"p": 0.5}, (), how, "throws", 200_000, 200_000, (f"toss/fair/-/-/-/{how}",))

    def rank(self, context):
        return 0 if context == "eager" else 1 + context.count("+")

    def accounts(self, seen, broken):
        yield Told("bent", "toss", "float32", self.looked_at, Account(9, 0.0, NEVER))


@pytest.mark.parametrize(("looked_at", "explained"), [("left", 1), ("left+right", 1), ("eager", 4)])
def test_what_is_so_in_a_context_explains_what_is_broken_there_and_of_a_plain_call_everywhere(looked_at, explained):
    suite = BothHands()
    suite.looked_at = looked_at
    asked = ask("coin", suite=str(HERE / "coin.py"), profile="quick", known=os.devnull)
    request = replace(asked, suite=suite, promises=suite.promises("quick"), plan=suite.promises("quick"))
    verdict = answer(request, InProcess(COINS.Bent(), suite, request.names))
    assert len(verdict.failing) == 4
    (cause,) = verdict.causes
    assert f"toss/fair/-/-/-/{looked_at}" in cause.explains and len(cause.explains) == explained


def test_the_cause_is_asked_of_the_runs_that_broke_it_and_kept_by_those_after_it(tmp_path):
    asked = ask("coin", suite=str(HERE / "coin.py"), profile="quick", known=os.devnull)
    suite = ByRate()
    request = replace(asked, suite=suite)

    def verdict(backend):
        return draw(request, InProcess(backend, suite, request.names), book, 0.2, described()).standing.verdict

    with Ledger(tmp_path / "n.db", create=True) as book:
        first, second = (verdict(COINS.Fair()).causes for _ in range(2))
        while not (bent := verdict(COINS.Bent())).failing:  # a busy machine draws little in a fifth of a second
            pass
        third, fourth = bent.causes, verdict(COINS.Fair()).causes
    assert first == second == ()
    assert [cause.sentence for cause in third] == ["coin is bent by 0.05, in toss."]  # whatever the others drew
    assert [cause.sentence for cause in fourth] == [cause.sentence for cause in third]
