"""The command line as a person meets it: exit codes, one clear sentence for each error, files whole or not at all."""

import contextlib
import io
import json
import math
import re
import shlex
import signal
import stat
import sys
from itertools import count, islice
from pathlib import Path

import click
import numpy as np
import psutil
import pytest
from rich.progress import MofNCompleteColumn

from keeprate.harness.commands.cli import cli
from keeprate.harness.commands.console import progress
from keeprate.harness.commands.entry import main
from keeprate.harness.commands.forecast import Outlook, forecast, outlook
from keeprate.harness.errors import NoVerdictError, UsageError
from keeprate.harness.files import write
from keeprate.harness.judging.gate import answer, judge
from keeprate.harness.judging.request import ask
from keeprate.harness.ledger.agenda import Agenda
from keeprate.harness.ledger.store import Ledger
from keeprate.harness.protocol.backend import load_backend, offer
from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import load_suite
from keeprate.harness.workers.machine import described
from keeprate.harness.workers.pool import InProcess

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no /proc")

COIN_RUN = ("--profile", "quick")


SUITE = load_suite("dropout")


def sentence(run):
    """What was said on stderr, in one line."""
    return " ".join(run.err.split())


def assert_refused(run, code, *words):
    assert run.code == code, run.out + run.err
    assert run.out == ""
    assert "Traceback" not in run.err
    for word in words:
        assert word in sentence(run)


# What is refused before anything is started


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--alpha", "2"], ["alpha = 2.0 is not between 0 and 1"]),
        (["--alpha", "0"], ["alpha = 0.0 is not between 0 and 1"]),
        (["--alpha", "1"], ["alpha = 1.0 is not between 0 and 1"]),
        (["--alpha", "nan"], ["alpha = nan is not between 0 and 1"]),
        (["--alpha", "-1e-6"], ["alpha = -1e-06 is not between 0 and 1"]),
        (["--alpha", "small"], ["'--alpha'", "'small' is not a valid float"]),
        (["--seed", "-1"], ["seed = -1 is not a whole number from 0 to 2**63 - 1"]),
        (["--seed", str(2**63)], [f"seed = {2**63} is not a whole number"]),
        (["--seed", "1.5"], ["'--seed'", "'1.5' is not a valid integer"]),
        (["-n", "0"], ["'-n' / '--workers'", "0 is not in the range x>=1"]),
        (["--profile", "fast"], ["profile 'fast' is not one of smoke, quick, gate"]),
        (["--ops", "dropot"], ["no operator named 'dropot'.", "Did you mean dropout?", "feature_alpha_dropout"]),
        (["--ops", "dropout,nix"], ["no operator named 'nix'.", "There are: alpha_dropout"]),
        (["--ops", ","], ["ops names no operator; leave it out to judge all"]),
        (["--dtypes", "float31"], ["no dtype named 'float31'.", "There are: bfloat16, float16, float32, float64"]),
        (["--json", "nowhere/v.json"], ["can't write 'nowhere/v.json': there is no folder"]),
        (["--json", "."], ["can't write '.': it is a folder"]),
        pytest.param(["--json", "/proc/v.json"], ["can't write '/proc/v.json': No such file"], marks=LINUX),
        (["--write-known", "nowhere/k.txt"], ["can't write 'nowhere/k.txt': there is no folder"]),
        (["--known", "nowhere.txt"], ["known deviations nowhere.txt: No such file or directory"]),
        (["--known", "."], ["known deviations .: Is a directory"]),
        (["--suite", "nix"], ["no suite named 'nix'. Installed: attention, device, dropout."]),
        (["--suite", "nix.py"], ["no suite file 'nix.py'"]),
        (["--durations", "-1"], ["'--durations'", "-1 is not in the range x>=0"]),
        (["--durations", "all"], ["'--durations'", "'all' is not a valid integer range"]),
        (["--bakend", "mlx"], ["No such option '--bakend'", "--backend"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value[0].startswith("-") else "",
)
def test_an_option_out_of_range_is_refused_in_a_sentence(command, options, words):
    assert_refused(command("gate", "--backend", "mlx", *options), 2, *words)


def test_no_workers_are_refused_by_every_command(command):
    id = "dropout/keep_rate/float32/p0.3/64x1024/eager"
    for arguments in (["plan"], ["replay", id]):
        assert_refused(command(*arguments, "--backend", "mlx", "-n", "0"), 2, "0 is not in the range x>=1")


@pytest.mark.parametrize(
    ("id", "words"),
    [
        ("dropout/keep_rate", ["it has 2 parts, not the six of op/law/dtype/parameters/shape/context"]),
        ("", ["'' is not the id of a finding"]),
        ("dropout/keep_rat/float32/p0.3/64x1024/eager", ["Did you mean dropout/keep_rate/float32/p0.3/64x1024/eager?"]),
    ],
)
def test_an_unknown_finding_cannot_be_replayed(command, id, words):
    assert_refused(command("replay", id, "--backend", "mlx"), 2, *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gate"], ["Missing option '--backend'"]),
        (["replay", "--backend", "mlx"], ["Missing argument 'ID'"]),
        (["gat"], ["No such command 'gat'"]),
    ],
)
def test_what_is_missing_is_named(command, arguments, words):
    assert_refused(command(*arguments), 2, *words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"toss/*  # a reason\nspin/*\n", "line 2: 'spin/*' has no reason after '#'"),
        (b"\xff\xfe", "known deviations list.txt: 'utf-8' codec can't decode"),
    ],
)
def test_an_unreadable_known_list_is_refused(command, tmp_path, text, words):
    (tmp_path / "list.txt").write_bytes(text)
    assert_refused(command("gate", "--backend", "mlx", "--known", "list.txt"), 2, words)


