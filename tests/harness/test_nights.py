"""What a ledger says of a night: of the run just made, since when, new in which version, and what still waits."""

import datetime
import json
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from keeprate.harness.errors import UsageError
from keeprate.harness.judging.decision import Decision, Unasked
from keeprate.harness.judging.diagnosis import Cause
from keeprate.harness.judging.request import ask
from keeprate.harness.judging.text import remarks
from keeprate.harness.ledger.agenda import Agenda
from keeprate.harness.ledger.code import code_of
from keeprate.harness.ledger.held import EVER, Held
from keeprate.harness.ledger.history import tell
from keeprate.harness.ledger.merge import merge
from keeprate.harness.ledger.schema import VERSION
from keeprate.harness.ledger.standing import keep_causes, note_night, standing
from keeprate.harness.ledger.store import Ledger, digests
from keeprate.harness.ledger.stretch import broke_in
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.engine import Result
from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import load_suite
from keeprate.harness.workers.machine import described
from keeprate.harness.workers.pool import InProcess

HERE = Path(__file__).parent
COIN, COINS = str(HERE / "coin.py"), str(HERE / "coins.py")
OFFER = Offer("coin", "1", "thumb", ("float32",), ("spin", "toss"))
FAIR = "toss/fair/float32/p0.5/-/eager"


def day(number):
    return (datetime.date(2026, 1, 1) + datetime.timedelta(number)).isoformat()


@pytest.fixture
def night(tmp_path):
    """Judges a coin on a date, in a version, and adds that to a ledger; gives what `tell` says of the run."""

    def add(
        kind="Fair", version="1", on=0, *, path="n.db", profile="quick", by="nightly", ops=None, causes=(), drawn=None
    ):
        asked = ask(f"{COINS}:{kind}", suite=COIN, profile=profile, ops=ops)
        backend = find(asked.backend, group="keeprate.backends", kind="backend")
        offer = msgspec.structs.replace(OFFER, version=version)
        with Ledger(tmp_path / path, create=True) as book:
            run = book.begin(asked, (offer, None), described(), kind=by, workers=1)
            date = day(on) if isinstance(on, int) else on
            book.db.execute("UPDATE run SET night = ? WHERE id = ?", (date, run.id))
            object.__setattr__(run, "night", date)
            jobs = replace(asked, seed=run.first_seed).given(offer).jobs()
            jobs = [job for job in jobs if drawn in (None, job.case.op)]
            jobs = [job.replace(thresholds=dict.fromkeys(job.thresholds)) for job in jobs]  # to the end, as in a night
            for result in InProcess(backend, asked.suite, asked.names).map(jobs):
                book.add(run, result, 1.0)
            stand = standing(asked.given(offer), book, run.subjects, {})
            note_night(book, run, stand.verdict)
            if causes:
                keep_causes(book, run, replace(stand.verdict, causes=causes))
            return tell(book, COIN, run=run.id, asked=asked)

    return add


def told(path, **options):
    with Ledger(path) as book:
        return tell(book, COIN, **options)


# The run just made


def test_a_night_is_about_the_run_just_made_whatever_dates_the_ledger_holds(night, tmp_path, schema):
    night(version="1", on=0)
    night(version="1", on=400)  # a clock was a year ahead
    ledger = night("Bent", version="2", on=2)
    schema.validate(json.loads(json.dumps(ledger)))
    assert (ledger["backend"]["version"], ledger["verdict"]) == ("2", "broken")
    assert told(tmp_path / "n.db")["backend"]["version"] == "2"
    assert [each["version"] for each in ledger["ledger"]["versions"]] == ["2", "1"]
    assert (ledger["ledger"]["night"], ledger["ledger"]["ahead"]) == (day(2), [day(400)])


def test_nights_are_in_the_order_in_which_they_were_entered(night):
    for on in (0, 400, 2):
        last = night(on=on)
    assert [point["night"] for point in last["ledger"]["history"][FAIR]] == [day(0), day(400), day(2)]
    assert last["ledger"]["compared"]["night"] == day(400)
    assert (last["ledger"]["versions"][0]["first"], last["ledger"]["versions"][0]["last"]) == (day(0), day(2))
    assert [point["night"] for point in last["ledger"]["laws"]["fair"]] == [day(0), day(400), day(2)]


