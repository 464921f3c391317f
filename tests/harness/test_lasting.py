"""Evidence that lasts: a plan leaves alone what it doesn't change, and a ledger that fails costs no verdict."""

import json
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from keeprate.harness.errors import UsageError
from keeprate.harness.evidence.check import passed
from keeprate.harness.evidence.tally import Tally
from keeprate.harness.judging.gate import answer
from keeprate.harness.judging.request import ask
from keeprate.harness.ledger.agenda import Agenda
from keeprate.harness.ledger.history import tell
from keeprate.harness.ledger.merge import merge
from keeprate.harness.ledger.nightly import Recording, draw
from keeprate.harness.ledger.standing import note_night, standing
from keeprate.harness.ledger.store import Ledger
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.engine import Result
from keeprate.harness.protocol.lookup import find
from keeprate.harness.workers.machine import described
from keeprate.harness.workers.pool import InProcess

HERE = Path(__file__).parent
COIN, COINS = str(HERE / "coin.py"), str(HERE / "coins.py")
OFFER = Offer("coin", "1", "thumb", ("float32",), ("spin", "toss"))
CASE = "toss/throws/float32/p0.5/-/eager"
FAIR, LANDS = "toss/fair/float32/p0.5/-/eager", "toss/lands/float32/-/-/eager"

MORE_CASES = ("for p in (0.5, 0.25):", 'for p in (0.5, 0.25, 0.75) if op == "spin" else (0.5, 0.25):')
MORE_LAWS = (
    ("laws = (fair, lands)", "laws = (fair, lands, turns)"),
    ("ids = (f", 'ids = (f"{op}/turns/float32/p{p!r}/-/eager", f'),
    (
        "CHUNK = 10_000\n",
        '''CHUNK = 10_000


@law(promise="It turns as often as it says.", catches=("memory",), blind_to=("a bent coin",), source="a coin")
def turns(sample):
    """Counts pairs of throws."""
    sides, chance = sample
    turned, other = int((sides[::2] != sides[1::2]).sum()), 2 * chance * (1 - chance)
    return Tally(("turned", "stayed"), (turned, CHUNK // 2 - turned), (other, 1 - other))
''',
    ),
)
MORE_FIELDS = (
    ("CHUNK = 10_000\n", "CHUNK = 10_000\n\n\nclass Longer(Case, frozen=True):\n    hand: str = 'left'\n"),
    ("yield Case(", "yield Longer("),
)
OTHER_SHARES = (("    laws =", '    weights = {"fair": 0.9, "lands": 0.1}\n    laws ='),)
OTHER_CELLS = (('("heads", "tails")', '("up", "down")'),)
CHANGES = {
    "a case": ((MORE_CASES,), {"spin/lands/float32/-/-/eager"}, {"spin/fair/float32/p0.75/-/eager"}),
    "a law": (MORE_LAWS, set(), {f"{op}/turns/float32/p{p}/-/eager" for op in ("toss", "spin") for p in (0.5, 0.25)}),
    "a field": (MORE_FIELDS, set(), set()),
    "a share": (OTHER_SHARES, set(), set()),
}


@pytest.fixture
def variant(tmp_path):
    """A request about the coin as a later keeprate judges it."""

    def ask_otherwise(*changes, **options):
        text = Path(COIN).read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / f"coin{zlib.crc32(text.encode())}.py"  # a suite is loaded once for each path
        path.write_text(text, encoding="utf-8")
        return replace(ask(f"{COINS}:Fair", suite=str(path), profile="quick", **options), suite_name=COIN)

    return ask_otherwise


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "night.db", create=True) as book:
        yield book


def runner(request, kind="Fair"):
    backend = find(f"{COINS}:{kind}", group="keeprate.backends", kind="backend")
    return InProcess(backend, request.suite, request.names)


def gone_through(request, ledger, kind="Fair"):
    """A run that goes through every case once."""
    run = ledger.begin(request, (OFFER, None), described(), kind="gate", workers=1)
    for result in runner(request, kind).map(replace(request, seed=run.first_seed).given(OFFER).jobs()):
        ledger.add(run, result, 1.0)
    note_night(ledger, run, now(request, ledger, run).verdict)
    return run