def test_a_suite_that_is_none_says_what_it_lacks(command, backend_file):
    run = command("gate", "--backend", "mlx", "--suite", backend_file())
    assert_refused(run, 3, "suite mine.py: <module", "is not a keeprate.suite.Suite")


BAD_SUITES = {
    "Coin.laws = 5": "laws = 5 is not a list of laws",
    "Coin.laws = [5]": "laws = [5] is not a list of laws",
    "Coin.plan = lambda self, profile: [][3]": "its plan of 'gate' raised IndexError: list index out of range",
    "law(promise='A.', catches='b', blind_to=(), source='c')(thrown)": "law thrown: catches = 'b' is one string",
    "raise SystemExit(0)": "can't be loaded: it exits, SystemExit: 0 (coins.py, line ",
    "import sys\nsys.exit('done')": "can't be loaded: it exits, SystemExit: done (coins.py, line ",
}


@pytest.mark.parametrize("more", BAD_SUITES)
def test_a_suite_that_cannot_be_loaded_gives_no_verdict(command, tmp_path, coin, more):
    (tmp_path / "coins.py").write_text(Path(coin).read_text() + f"\n\n{more}\n")
    for arguments in (("gate", "--backend", "mlx"), ("explain", "fair"), ("plan", "--backend", "mlx")):
        assert_refused(command(*arguments, "--suite", str(tmp_path / "coins.py")), 3, BAD_SUITES[more])


def test_python_without_docstrings_knows_every_promise(process):
    run = process(sys.executable, "-OO", "-m", "keeprate", "explain", "keep_rate")
    assert run.code == 0, run.err
    assert "keep_rate: An entry is kept with probability 1 − p." in run.out


def test_a_refusal_fits_80_columns_and_begins_with_error(command):
    run = command("gate", "--backend", "mlx", "--ops", "dropot")
    lines = run.err.splitlines()
    assert len(lines) > 1
    assert lines[0].startswith("error: ")
    assert all(line.startswith("       ") for line in lines[1:])
    assert max(map(len, lines)) <= 80


