"""A ledger copied to one file, and read where nothing may be written."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from keeprate.harness.errors import UsageError
from keeprate.harness.ledger.merge import copy
from keeprate.harness.ledger.store import Ledger

HERE = Path(__file__).parent
COIN, COINS = str(HERE / "coin.py"), str(HERE / "coins.py")
SCRIPT = str(Path(sys.executable).with_name("keeprate"))
GATE = ["gate", "--backend", f"{COINS}:Fair", "--suite", COIN, "--profile", "quick", "-n", "1"]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """What a run leaves that was killed: a file, and beside it a log with all of its last run."""
    folder = tmp_path_factory.mktemp("killed")
    there = tmp_path_factory.mktemp("there")
    ended = subprocess.run([SCRIPT, *GATE, "--ledger", there / "n.db"], capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    with Ledger(there / "n.db", write=True) as ledger:
        ledger.db.execute("UPDATE run SET host = 'in the log'")
        for name in ("n.db", "n.db-wal"):
            shutil.copy(there / name, folder / name)  # before it is closed, which would take the log in
    return folder


def hosts(path):
    with Ledger(path) as ledger:
        return {row["host"] for row in ledger.db.execute("SELECT host FROM run")}


def test_a_copy_has_what_is_in_the_log_alone(killed, tmp_path):
    before = {path.name: path.read_bytes() for path in killed.iterdir()}
    (tmp_path / "plain").mkdir()
    shutil.copy(killed / "n.db", tmp_path / "plain" / "n.db")
    assert hosts(tmp_path / "plain" / "n.db") != {"in the log"}
    for name in before:
        shutil.copy(killed / name, tmp_path / name)
    assert copy(tmp_path / "n.db", tmp_path / "copy.db") > 0
    alone = tmp_path / "plain" / "copy.db"
    shutil.move(tmp_path / "copy.db", alone)
    assert hosts(alone) == {"in the log"}
    assert not alone.with_name("copy.db-wal").exists()


def test_the_command_says_what_it_wrote_and_leaves_what_is_there(keeprate, killed, tmp_path):
    shutil.copytree(killed, tmp_path / "mine")
    run = keeprate("ledger", "copy", "mine/n.db", "copy.db")
    assert (run.code, run.out) == (0, "wrote copy.db: 1 run\n"), run.err
    before = (tmp_path / "copy.db").read_bytes()
    again = keeprate("ledger", "copy", "mine/n.db", "copy.db")
    assert (again.code, again.err) == (2, "error: 'copy.db' already exists and was not changed\n")
    assert (tmp_path / "copy.db").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "copy.db"}


@pytest.mark.parametrize("source", ["nothing.db", "other.db", "folder"])
def test_what_is_no_ledger_is_not_copied(tmp_path, source):
    (tmp_path / "other.db").write_text("no ledger", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=source):
        copy(tmp_path / source, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere root can't be kept from writing")
@pytest.mark.parametrize(
    "words",
    [
        ["report", "--ledger", "still/n.db", "--suite", COIN, "--out", "pages"],
        ["merge", "still/n.db", "--into", "all.db"],
        ["ledger", "copy", "still/n.db", "all.db"],
    ],
    ids=" ".join,
)
def test_a_ledger_is_read_where_nothing_may_be_written(killed, tmp_path, unprivileged, words):
    still = tmp_path / "still"
    shutil.copytree(killed, still)
    before = {path.name: path.read_bytes() for path in still.iterdir()}
    for path in still.iterdir():
        path.chmod(0o444)
    still.chmod(0o555)
    run = subprocess.run([*unprivileged, SCRIPT, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert {path.name: path.read_bytes() for path in still.iterdir()} == before
    if words[0] == "report":
        runs = json.loads((tmp_path / "pages" / "report.json").read_text(encoding="utf-8"))["ledger"]["runs"]
        assert {one["host"] for one in runs} == {"in the log"}
    else:
        assert hosts(tmp_path / "all.db") == {"in the log"}
    still.chmod(0o755)
