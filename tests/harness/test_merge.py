"""Merging ledgers: what they hold adds, and what both hold is counted once."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.backend import Offer
from harness.engine import Result
from harness.errors import UsageError
from harness.gate import environment
from harness.ledger import APART, Ledger
from harness.merge import merge
from harness.question import ask
from harness.tally import Tally

HERE = Path(__file__).parent
COIN, COINS = str(HERE / "coin.py"), str(HERE / "coins.py")
OFFER = Offer("coin", "1", "thumb", ("float32",), ("spin", "toss"))
CASE, FAIR = "toss/throws/float32/p0.5/-/eager", "toss/fair/float32/p0.5/-/eager"


@pytest.fixture
def night(tmp_path):
    """Adds a run that threw so many heads and tails to a ledger; returns the ledger's path."""
    question = ask(f"{COINS}:Fair", suite=COIN, profile="quick")

    def add(name, heads, tails, *, seed=None, version="1", kind="nightly"):
        with Ledger(tmp_path / name, create=True) as ledger:
            offers = replace(OFFER, version=version), None
            run = ledger.begin(question, offers, environment(), kind=kind, workers=1, seed=seed)
            tally = Tally(("heads", "tails"), (heads, tails), (0.5, 0.5), departure="rate")
            ledger.add(run, Result("backend", CASE, {FAIR: tally}), 1.0)
        return tmp_path / name

    return add


def thrown(path):
    """Heads and tails by version, and how many runs there are."""
    with Ledger(path) as ledger:
        subjects = ledger.db.execute("SELECT id, version FROM subject ORDER BY version").fetchall()
        counts = {version: ledger.results(row)[CASE].evidence[FAIR].counts[0].tolist() for row, version in subjects}
        return counts, ledger.db.execute("SELECT count(*) FROM run").fetchone()[0]


@pytest.fixture
def copied(tmp_path):
    def copy(path, name):
        shutil.copy(path, tmp_path / name)
        return tmp_path / name

    return copy


def test_evidence_of_two_machines_adds(night, tmp_path):
    a, b = night("a.db", 5, 6), night("b.db", 70, 80)
    assert merge([a, b], tmp_path / "c.db") == 2
    assert thrown(tmp_path / "c.db") == ({"1": [75, 86]}, 2)
    assert thrown(a) == ({"1": [5, 6]}, 1)  # a source is left as it was


def test_versions_stay_apart(night, tmp_path):
    merge([night("a.db", 5, 6), night("b.db", 7, 8, version="2")], tmp_path / "c.db")
    assert thrown(tmp_path / "c.db") == ({"1": [5, 6], "2": [7, 8]}, 2)


def test_a_run_that_both_hold_is_counted_once(night, copied, tmp_path):
    a = night("a.db", 5, 6)
    b = copied(a, "b.db")
    night("a.db", 10, 20)
    night("b.db", 300, 400)
    for number, sources in enumerate(([a, b], [b, a])):
        merge(sources, tmp_path / f"{number}.db")
        assert thrown(tmp_path / f"{number}.db") == ({"1": [315, 426]}, 3)


@pytest.mark.parametrize("order", [1, -1])
def test_a_ledger_and_its_own_past_are_the_ledger(night, copied, tmp_path, order):
    a = night("a.db", 5, 6)
    past = copied(a, "past.db")
    night("a.db", 10, 20)
    merge([a, past][::order], tmp_path / "c.db")
    assert thrown(tmp_path / "c.db") == ({"1": [15, 26]}, 2)


def test_merging_with_itself_changes_nothing(night, copied, tmp_path):
    a = night("a.db", 5, 6)
    merge([a, copied(a, "b.db"), a], tmp_path / "c.db")
    assert thrown(tmp_path / "c.db") == ({"1": [5, 6]}, 1)


def test_what_was_merged_can_be_merged_again(night, tmp_path):
    a, b, c = night("a.db", 1, 2), night("b.db", 10, 20), night("c.db", 100, 200)
    merge([a, b], tmp_path / "ab.db")
    merge([b, c], tmp_path / "bc.db")
    merge([tmp_path / "ab.db", tmp_path / "bc.db"], tmp_path / "abc.db")
    assert thrown(tmp_path / "abc.db") == ({"1": [111, 222]}, 3)


def test_two_runs_that_share_a_seed_are_refused(night, tmp_path):
    a, b = night("a.db", 5, 6, seed=1000), night("b.db", 7, 8, seed=2000)
    with pytest.raises(UsageError, match="shares seeds from 2000 on with a run of"):
        merge([a, b], tmp_path / "c.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.db", "b.db"]  # nothing half-made is left


def test_a_run_that_was_copied_while_it_ran_is_refused(night, copied, tmp_path):
    a = night("a.db", 5, 6)
    b = copied(a, "b.db")
    with Ledger(b, write=True) as ledger:
        ledger.db.execute("UPDATE run SET cases = cases + 1")
    with pytest.raises(UsageError, match="is in another ledger with other contents"):
        merge([a, b], tmp_path / "c.db")


def test_a_shared_run_that_neither_keeps_apart_is_refused(night, copied, tmp_path):
    a = night("a.db", 5, 6)
    b = copied(a, "b.db")
    for _ in range(APART):
        night("a.db", 1, 1)
        night("b.db", 1, 1)
    with pytest.raises(UsageError, match="neither keeps apart what it added"):
        merge([a, b], tmp_path / "c.db")


def test_a_ledger_that_is_there_is_left_as_it_is(night, tmp_path):
    a, b = night("a.db", 5, 6), night("b.db", 7, 8)
    with pytest.raises(UsageError, match="exists already"):
        merge([a], b)
    assert thrown(b) == ({"1": [7, 8]}, 1)


def test_the_command_says_what_it_wrote(keeprate, night, tmp_path):
    night("a.db", 5, 6)
    night("b.db", 7, 8)
    run = keeprate("merge", "a.db", "b.db", "--into", "c.db")
    assert (run.code, run.out) == (0, "wrote c.db: 2 runs\n")
    run = keeprate("merge", "a.db", "nix.db", "--into", "d.db")
    assert run.code == 2
    assert run.err == "error: no ledger 'nix.db'\n"
    assert not (tmp_path / "d.db").exists()