# Backends that cannot be judged


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mxl", ["no backend named 'mxl'.", "Did you mean mlx?", "A backend is also a file"]),
        ("no.such.module", ["no backend named 'no.such.module'", "Installed: "]),
        ("nix.py", ["no backend file 'nix.py'"]),
        ("mein.py", ["no backend file 'mein.py'. Did you mean mine.py?"]),
        ("folder.py", ["no backend file 'folder.py': it is a folder"]),
        ("mine.py:Mine", ["backend mine.py has no 'Mine'"]),
        ("mine.py:drop", ["backend mine.py has no 'drop'. Did you mean dropout?"]),
        ("", ["no backend named ''"]),
    ],
)
def test_a_backend_that_does_not_exist_is_a_usage_error(backend_file, tmp_path, monkeypatch, name, words):
    backend_file()
    (tmp_path / "folder.py").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as refused:
        load_backend(name, SUITE)
    for word in words:
        assert word in str(refused.value)


def test_the_command_says_so_and_touches_no_file(command, tmp_path):
    (tmp_path / "v.json").write_text("what stood there")
    run = command("gate", "--backend", "mxl", "-n", "1", "--json", "v.json")
    assert_refused(run, 2, "error: no backend named 'mxl'. Installed: ", "Did you mean mlx?")
    assert (tmp_path / "v.json").read_text() == "what stood there"


CRASH = "import os, signal\n"
BAD_ERROR = """
class Mute(Exception):
    def __str__(self):
        return 1 / 0
raise Mute
"""
BAD_BACKENDS = {
    "without seed": ([("def seed", "def sow")], "", ["backend mine.py lacks seed"]),
    "bad layout": ([("channels_first", "NHWC")], "", ["layout = 'NHWC' is not 'channels_first' or 'channels_last'"]),
    "no such dtype": ([('("float32",)', '("float32", "int8")')], "", ["dtypes = ('float32', 'int8')", "bfloat16"]),
    "dtypes a string": ([('("float32",)', '"float32"')], "", ["dtypes = 'float32'"]),
    "dtypes a number": ([('("float32",)', "32")], "", ["dtypes = 32"]),
    "no dtype": ([('("float32",)', "()")], "", ["dtypes = ()"]),
    "name not a string": ([('"numpy", np', "7, np")], "", ["name = 7 is not a string"]),
    "seed no function": ([], "seed = 5\n", ["seed = 5 can't be called"]),
    "syntax error": ([], "def (\n", ["backend mine.py can't be loaded: SyntaxError", "(mine.py, line "]),
    "import missing": (
        [("import numpy", "import nonesuch\nimport numpy")],
        "",
        ["No module named 'nonesuch'", "line 2"],
    ),
    "raises": ([], "1 / 0\n", ["ZeroDivisionError", "(mine.py, line "]),
    "exits": ([], "raise SystemExit(4)\n", ["mine.py can't be loaded: it exits, SystemExit: 4 (mine.py, line "]),
    "exits as a program": ([], "import sys\nsys.exit()\n", ["it exits, SystemExit:", "if __name__ == '__main__'"]),
    "layout an array": ([('"channels_first"', "np.array(['a', 'b'])")], "", ["layout = array(['a', 'b']"]),
    "dtypes of arrays": ([('("float32",)', "[np.ones(2)]")], "", ["dtypes = [array([1., 1.])]"]),
    "a name without repr": (
        [("name, version", "other, version")],
        "name = type('N', (), {'__repr__': 5})()\n",
        ["a N whose"],
    ),
    "its error can't be read": ([], BAD_ERROR, ["Mute: (its text can't be had: ZeroDivisionError)", "(mine.py, line "]),
    "an error for a terminal": (
        [],
        r"raise ValueError('\x1b[31mred \ud800')",
        [r"ValueError: \x1b[31mred \ud800 (mine"],
    ),
    "a long error": ([], "raise ValueError('long ' * 200_000)", ["long long", "… (1,000,000 characters)"]),
    "os._exit": ([], CRASH + "os._exit(7)\n", ["mine.py can't be loaded", "exited with code 7"]),
    "crashes": ([], CRASH + "os.kill(os.getpid(), signal.SIGSEGV)\n", ["can't be loaded", "ended by SIGSEGV"]),
}


IN_A_CHILD = ("without seed", "syntax error", "exits", "os._exit", "crashes")