def now(request, ledger, run):
    return standing(request.given(OFFER), ledger, run.subjects, {})


def judged(stand):
    """Draws, or elements that were checked, by finding."""
    return {item.id: item.evidence.n for item in stand.verdict}


# A plan that changes


@pytest.mark.parametrize(("changes", "otherwise", "new"), CHANGES.values(), ids=CHANGES)
def test_a_plan_that_changes_leaves_the_evidence_of_all_other_promises_valid(variant, ledger, changes, otherwise, new):
    before, after = variant(), variant(*changes)
    run = gone_through(before, ledger)
    seen = judged(now(before, ledger, run))
    assert seen.keys() == before.promises.keys()
    later = now(after, ledger, run)
    assert judged(later) == {text: n for text, n in seen.items() if text not in otherwise}
    assert (later.waiting, later.otherwise) == (len(otherwise | new), otherwise)
    run = gone_through(after, ledger)
    assert judged(now(after, ledger, run)) == {
        text: judged(now(after.among({text: promise}), ledger, run))[text]
        if text in otherwise | new
        else 2 * seen[text]
        for text, promise in after.promises.items()
    }


@pytest.mark.parametrize(("changes", "otherwise", "new"), CHANGES.values(), ids=CHANGES)
def test_what_a_plan_has_more_is_drawn_first(variant, ledger, changes, otherwise, new):
    gone_through(variant(), ledger)
    after = variant(*changes)
    run = ledger.begin(after, (OFFER, None), described(), kind="nightly", workers=1)
    todo = Agenda(after.given(OFFER), ledger, run)
    unseen = {case.id for text in otherwise | new for case in after.plan[text].cases}
    drawn = [job.case.id for _, job in zip(unseen, todo.until(float("inf")), strict=False)]
    assert set(drawn) == unseen


def test_a_share_that_changes_moves_the_threshold_alone(variant, ledger):
    before, after = variant(), variant(*OTHER_SHARES)
    run = gone_through(before, ledger)
    one, other = (next(iter(now(request, ledger, run).verdict)) for request in (before, after))
    assert (one.id, one.evidence) == (other.id, other.evidence)
    assert one.effect.threshold_log10_e > other.effect.threshold_log10_e


def test_evidence_knows_neither_profile_nor_budget(ledger):
    requests = [
        ask(f"{COINS}:Fair", suite=COIN, profile=profile, alpha=alpha)
        for profile, alpha in (("quick", 1e-6), ("gate", 1e-6), ("quick", 1e-9))
    ]
    runs = [gone_through(request, ledger) for request in requests]
    assert len({run.subjects["backend"] for run in runs}) == 1
    for request in requests:
        assert judged(now(request, ledger, runs[-1]))[FAIR] == 200_000 + 600_000 + 200_000
    told = tell(ledger, COIN)
    assert (told["profile"], told["alpha"]) == ("quick", 1e-9)  # of the latest run
    assert [version["profile"] for version in told["ledger"]["versions"]] == ["quick"]


def test_a_report_of_an_older_plan_tells_what_is_valid_and_how_much_is_not(variant, ledger, schema):
    gone_through(variant(MORE_CASES), ledger)  # of which today's plan has a case less
    told = tell(ledger, COIN)
    schema.validate(json.loads(json.dumps(told)))
    assert told["ledger"]["counted_otherwise"] == 1
    assert told["ledger"]["waiting"] == {"spin/lands": 1}
    assert len(told["findings"]) == len(ask(f"{COINS}:Fair", suite=COIN, profile="quick").promises) - 1


