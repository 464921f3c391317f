"""Whatever is asked, and wherever it is to be read from or written to: one sentence, the right exit code, no debris."""

import ctypes
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

COIN = str(Path(__file__).with_name("coin.py"))
HUGE = 10 * 2**30  # bytes: ten gigabytes that take no room on the disk
LONG = "x" * 5000
SCRIPT = str(Path(sys.executable).with_name("keeprate"))


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
    """A huge file, a folder, a list in another encoding, a link to itself; the names of all files afterwards."""
    for name in ("huge.txt", "huge.py"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(HUGE)
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin1.txt").write_bytes("toss/*  # kaputt seit März\n".encode("latin-1"))
    (tmp_path / "latin1.py").write_bytes("name = 'März'\n".encode("latin-1"))
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "empty.py").touch()
    before = sorted(tmp_path.iterdir())
    return lambda: sorted(set(tmp_path.iterdir()) - set(before))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--alpha", "1e-320"], "alpha = 1e-320 is below 1e-290"),
        (["--alpha", "inf"], "alpha = inf is not between 0 and 1"),
        (["--seed", "9" * 5000], "is not a valid integer"),
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
        (["--dtypes", ""], "names no one"),
        (["--known", "huge.txt"], "known deviations huge.txt: it is larger than 16 MiB"),
        (["--known", "/dev/zero"], "known deviations /dev/zero: it is larger than 16 MiB"),
        (["--known", "latin1.txt"], "known deviations latin1.txt: 'utf-8' codec can't decode"),
        (["--known", "loop"], "known deviations loop: Too many levels of symbolic links"),
        (["--known", LONG], "File name too long"),
        (["--json", ""], "it is a folder"),
        (["--json", "folder"], "can't write 'folder': it is a folder"),
        (["--json", "latin1.txt/v.json"], "there is no folder"),
        (["--json", "loop"], "can't write 'loop': "),
        (["--json", LONG], "File name too long"),
        (["--write-known", LONG], "File name too long"),
        (["--suite", "folder/"], "suite 'folder/' is a folder"),
        (["--suite", "huge.py"], "suite file 'huge.py' is larger than 64 MiB"),
        (["--suite", f"{LONG}.py"], "File name too long"),
        (["--suite", ""], "no suite named ''"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_what_no_option_takes_is_refused_in_a_sentence(command, debris, options, words):
    assert_refused(command("gate", "--backend", "mlx", *options), words)
    assert debris() == []


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["replay", LONG, "--backend", "mlx"], "it has 1 parts, not the six", 2),
        (["replay", "a/b/c/d/e/f", "--backend", "mlx"], "no finding 'a/b/c/d/e/f' in the plan", 2),
        (["plan", "--backend", "mlx", "-n", "1000000"], "workers = 1000000 is not between 1 and 64", 2),
        (["explain", LONG], "no law named", 2),
        (["init", "folder"], "folder", 2),
        (["init", "nowhere/mine.py"], "there is no folder", 2),
        (["init", f"{LONG}.py"], "File name too long", 2),
        (["init", "latin1.py"], "latin1.py", 2),
        (["check", "folder/", "--suite", COIN], "backend 'folder/' is a folder", 2),
        (["check", "huge.py", "--suite", COIN], "backend file 'huge.py' is larger than 64 MiB", 2),
        (["check", "latin1.py", "--suite", COIN], "can't be loaded: SyntaxError", 3),
        (["check", "empty.py", "--suite", COIN], "backend empty.py lacks name, layout", 3),
        (["backends", "--suite", "nix"], "no suite named 'nix'", 2),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_every_command_refuses_in_a_sentence(command, debris, arguments, words, code):
    assert_refused(command(*arguments), words, code=code)
    assert debris() == []


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


def test_a_full_disk_costs_the_file_and_not_the_verdict(coin, coins, tmp_path):
    (tmp_path / "v.json").write_text("what stood there")
    run = subprocess.run(
        [SCRIPT, "gate", "--backend", f"{coins}:Fair", "--suite", coin, "--profile", "quick", "--json", "v.json"],
        cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert run.stderr == "error: can't write 'v.json': File too large\n"
    assert "CONFORMS" in run.stdout
    assert (tmp_path / "v.json").read_text() == "what stood there"
    assert [path.name for path in tmp_path.iterdir()] == ["v.json"]


def test_a_device_is_written_to_and_not_replaced(gate):
    run = gate("Fair", "$gate --json /dev/stdout | cat; test -c /dev/null")
    assert run.returncode == 0
    assert '"verdict": "conforms"' in run.stdout


def test_a_file_keeps_its_permissions(gate, tmp_path):
    path = tmp_path / "v.json"
    path.touch(0o600)
    assert gate("Fair", "$gate --json v.json").returncode == 0
    assert path.stat().st_mode & 0o777 == 0o600


def without_privileges():
    """As in a user's own process: root may read and write everything, unless it gives that up (Linux)."""
    if os.geteuid() == 0:
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--json", "read-only/v.json"], "no permission to write to"),
        (["--known", "secret/list.txt"], "known deviations secret/list.txt: Permission denied"),
        (["--suite", "secret/suite.py"], "no suite 'secret/suite.py': Permission denied"),
    ],
)
def test_no_permission_is_said(tmp_path, options, words):
    (tmp_path / "secret").mkdir(mode=0o000)
    (tmp_path / "read-only").mkdir(mode=0o555)
    run = subprocess.run(
        [SCRIPT, "gate", "--backend", "mlx", *options],
        cwd=tmp_path,
        preexec_fn=without_privileges,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2, run.stderr
    assert words in sentence(run.stderr)
    assert "Traceback" not in run.stderr