@pytest.mark.parametrize("fault", IN_A_CHILD)
def test_a_backend_that_cannot_be_loaded_gives_no_verdict(command, backend_file, tmp_path, verdict, fault):
    replacements, more, words = BAD_BACKENDS[fault]
    name = backend_file(*replacements, more=more)
    run = command("gate", "--backend", name, "-n", "1", "--json", "v.json")
    assert_refused(run, 3, *words)
    data = verdict(tmp_path / "v.json")
    assert data["verdict"] == "none"
    assert data["findings"] == []
    assert sentence(run) == f"error: {data['run']['error']}"


@pytest.mark.parametrize("fault", [fault for fault in BAD_BACKENDS if fault not in IN_A_CHILD])
def test_a_backend_that_is_none_is_told_what_is_wrong(backend_file, tmp_path, monkeypatch, fault):
    replacements, more, words = BAD_BACKENDS[fault]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoVerdictError) as refused:
        load_backend(backend_file(*replacements, more=more), SUITE)
    for word in words:
        assert word in str(refused.value)
    assert len(str(refused.value)) < 3000


@pytest.mark.parametrize(
    "version", ["np.array([1, 2])", r"'\x1b[31m1\ud800\n'", "type('V', (), {'__str__': lambda _: 1 / 0})()"]
)
def test_a_version_is_text_for_one_line_or_refused(backend_file, tmp_path, monkeypatch, version):
    monkeypatch.chdir(tmp_path)
    backend = load_backend(backend_file(more=f"\n\nversion, inplace = {version}, np.array([True, False])\n"), SUITE)
    if "__str__" in version:
        with pytest.raises(NoVerdictError, match="its version raised ZeroDivisionError"):
            offer(backend, ())
    else:
        offered = offer(backend, ("inplace",))
        assert offered.version in ("[1 2]", r"\x1b[31m1\ud800\n") and offered.names == ("inplace",)