def test_a_night_says_how_much_was_counted_otherwise(keeprate, tmp_path):
    path = tmp_path / "coin.py"
    text = Path(COIN).read_text(encoding="utf-8")
    words = ["--backend", f"{COINS}:Fair", "--suite", "coin.py", "--profile", "quick", "--ledger", "n.db", "-n", "1"]
    for changed, said in ((text.replace(*MORE_CASES), False), (text, True)):
        path.write_text(changed, encoding="utf-8")
        night = keeprate("nightly", *words, "--budget", "1s")
        assert night.code == 0, night.out + night.err
        sentence = "evidence of 1 promise was counted otherwise before and is not used"
        assert (sentence in " ".join(night.out.split())) == said
        assert "is ever called broken by this ledger with probability at most 1e-06." in " ".join(night.out.split())
    assert json.loads((tmp_path / "report" / "report.json").read_text())["ledger"]["counted_otherwise"] == 1
    assert "Evidence of 1 promise was counted otherwise" in (tmp_path / "report" / "index.html").read_text("utf-8")


def test_other_cells_begin_anew_in_their_promise_alone(variant, ledger):
    before, after = variant(), variant(*OTHER_CELLS)
    seen = judged(now(before, ledger, gone_through(before, ledger)))
    later = now(after, ledger, gone_through(after, ledger))
    assert judged(later) == {text: n if "/fair/" in text else 2 * n for text, n in seen.items()}
    assert later.otherwise == {text for text in seen if "/fair/" in text}


# What was broken


def tossed(heads, tails):
    tally = Tally(("heads", "tails"), (heads, tails), (0.5, 0.5), departure="rate")
    return Result("backend", CASE, {FAIR: tally, LANDS: passed(heads + tails)})


def test_what_was_broken_is_so_if_its_evidence_once_reached_the_threshold_of_today(variant, ledger):
    strict, easy = variant(), variant(alpha=0.1)
    run = ledger.begin(strict, (OFFER, None), described(), kind="nightly", workers=1)

    def told(request):
        (finding,) = (item for item in now(request, ledger, run).verdict if item.id == FAIR)
        note_night(ledger, run, now(request, ledger, run).verdict)
        return finding.status, finding.effect.log10_e

    ledger.add(run, tossed(10_000, 9_300), 1.0)
    status, peak = told(strict)
    assert status == "kept" and 3 < peak < 6
    ledger.add(run, tossed(10_000, 10_700), 1.0)
    assert told(strict) == (
        "kept",
        pytest.approx(0, abs=2),
    )  # it's the evidence of now that is told where it was enough
    assert told(easy) == ("broken", peak)


@pytest.mark.parametrize("ends", [["broken", "error"], ["error", "broken"]])
def test_a_broken_promise_is_noted_whatever_comes_later_in_its_night(variant, ledger, ends):
    asked = variant()
    run = ledger.begin(asked, (OFFER, None), described(), kind="nightly", workers=1)
    clear = ledger.add(run, tossed(10_000, 8_900), 1.0)[FAIR].log10_e
    for end in ends:
        ledger.add(run, Result("backend", CASE, error="it crashed") if end == "error" else tossed(0, 0), 1.0)
        note_night(ledger, run, now(asked, ledger, run).verdict)
    rows = ledger.db.execute(
        "SELECT status, log10_e FROM night JOIN promise ON promise.id = promise WHERE finding = ?", (FAIR,)
    )
    assert [tuple(row) for row in rows] == [("broken", pytest.approx(clear, rel=1e-5))]


@pytest.mark.parametrize("end", ["error", "unreadable"])
def test_what_was_broken_stays_so_where_nothing_can_be_read_any_more(variant, ledger, end):
    asked = variant()
    run = ledger.begin(asked, (OFFER, None), described(), kind="nightly", workers=1)
    ledger.add(run, tossed(10_000, 8_900), 1.0)
    note_night(ledger, run, now(asked, ledger, run).verdict)
    ledger.add(run, tossed(10_000, 11_100), 1.0)
    trouble = {"error": "it crashed"} if end == "error" else {"unreadable": {FAIR: "lands is broken here"}}
    ledger.add(run, Result("backend", CASE, **trouble), 1.0)
    (finding,) = (item for item in now(asked, ledger, run).verdict if item.id == FAIR)
    assert finding.status == "broken"
    assert finding.effect.log10_e > 9 > finding.evidence.log10_e
    assert finding.to_json()["rows"]


