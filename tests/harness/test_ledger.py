"""The ledger: evidence adds up over runs, versions are apart, and no ending of a run loses what was kept."""

import functools
import json
import random
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

import psutil
import pytest
from msgspec import structs

from keeprate.harness import interrupts
from keeprate.harness.errors import UsageError
from keeprate.harness.evidence.check import Check, failed, passed
from keeprate.harness.evidence.tally import Tally
from keeprate.harness.judging.gate import answer
from keeprate.harness.judging.request import ask
from keeprate.harness.ledger import schema
from keeprate.harness.ledger.agenda import LOOKS, REFERENCE, RESULTS, Agenda
from keeprate.harness.ledger.encoding import join, split
from keeprate.harness.ledger.held import Held
from keeprate.harness.ledger.history import tell
from keeprate.harness.ledger.merge import copy
from keeprate.harness.ledger.nightly import Recording, draw
from keeprate.harness.ledger.standing import note_night, standing
from keeprate.harness.ledger.store import APART, SEEDS, Ledger, UnwritableError, digests
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.engine import GIVEN_UP, Result
from keeprate.harness.protocol.lookup import find
from keeprate.harness.workers.machine import described
from keeprate.harness.workers.pool import AHEAD, InProcess

HERE = Path(__file__).parent
COIN, COINS = str(HERE / "coin.py"), str(HERE / "coins.py")
CONSOLE_SCRIPT = str(Path(sys.executable).with_name("keeprate"))
KILLS = 25
OFFER = Offer("coin", "1", "thumb", ("float32",), ("spin", "toss"))
OF_A_COIN = ["--backend", f"{COINS}:Fair", "--suite", COIN, "--profile", "quick", "--ledger", "n.db"]
NIGHTLY = ["nightly", *OF_A_COIN, "-n", "1"]
CASE = "toss/throws/float32/p0.5/-/eager"
FAIR = "toss/fair/float32/p0.5/-/eager"
LANDS = "toss/lands/float32/-/-/eager"


@pytest.fixture
def asked():
    return ask(f"{COINS}:Fair", suite=COIN, profile="quick")


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "night.db", create=True) as book:
        yield book


def begin(ledger, asked, *, version="1", kind="nightly", seed=None):
    return ledger.begin(
        asked, (structs.replace(OFFER, version=version), None), described(), kind=kind, workers=1, seed=seed
    )


def result(heads, tails=10, **more):
    found = {FAIR: Tally(("heads", "tails"), (heads, tails), (0.5, 0.5), departure="rate")}
    return Result("backend", CASE, found if more else found | {LANDS: passed(heads + tails)}, **more)


@functools.cache
def counted():
    """What each promise of the coin counts, its cases by their ids, and what each of them is evidence for."""
    plan = ask(f"{COINS}:Fair", suite=COIN, profile="quick").plan
    cases = {case.id: case for promise in plan.values() for case in promise.cases}
    return digests(plan), cases, {text: case.findings for text, case in cases.items()}


def held(ledger, subject=1):
    return Held(ledger, subject, counted()[0])


def passes_of(ledger, subject=1):
    return held(ledger, subject).passes(counted()[2])


def counts(ledger, subject, case=CASE, finding=FAIR):
    return held(ledger, subject).results()[case].evidence[finding].counts.tolist()


def until(passes):
    """What ends a night after so many passes, however long they take."""

    def look(_, done):
        if done >= passes:
            raise KeyboardInterrupt

    return look


def throw(asked, ledger, kind="Fair", seconds=1.0, **options):
    """A night of a coin in this process."""
    backend = find(f"{COINS}:{kind}", group="keeprate.backends", kind="backend")
    return draw(asked, InProcess(backend, asked.suite, asked.names), ledger, seconds, described(), **options)


# Adding


def test_evidence_of_two_runs_adds(ledger, asked):
    first, second = begin(ledger, asked), begin(ledger, asked)
    assert first.subjects == second.subjects
    for run, heads in ((first, 5), (second, 6), (second, 7)):
        total = ledger.add(run, result(heads), 1.0)
    assert counts(ledger, first.subjects["backend"]) == [[18, 30]]
    assert total[FAIR].counts.tolist() == [[18, 30]]
    assert ledger.drawn(first.subjects["backend"]) == (2, 48)
    apart = [(run, json.loads(join_text(amounts))) for run, _, _, amounts in ledger.db.execute("SELECT * FROM recent")]
    assert [row for row in apart if "counts" in row[1]] == [
        (first.id, {"counts": [[5, 10]]}),
        (second.id, {"counts": [[13, 20]]}),
    ]


def join_text(amounts):
    import zlib

    return zlib.decompress(amounts)


class Noting(InProcess):
    """Notes the jobs that it is given."""

    def map(self, jobs):
        self.given = []
        for job in jobs:
            self.given.append(job)
            yield from super().map([job])


