"""Merging ledgers: what they hold adds, and what both hold is counted once."""

import shutil
import threading
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from keeprate.harness.errors import UsageError
from keeprate.harness.evidence.check import passed
from keeprate.harness.evidence.tally import Tally
from keeprate.harness.judging.request import ask
from keeprate.harness.ledger.held import Held
from keeprate.harness.ledger.merge import merge
from keeprate.harness.ledger.store import APART, Ledger, digests
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.engine import Result
from keeprate.harness.workers.machine import described

HERE = Path(__file__).parent
COIN, COINS = str(HERE / "coin.py"), str(HERE / "coins.py")
OFFER = Offer("coin", "1", "thumb", ("float32",), ("spin", "toss"))
CASE = "toss/throws/float32/p0.5/-/eager"
FAIR, LANDS = "toss/fair/float32/p0.5/-/eager", "toss/lands/float32/-/-/eager"


@pytest.fixture
def night(tmp_path):
    """Adds a run that threw so many heads and tails to a ledger; returns the ledger's path."""
    request = ask(f"{COINS}:Fair", suite=COIN, profile="quick")

    def add(path, heads, tails, *, seed=None, version="1", kind="nightly", passes=1, role="backend", name="coin"):
        with Ledger(tmp_path / path, create=True) as ledger:
            offers = structs.replace(OFFER, version=version, name=name), OFFER
            run = ledger.begin(request, offers, described(), kind=kind, workers=1, seed=seed)
            for number in range(passes):
                counts = (heads, tails) if not number else (0, 0)
                tally = Tally(("heads", "tails"), counts, (0.5, 0.5), departure="rate")
                ledger.add(run, Result(role, CASE, {FAIR: tally, LANDS: passed(heads + tails)}), 1.0)
        return tmp_path / path

    return add


def thrown(path, role="backend"):
    """Heads and tails by version, and how many runs there are."""
    request = ask(f"{COINS}:Fair", suite=COIN, profile="quick")
    with Ledger(path) as ledger:
        query = "SELECT id, version FROM subject WHERE role = ? ORDER BY version"
        subjects = ledger.db.execute(query, (role,)).fetchall()
        found = {version: Held(ledger, row, digests(request.plan)).results() for row, version in subjects}
        counts = {version: held[CASE].evidence[FAIR].counts[0].tolist() for version, held in found.items() if held}
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


@pytest.mark.parametrize("order", [1, -1])
def test_what_either_machine_offers_is_offered(night, tmp_path, monkeypatch, order):
    a = night("a.db", 5, 6)
    monkeypatch.setitem(globals(), "OFFER", structs.replace(OFFER, names=("toss",), dtypes=("float32", "float16")))
    merge([a, night("b.db", 70, 80)][::order], tmp_path / "c.db")
    with Ledger(tmp_path / "c.db") as ledger:
        texts = ledger.db.execute("SELECT offer FROM subject").fetchall()
    found = [msgspec.json.decode(text, type=Offer) for (text,) in texts]
    assert len(found) == 2
    assert all(set(one.names) == {"spin", "toss"} and set(one.dtypes) == {"float32", "float16"} for one in found)


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


def passes(path):
    with Ledger(path) as ledger:
        query = "SELECT finding, case_id, passes FROM look JOIN promise ON promise.id = promise"
        return {(finding, case): number for finding, case, number in ledger.db.execute(query)}


@pytest.mark.parametrize("order", [1, -1])
def test_passes_are_those_of_both_less_what_is_shared(night, copied, tmp_path, order):
    a = night("a.db", 5, 6, passes=3)
    b = copied(a, "b.db")
    night("a.db", 10, 20, passes=4)
    night("b.db", 300, 400, passes=2)
    merge([a, b][::order], tmp_path / "c.db")
    assert passes(tmp_path / "c.db") == {(FAIR, CASE): 9, (LANDS, CASE): 9}


def test_a_shared_run_that_judged_the_reference_alone_takes_nothing_away(night, copied, tmp_path):
    a = night("a.db", 5, 6, role="reference")  # ended before a case of the backend's came
    b = copied(a, "b.db")
    night("a.db", 10, 20)
    night("b.db", 300, 400)
    assert merge([a, b], tmp_path / "c.db") == 3
    assert thrown(tmp_path / "c.db", "backend") == ({"1": [310, 420]}, 3)
    assert thrown(tmp_path / "c.db", "reference") == ({"1": [5, 6]}, 3)


def test_two_runs_of_different_backends_that_share_the_reference_s_draws_are_refused(night, tmp_path):
    a = night("a.db", 5, 6, seed=7, role="reference", kind="gate")
    b = night("b.db", 7, 8, seed=7, role="reference", kind="gate", name="another")
    with pytest.raises(UsageError, match="shares seeds from 7 on with a run of"):
        merge([a, b], tmp_path / "c.db")


def test_of_two_that_merge_into_one_ledger_the_first_wins(night, tmp_path):
    a, b, into = night("a.db", 5, 6), night("b.db", 7, 8), tmp_path / "c.db"
    started, ended, refused = threading.Barrier(2), [], []

    def write(path):
        started.wait()
        try:
            merge([path] * 5, into)
        except UsageError as error:
            refused.append(str(error))
        else:
            ended.append(path)

    threads = [threading.Thread(target=write, args=(path,)) for path in (a, b)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (first,), (why,) = ended, refused
    assert "already exists" in why
    assert thrown(into) == thrown(first)
    assert {path.name for path in tmp_path.iterdir()} == {"a.db", "b.db", "c.db"}


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
    for number in range(APART + 1):
        for name in ("a.db", "b.db"):
            with Ledger(night(name, 1, 1), write=True) as ledger:
                day = f"2001-{1 + number // 28:02}-{1 + number % 28:02}"
                ledger.db.execute("UPDATE run SET night = ? WHERE id = (SELECT max(id) FROM run)", (day,))
                if not number:  # the one that both hold is older
                    ledger.db.execute("UPDATE run SET night = '2000-01-01' WHERE id = 1")
    with pytest.raises(UsageError, match="neither keeps apart what it added"):
        merge([a, b], tmp_path / "c.db")


def test_a_ledger_that_is_there_is_left_as_it_is(night, tmp_path):
    a, b = night("a.db", 5, 6), night("b.db", 7, 8)
    with pytest.raises(UsageError, match="already exists"):
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