@pytest.mark.parametrize("name", ["mine.py:Nope", "pack.mine", "pack.mine:Nope"])
def test_what_raises_on_the_way_to_a_backend_gives_no_verdict(backend_file, tmp_path, monkeypatch, name):
    backend_file(more="\n\ndef __getattr__(name):\n    return {}[name]\n")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("{}['Nope']\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(NoVerdictError, match=f"backend {name} can't be loaded: KeyError: 'Nope'"):
        load_backend(name, SUITE)


def test_what_a_file_puts_on_the_path_of_modules_stays_there(backend_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    lib = str(tmp_path / "lib")
    load_backend(backend_file(more=f"\n\nimport sys\nsys.path.insert(0, {lib!r})\n"), SUITE)
    assert sys.path[0] == lib and str(tmp_path) not in sys.path


def test_a_class_that_wants_arguments_is_refused_by_name(command, backend_file):
    name = backend_file(more="\n\nclass Mine:\n    def __init__(self, device): ...\n")
    run = command("gate", "--backend", f"{name}:Mine", "-n", "1")
    assert_refused(run, 3, "backend mine.py:Mine can't be loaded: TypeError", "missing 1 required positional argument")
    assert "names.py" not in run.err  # a line of ours is no help


@pytest.mark.parametrize("name", ["d[/b].py:Fair", "e[bold]/c.py"])
def test_a_name_in_the_progress_is_no_markup(name):
    bar = progress(MofNCompleteColumn())
    bar.add_task(f"judging {name}")
    assert bar.columns[0](bar.tasks[0]).plain == f"judging {name}"


def test_the_real_script_refuses_without_a_traceback(console_script):
    run = console_script("gate", "--backend", "nix.py", "--profile", "quick")
    assert_refused(run, 2, "error: no backend file 'nix.py'")


def test_a_backend_that_implements_nothing_gives_no_verdict(console_script, coin, backend_file, tmp_path, verdict):
    run = console_script("gate", "--backend", backend_file(), "--suite", coin, *COIN_RUN, "--json", "v.json")
    assert run.code == 3
    assert "NONE  No verdict: nothing was judged." in run.out
    data = verdict(tmp_path / "v.json")
    assert data["verdict"] == "none"
    assert {finding["status"] for finding in data["findings"]} == {"not_implemented"}


# A run on real dropout, with a crash in the middle


def test_a_crash_in_one_case_leaves_the_others_judged(keeprate, backend_file, tmp_path, verdict):
    name = backend_file(
        (
            "    scale =",
            "    if p == 0.9 and x.size == 65536:\n        crash()\n    scale =",
        ),
        more="\n\ndef crash():\n    import os, signal\n\n    os.kill(os.getpid(), signal.SIGSEGV)\n",
    )
    options = ["--profile", "quick", "--ops", "dropout,dropout2d", "--dtypes", "float32", "-n", "1", "--json", "v.json"]
    run = keeprate("gate", "--backend", name, *options)
    assert run.code == 1, run.out + run.err
    data = verdict(tmp_path / "v.json")
    by_status = {}
    for finding in data["findings"]:
        by_status.setdefault(finding["status"], []).append(finding)
    assert by_status.keys() == {"kept", "error", "not_offered", "not_implemented"}
    assert all(finding["op"] == "dropout2d" for finding in by_status["not_implemented"])
    for finding in by_status["error"]:  # of its own, or pooled over every p
        assert finding["parameters"] in ({"p": 0.9}, None)
        assert "SIGSEGV" in finding["detail"]["reason"]
    kept = {(finding["law"], (finding["parameters"] or {}).get("p")) for finding in by_status["kept"]}
    assert {("keep_rate", 0.5), ("outcomes", 0.5), ("shape", None), ("evaluation", None)} <= kept
    assert "ERROR   dropout/" in run.out
    assert "not implemented: dropout2d" in run.out
    assert re.search(r"the backend has no [^.]*vjp", run.out)
    assert max(map(len, run.out.splitlines())) <= 80


def test_a_plan_counts_draws_as_the_verdict_will():
    request = ask("numpy", profile="quick", ops=["dropout"], dtypes=["float32"]).alone()
    runner = InProcess(load_backend("numpy", SUITE), request.suite, request.names)
    (row,) = forecast(request, runner)
    rates = [finding for finding in answer(request, runner) if finding.law == "keep_rate"]
    drawn = sum(finding.effect.n for finding in rates if finding.effect)
    assert row.draws == pytest.approx(drawn, rel=0.1)  # calls are whole
    todo = request.given(*runner.offers()).jobs()
    assert row.draws < sum(job.case.draws for job in todo) / 1.5  # p = 0 draws nothing


def test_a_short_night_is_said_to_reach_what_it_does_at_the_speed_that_it_had(coin, coins):
    runner = InProcess(load_backend(f"{coins}:Fair", load_suite(coin)), load_suite(coin), ["toss", "spin"])
    jobs = ask(f"{coins}:Fair", suite=coin, profile="quick").given(*runner.offers()).jobs()
    found = Outlook(tuple(jobs)).reach(2, gone=2, done=1, left=2)  # the latest took two seconds, so one more in two
    assert found.promises == len({text for job in jobs for text in job.case.findings})
    assert found.reached == len({text for job in jobs[:3] for text in job.case.findings if job.role == "backend"})
    assert found.seconds == 2 * (len(jobs) - 2)
    assert "this night of 9 s will look at about" in found.says(6, 9, lambda drawing: drawing)
    whole = Outlook(tuple(jobs)).reach(2, gone=2, done=1, left=2 * len(jobs))
    assert (whole.reached, whole.says(6, 99, lambda drawing: drawing)) == (found.promises, "")


def test_what_is_ahead_is_in_the_order_in_which_a_first_night_draws_it(coin, coins, tmp_path):
    request = ask(f"{coins}:Fair", suite=coin, profile="quick")
    runner = InProcess(load_backend(f"{coins}:Fair", request.suite), request.suite, request.names)
    given = request.given(*runner.offers())
    told = [job.case.id for job in outlook(given).jobs]
    with Ledger(tmp_path / "n.db", create=True) as ledger:
        run = ledger.begin(request, runner.offers(), described(), kind="nightly", workers=1)
        drawn = [job.case.id for job in islice(Agenda(given, ledger, run).until(math.inf), len(told))]
    assert told == drawn


def test_a_plan_judges_nothing(keeprate, coin, coins):
    run = keeprate("plan", "--backend", f"{coins}:Bent", "--suite", coin, "--profile", "quick")
    assert run.code == 0, run.out + run.err
    assert "6 promises" in " ".join(run.out.split())
    assert "BROKEN" not in run.out


def test_a_replay_loads_the_backend_once_whatever_it_is_asked(keeprate, coin, coins, tmp_path):
    (tmp_path / "coins.py").write_text(Path(coins).read_text() + "\nopen('loaded', 'a').write('once\\n')\n")
    id = "toss/fair/float32/p0.5/-/eager"
    run = keeprate("replay", id, "--backend", "coins.py:Bent", "--suite", coin, *COIN_RUN, "--fresh", "--shrink")
    assert run.code == 1, run.out + run.err
    assert "together" in run.out and "still broken by the same law, as no cause was found, in" in run.out
    assert (tmp_path / "loaded").read_text() == "once\n"


def test_a_kept_finding_is_replayed_as_kept(keeprate, coin, coins):
    id = "spin/fair/float32/p0.5/-/eager"
    run = keeprate("replay", id, "--backend", f"{coins}:Bent", "--suite", coin, "--profile", "quick")
    assert run.code == 0, run.out + run.err
    assert run.out.startswith(f"KEPT    {id}\n")


def test_what_a_gate_found_in_some_dtypes_is_replayed_exactly(keeprate, tmp_path, verdict, fresh_seed):
    chosen = ["--profile", "quick", "--dtypes", "float32", "--case-timeout", "90", "--memory", "4G"]
    options = ["--backend", "numpy", "--ops", "dropout", "--seed", fresh_seed, "--json", "v.json"]
    keeprate("gate", *options, *chosen, "-n", "1")
    findings = verdict(tmp_path / "v.json")["findings"]
    pooled = next(item for item in findings if item["dtype"] == "-" and item["n"] and "keep_rate" in item["law"])
    own = next(item for item in findings if item["dtype"] == "float32")
    assert pooled["replay"].endswith("--profile quick --dtypes float32 --case-timeout 90.0 --memory 4G")
    assert own["replay"].endswith("--profile quick --case-timeout 90.0 --memory 4G")  # its id says which
    _, *words = shlex.split(pooled["replay"])
    run = keeprate(*words, "--json", "again.json")
    assert run.code == 0, run.out + run.err
    assert verdict(tmp_path / "again.json")["findings"] == [pooled]


def test_an_object_is_judged_again_as_it_was():
    chosen = ask("", profile="quick", dtypes=("float16", "float32"), alpha=1e-3, seed=5)
    line = chosen.replay("dropout/outcomes/-/-/-/compile")
    assert line == "keeprate.judge(backend, seed=5, profile='quick', alpha=0.001, dtypes=('float16', 'float32'))"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": 1.5}, "seed = 1.5 is not a whole number"),
        ({"seed": True}, "seed = True is not a whole number"),
        ({"seed": "7"}, "seed = '7' is not a whole number"),
        ({"seed": np.int64(-1)}, "is not a whole number"),
        ({"workers": "2"}, "workers = '2' is not between 1 and"),
        ({"workers": 1.0}, "workers = 1.0 is not between 1 and"),
        ({"workers": True}, "workers = True is not between 1 and"),
        ({"ops": "dropot"}, "no operator named 'dropot'"),
        ({"ops": ""}, "ops names no operator"),
        ({"ops": [1]}, "ops = [1] must be a list of strings"),
        ({"dtypes": 32}, "dtypes = 32 must be a list of strings"),
        ({"alpha": "1e-6"}, "alpha = '1e-6' is not a number between 0 and 1"),
    ],
)
def test_what_python_may_hand_over_is_refused_in_a_sentence(options, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        judge("mlx", profile="quick", **options)


def test_a_choice_is_a_text_or_any_collection(coin):
    for ops in ("toss", " toss,", ["toss"], iter(["toss"]), {"toss": 1}):
        chosen = ask("", suite=coin, ops=ops, dtypes="float32", seed=np.int64(7))
        assert {promise.id.op for promise in chosen.promises.values()} == {"toss"}
        assert chosen.seed == 7 and type(chosen.seed) is int


def test_the_empty_choice_is_refused_wherever_one_chooses():
    for choice in ({"ops": []}, {"dtypes": ()}):
        with pytest.raises(UsageError, match=r"names no \w+; leave it out to judge all"):
            judge("mlx", **choice)


class Interrupted(io.StringIO):
    """A stream in whose first write a signal comes; knows whether it was written to in the middle of a write."""

    def __init__(self, number):
        super().__init__()
        self.number, self.depth, self.deepest = number, 0, 0

    def write(self, text):
        self.depth += 1
        self.deepest = max(self.deepest, self.depth)
        try:
            number, self.number = self.number, None
            if number:
                signal.raise_signal(number)
            return super().write(text)
        finally:
            self.depth -= 1


@pytest.fixture
def interrupted(monkeypatch):
    """Runs the command in this process, with a signal in the middle of what it writes first."""

    def run(number, *arguments):
        stream = Interrupted(number)
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, stream)
        monkeypatch.setattr(sys, "argv", ["keeprate", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert stream.deepest == 1
        return ended.value.code, stream.getvalue()

    return run


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_says_nothing_in_the_middle_of_what_is_written(interrupted, number, code):
    found, said = interrupted(number, "--help")
    assert found == code
    assert said.startswith("Usage: keeprate")
    assert re.search(r"failed\.\nerror: (interrupted|terminated); nothing was concluded\n$", said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_does_not_stop_a_refusal_that_is_being_said(interrupted, number):
    code, said = interrupted(number, "gate", "--backend", "mlx", "--alpha", "2")
    assert code == 2
    assert said.startswith("error: alpha = 2.0 is not between 0 and 1")


# JSON


def coin_gate(coin, coins, kind, *more):
    return ("gate", "--backend", f"{coins}:{kind}", "--suite", coin, *COIN_RUN, *more)


def test_json_is_put_in_its_place_whole_and_readable(keeprate, coin, coins, tmp_path, verdict):
    (tmp_path / "v.json").write_text("what stood there")
    assert keeprate(*coin_gate(coin, coins, "Fair", "--json", "v.json")).code == 0
    assert verdict(tmp_path / "v.json")["verdict"] == "conforms"
    assert [path.name for path in tmp_path.iterdir()] == ["v.json"]  # nothing is left of the temporary file
    (tmp_path / "other").touch()
    assert stat.S_IMODE((tmp_path / "v.json").stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_json_stays_as_it_was_on_a_usage_error(command, tmp_path):
    (tmp_path / "v.json").write_text("what stood there")
    assert command("gate", "--backend", "mlx", "--json", "v.json", "--alpha", "2").code == 2
    assert (tmp_path / "v.json").read_text() == "what stood there"


def test_the_seed_that_was_drawn_is_printed_and_repeats_the_run(keeprate, coin, coins, tmp_path, verdict):
    first = keeprate(*coin_gate(coin, coins, "Fair", "--json", "first.json"))
    seed = re.search(r"seed (\d+)", first.out)[1]
    keeprate(*coin_gate(coin, coins, "Fair", "--json", "again.json", "--seed", seed, "-n", "1"))
    one, other = (verdict(tmp_path / name) for name in ("first.json", "again.json"))
    assert one.pop("run") != other.pop("run")
    assert one == other
    assert str(one["seed"]) == seed


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.update(more=1),
        lambda data: data.pop("seed"),
        lambda data: data.update(verdict="fine"),
        lambda data: data["findings"][0].update(status="good"),
        lambda data: data["findings"][0].update(log10_e=None),
        lambda data: data["findings"][0].update(extra=None),
        lambda data: data["findings"][0].pop("replay"),
        lambda data: data["findings"][0].update(p=2),
        lambda data: data["findings"][0].update(id="toss/fair"),
    ],
)
def test_the_schema_is_strict(coin, coins, schema, spoil):
    request = ask("", suite=coin, profile="quick")
    fair = find(f"{coins}:Fair", group="keeprate.backends", kind="backend")
    data = json.loads(answer(request, InProcess(fair, request.suite, request.names)).to_json())
    assert schema.is_valid(data)
    spoil(data)
    assert not schema.is_valid(data)


# Help


def commands():
    return {(): cli} | {(name,): command for name, command in cli.commands.items()}


def test_without_a_command_it_shows_its_help_as_help_does(command):
    assert (bare := command()).code == 2
    assert bare.err.rstrip() == command("--help").out.rstrip()


@pytest.mark.parametrize("path", commands(), ids=lambda path: " ".join(path) or "keeprate")
def test_help_describes_every_option_within_80_columns(command, path):
    for flag in ("--help", "-h"):
        run = command(*path, flag)
        assert run.code == 0
        assert max(map(len, run.out.splitlines())) <= 80
    for parameter in commands()[path].params:
        if isinstance(parameter, click.Option):
            assert parameter.help
            for name in parameter.opts:
                assert name in run.out
    assert "Exit codes: 0 " in run.out
    assert "2 a name, file or option doesn't exist" in " ".join(run.out.split())


def test_python_m_keeprate_is_the_same_command(keeprate, process):
    script, module = keeprate("--version"), process(sys.executable, "-m", "keeprate", "--version")
    assert script.code == module.code == 0
    assert script.out == module.out
    assert re.fullmatch(r"keeprate, version \d+\.\d+\.\d+\n", script.out)


class TooEarlyError(BaseException):
    """What the signal does that came before the command listened: it ends the process."""


@pytest.mark.parametrize("arguments", [["--version"], ["gate", "--nonsense"]])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_step_of_the_console_script_is_no_broken_promise(command, interrupt, number, arguments):
    def early(number, frame):
        raise TooEarlyError

    usual, early_ones = command(*arguments).code, 0
    for step in count():
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, early)
        files = "harness/commands/entry.py", "harness/interrupts.py"
        coming = interrupt(step, *files, come=lambda: signal.raise_signal(number))
        try:
            with coming:
                run = command(*arguments)
        except TooEarlyError:
            early_ones += 1
            continue
        assert run.code in (usual, 128 + number), f"interrupted at step {step}: {run.err}"
        if coming.left >= 0:  # it has fewer steps
            break
    assert step > 100 > early_ones


def test_a_command_in_this_process_leaves_neither_files_nor_threads_open(command):
    def there():
        return psutil.Process().num_fds(), psutil.Process().num_threads()

    command("--version")
    before = there()
    for _ in range(20):
        command("--version")
    assert there() <= before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of a file that was opened just then
def test_an_interrupt_at_any_step_of_writing_leaves_a_whole_file_and_is_an_interrupt(tmp_path, interrupt):
    path = tmp_path / "verdict.json"
    for step in count():
        path.write_text("old", encoding="utf-8")
        coming = interrupt(step, "harness/files.py")
        with coming, contextlib.suppress(KeyboardInterrupt):
            write(path, "new")
        assert path.read_text(encoding="utf-8") in ("old", "new"), f"interrupted at step {step}"
        if coming.left >= 0:  # it has fewer steps
            break
    assert step > 100


def test_a_replay_that_fails_ends_its_workers(command, monkeypatch, coin, coins):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("keeprate.harness.commands.closeup.by_strength", fail)
    before = psutil.Process().children()
    run = command("replay", "toss/fair/float32/p0.5/-/eager", "--backend", f"{coins}:Fair", "--suite", coin, *COIN_RUN)
    assert run.code == 3
    assert "ZeroDivisionError" in run.err
    assert psutil.Process().children() == before


def test_how_to_see_all_is_told_of_the_file_that_is_written(keeprate, coin, coins):
    assert "--json verdict.json to the gate" in keeprate(*coin_gate(coin, coins, "Bent")).out
    run = keeprate(*coin_gate(coin, coins, "Bent", "--json", "it is.json"))
    assert "To see all 2:\n  keeprate report --json 'it is.json' --out report\n" in run.out


def test_verbose_shows_every_failure_in_full(keeprate, coin, coins):
    run = keeprate(*coin_gate(coin, coins, "Bent", "--verbose"))
    assert run.code == 1
    assert {f"BROKEN  toss/fair/float32/p{p}/-/eager" for p in (0.5, 0.25)} <= set(run.out.splitlines())