def test_what_a_night_draws_is_what_its_cases_give(ledger, asked):
    backend = find(f"{COINS}:Fair", group="keeprate.backends", kind="backend")
    runner = Noting(backend, asked.suite, asked.names)
    night = draw(asked, runner, ledger, 600.0, described(), progress=until(100))
    given = runner.given
    assert night.passes == sum(job.passes for job in given) and not night.standing.waiting
    assert len({(job.case.id, job.seed) for job in given}) == len(given)  # no draw is counted twice
    again = {job.case.id: {} for job in given}
    for found in runner.map(given):
        for finding, evidence in found.evidence.items():
            total = again[found.case].get(finding)
            again[found.case][finding] = total + evidence if total else evidence
    assert {case: found.evidence for case, found in held(ledger).results().items()} == again
    assert passes_of(ledger) == {case: sum(job.passes for job in given if job.case.id == case) for case in again}


def answer_as_planned(agenda, job, seconds):
    """Tells the agenda that a fair coin's pass took so many seconds."""
    text = next(text for text in job.case.findings if "/fair/" in text)
    n, p = job.case.draws, job.case.parameters["p"]
    told = {text: Tally(("heads", "tails"), (round(n * p), n - round(n * p)), (p, 1 - p), departure="rate")}
    agenda.note(Result(job.role, job.case.id, told, seconds=seconds * job.passes, passes=job.passes), told)


def test_a_case_that_is_soon_gone_through_is_so_several_times_at_once(ledger, asked):
    agenda, passes = Agenda(asked.given(OFFER), ledger, begin(ledger, asked)), []
    for job in islice(agenda.until(time.monotonic() + 60), 24):
        if job.case.id == CASE:
            passes.append(job.passes)
        answer_as_planned(agenda, job, 0.025)
    assert passes == [1, 1, 2, 4, 8, 8]  # as often as before, up to a fifth of a second


def test_a_thousand_workers_have_longer_jobs_so_that_what_they_give_can_be_taken(ledger, asked):
    agenda, passes = Agenda(asked.given(OFFER), ledger, begin(ledger, asked), workers=1000), 1
    for job in islice(agenda.until(time.monotonic() + 60), 60):
        passes = max(passes, job.passes)
        answer_as_planned(agenda, job, 0.025)
    assert passes == 1000 / RESULTS / 0.025


def test_a_case_whose_seeds_are_spent_takes_none_of_the_next_run(ledger, asked):
    run = begin(ledger, asked)
    agenda = Agenda(asked.given(OFFER), ledger, run)
    agenda._ahead[CASE].here = SEEDS - 1
    for job in islice(agenda.until(time.monotonic() + 60), 40):
        answer_as_planned(agenda, job, 0.025)
        assert job.seed < run.first_seed + SEEDS
    assert CASE not in agenda._ahead


