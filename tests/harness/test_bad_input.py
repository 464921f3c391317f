"""Whatever is asked, and wherever it is to be read from or written to: one sentence, the right exit code, no debris."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keeprate.harness.ledger.schema import connect

COIN = str(Path(__file__).with_name("coin.py"))
FAIR = f"{Path(__file__).with_name('coins.py')}:Fair"
QUICK = f"--backend {FAIR} --suite {COIN} --profile quick"
IN_PYTEST = "-p no:cacheprovider -p no:xdist -p keeprate.plugin --noconftest"
HUGE = 10 * 2**30  # bytes: ten gigabytes that take no room on the disk
LONG = "x" * 5000
SCRIPT = str(Path(sys.executable).with_name("keeprate"))
SMALL = """import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
os.execvp(sys.argv[1], sys.argv[1:])"""


def sentence(text):
    return " ".join(text.split())


def assert_refused(run, *words, code=2):
    assert run.code == code, run.out + run.err
    assert run.out == ""
    assert run.err.startswith("error:")
    assert "Traceback" not in run.err
    for word in words:
        assert word in sentence(run.err)


@pytest.fixture
def debris(tmp_path):
    """A huge file, a folder, a list in another encoding, a link to itself, …; the names of all new files afterwards."""
    for name in ("huge.txt", "huge.py"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(HUGE)
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin1.txt").write_bytes("toss/*  # kaputt seit März\n".encode("latin-1"))
    (tmp_path / "latin1.py").write_bytes("name = 'März'\n".encode("latin-1"))
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "empty.py").touch()
    (tmp_path / "list.json").write_text("[1, 2, 3]")
    connect(tmp_path / "unused.db", create=True).close()
    before = {*tmp_path.iterdir(), tmp_path / "__pycache__"}  # which is Python's own
    return lambda: sorted(set(tmp_path.iterdir()) - before)


JUDGING = {
    "gate": ["gate"],
    "plan": ["plan"],
    "replay": ["replay", "dropout/keep_rate/float32/p0.3/64x1024/eager"],
    "nightly": ["nightly", "--ledger", "night.db"],
}
OPTIONS = [
    (["--alpha", "1e-320"], "alpha = 1e-320 is below 1e-290"),
    (["--alpha", "inf"], "alpha = inf is not between 0 and 1"),
    (["--alpha", "small"], "'small' is not a valid float"),
    (["--seed", "-1"], "seed = -1 is not a whole number from 0 to 2**63 - 1"),
    (["--seed", "9" * 5000], "is not a valid integer"),
    (["-n", "0"], "0 is not in the range x>=1"),
    (["-n", "1000000"], "workers = 1000000 is not between 1 and 64"),
    (["-n", "two"], "'two' is not a valid integer"),
    (["--case-timeout", "0"], "case timeout = 0.0 is not a positive number of seconds"),
    (["--case-timeout", "nan"], "case timeout = nan is not a positive number of seconds"),
    (["--case-timeout", "inf"], "case timeout = inf is not a positive number of seconds"),
    (["--case-timeout", "soon"], "'soon' is not a valid float"),
    (["--memory", "0"], "memory = '0' is not a size as in 4G or 512M"),
    (["--memory", "-1G"], "memory = '-1G' is not a size"),
    (["--memory", "9" * 400], "is not a size"),
    (["--memory", ""], "memory = '' is not a size"),
    (["--memory", "4G of it"], "memory = '4G of it' is not a size"),
    (["--profile", ""], "profile '' is not one of"),
    (["--dtypes", ""], "dtypes names no dtype; leave it out to judge all"),
    (["--dtypes", "float31"], "no dtype named 'float31'"),
    (["--known", ""], "known deviations .: Is a directory"),
    (["--known", "nowhere.txt"], "known deviations nowhere.txt: No such file or directory"),
    (["--known", "huge.txt"], "known deviations huge.txt: it is larger than 16 MiB"),
    (["--known", "/dev/zero"], "known deviations /dev/zero: it is larger than 16 MiB"),
    (["--known", "latin1.txt"], "known deviations latin1.txt: 'utf-8' codec can't decode"),
    (["--known", "loop"], "known deviations loop: Too many levels of symbolic links"),
    (["--known", LONG], "File name too long"),
    (["--suite", "folder/"], "suite 'folder/' is a folder"),
    (["--suite", "huge.py"], "suite file 'huge.py' is larger than 64 MiB"),
    (["--suite", f"{LONG}.py"], "File name too long"),
    (["--suite", ""], "no suite named ''"),
]


@pytest.mark.parametrize("command_line", JUDGING.values(), ids=JUDGING)
@pytest.mark.parametrize(("options", "words"), OPTIONS, ids=lambda value: " ".join(value)[:40] if value else "")
def test_every_command_that_judges_refuses_what_no_option_takes(command, debris, command_line, options, words):
    assert_refused(command(*command_line, "--backend", "mlx", *options), words)
    assert debris() == []


def of_outputs(option, name="v.json"):
    """What an option that names a file to be written doesn't take."""
    return [
        ([option, ""], "it is a folder"),
        ([option, "folder"], "can't write 'folder': it is a folder"),
        ([option, f"nowhere/{name}"], "there is no folder"),
        ([option, f"latin1.txt/{name}"], "there is no folder"),
        ([option, "loop"], "can't write 'loop': "),
        ([option, LONG], "File name too long"),
    ]