def test_a_date_later_than_today_is_named_and_marked(night):
    assert night(on="2999-01-01")["ledger"]["ahead"] == ["2999-01-01"]
    assert "the night before, 2999-01-01 (a clock was ahead): nothing is new." in night(on=1)["ledger"]["news"]


def test_ledgers_of_several_machines_merge_in_the_order_of_their_dates(night, tmp_path):
    for path in ("a.db", "b.db", "c.db"):
        for on in range(3):
            night(on=on, path=path)
    merge([tmp_path / path for path in ("b.db", "c.db", "a.db")], tmp_path / "all.db")
    whole = told(tmp_path / "all.db")["ledger"]
    assert whole["ahead"] == []
    assert [run["night"] for run in whole["runs"]] == [day(on) for on in (0, 0, 0, 1, 1, 1, 2, 2, 2)]
    with Ledger(tmp_path / "all.db") as book:
        assert book.db.execute("SELECT count(*) FROM code").fetchone()[0] == 9


# Since when, and new in which version


def test_a_fault_that_is_new_in_a_version_is_said_to_be_and_who_kept_it(night, schema):
    for on in range(4):
        night(version="1.0", on=on)
    first = night("Bent", version="1.1", on=4)
    schema.validate(json.loads(json.dumps(first)))
    (origin,) = first["ledger"]["origins"]
    assert origin["says"] == f"New: broken since 1.1, first on {day(4)}; kept by 1.0 over 4 nights."
    said = f"Compared with 1.0, judged over 4 nights until {day(3)}: 1 law newly broken without a known cause."
    assert first["ledger"]["news"] == said
    (origin,) = night("Bent", version="1.1", on=5)["ledger"]["origins"]
    assert origin["says"] == f"Not new: broken since 1.1, first on {day(4)}; kept by 1.0 over 4 nights."
    (origin,) = night("Bent", version="1.2", on=6)["ledger"]["origins"]
    assert origin["says"] == f"Not new: broken since 1.1, first on {day(4)}; kept by 1.0 over 4 nights."


def test_what_is_mended_in_a_version_is_said(night):
    night("Bent", version="1.0", on=0)
    mended = night(version="1.1", on=1)["ledger"]
    said = f"Compared with 1.0, judged over 1 night until {day(0)}, nothing is newly broken. "
    assert mended["news"] == f"{said}Mended: fair, in toss (2 promises)."
    half = night(version="1.2", on=2, ops=["spin"])
    assert half["ledger"]["news"].endswith("nothing is new.")


def test_what_is_mended_is_told_by_its_cause_and_what_of_it_is_not_is_said(night, schema):
    cause = Cause("bent", "coins", "coin is bent, in toss.", "heads", (FAIR, FAIR.replace("p0.5", "p0.25")))
    night("Bent", version="1.0", on=0, causes=(cause,))
    mended = night(version="1.1", on=1)
    schema.validate(json.loads(json.dumps(mended)))
    assert mended["ledger"]["news"].endswith("nothing is newly broken. Mended: coin is bent, in toss (2 promises).")
    half = night("BentAtAQuarter", version="1.2", on=2, path="other.db")["ledger"]
    assert half["mends"] == []
    night("Bent", version="1.0", on=0, causes=(cause,), path="half.db")
    half = night("BentAtAQuarter", version="1.1", on=1, path="half.db")["ledger"]
    assert half["news"].endswith("Mended in part: coin is bent, in toss (1 promise, 1 still broken).")


# Within one version


def test_a_fault_that_comes_within_a_version_is_new_and_told_from_the_nights_before(night, schema):
    for on in range(3):
        night(on=on)
    turned = night("Bent", on=3)
    schema.validate(json.loads(json.dumps(turned)))
    (origin,) = turned["ledger"]["origins"]
    assert origin["says"] == f"New: broken since 1, first on {day(3)}; kept until then, over 3 nights."
    assert abs(origin["shown"]["estimate"] - 0.55) < 0.01  # of 200,000 throws: nine standard errors
    assert (origin["shown"]["first"], origin["shown"]["n"]) == (day(3), 200_000)
    (origin,) = night("Bent", on=4)["ledger"]["origins"]
    assert origin["says"] == f"Not new: broken since 1, first on {day(3)}; kept until then, over 3 nights."