TWO_DTYPES = (
    ("    dtypes = (", '    dtypes = ("float16", '),
    (
        "for p in (0.5, 0.25):",
        'for p, dtype in ((0.5, "float32"), (0.25, "float16")):',
    ),
    ("/fair/float32/p{p!r}/", "/fair/-/-/"),
    ("/lands/float32/", "/lands/-/"),
    ('yield Case(op, "float32"', "yield Case(op, dtype"),
)


def test_a_night_judges_by_all_that_its_ledger_holds_whatever_is_asked_for(variant, ledger):
    every, half = variant(*TWO_DTYPES), variant(*TWO_DTYPES, dtypes=["float16"])
    offers = structs.replace(OFFER, dtypes=("float32", "float16")), None  # later it lacks float16
    run = ledger.begin(every, offers, described(), kind="nightly", workers=1)

    def add(dtype, p):
        tally = Tally(("heads", "tails"), (round(10_000 * p), round(10_000 * (1 - p))), (p, 1 - p), departure="rate")
        case = f"toss/throws/{dtype}/p{p}/-/eager"
        ledger.add(run, Result("backend", case, {"toss/fair/-/-/-/eager": tally}), 1.0)
        return {request.dtypes: judged(now(request, ledger, run)) for request in (every, half)}

    assert set(map(str, add("float32", 0.5).values())) == {"{'toss/fair/-/-/-/eager': 10000}"}
    assert set(map(str, add("float16", 0.25).values())) == {"{'toss/fair/-/-/-/eager': 20000}"}


# Merging


@pytest.mark.parametrize("others", [0, 1])
def test_what_was_broken_in_one_of_several_ledgers_is_history_in_the_merged_one(variant, tmp_path, others, schema):
    asked = variant()

    def night(path, *ends):
        with Ledger(tmp_path / path, create=True) as book:
            for end in ends:
                run = book.begin(asked, (OFFER, None), described(), kind="nightly", workers=1)
                book.add(run, tossed(*end), 1.0)
                note_night(book, run, now(asked, book, run).verdict)
        return tmp_path / path

    broken = night("a.db", (10_000, 8_900), (10_000, 11_100))
    past = night("b.db", (10_000, 10_000))
    merge([broken, *[past] * others], tmp_path / "c.db")
    with Ledger(tmp_path / "c.db") as book:
        told = tell(book, COIN)
    schema.validate(json.loads(json.dumps(told)))
    (finding,) = (item for item in told["findings"] if item["id"] == FAIR)
    assert finding["status"] == ("kept" if others else "broken")
    assert [one["id"] for one in told["ledger"]["once_broken"]] == [FAIR] * others
    with Ledger(night("c.db", (10, 10)), write=True) as book:  # it goes on, and draws the case again
        assert tell(book, COIN)["verdict"] == ("conforms" if others else "broken")
        run = book.begin(asked, (OFFER, None), described(), kind="nightly", workers=1)
        ahead = Agenda(asked.given(OFFER), book, run)._ahead
        assert (CASE in ahead) == bool(others)
        (row,) = book.db.execute(
            "SELECT status FROM night JOIN promise ON promise.id = promise WHERE finding = ?", (FAIR,)
        )
        assert row["status"] == "broken"  # which is not written over


def test_ledgers_of_two_plans_merge(variant, tmp_path):
    requests = variant(), variant(MORE_CASES), variant(*MORE_LAWS)
    paths = [tmp_path / f"{number}.db" for number in range(len(requests))]
    for request, path in zip(requests, paths, strict=True):
        with Ledger(path, create=True) as book:
            gone_through(request, book)
    assert merge(paths, tmp_path / "all.db") == 3
    with Ledger(tmp_path / "all.db") as book:
        run = book.begin(requests[0], (OFFER, None), described(), kind="gate", workers=1)
        for request in requests:
            stand = now(request, book, run)
            assert stand.waiting == 0
            for text, n in judged(stand).items():
                cases = {case.id: case.draws for case in request.plan[text].cases}
                alike = [one for one in requests if text in one.plan and cases_of(one, text) == cases.keys()]
                assert n == len(alike) * sum(cases.values()) // (2 if "/turns/" in text else 1), text