def of_ledgers(*before):
    """What is no ledger to be read."""
    return [
        ([*before, ""], "no ledger '.': it is a folder"),
        ([*before, "folder"], "no ledger 'folder': it is a folder"),
        ([*before, "/dev/zero"], "no ledger '/dev/zero': it is a device"),
        ([*before, "nowhere.db"], "no ledger 'nowhere.db'"),
        ([*before, "loop"], "loop: Too many levels of symbolic links"),
        ([*before, LONG], "File name too long"),
    ]


def of_verdicts(*before):
    """What is no verdict to be read."""
    return [
        ([*before, "huge.txt"], "huge.txt: it is larger than 64 MiB"),
        ([*before, "latin1.txt"], "latin1.txt: 'utf-8' codec can't decode"),
        ([*before, "empty.py"], "empty.py: not JSON: "),
        ([*before, "list.json"], "list.json: not a verdict of keeprate, at $: "),
    ]


def of_new_ledgers(*before):
    """Where no ledger can be made."""
    return [
        ([*before, "folder"], "can't write 'folder': it is a folder"),
        ([*before, "nowhere/night.db"], "can't write 'nowhere/night.db': there is no folder"),
        ([*before, "loop"], "can't write 'loop': "),
        ([*before, LONG], "File name too long"),
    ]


def of_folders(*before):
    """Where no report can be written."""
    return [
        ([*before, "latin1.txt"], "latin1.txt' is not a folder"),
        ([*before, "latin1.txt/pages"], "latin1.txt' is not a folder"),
        ([*before, "/dev/null"], "'/dev/null' is not a folder"),
        ([*before, "loop"], "can't write to 'loop': "),
        ([*before, LONG], "File name too long"),
    ]