def test_what_all_nights_show_together_is_not_said_to_have_come_tonight(night):
    night("SlightlyBent", on=0)  # five standard errors off, which breaks nothing
    ids = tuple(f"toss/fair/float32/p{chance}/-/eager" for chance in (0.5, 0.25))
    cause = Cause("bent", "coins", "coin is bent, in toss.", "heads", ids)
    told = night("SlightlyBent", on=1, causes=(cause,))["ledger"]
    (origin, *_) = told["origins"]
    assert not origin["told"] and origin["shown"] is None
    assert told["news"].startswith(f"Compared with the night before, {day(0)}: 1 cause perhaps new")
    all_of_it = "by all that was drawn until then: the night before may have had it too"
    assert origin["says"] == f"Perhaps new: broken since 1, first on {day(1)}, {all_of_it}."


def test_a_fault_of_one_night_is_told_from_what_was_drawn_after_it(night):
    for on, kind in enumerate(("Fair", "Bent", "Fair", "Fair")):
        last = night(kind, on=on)
    (origin,) = last["ledger"]["origins"]
    after = f"what was drawn after {day(1)} doesn't show it"
    assert origin["says"] == f"Not new: broken since 1, first on {day(1)}; kept until then, over 1 night; {after}."
    assert abs(origin["shown"]["estimate"] - 0.55) < 0.01


def test_what_was_drawn_in_one_night_alone_leaves_it_to_others_to_tell_since_when(night, tmp_path):
    for on in range(3):
        night(on=on, ops=["spin"])
    night("AllBent", on=3)
    asked = ask(f"{COINS}:AllBent", suite=COIN, profile="quick")
    with Ledger(tmp_path / "n.db") as book:
        subject, last = book.db.execute("SELECT backend, max(id) FROM run").fetchone()
        (reference,) = book.db.execute("SELECT reference FROM run").fetchone()[:1]
        stand = standing(asked.given(OFFER), book, {"backend": subject, "reference": reference}, {})
        broken = {item.op: item for item in stand.verdict if item.status == "broken"}
        held = Held(book, subject, digests(asked.plan))
        assert broke_in(held, asked.plan, [broken["toss"]]) == EVER
        assert broke_in(held, asked.plan, [broken["toss"], broken["spin"]]) == (last, EVER[1])


def test_a_fault_whose_first_finding_was_not_drawn_before_is_told_by_the_others(night):
    for on in range(3):
        night(on=on, ops=["spin"])
    (origin,) = night("AllBent", on=3)["ledger"]["origins"]
    assert origin["says"] == f"New: broken since 1, first on {day(3)}; kept until then, over 3 nights."


def test_a_fault_of_one_run_of_a_night_is_told_from_the_others_of_it(night):
    for kind in ("Fair", "Bent", "Fair", "Fair"):
        last = night(kind, on=0)
    (origin,) = last["ledger"]["origins"]
    assert origin["says"].endswith(
        f"what else was drawn on {day(0)} doesn't show it; nothing before tells whether it is new."
    )


def test_what_a_version_before_drew_too_little_of_is_not_said_to_be_kept_by_it(night):
    night("SlightlyBent", version="1.0", on=0)
    for on in (1, 2):
        last = night("SlightlyBent", version="1.1", on=on)
    (origin, *_) = last["ledger"]["origins"]
    assert origin["kept_by"] == "1.1" and not origin["told"]
    night(version="1.0", on=0, path="o.db", ops=["spin"])
    (origin,) = night("Bent", version="1.1", on=1, path="o.db")["ledger"]["origins"]
    never = "nothing before tells whether it is new"
    assert origin["says"] == f"Broken when it was first looked at, on {day(1)}; {never}."


def test_what_was_broken_and_is_not_looked_at_yet_is_not_called_mended(night):
    night("Bent", version="1.0", on=0)
    half = night(version="1.1", on=1, ops=["spin"])["ledger"]
    assert half["news"].endswith(": 2 promises broken then and not looked at yet.")


def test_what_the_version_before_broke_is_drawn_first(night, tmp_path):
    night("Fair", "1.0")
    broken = {item["id"] for item in night("Bent", "1.1", on=1)["findings"] if item["status"] == "broken"}
    asked = ask(f"{COINS}:Fair", suite=COIN, profile="quick")
    offer = msgspec.structs.replace(OFFER, version="1.2")
    with Ledger(tmp_path / "n.db") as book:
        run = book.begin(asked, (offer, None), described(), kind="nightly", workers=1)
        given = asked.given(offer)
        cases = {job.case.id: not broken.isdisjoint(job.case.findings) for job in given.jobs()}
        drawn = [job.case.id for job in islice(Agenda(given, book, run).until(float("inf")), len(cases))]
    assert 0 < sum(cases.values()) < len(cases)
    assert [cases[case] for case in drawn] == sorted(cases.values(), reverse=True)


