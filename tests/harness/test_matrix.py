"""Several backends judged alike: the tables, the counts, what is passed by, exit codes."""

import json
from pathlib import Path

import pytest

from keeprate.harness.commands.matrix import Row, exit_code, names_of


@pytest.fixture
def matrix(keeprate, coin, coins):
    def run(*kinds, out="m.md", more=()):
        names = ",".join(kind if "." in kind else f"{coins}:{kind}" for kind in kinds)
        return keeprate("matrix", "--backends", names, "--suite", coin, "--out", out, "--seed", "7", *more)

    return run


def test_the_tables_say_what_is_kept_broken_known_and_not_offered(matrix, coins, tmp_path):
    (tmp_path / "bent.py").write_text(Path(coins).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "bent.known").write_text("toss/fair/float32/p0.5/*  # bent since 1999\n")
    run = matrix("Fair", "bent.py:Bent")
    assert run.code == 1, run.err
    lines = (tmp_path / "m.md").read_text(encoding="utf-8").splitlines()
    totals = [line.split("|")[4:8] for line in lines if line.startswith("| ") and " of " in line]
    assert [[cell.strip() for cell in row] for row in totals] == [
        ["6 of 6", "0", "0", "0"],
        ["4 of 6", "1", "1", "0"],
    ]
    assert "| promise | toss | spin |" in lines
    assert "| fair | **1 broken**, 1 known | 2 |" in lines
    assert "Profile `quick`, seed 7." in lines


def test_what_can_not_be_loaded_is_said_and_passed_by(matrix, tmp_path):
    (tmp_path / "absent.py").write_text("import no_such_framework\n")
    run = matrix("absent.py", "Fair", out="m.json")
    assert run.code == 3, run.err  # it was named
    assert "absent.py: no verdict: backend absent.py can't be loaded: ModuleNotFoundError" in run.out
    data = json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))
    assert data["profile"] == "quick" and data["seed"] == 7
    absent, fair = data["backends"]
    assert "no_such_framework" in absent["error"] and absent["operators"] == {}
    assert fair["error"] == ""
    counts = {"kept": 2, "known": 0, "broken": 0, "error": 0, "unreadable": 0, "not_offered": 0}
    assert fair["operators"]["toss"]["fair"] == counts


def test_errors_are_not_called_broken(matrix, tmp_path):
    assert matrix("Raising").code == 1
    lines = (tmp_path / "m.md").read_text(encoding="utf-8").splitlines()
    assert "| fair | **2 errors** | 2 |" in lines and "broken" not in "".join(lines)


def test_nothing_judged_is_no_verdict(matrix, tmp_path):
    (tmp_path / "absent.py").write_text("import no_such_framework\n")
    assert matrix("absent.py").code == 3
    assert exit_code([Row("a", error="it has none"), Row("b")], named=False) == 0
    assert exit_code([Row("a", error="it has none"), Row("b")], named=True) == 3


def test_what_the_last_backend_lacks_is_refused_before_anything_is_judged(matrix, coins, tmp_path):
    (tmp_path / "bent.py").write_text(Path(coins).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "bent.known").write_text("no reason\n")
    for last, words in (("bent.py:Bent", "bent.known, line 1: 'no reason' has no reason"), ("Nope", "has no 'Nope'")):
        run = matrix("Fair", last)
        assert run.code == 2 and run.out == ""
        assert words in " ".join(run.err.split())
    assert not (tmp_path / "m.md").exists()


@pytest.mark.parametrize("out", ["m.pdf", "m", "m.md.txt", "coins.py"])
def test_a_table_is_markdown_or_json(matrix, tmp_path, out):
    run = matrix("Fair", out=out)
    assert run.code == 2 and f"'{out}' is neither F.md nor F.json" in run.err
    assert not (tmp_path / out).exists()


def test_a_name_that_does_not_exist_is_refused_before_anything_is_judged(matrix, tmp_path):
    run = matrix("Fair", "nowhere.py")
    assert run.code == 2
    assert "no backend named 'nowhere.py'" in run.err and run.out == ""
    assert not (tmp_path / "m.md").exists()


def test_an_empty_list_is_refused(keeprate):
    run = keeprate("matrix", "--backends", ",", "--out", "m.md")
    assert run.code == 2
    assert "--backends names none" in run.err


def test_all_are_those_that_are_installed():
    assert {"mlx", "torch", "numpy"} <= set(names_of(["all"]))