GATE = ["gate", "--backend", "mlx"]
REPLAY = [*JUDGING["replay"], "--backend", "mlx"]
NIGHTLY = ["nightly", "--backend", "mlx"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([*GATE, "--ops", ","], "ops names no operator; leave it out to judge all"),
        *((GATE + options, words) for options, words in of_outputs("--json") + of_outputs("--write-known")),
        *((REPLAY + options, words) for options, words in of_outputs("--json") + of_outputs("--snippet", "fault.py")),
        *of_new_ledgers(*GATE, "--ledger"),
        ([*GATE, "--ledger", "huge.txt"], "huge.txt: not a keeprate ledger. Nothing was changed"),
        ([*GATE, "--ledger", "/dev/null"], "no ledger '/dev/null': it is a device"),
        ([*GATE, "--executor", "there"], "executor 'there' is neither local nor dask://HOST:PORT"),
        (["replay", "", "--backend", "mlx"], "'' is not the id of a finding"),
        (["replay", LONG, "--backend", "mlx"], "it has 1 parts, not the six"),
        (["replay", "a/b/c/d/e/", "--backend", "mlx"], "it has no context among the six"),
        (["replay", "a//c/d//f", "--backend", "mlx"], "it has no law among the six"),
        (["replay", "dropout/keep_rate/float32/-/2101248/eager", "--backend", "mlx"], "--profile quick has it"),
        (["replay", "a/b/c/d/e/f", "--backend", "mlx"], "no finding 'a/b/c/d/e/f' in the plan"),
        ([*REPLAY, "--dtypes", "float16"], "was not judged in these dtypes: float16"),
        (["explain", ""], "no law named ''"),
        (["explain", LONG], "no law named"),
        (["explain", "keep_rate", "--suite", "huge.py"], "suite file 'huge.py' is larger than 64 MiB"),
        (["init", ""], "already exists"),
        (["init", "folder"], "folder"),
        (["init", "nowhere/mine.py"], "there is no folder"),
        (["init", "latin1.txt/mine.py"], "there is no folder"),
        (["init", "mine.txt"], "'mine.txt' is not the name of a Python file"),
        (["init", f"{LONG}.py"], "File name too long"),
        (["init", "latin1.py"], "latin1.py' already exists and was not changed"),
        (["init", "mine.py", "--suite", "nix"], "no suite named 'nix'"),
        (["check", "", "--suite", COIN], "no backend named ''"),
        (["check", "folder/", "--suite", COIN], "backend 'folder/' is a folder"),
        (["check", "huge.py", "--suite", COIN], "backend file 'huge.py' is larger than 64 MiB"),
        (["check", f"{LONG}.py", "--suite", COIN], "File name too long"),
        (["backends", "--suite", "nix"], "no suite named 'nix'"),
        (["backends", "--suite", "folder/"], "suite 'folder/' is a folder"),
        *of_new_ledgers(*NIGHTLY, "--ledger"),
        *of_folders(*NIGHTLY, "--ledger", "night.db", "--out"),
        *(
            ([*NIGHTLY, "--ledger", "night.db", "--budget", budget], f"budget '{budget}' is not a duration: write 90s")
            for budget in ("", "20", "0m", "-5m", "9" * 400 + "h", "nanm")
        ),
        *of_ledgers("merge", "--into", "all.db"),
        (["merge", "--into", "all.db", "huge.txt"], "huge.txt: not a keeprate ledger"),
        (["merge", "--into", "all.db", "empty.py"], "empty.py: not a keeprate ledger"),
        (["merge", "unused.db", "--into", "unused.db"], "'unused.db' already exists and was not changed"),
        (["merge", "unused.db", "--into", "/dev/null"], "'/dev/null' already exists and was not changed"),
        *of_new_ledgers("merge", "unused.db", "--into"),
        *of_ledgers("report", "--out", "pages", "--ledger"),
        *of_verdicts("report", "--out", "pages", "--ledger"),
        (["report", "--out", "pages", "--ledger", "unused.db"], "unused.db: nothing was ever judged"),
        *of_verdicts("report", "--out", "pages", "--json"),
        (["report", "--out", "pages", "--json", ""], ".: Is a directory"),
        (["report", "--out", "pages", "--json", "folder"], "folder: Is a directory"),
        (["report", "--out", "pages", "--json", "/dev/zero"], "/dev/zero: it is larger than 64 MiB"),
        (["report", "--out", "pages", "--json", "nowhere.json"], "nowhere.json: No such file or directory"),
        (["report", "--out", "pages", "--json", "loop"], "loop: Too many levels of symbolic links"),
        (["report", "--out", "pages", "--json", LONG], "File name too long"),
        *of_folders("report", "--json", "list.json", "--out"),
        (["report", "--out", "pages"], "give exactly one of --ledger and --json"),
        (["report", "--out", "pages", "--json", "list.json", "--known", "latin1.txt"], "--known works with --ledger"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_every_command_refuses_what_it_can_neither_read_nor_write(command, debris, arguments, words):
    assert_refused(command(*arguments), words)
    assert debris() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "latin1.py", "--suite", COIN], "can't be loaded: SyntaxError"),
        (["check", "empty.py", "--suite", COIN], "backend empty.py lacks name, dtypes"),
        (["explain", "fair", "--suite", "latin1.py"], "suite latin1.py can't be loaded: SyntaxError"),
        (["backends", "--suite", "empty.py"], "is not a keeprate.suite.Suite"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_what_is_there_and_cannot_be_loaded_gives_no_verdict(command, debris, arguments, words):
    assert_refused(command(*arguments), words, code=3)
    assert debris() == []


def test_a_folder_that_is_gone_is_no_fault_of_ours(tmp_path):
    for line, code in ((f"gate {QUICK} -n 1", 0), (f"gate --backend nosuch --suite {COIN}", 2)):
        run = shell(f'mkdir gone; cd gone; rmdir ../gone; "$keeprate" {line}', cwd=tmp_path)
        assert run.returncode == code, run.stderr
        assert "Traceback" not in run.stderr


ONE = f"toss/fair/float32/p0.5/-/eager --suite {COIN}"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("gate --suite suite.py --ledger n.db --json n.db", "--ledger 'n.db' would overwrite --json"),
        ("gate --suite suite.py --ledger n.db --write-known ./n.db", "--write-known 'n.db' would overwrite --ledger"),
        ("gate --suite suite.py --json w.txt --write-known w.txt", "--write-known 'w.txt' would overwrite --json"),
        ("gate --suite suite.py --json link.json", "--json 'link.json' would overwrite the backend"),
        ("gate --suite suite.py --write-known mine.py", "--write-known 'mine.py' would overwrite the backend"),
        ("gate --suite suite.py --json suite.py", "--json 'suite.py' would overwrite the suite"),
        ("gate --suite suite.py --json mine.known", "--json 'mine.known' would overwrite the list of known deviations"),
        ("gate --suite suite.py --known k.txt --json k.txt", "--json 'k.txt' would overwrite the list of known deviat"),
        (f"replay {ONE} --snippet mine.py", "--snippet 'mine.py' would overwrite the backend"),
        (f"replay {ONE} --snippet f.py --json f.py", "--snippet 'f.py' would overwrite --json"),
        ("nightly --suite suite.py --ledger p/report.json --out p", "--ledger 'p/report.json' would overwrite --out"),
    ],
    ids=lambda value: value[:60],
)
def test_no_output_is_written_over_an_input_or_another_output(command, tmp_path, line, words):
    (tmp_path / "suite.py").write_text(Path(COIN).read_text())
    (tmp_path / "mine.py").write_text(Path(COIN).with_name("coins.py").read_text())
    (tmp_path / "link.json").symlink_to("mine.py")
    (tmp_path / "p").mkdir()
    for name in ("mine.known", "k.txt"):
        (tmp_path / name).write_text("toss/*  # bent\n")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert_refused(command(*line.split(), "--backend", "mine.py:Fair", "--profile", "quick"), words)
    after = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert after == before