def test_the_first_night_of_a_ledger_compares_with_nothing(night):
    first = night("Bent")["ledger"]
    assert first["news"] == "The first night in this ledger: there is nothing to compare it with."
    assert first["compared"] is None and not first["changes"]
    assert first["origins"][0]["says"].startswith(f"Broken from the first night on, {day(0)}")


def test_what_follows_from_a_fault_that_was_there_is_not_new(night):
    cause = Cause("bent", "coins", "coin is bent, in toss.", "heads", (FAIR, FAIR.replace("p0.5", "p0.25")))
    night("Bent", on=0, causes=(cause,))
    second = night("Bent", on=1, causes=(cause,))
    assert [one["of"] for one in second["ledger"]["origins"]] == ["bent"]
    assert second["causes"][0]["sentence"] == "coin is bent, in toss."
    assert second["ledger"]["news"].endswith("nothing is new.")


# The code that was judged


def test_runs_that_judged_other_code_under_one_version_are_told(night, tmp_path):
    night(on=0)
    with closing(sqlite3.connect(tmp_path / "n.db")) as db:
        db.execute("UPDATE code SET digest = ?", ("0" * 32,))
        db.commit()
    assert night(on=1)["ledger"]["other_code"] == {"runs": 1, "last": day(0)}
    assert night(version="2", on=2)["ledger"]["other_code"] is None


def test_the_digest_is_of_the_file_and_of_what_it_imports_beside_it(tmp_path):
    file, other = tmp_path / "mine.py", tmp_path / "kernels.py"
    file.write_text("import kernels\nname = 'mine'\n", encoding="utf-8")
    other.write_text("rate = 0.5\n", encoding="utf-8")
    first = code_of(str(file))
    assert len(first) == 32 and code_of(f"{file}:Backend") == first
    other.write_text("rate = 0.6\n", encoding="utf-8")
    assert code_of(str(file)) != first
    file.write_text("import (", encoding="utf-8")
    assert code_of(str(file)) is None and code_of("") is None


# Promises that wait


def test_a_verdict_over_a_part_of_the_promises_says_how_many_wait(night):
    half = night(drawn="spin")
    assert half["ledger"]["waiting"] == {"toss/fair": 2, "toss/lands": 1} and half["ledger"]["unasked"] == []
    assert half["sentence"] == "coin keeps 3 of 3 promises so far; 3 of 6 wait to be looked at."
    assert night(on=1)["sentence"] == "coin keeps 6 of 6 promises."


UNASKED = {"op": "toss", "dtypes": [], "whole": True}


def test_what_no_run_was_asked_for_does_not_wait_and_is_named(night, tmp_path, schema):
    asked = night(ops=["spin"])
    schema.validate(json.loads(json.dumps(asked)))
    assert (asked["ledger"]["waiting"], asked["ledger"]["unasked"]) == ({}, [UNASKED])
    assert asked["sentence"] == "coin keeps 3 of 3 promises asked for."
    assert asked["ledger"]["asked"] == {"ops": ["spin"], "dtypes": []}
    merge([tmp_path / "n.db"], tmp_path / "merged.db")
    assert told(tmp_path / "merged.db")["ledger"]["unasked"] == [UNASKED]
    other = night(on=1, drawn="spin")  # which was asked for all
    assert other["ledger"]["unasked"] == [] and sum(other["ledger"]["waiting"].values()) == 3
    later = night(on=2, ops=["spin"])  # what an earlier night was asked for still waits
    assert later["ledger"]["unasked"] == [] and sum(later["ledger"]["waiting"].values()) == 3


def test_what_another_version_or_profile_was_asked_for_is_not_asked_of_this_one(night):
    night(version="1.0")
    night(version="1.1", on=1, profile="gate")
    last = night(version="1.1", on=2, ops=["spin"])
    assert (last["ledger"]["waiting"], last["ledger"]["unasked"]) == ({}, [])  # the gate has looked at it
    assert night(version="1.2", on=3, ops=["spin"])["ledger"]["unasked"] == [UNASKED]


