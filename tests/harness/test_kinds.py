"""Kinds of evidence: what one must say, and one that a suite of a stranger's brings along, from gate to merge."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from keeprate.harness.evidence.check import passed
from keeprate.harness.evidence.kinds import KINDS, Evidence, evidence_kind
from keeprate.harness.evidence.wire import of_json
from keeprate.harness.ledger.encoding import check, join, less, more, pack, split
from keeprate.harness.ledger.held import Held
from keeprate.harness.ledger.store import Ledger, digests
from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import load_suite

CARDS = str(Path(__file__).with_name("cards.py"))
SUITE = f"{CARDS}:Cards"
SCHEMA = json.loads((Path(__file__).parents[2] / "harness" / "verdict.schema.json").read_text(encoding="utf-8"))
FORM, AMOUNTS = '{"type":"unheard of","of":"something"}', pack({"many": [[1, 2], [3, -4]], "first": {"a": 1}})


@pytest.fixture
def gate(keeprate, tmp_path):
    """The public JSON of a gate over a deck, and what it printed."""

    def run(deck, seed, *options):
        options = ("--suite", SUITE, "--profile", "quick", "--seed", seed, "--json", "v.json", *options)
        done = keeprate("gate", "--backend", f"{CARDS}:{deck}", *options)
        document = json.loads((tmp_path / "v.json").read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator(SCHEMA).validate(document)
        return {item["id"]: item for item in document["findings"]}, done.out

    return run


def held(path):
    """All evidence of a ledger's first backend."""
    with Ledger(path) as ledger:
        results = Held(ledger, 1, digests(load_suite(SUITE).promises("quick"))).results()
    return [item for result in results.values() for item in result.evidence.values()]


def test_a_kind_of_a_stranger_is_judged_told_and_published(gate, fresh_seed):
    findings, out = gate("Honest", fresh_seed)
    assert "CONFORMS  deck keeps 3 of 3 promises." in out  # fails with probability 1e-6
    findings, out = gate("Marked", fresh_seed)
    assert {id for id, item in findings.items() if item["status"] == "broken"} == set(findings)
    aces, once = findings["deal/aces/-/size5/-/table"], findings["deal/once/-/-/-/table"]
    assert aces["estimate"] > 0.2 and aces["n"] == 1000 and aces["detectable"] == pytest.approx(1 / 26, rel=1e-5)
    assert once["detail"]["wrong"] > 0 and once["detail"]["first"]["card"] == "card 0"
    assert once["rows"] == [["twice", re.search(r"twice {6}(card 0, in .* of .* hands)", out)[1]]]
    assert "promised   0.0769231" in out


def test_a_kind_of_a_stranger_adds_up_in_a_ledger_and_is_merged_by_who_does_not_know_it(gate, keeprate, tmp_path):
    for seed, name in enumerate(("a.db", "a.db", "b.db")):
        gate("Honest", seed, "--ledger", name)
    merged = keeprate("merge", "a.db", "b.db", "--into", "c.db")
    assert (merged.code, merged.out) == (0, "wrote c.db: 3 runs\n"), merged.err
    found = held(tmp_path / "c.db")
    assert sorted((item.kind, item.n) for item in found) == [("cards.bets", 60_000)] * 2 + [("cards.hands", 60_000)] * 2


def test_what_both_hold_of_a_strange_kind_is_taken_away_once(gate, keeprate, tmp_path):
    gate("Honest", 1, "--ledger", "a.db")
    (tmp_path / "b.db").write_bytes((tmp_path / "a.db").read_bytes())
    for seed, name in ((2, "a.db"), (3, "b.db")):
        gate("Honest", seed, "--ledger", name)
    assert keeprate("merge", "a.db", "b.db", "--into", "c.db").code == 0
    assert {item.n for item in held(tmp_path / "c.db")} == {60_000}


def test_amounts_of_an_unknown_kind_add_and_can_be_taken_away():
    check(FORM, AMOUNTS)
    twice = more(FORM, AMOUNTS, AMOUNTS)
    assert less(FORM, twice, AMOUNTS) == AMOUNTS
    with pytest.raises(ValueError, match="'unheard of': is its suite loaded"):
        join(FORM, AMOUNTS)


@pytest.mark.parametrize("amounts", [{"many": [[1, 2]]}, {"many": 1}, {"many": [[1, 2.5], [3, 4]]}, {"few": 1}])
def test_amounts_of_an_unknown_kind_must_be_alike(amounts):
    with pytest.raises(ValueError, match=r"differ|not whole numbers"):
        more(FORM, pack({"many": [[1, 2], [3, -4]]}), pack(amounts))


def test_known_evidence_that_sums_up_to_none_is_refused():
    form, amounts = split(passed(10**15))
    with pytest.raises(ValueError, match="<= 1000000000000000"):
        more(form, amounts, amounts)


@pytest.mark.parametrize("data", [None, [], {}, {"type": 7}, {"type": "nothing"}, {"type": ["check"]}])
def test_what_is_of_no_kind_is_refused(data):
    with pytest.raises(ValueError, match="no kind of evidence is called"):
        of_json(data)


def test_a_kind_says_all_that_is_asked_of_it():
    with pytest.raises(TypeError, match=r"Silent is not a kind of evidence: it lacks .*\bpool, reaches, rows\b"):

        @evidence_kind("silent")
        class Silent(Evidence):
            amounts = ()

    assert "silent" not in KINDS


def test_a_name_is_taken_once_however_often_its_file_is_loaded():
    with pytest.raises(ValueError, match=r"of kind 'check' is keeprate\.harness\.evidence\.check\.Check already"):
        evidence_kind("check")(KINDS["tally"])
    cards = find(CARDS, group="", kind="module")
    assert KINDS["cards.bets"].__qualname__ == evidence_kind("cards.bets")(cards.Bets).__qualname__


def test_a_kind_is_known_wherever_evidence_is_read():
    code = "from keeprate.harness.evidence.wire import KINDS; print(*sorted(KINDS))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["account", "check", "moments", "tally"]