def test_the_reference_is_gone_through_once_for_four_times(ledger, asked):
    narrowed = replace(asked, reference="standard")
    agenda, passes = Agenda(narrowed.given(OFFER), ledger, begin(ledger, asked)), Counter()
    for job in islice(agenda.until(time.monotonic() + 60), 40):
        passes[job.role, job.case.id] += job.passes
        answer_as_planned(agenda, job, 0.025)
    cases = {case for _, case in passes}
    assert len(cases) == 4
    for case in cases - {job.case.id}:  # of the last one, the backend's turn may be to come
        assert passes["reference", case] == -(-passes["backend", case] // REFERENCE)


@pytest.mark.parametrize("cells", [("heads", "tails"), ("up", "down")])
def test_results_that_are_added_at_once_give_what_they_give_one_by_one(tmp_path, asked, cells):
    """And where one of them counts other cells, it begins its promise anew among them as well."""
    odd = Result(
        "backend", CASE, {FAIR: Tally(cells, (4, 4), (0.5, 0.5), departure="rate"), LANDS: passed(8)}, passes=3
    )
    error = Result("backend", CASE, error="it crashed", error_kind="a crash")
    come = [result(5), result(6), error, odd, result(7, unreadable={LANDS: "not now"}), result(8)]
    told, kept = [], []
    for name, at_once in (("one.db", 1), ("two.db", 2), ("all.db", len(come))):
        with Ledger(tmp_path / name, create=True) as book:
            for run in (begin(book, asked), begin(book, asked)):
                parts = [come[i : i + at_once] for i in range(0, len(come), at_once)]
                told.append([totals for part in parts for totals in book.add_all(run, part, 1.0)])
            tables = ("look", "recent", "promise", "form")
            queries = [*(f"SELECT * FROM {table}" for table in tables), "SELECT cases, draws, errors FROM run"]  # noqa: S608
            kept.append([list(map(tuple, book.db.execute(query))) for query in queries])
    assert told[0] == told[2] == told[4] and told[1] == told[3] == told[5]
    assert kept[0] == kept[1] == kept[2]


def test_a_remark_that_comes_later_is_kept(ledger, asked):
    run = begin(ledger, asked)
    for remark in (None, "seeds with the same low 32 bits give the same mask", None):
        check = Check(8, 8, remark=remark)
        ledger.add(run, Result("backend", CASE, {LANDS: check}), 1.0)
    assert held(ledger).results()[CASE].evidence == {
        LANDS: Check(24, 24, remark="seeds with the same low 32 bits give the same mask")
    }


def test_a_version_begins_anew_and_the_old_one_remains(ledger, asked):
    old, new = begin(ledger, asked), begin(ledger, asked, version="2")
    ledger.add(old, result(5), 1.0)
    ledger.add(new, result(9), 1.0)
    assert counts(ledger, old.subjects["backend"]) == [[5, 10]]
    assert counts(ledger, new.subjects["backend"]) == [[9, 10]]


def test_cells_that_are_counted_otherwise_begin_anew_and_what_was_counted_is_kept(ledger, asked):
    run = begin(ledger, asked)
    ledger.add(run, result(5), 1.0)
    bent = Tally(("heads", "tails"), (3, 4), (0.4, 0.6), departure="rate")
    for times in (1, 2):
        total = ledger.add(run, Result("backend", CASE, {FAIR: bent, LANDS: passed(7)}), 1.0)
        assert total[FAIR].counts.tolist() == counts(ledger, 1) == [[3 * times, 4 * times]]
    assert total[LANDS].checked == 15 + 7 + 7
    aside = ledger.db.execute("SELECT total FROM look JOIN promise ON promise.id = promise WHERE digest IS NULL")
    assert [json.loads(join_text(row["total"])) for row in aside] == [{"counts": [[5, 10]]}]
    stand = standing(asked.given(OFFER), ledger, run.subjects, {})
    assert (stand.otherwise, {item.id: item.evidence.n for item in stand.verdict}) == ({FAIR}, {FAIR: 14, LANDS: 29})


def test_a_remark_is_of_the_latest_pass(ledger, asked):
    run = begin(ledger, asked)
    subject = run.subjects["backend"]
    ledger.add(run, result(5, unreadable={LANDS: "lands is broken here"}), 1.0)
    assert held(ledger, subject).results()[CASE].unreadable == {LANDS: "lands is broken here"}
    ledger.add(run, Result("backend", CASE, error="the worker process exited with code 9"), 1.0)
    assert held(ledger, subject).results()[CASE].error == "the worker process exited with code 9"
    assert held(ledger, subject).results()[CASE].unreadable == {}
    ledger.add(run, result(5), 1.0)
    assert held(ledger, subject).results()[CASE].error == ""
    assert ledger.db.execute("SELECT errors FROM run").fetchone()["errors"] == 1


def test_a_case_that_was_given_up_stays_so(ledger, asked):
    run = begin(ledger, asked)
    ledger.add(run, Result("backend", CASE, error="no more of it", error_kind=GIVEN_UP), 1.0)
    assert held(ledger).results()[CASE].error_kind == GIVEN_UP
    stand = standing(asked.given(OFFER), ledger, run.subjects, {})
    assert [finding.detail for finding in stand.verdict] == [
        {"reason": "no more of it", "kind": GIVEN_UP, "case": CASE}
    ] * 2
    ledger.add(run, Result("backend", CASE, error="it crashes"), 1.0)
    assert held(ledger).results()[CASE].error_kind == ""


def test_a_counterexample_is_kept(ledger, asked):
    run = begin(ledger, asked)
    for number in (3, 4):
        ledger.add(run, Result("backend", CASE, {LANDS: failed(10, 1, first=f"throw {number} stands")}), 1.0)
    check = held(ledger, run.subjects["backend"]).results()[CASE].evidence[LANDS]
    assert (check.checked, check.wrong, check.first.words) == (20, 2, {"first": "throw 3 stands"})


def test_the_latest_nights_are_kept_apart_however_many_gates_there_were(ledger, asked):
    nights, gates = [], []
    for number in range(APART + 3):
        nights.append(begin(ledger, asked))
        ledger.add(nights[-1], result(1, 1), 1.0)
        day = f"2026-{1 + number // 28:02}-{1 + number % 28:02}"
        ledger.db.execute("UPDATE run SET night = ? WHERE id = ?", (day, nights[-1].id))
        for _ in range(2):
            gates.append(begin(ledger, asked, kind="gate"))
            ledger.add(gates[-1], result(1, 1), 1.0)
    tonight = begin(ledger, asked)
    for query in ("SELECT DISTINCT run FROM recent", "SELECT id FROM run WHERE apart"):
        kept = {run for (run,) in ledger.db.execute(query)}
        assert kept - {tonight.id} == {run.id for run in (*nights[-APART + 1 :], *gates[-APART:])}
    assert counts(ledger, nights[0].subjects["backend"]) == [[3 * (APART + 3)] * 2]


# Seeds


def test_no_two_runs_have_a_seed_in_common(ledger, asked):
    first = begin(ledger, asked, seed=1000)
    with pytest.raises(UsageError, match=r"seed 1500 belongs to the run of \d{4}-\d\d-\d\d, whose evidence is there"):
        begin(ledger, asked, seed=1500)
    with pytest.raises(UsageError, match="seed 900 belongs to the run"):
        begin(ledger, asked, seed=900)
    assert begin(ledger, asked, kind="gate", seed=999).first_seed == 999
    assert begin(ledger, asked).first_seed != first.first_seed
    begin(ledger, asked, version="2", seed=1000)  # where there is no reference, versions share no evidence


def test_no_draw_of_the_reference_is_counted_for_two_backends(ledger, asked):
    reference = Offer("standard", "1", "thumb", ("float32",), ("spin", "toss"))
    begin_beside(ledger, asked, "mine", reference, seed=7)
    for name, kind in (("theirs", "gate"), ("mine 2", "nightly")):
        with pytest.raises(UsageError, match=r"seed 7 belongs to the run of \d{4}-\d\d-\d\d, whose evidence is there"):
            begin_beside(ledger, asked, name, reference, seed=7, kind=kind)
    begin_beside(ledger, asked, "theirs", structs.replace(reference, version="2"), seed=7)
    begin_beside(ledger, asked, "theirs", reference, seed=8)


def begin_beside(ledger, asked, name, reference, *, seed, kind="gate"):
    offers = structs.replace(OFFER, name=name), reference
    return ledger.begin(asked, offers, described(), kind=kind, workers=1, seed=seed)


def test_the_reference_is_drawn_once_for_a_seed(keeprate, backend_file, tmp_path):
    backend_file(name="one.py")
    backend_file(('name, version, device = "numpy"', 'name, version, device = "other"'), name="two.py")
    gate = ["gate", "--ops", "dropout", "--dtypes", "float32", "--profile", "quick", "--ledger", "n.db", "--seed", 7]
    gate += ["-n", "1"]
    drawn = (
        "SELECT total FROM look JOIN promise ON promise.id = promise JOIN subject ON subject.id = subject "
        "WHERE role = 'reference' ORDER BY look.id"
    )
    assert keeprate(*gate, "--backend", "one.py").code == 0
    with Ledger(tmp_path / "n.db") as book:
        before = book.db.execute(drawn).fetchall()
    run = keeprate(*gate, "--backend", "two.py")
    assert run.code == 2
    assert "seed 7 belongs to the run of" in " ".join(run.err.split())
    with Ledger(tmp_path / "n.db") as book:
        assert before == book.db.execute(drawn).fetchall() != []


def test_a_gate_does_not_add_the_same_seed_twice(keeprate, asked):
    gate = ["gate", *OF_A_COIN, "--seed", 7]
    assert keeprate(*gate).code == 0
    run = keeprate(*gate)
    assert run.code == 2
    assert "seed 7 belongs to the run of" in " ".join(run.err.split())


# A ledger that takes no more


def gate_of(kind, *more):
    words = "gate", "--backend", f"{COINS}:{kind}", "--suite", COIN, "--profile", "quick", *more
    return [CONSOLE_SCRIPT, *map(str, words)]


@pytest.mark.parametrize("kind", ["Fair", "Bent"])
def test_a_full_disk_costs_no_verdict(tmp_path, kind, verdict):
    assert subprocess.run(gate_of(kind, "--ledger", "n.db"), cwd=tmp_path, capture_output=True, check=False).stdout
    # In KiB: less than the cases take, more than SQLite needs to open it.
    line = f"ulimit -f 40; exec {shlex.join(gate_of(kind, '--ledger', 'n.db', '--json', 'v.json', '-n', 1))}"
    run = subprocess.run(["/bin/bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert verdict(tmp_path / "v.json")["verdict"] == ("conforms" if kind == "Fair" else "broken")
    assert ("CONFORMS" if kind == "Fair" else "BROKEN") in run.stdout
    assert run.returncode == 2
    said = " ".join(run.stderr.split())
    assert re.fullmatch(r"error: n.db: the ledger can't be written: .*\. What it held before is kept", said), said
    with Ledger(tmp_path / "n.db") as book:
        assert book.drawn(1)[0] in (1, 2)  # the first, and perhaps that the second began
        assert kind == "Bent" or assert_adds_up(book) is None  # what is broken is not drawn to the end


def test_a_night_whose_disk_is_full_concludes_what_was_drawn_and_ends_with_a_sentence(tmp_path):
    night = shlex.join([CONSOLE_SCRIPT, *NIGHTLY, "--budget", "60s"])
    line = f"{night.replace('60s', '1s')} >first; ulimit -f 80; exec {night}"
    run = subprocess.run(["/bin/bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "CONFORMS" in run.stdout and "not kept in n.db" in " ".join(run.stdout.split())
    assert re.match(r"error: n.db: the ledger can't be written: .*", " ".join(run.stderr.split())), run.stderr
    with Ledger(tmp_path / "n.db") as book:
        assert_adds_up(book)


def test_a_night_whose_ledger_is_held_counts_what_it_could_not_keep(ledger, asked, monkeypatch):
    backend = find(f"{COINS}:Fair", group="keeprate.backends", kind="backend")
    ledger.db.execute("SELECT 1")  # it is open
    monkeypatch.setattr(schema, "PATIENCE", 0.05)
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:

        def hold(_, passes):
            if passes >= 8 and not other.in_transaction:
                other.execute("BEGIN IMMEDIATE")

        night = draw(asked, InProcess(backend, asked.suite, asked.names), ledger, 60.0, described(), progress=hold)
        other.execute("ROLLBACK")
    assert "the ledger can't be written: database is locked" in str(night.failure)
    (kept,) = ledger.db.execute("SELECT sum(cases) FROM run").fetchone()
    assert night.unkept and night.passes == kept + night.unkept
    assert night.standing.verdict.conforms
    assert sum(finding.effect.n for finding in night.standing.verdict if finding.effect) > ledger.drawn(1)[1]


def test_a_night_that_is_asked_to_end_is_concluded(ledger, asked):
    def ask_to_end(_, passes):
        if passes >= 8:
            raise interrupts.Terminated

    backend = find(f"{COINS}:Fair", group="keeprate.backends", kind="backend")
    night = draw(asked, InProcess(backend, asked.suite, asked.names), ledger, 60.0, described(), progress=ask_to_end)
    assert (night.signal, night.failure, night.unkept) == (signal.SIGTERM, None, 0)
    assert night.standing.verdict.conforms
    assert ledger.db.execute("SELECT count(*) FROM night").fetchone()[0] == len(night.standing.verdict)


def test_a_gate_goes_on_without_a_ledger_that_is_held_from_the_beginning(tmp_path, monkeypatch):
    with Ledger(tmp_path / "n.db", create=True) as ledger:
        ledger.db.execute("PRAGMA journal_mode = DELETE")
    with closing(sqlite3.connect(tmp_path / "n.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(schema, "PATIENCE", 0.05)
        with pytest.raises(UnwritableError, match="another program holds the ledger") as refused:
            Ledger(tmp_path / "n.db", create=True)
    asked = ask(f"{COINS}:Fair", suite=COIN, profile="quick")
    backend = find(f"{COINS}:Fair", group="keeprate.backends", kind="backend")
    runner = Recording(InProcess(backend, asked.suite, asked.names), asked, refused.value, described())
    assert answer(asked, runner).conforms
    assert runner.failure is refused.value


def test_a_transaction_that_sqlite_ended_itself_is_told_in_one_sentence(ledger, asked):
    run = begin(ledger, asked)
    ledger.db.execute(f"PRAGMA max_page_count = {ledger.db.execute('PRAGMA page_count').fetchone()[0]}")
    long = {LANDS: "no reason " * 1000}
    with pytest.raises(UnwritableError, match=r"written: database or disk is full\. What it held before is kept"):
        ledger.add(run, result(5, unreadable=long), 1.0)
    assert not ledger.db.in_transaction


def test_a_gate_goes_on_without_a_ledger_that_is_held(ledger, asked, monkeypatch):
    backend = find(f"{COINS}:Fair", group="keeprate.backends", kind="backend")
    runner = Recording(InProcess(backend, asked.suite, asked.names), asked, ledger, described())
    ledger.db.execute("SELECT 1")  # it is open
    monkeypatch.setattr(schema, "PATIENCE", 0.05)
    with sqlite3.connect(ledger.path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert answer(asked, runner).conforms
        other.execute("ROLLBACK")
    assert "the ledger can't be written: database is locked" in str(runner.failure)


def test_nothing_is_left_of_a_run_that_was_refused(keeprate, tmp_path):
    words = ["--suite", COIN, "--profile", "quick", "--ledger", "n.db"]
    for backend, more, code in ((f"{COINS}:Fair", ["--executor", "cloud"], 2), ("nix.py", [], 2), (COIN, [], 3)):
        for command in ("gate", "nightly"):
            assert keeprate(command, "--backend", backend, *words, *more).code == code
    assert list(tmp_path.iterdir()) == []


# Several at once, and sudden ends


def test_several_writers_at_once_lose_nothing(tmp_path, asked):
    path = tmp_path / "night.db"

    def write():
        with Ledger(path, create=True) as book:
            run = begin(book, asked)
            for _ in range(25):
                book.add(run, result(1, 2), 1.0)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Ledger(path) as book:
        assert counts(book, 1) == [[100, 200]]
        assert book.drawn(1) == (4, 300)


def assert_adds_up(ledger):
    """Every table says the same of what was drawn: the totals, the runs one by one, the passes."""
    passes, planned = passes_of(ledger), {text: case.draws for text, case in counted()[1].items()}
    for case, found in held(ledger).results().items():
        for evidence in found.evidence.values():
            assert (evidence.n if isinstance(evidence, Tally) else evidence.checked) == passes[case] * planned[case]
    rows = ledger.db.execute(
        "SELECT look, form.text, amounts, total FROM recent JOIN look ON look.id = look JOIN form ON form.id = form"
    )
    apart, whole = {}, {}
    for look, form, amounts, total in rows:
        evidence = join(form, amounts)
        apart[look] = apart[look] + evidence if look in apart else evidence
        whole[look] = join(form, total)
    assert apart == whole
    draws = ledger.db.execute("SELECT sum(cases), sum(draws) FROM run").fetchone()
    assert tuple(draws) == (sum(passes.values()), sum(number * planned[case] for case, number in passes.items()))


def test_an_interrupt_at_any_step_adds_a_case_or_nothing(ledger, asked, interrupt):
    run = begin(ledger, asked)
    for step in count():
        before = passes_of(ledger).get(CASE, 0)
        try:
            with interrupt(step, "harness/ledger/store.py", "harness/ledger/looks.py", "contextlib.py"):
                ledger.add(run, result(100_000, 100_000), 1.0)
            break  # it has fewer steps
        except KeyboardInterrupt:
            pass
        assert not ledger.db.in_transaction, f"interrupted at step {step}"
        assert passes_of(ledger).get(CASE, 0) - before in (0, 1)
        assert_adds_up(ledger)
    assert step > 500


def test_kill_9_at_any_moment_loses_the_jobs_in_flight_at_most(begun, tmp_path):
    """Each kill comes at a random moment while cases come to their end, as the coin itself has noted.

    What is looked at is a copy, as docs/ci.md makes it for a cache.
    """
    notes = tmp_path / "thrown"
    words = ["--backend", f"{COINS}:Witnessed", "--suite", COIN, "--profile", "quick", "-n", "1"]
    moments, lost = random.Random(), 0
    for number in range(KILLS):
        before = witnessed(notes).total()
        run = begun("nightly", *words, "--ledger", "n.db", "--budget", "600s")
        wait_for(lambda before=before: witnessed(notes).total() > before + 4)
        time.sleep(moments.expovariate(1 / 0.05))  # some cases later
        run.send_signal(signal.SIGKILL)
        run.wait()
        wait_for_silence(notes)  # the worker ends with its parent
        seen = witnessed(notes)
        cached = tmp_path / f"cache{number}" / "n.db"
        cached.parent.mkdir()
        assert copy(tmp_path / "n.db", cached) == number + 1
        with Ledger(cached) as ledger:
            assert_adds_up(ledger)
            held = Counter()
            for case, passes in passes_of(ledger).items():
                op, _, _, p, *_ = case.split("/")
                held[f"{op} {p.removeprefix('p')}"] += passes
            (runs,) = ledger.db.execute("SELECT count(*) FROM run").fetchone()
        assert runs == number + 1
        assert not held - seen  # nothing that was not drawn
        missing = (seen - held).total()
        in_flight = sum(map(len, jobs_of(notes)[-AHEAD:]))
        assert missing - lost <= in_flight, f"kill {number} lost {missing - lost} passes of {in_flight} in flight"
        lost = missing
    assert held.total() > 4 * KILLS


def jobs_of(notes):
    """The passes of each job, as the coin has noted."""
    text = notes.read_text(encoding="utf-8") if notes.exists() else ""
    return [job.splitlines() for job in text.split("begins\n")]


def witnessed(notes):
    """How often each case was thrown to its end."""
    return Counter(line for job in jobs_of(notes) for line in job)


def wait_for(happened):
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def wait_for_silence(notes):
    size = -1
    while size != (size := notes.stat().st_size):
        time.sleep(0.1)


def test_a_night_keeps_its_exit_code_when_its_reader_leaves(process):
    bent = shlex.join([CONSOLE_SCRIPT, *NIGHTLY, "--budget", "2s"]).replace("Fair", "Bent")
    run = process("/bin/bash", "-c", f"{bent} | head -1; exit ${{PIPESTATUS[0]}}")
    assert (run.code, len(run.out.splitlines()), run.err) == (1, 1, "")


def test_a_night_writes_its_report(keeprate, tmp_path):
    assert keeprate(*NIGHTLY, "--budget", "1s").code == 0
    assert (tmp_path / "report" / "index.html").is_file()
    run = keeprate(*NIGHTLY, "--budget", "1s", "--out", "there/and/then")
    assert (run.code, run.err) == (0, "")
    said = " ".join(run.out.split())
    assert "wrote there/and/then/index.html, there/and/then/report.md and" in said
    # Both are of one date.
    assert "The first night in this ledger: there is nothing to compare it with." in said
    assert {path.name for path in (tmp_path / "there/and/then").iterdir()} == {"index.html", "report.md", "report.json"}


def test_a_night_looks_for_its_folder_before_it_draws(keeprate, tmp_path):
    (tmp_path / "taken").write_text("", encoding="utf-8")
    started = time.monotonic()
    for out in ("taken", "taken/below", "x" * 300):
        run = keeprate(*NIGHTLY, "--budget", "600s", "--out", out)
        assert run.code == 2
        assert f"can't write to '{out}'" in " ".join(run.err.split())
    assert time.monotonic() - started < 100
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_report_is_of_the_backend_that_was_asked_for(keeprate, tmp_path, verdict):
    for kind in ("Fair", "Bent"):
        run = keeprate(*[word.replace("Fair", kind) for word in NIGHTLY], "--budget", "1s")
        assert "To see all" not in run.out  # as a gate says, whose failures no report lists
    (tmp_path / "coins.py").write_text(Path(COINS).read_text(encoding="utf-8").replace('"coin", "1"', '"penny", "2"'))
    keeprate(*[word.replace(COINS, "coins.py") for word in NIGHTLY], "--budget", "1s")
    report = ["report", "--ledger", "n.db", "--suite", COIN, "--out", "told"]
    for backend, name in (([], "penny"), (["--backend", f"{COINS}:Bent"], "coin"), (["--backend", "penny"], "penny")):
        assert keeprate(*report, *backend).code == 0
        told = verdict(tmp_path / "told" / "report.json")
        assert told["backend"]["name"] == name
        assert [other["name"] for other in told["ledger"]["others"]] == [{"penny": "coin", "coin": "penny"}[name]]
    run = keeprate(*report, "--backend", "pen")
    assert run.code == 2
    assert "n.db: no run of backend 'pen'." in " ".join(run.err.split())


def test_ctrl_c_keeps_what_was_drawn_and_concludes(tmp_path):
    run = subprocess.Popen(
        [CONSOLE_SCRIPT, *NIGHTLY, "--budget", "60s"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    wait_for_cases(tmp_path / "n.db", 8)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 0, out + err
    assert "CONFORMS" in out
    assert "interrupted; " in out
    with Ledger(tmp_path / "n.db") as ledger:
        assert_adds_up(ledger)
        assert held(ledger).stood()[FAIR]["status"] == "kept"


def test_ctrl_c_ends_a_run_that_waits_for_a_ledger(tmp_path):
    with Ledger(tmp_path / "n.db", create=True) as book:
        book.db.execute("SELECT 1")  # it is made
    with sqlite3.connect(tmp_path / "n.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        run = subprocess.Popen([CONSOLE_SCRIPT, *NIGHTLY], stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        while f"{tmp_path}/n.db" not in (file.path for file in psutil.Process(run.pid).open_files()):
            assert run.poll() is None
            time.sleep(0.05)
        time.sleep(2)  # it waits
        assert run.poll() is None
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=20)
        other.execute("ROLLBACK")
    assert (run.returncode, said.lstrip()) == (130, "error: interrupted; nothing was concluded\n")


def wait_for_cases(path, number):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
                if (db.execute("SELECT sum(cases) FROM run").fetchone()[0] or 0) >= number:
                    return
        except sqlite3.Error:
            pass  # not there yet
        time.sleep(0.05)
    raise TimeoutError(f"{number} cases")


# Verdicts over nights


def test_a_promise_is_judged_from_its_first_case_on(ledger, asked):
    run = begin(ledger, asked)
    ledger.add(run, result(10_000, 10_000), 1.0)
    stand = standing(asked.given(OFFER), ledger, run.subjects, {})
    assert [finding.id for finding in stand.verdict] == [FAIR, LANDS]
    assert stand.waiting == len(asked.promises) - 2


def test_a_promise_waits_for_the_reference_as_well(ledger, asked):
    request = replace(asked, reference="coin")
    run = ledger.begin(request, (OFFER, OFFER), described(), kind="nightly", workers=1)
    for role, judged in (("backend", []), ("reference", [FAIR, LANDS])):
        ledger.add(run, structs.replace(result(10_000, 10_000), role=role), 1.0)
        stand = standing(request.given(OFFER, OFFER), ledger, run.subjects, {})
        assert [finding.id for finding in stand.verdict] == judged
        assert not stand.verdict.reference["failures"]


def test_draws_are_no_evidence_of_an_exact_law(ledger):
    narrowed = ask("mine.py", profile="quick", ops=["dropout"], dtypes=["float32"])
    case = next(case for case in narrowed.suite.cases("quick") if case.op == "dropout" and case.asks("outcomes"))
    (text,) = (text for text in case.findings if "/outcomes/" in text)
    offers = Offer("mine", "1", "cpu", ("float32",), ("dropout",)), None
    run = ledger.begin(narrowed, offers, described(), kind="gate", workers=1)
    ledger.add(run, Result("backend", case.id, {text: Tally(("a", "b"), (5, 5), (0.5, 0.5))}), 1.0)
    stand = standing(narrowed.given(*offers), ledger, run.subjects, {})
    assert stand.otherwise == {text}
    assert text not in {finding.id for finding in stand.verdict}


def test_what_waits_is_told_by_operator_and_law(ledger, asked):
    run = begin(ledger, asked)
    ledger.add(run, result(10_000, 10_000), 1.0)
    told = tell(ledger, COIN)["ledger"]
    assert told["waiting"] == {"toss/fair": 1, "spin/fair": 2, "spin/lands": 1}


def test_a_broken_promise_is_not_drawn_again(ledger, asked):
    def night(end):
        assert throw(asked, ledger, "Bent", seconds=600.0, progress=end).standing.verdict.verdict == "broken"
        return passes_of(ledger)

    def all_others_drawn(_, done):
        """A case that took long in the first night, as on a busy machine, waits for its turn."""
        now = passes_of(ledger) if done >= 100 else passes
        if all(now[case] > number for case, number in passes.items() if not case.startswith("toss")):
            raise KeyboardInterrupt

    passes = night(until(100))
    again = night(all_others_drawn)
    for case, number in passes.items():
        assert again[case] == number if case.startswith("toss") else again[case] > number


def test_a_case_becomes_suspicious_and_calm_again_during_a_night(ledger, asked):
    run = begin(ledger, asked)
    agenda = Agenda(asked.given(OFFER), ledger, run)

    def drawn(heads, tails):
        agenda.note(structs.replace(result(heads, tails), seconds=0.1), ledger.add(run, result(heads, tails), 1.0))
        return {case: ahead.place.suspicious for case, ahead in agenda._ahead.items()}

    assert not any(drawn(5_000, 5_000).values())
    assert drawn(5_320, 4_650) == {case: case == CASE for case in agenda._ahead}  # log10 e is about 3 of 6.9
    assert not any(drawn(50_000, 50_000).values())


def test_evidence_of_many_passes_is_looked_at_after_a_quarter_more(ledger, asked):
    agenda = Agenda(asked.given(OFFER), ledger, begin(ledger, asked))
    fair, clear = ({FAIR: Tally(("heads", "tails"), counts, (0.5, 0.5))} for counts in ((5, 5), (9_000, 1_000)))
    for _ in range(160):
        agenda.note(Result("backend", CASE, fair, seconds=0.1), fair)
    looks = 0
    while CASE in agenda._ahead:
        agenda.note(Result("backend", CASE, clear, seconds=0.1), clear)
        looks += 1
    assert 1 <= looks <= 160 // LOOKS


def test_what_is_exact_is_looked_at_after_every_pass(ledger, asked):
    agenda = Agenda(asked.given(OFFER), ledger, begin(ledger, asked))
    for _ in range(160):
        agenda.note(result(5, 5), {LANDS: passed(10)})
    agenda.note(result(5, 5), {LANDS: failed(10)})
    assert CASE not in agenda._ahead


def test_a_night_draws_where_it_resolves_most_in_a_second(ledger, asked):
    run = begin(ledger, asked)
    agenda = Agenda(asked.given(OFFER), ledger, run)
    seconds = {"toss": 0.01, "spin": 0.04}
    drawn = dict.fromkeys(seconds, 0)
    for job in islice(agenda.until(time.monotonic() + 60), 400):
        drawn[job.case.op] += job.passes
        answer_as_planned(agenda, job, seconds[job.case.op])
    assert 12 < drawn["toss"] / drawn["spin"] < 20  # the square of four times the speed


def test_a_fault_that_one_night_cannot_see_is_seen_by_many(ledger, asked, monkeypatch):
    coin = find(f"{COINS}:Bent", group="keeprate.backends", kind="backend")
    # A pass throws 200,000 times: 0.004 off is 3.6 standard errors, and 9 are needed. Twenty passes show 16.
    monkeypatch.setattr(type(coin), "chance_too_much", 0.004)
    suite, names = asked.suite, asked.names
    verdicts = []
    for job in [job for job in asked.given(OFFER).jobs() if job.case.id == CASE]:
        for number in range(20):
            run = begin(ledger, asked)
            for found in InProcess(coin, suite, names).map([structs.replace(job, seed=run.first_seed)]):
                ledger.add(run, found, 1.0)
            verdict = standing(asked.given(OFFER), ledger, run.subjects, {}).verdict
            note_night(ledger, run, verdict)
            verdicts.append({finding.id: finding.status for finding in verdict}[FAIR])
            assert number < 19 or verdicts[-1] == "broken"
    assert verdicts == sorted(verdicts, reverse=True)  # kept, then broken for good
    text = str(verdict)
    assert "\n  summed     over 20 passes; the command below makes one, which may not show it\n" in text
    assert "To see all" not in text  # it would draw once


def test_what_was_broken_stays_so_whatever_comes_after(ledger, asked):
    """The supremum of an e-process is what Ville's inequality bounds."""
    run = begin(ledger, asked)

    def told():
        verdict = standing(asked.given(OFFER), ledger, run.subjects, {}).verdict
        note_night(ledger, run, verdict)
        return next(finding for finding in verdict if finding.id == FAIR)

    ledger.add(run, result(10_000, 8_900), 1.0)
    first = told()
    assert first.status == "broken"
    ledger.add(run, result(10_000, 10_500), 1.0)
    second = told()
    assert second.evidence.log10_e < second.effect.threshold_log10_e
    assert (second.status, second.effect.log10_e) == ("broken", first.effect.log10_e)
    assert tell(ledger, COIN)["verdict"] == "broken"


def test_the_ledger_holds_no_pickle(ledger, asked):
    ledger.add(begin(ledger, asked), result(5), 1.0)
    for _, amounts in ledger.db.execute("SELECT id, total FROM look"):
        assert json.loads(join_text(amounts)).keys() in ({"counts"}, {"checked", "exact", "wrong", "first"})
    assert split(Tally(("a", "b"), (1, 1), (0.5, 0.5)))[0].startswith("{")
    assert "pickle" not in sys.modules["keeprate.harness.ledger.store"].__dict__