def test_the_end_of_a_night_names_what_was_never_asked_for_as_the_page_does(night, tmp_path):
    night(ops=["spin"])
    asked = ask(f"{COINS}:Fair", suite=COIN, profile="quick", ops=["spin"])
    with Ledger(tmp_path / "n.db") as book:
        stand = standing(asked.given(OFFER), book, {"backend": 1}, {})
    assert stand.verdict.sentence == told(tmp_path / "n.db")["sentence"]
    assert "never asked for: toss" in remarks(stand.verdict) and not stand.waiting


def test_what_was_not_asked_for_is_named_by_dtype_where_only_those_are_lacking(tmp_path):
    offer = Offer("mine", "1", "cpu", ("float32", "float16"), ("dropout", "dropout1d"))
    request = ask("mine.py", profile="quick", ops=["dropout"], dtypes=["float32"], known=os.devnull).alone()
    case = next(case for case in request.suite.cases("quick") if case.op == "dropout" and case.dtype == "float32")
    with Ledger(tmp_path / "n.db", create=True) as book:
        run = book.begin(request, (offer, None), described(), kind="gate", workers=1)
        book.add(run, Result("backend", case.id, error="it ended"), 1.0)
        verdict = standing(request.given(offer), book, run.subjects, {}).verdict
        whole = standing(replace(request, promises=request.plan).given(offer), book, run.subjects, {}).verdict
    assert verdict.unasked == (Unasked("dropout", ("float16",)), Unasked("dropout1d", whole=True))
    assert whole.unasked == verdict.unasked
    assert "never asked for: dropout1d; float16 of dropout" in remarks(verdict)
    assert all(place.startswith("dropout/") for place in whole.waiting)


def test_a_known_deviation_is_not_called_mended_where_not_all_was_asked_for():
    kept = SimpleNamespace(known="a reason", op="spin", family="fair", status="kept", effect=None)
    decision = partial(Decision, {}, {}, {}, "quick", 1e-6, 1, (kept,), load_suite(COIN))
    assert decision().mended == [[kept]]
    assert decision(unasked=(Unasked("spin", ("float16",)),)).mended == []
    assert decision(unasked=(Unasked("toss", whole=True),)).mended == [[kept]]


# Profiles


def test_a_quick_gate_does_not_hide_the_nights_beside_it(night, tmp_path):
    night(profile="gate", on=0)
    night(profile="quick", by="gate", on=1)
    nights = told(tmp_path / "n.db")
    assert nights["profile"] == "gate"
    assert [each["profile"] for each in nights["ledger"]["profiles"]] == ["quick", "gate"]
    assert next(item for item in nights["findings"] if item["id"] == FAIR)["n"] == 800_000  # both add
    assert told(tmp_path / "n.db", profile="quick")["profile"] == "quick"
    with pytest.raises(UsageError, match=r"no run of this version had profile deep\. There are: gate, quick"):
        told(tmp_path / "n.db", profile="deep")


def test_a_run_that_needs_fewer_names_leaves_what_others_were_offered(tmp_path):
    """What `smoke` doesn't ask for, as compilers, would be called not offered in the plan of `gate`."""
    names = ("compile", "dropout", "vmap")
    with Ledger(tmp_path / "n.db", create=True) as book:
        for profile, offered in (("gate", names), ("smoke", ("dropout",)), ("gate", names[:2])):
            request = ask("mine.py", profile=profile, known=os.devnull)
            assert ("compile" in request.names) == (profile == "gate")
            offer = Offer("mine", "1", "cpu", ("float32",), offered)
            book.begin(request, (offer, None), described(), kind="gate", workers=1)
            (text,) = book.db.execute("SELECT offer FROM subject").fetchone()
            found = msgspec.json.decode(text, type=Offer)
            assert set(found.names) == set(names[:2] if offered == names[:2] else names)


# A ledger of before


def test_a_ledger_of_schema_1_is_read_and_goes_on(night, tmp_path):
    night(on=0, ops=["spin"])
    path = tmp_path / "n.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "DROP TABLE code; DROP TABLE cause; DROP TABLE asked; PRAGMA user_version = 1; PRAGMA journal_mode = DELETE"
        )
    before = path.read_bytes()
    ledger = told(path)["ledger"]
    assert ledger["other_code"] is None and ledger["unasked"] == []  # its runs count as asked for all
    assert path.read_bytes() == before  # who only reads changes nothing
    assert night(on=1)["ledger"]["versions"][0]["runs"] == 2
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == VERSION