def cases_of(request, finding):
    return {case.id for case in request.plan[finding].cases}


@pytest.mark.parametrize("order", [1, -1])
def test_where_two_ledgers_count_other_cells_the_later_is_used(variant, tmp_path, order):
    old, new = variant(), variant(*OTHER_CELLS)
    for path, request, day in (("old.db", old, "2026-01-01"), ("new.db", new, "2026-01-02")):
        with Ledger(tmp_path / path, create=True) as book:
            run = gone_through(request, book)
            book.db.execute("UPDATE run SET night = ?", (day,))
    merge([tmp_path / "old.db", tmp_path / "new.db"][::order], tmp_path / "both.db")
    with Ledger(tmp_path / "both.db") as book:
        stand = now(new, book, run)
    assert stand.waiting == 0
    assert judged(stand)[FAIR] == 200_000
    assert judged(stand)[LANDS] == 800_000
    assert len(stand.otherwise) == 4


# A ledger that fails at the end


def spoiled(folder, *more):
    """A ledger of a coin's tosses, which are no evidence any more, and a command about its spins."""
    words = ["--backend", f"{COINS}:Bent", "--suite", COIN, "--profile", "quick", "--ledger", "n.db", "-n", "1"]
    with Ledger(folder / "n.db", create=True) as book:
        request = ask(f"{COINS}:Fair", suite=COIN, profile="quick", ops=["toss"])
        gone_through(request, book)
        book.db.execute("UPDATE look SET total = x'00'")
        book.db.execute("PRAGMA journal_mode = DELETE")
    return [*words, "--ops", "spin", *more]


def test_a_gate_whose_ledger_can_not_be_read_says_its_verdict_and_writes_its_json(keeprate, tmp_path, verdict):
    run = keeprate("gate", *spoiled(tmp_path, "--json", "v.json"))
    assert verdict(tmp_path / "v.json")["verdict"] == "conforms"
    assert "CONFORMS" in run.out
    assert run.code == 2
    assert "error: n.db: what it holds of toss/" in run.err


def test_a_night_whose_ledger_can_not_be_read_says_its_verdict_and_writes_its_report(keeprate, tmp_path, verdict):
    run = keeprate("nightly", *spoiled(tmp_path, "--budget", "1s"))
    told = verdict(tmp_path / "report" / "report.json")
    assert told["verdict"] == "conforms"
    assert {finding["op"] for finding in told["findings"]} == {"spin"}
    assert "CONFORMS" in run.out and "cases drawn" in " ".join(run.out.split())
    assert run.code == 2
    assert "error: n.db: what it holds of toss/" in run.err


class Losing(InProcess):
    """Once all is drawn, the ledger loses a table."""

    def __init__(self, request, ledger, table):
        super().__init__(find(f"{COINS}:Bent", group="keeprate.backends", kind="backend"), request.suite, request.names)
        self.statement, self.ledger = f"ALTER TABLE {table} RENAME TO lost", ledger

    def map(self, jobs):
        yield from super().map(jobs)
        self.ledger.db.execute(self.statement)


@pytest.mark.parametrize("table", ["form", "night", "picture"])
def test_what_sqlite_complains_of_at_the_end_costs_no_verdict(variant, ledger, table):
    asked = variant()
    recording = Recording(Losing(asked, ledger, table), asked, ledger, described())
    assert answer(asked, recording).verdict == "broken"
    assert f"no such table: main.{table}" in str(recording.failure) or f"no such table: {table}" in str(
        recording.failure
    )


@pytest.mark.parametrize("table", ["form", "night", "picture"])
def test_what_sqlite_complains_of_at_the_end_costs_no_night(variant, ledger, table):
    asked = variant()
    night = draw(asked, Losing(asked, ledger, table), ledger, 1.0, described())
    assert night.standing.verdict.verdict == "broken"
    assert {item.id for item in night.standing.verdict if item.status == "broken"} >= {FAIR}
    assert table in str(night.failure)
    assert isinstance(night.failure, UsageError)