@pytest.mark.parametrize("known", [["--known", "k.txt"], []])
def test_a_list_of_known_deviations_may_be_written_anew(keeprate, tmp_path, known):
    (tmp_path / "mine.py").write_text(Path(COIN).with_name("coins.py").read_text())
    for name in ("mine.known", "k.txt"):
        (tmp_path / name).write_text("toss/*  # bent\n")
    name = known[-1] if known else "mine.known"
    options = ("--backend", "mine.py:Bent", "--suite", COIN, "--profile", "quick", "-n", "1")
    assert keeprate("gate", *options, *known, "--write-known", name).code == 0
    assert (tmp_path / name).read_text() == "toss/*  # bent\n"


# Where to write


def shell(line, *arguments, cwd):
    """A line of bash in which $keeprate is the real command, followed by `arguments`."""
    return subprocess.run(
        ["/bin/bash", "-c", line, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "keeprate": SCRIPT},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def gate(coin, coins, tmp_path):
    """Runs a line of bash in which $gate judges a coin."""
    return lambda kind, line: shell(
        line.replace("$gate", f'"$keeprate" gate --backend {coins}:{kind} --suite {coin} --profile quick -n 1'),
        cwd=tmp_path,
    )


@pytest.mark.parametrize(("kind", "code"), [("Fair", 0), ("Bent", 1)])
def test_a_reader_that_leaves_changes_no_exit_code(gate, kind, code):
    run = gate(kind, "$gate | true; echo ${PIPESTATUS[0]}")
    assert (run.stdout, run.stderr) == (f"{code}\n", "")


def test_a_reader_that_leaves_before_a_command_only_talks_is_no_fault(gate):
    run = gate("Fair", '"$keeprate" explain fair --suite ' + COIN + " | true")
    assert run.stderr == ""


@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_closed_stream_changes_no_exit_code(gate, tmp_path, streams):
    run = gate("Bent", f"$gate --json v.json {streams}")
    assert (run.returncode, run.stderr) == (1, "")
    assert json.loads((tmp_path / "v.json").read_text())["verdict"] == "broken"


def test_a_full_disk_behind_the_output_is_said(gate):
    run = gate("Fair", "$gate > /dev/full")
    assert run.returncode == 2
    assert run.stderr == "error: can't write to the standard output: No space left on device\n"


def test_an_encoding_that_lacks_a_sign_loses_nothing_else(gate):
    run = gate("Bent", "PYTHONIOENCODING=ascii $gate")
    assert run.returncode == 1, run.stderr
    assert "BROKEN  toss/fair" in run.stdout


@pytest.mark.parametrize(
    "line",
    [
        "init mine.py",
        f"explain fair --suite {COIN}",
        f"check {FAIR} --suite {COIN}",
        f"plan {QUICK}",
        f"replay spin/fair/float32/p0.5/-/eager {QUICK} --json v.json",
        f"nightly {QUICK} --ledger night.db --budget 1s --out pages",
    ],
    ids=lambda line: line.split()[0],
)
def test_output_that_goes_nowhere_costs_no_file(line, tmp_path):
    run = shell(f'"$keeprate" {line} > /dev/full', cwd=tmp_path)
    assert (run.returncode, run.stderr) == (
        2,
        "error: can't write to the standard output: No space left on device\n",
    )
    for option, name in (("init", "mine.py"), ("--json", "v.json"), ("--out", "pages/index.html")):
        assert option not in line.split() or (tmp_path / name).exists()
    run = shell(f'rm -rf mine.py; "$keeprate" {line} <&- >&- 2>&-', cwd=tmp_path)
    assert run.returncode == 0


@pytest.mark.parametrize("streams", ["> /dev/null 2> /dev/full", "> /dev/full 2> /dev/full", "2>&1 | true"])
def test_a_refusal_that_nobody_reads_keeps_its_code(streams, tmp_path):
    run = shell(f'"$keeprate" gate --backend mlx --alpha 2 {streams}; echo ${{PIPESTATUS[0]}}', cwd=tmp_path)
    assert (run.stdout, run.stderr) == ("2\n", "")


@pytest.fixture
def full_disk(tmp_path):
    """A full disk of 64 KiB with files on it, as far as this user may mount one; else files that can't grow.

    Gives the folder, what a process calls before it starts, and the reason that it hears.
    """
    folder = tmp_path / "full"
    folder.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    for name in ("v.json", "known.txt"):
        (folder / name).write_text("what stood there")
    if mounted:
        with contextlib.suppress(OSError), (folder / "rest").open("wb", buffering=0) as rest:
            for _ in range(100):
                rest.write(bytes(4096))
        yield folder, [], "No space left on device"
        subprocess.run(["/bin/umount", str(folder)], check=True)
    else:
        print("no tmpfs can be mounted here: a limit on the size of files stands for the full disk")
        yield folder, [sys.executable, "-c", SMALL], "File too large"


def held(limit, *words, cwd):
    """A program that `limit`, words before it, lets write little."""
    return subprocess.run([*limit, *words], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("line", "path", "code", "says"),
    [
        (f"keeprate gate {QUICK} --json full/v.json", "full/v.json", 2, "CONFORMS"),
        (f"keeprate gate {QUICK} --write-known full/known.txt", "full/known.txt", 2, "CONFORMS"),
        (f"keeprate replay spin/fair/float32/p0.5/-/eager {QUICK} --json full/new.json", "full/new.json", 2, "KEPT"),
        (f"keeprate nightly {QUICK} --ledger n.db --budget 1s --out full/pages", "full/pages/", 2, "CONFORMS"),
        ("keeprate init full/mine.py", "full/mine.py", 2, ""),
        (f"{sys.executable} -m pytest {IN_PYTEST} {QUICK} --json full/v.json", "full/v.json", 4, "CONFORMS"),
    ],
    ids=lambda value: " ".join(value.split()[:4])[-40:] if isinstance(value, str) and " " in value else "",
)
def test_a_full_disk_costs_the_file_and_not_the_verdict(full_disk, tmp_path, line, path, code, says):
    folder, limit, reason = full_disk
    before = {file: file.read_bytes() for file in folder.iterdir()}
    program, *arguments = line.split()
    run = held(limit, SCRIPT if program == "keeprate" else program, *arguments, cwd=tmp_path)
    assert run.returncode == code, run.stdout + run.stderr
    assert f"can't write '{path}" in run.stdout + run.stderr
    assert reason in sentence(run.stdout + run.stderr)
    assert "Traceback" not in run.stdout + run.stderr and "INTERNALERROR" not in run.stdout
    assert says in run.stdout
    assert {file: file.read_bytes() for file in folder.iterdir() if file.is_file()} == before


def test_a_ledger_that_finds_no_room_is_named_as_it_was_asked_for(full_disk, tmp_path):
    folder, limit, _ = full_disk
    shell(f'"$keeprate" nightly {QUICK} --ledger a.db --budget 1s', cwd=tmp_path)
    before = set(folder.iterdir())
    run = held(limit, SCRIPT, "merge", "a.db", "--into", "full/all.db", cwd=tmp_path)
    assert run.returncode == 2, run.stdout + run.stderr
    assert "full/all.db" in run.stderr and ".making" not in run.stderr, run.stderr
    assert set(folder.iterdir()) == before


def test_a_device_is_written_to_and_not_replaced(gate):
    run = gate("Fair", "$gate --json /dev/stdout | cat; test -c /dev/null")
    assert run.returncode == 0
    assert '"verdict": "conforms"' in run.stdout


def test_a_file_keeps_its_permissions(gate, tmp_path):
    path = tmp_path / "v.json"
    path.touch(0o600)
    assert gate("Fair", "$gate --json v.json").returncode == 0
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"gate {QUICK} --json read-only/v.json", "no permission to write to"),
        (f"gate {QUICK} --known secret/list.txt", "known deviations secret/list.txt: Permission denied"),
        (f"gate --backend {FAIR} --suite secret/suite.py", "no suite 'secret/suite.py': Permission denied"),
        (f"gate {QUICK} --ledger read-only/night.db", "no permission to write to"),
        (f"gate {QUICK} --ledger secret/night.db", "can't write 'secret/night.db': Permission denied"),
        (f"replay spin/fair/float32/p0.5/-/eager {QUICK} --snippet read-only/s.py", "no permission to write to"),
        (f"plan {QUICK} --known locked.txt", "known deviations locked.txt: Permission denied"),
        (f"nightly {QUICK} --ledger night.db --out read-only/pages", "no permission to write to"),
        (f"check secret/mine.py --suite {COIN}", "no backend 'secret/mine.py': Permission denied"),
        ("init read-only/mine.py", "no permission to write to"),
        ("merge secret/a.db --into all.db", "secret/a.db: Permission denied"),
        ("merge a.db --into read-only/all.db", "no permission to write to"),
        ("report --json secret/v.json --out pages", "secret/v.json: Permission denied"),
        ("report --ledger secret/night.db --out pages", "secret/night.db: Permission denied"),
        ("report --ledger locked.txt --out pages", "locked.txt"),
        ("report --json v.json --out read-only/pages", "no permission to write to"),
    ],
    ids=lambda value: f"{value.split()[0]} {value.split()[-2]}" if "--" in value else "",
)
def test_no_permission_is_said(tmp_path, unprivileged, line, words):
    (tmp_path / "secret").mkdir(mode=0o000)
    (tmp_path / "read-only").mkdir(mode=0o555)
    (tmp_path / "locked.txt").touch(mode=0o000)
    before = sorted(tmp_path.iterdir())
    run = subprocess.run(
        [*unprivileged, SCRIPT, *line.split()], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 2, run.stderr
    assert words in sentence(run.stderr)
    assert "Traceback" not in run.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_a_signal_ends_a_command_that_waits_for_a_pipe(begun, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    run = begun("report", "--out", "pages", "--json", "pipe")
    writer = opened_for_writing(tmp_path / "pipe")
    run.send_signal(signal.SIGTERM)
    assert run.wait() == 128 + signal.SIGTERM
    os.close(writer)


def opened_for_writing(pipe):
    """The end of a pipe that is written to, once somebody reads from the other."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.01)
    raise TimeoutError(pipe)
