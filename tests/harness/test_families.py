"""Families that have nothing in common with dropout go the whole way: gate, pytest, replay, nights, merge, report."""

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COINS, GAMES = str(HERE / "coins.py"), str(HERE / "games.py")
FAMILIES = {  # suite, a sound backend and a faulty one, and a finding that the faulty one breaks
    "coin": (
        str(HERE / "coin.py"),
        f"{HERE / 'coins.py'}:Fair",
        f"{HERE / 'coins.py'}:Bent",
        "toss/fair/float32/p0.5/-/eager",
    ),
    "games": (f"{GAMES}:Games", f"{GAMES}:Fair", f"{GAMES}:Loaded", "roll/faces/-/sides20/-/table"),
}
DOCUMENT = (HERE.parents[1] / "docs" / "new-suite.md").read_text(encoding="utf-8")
EVERY = pytest.mark.parametrize("family", FAMILIES)


def options(family, *, faulty, seed=None):
    suite, sound, bad, _ = FAMILIES[family]
    chosen = ("--suite", suite, "--backend", bad if faulty else sound, "--profile", "quick")
    return chosen if seed is None else (*chosen, "--seed", str(seed))


@EVERY
def test_a_sound_backend_conforms_and_a_faulty_one_is_broken(keeprate, family, fresh_seed, tmp_path, verdict):
    assert keeprate("gate", *options(family, faulty=False, seed=fresh_seed)).code == 0  # fails once in a million
    run = keeprate("gate", *options(family, faulty=True, seed=fresh_seed), "--json", "v.json")
    assert run.code == 1, run.out + run.err
    broken = {finding["id"] for finding in verdict(tmp_path / "v.json")["findings"] if finding["status"] == "broken"}
    assert FAMILIES[family][3] in broken


@EVERY
def test_pytest_gives_the_verdict_of_the_gate(keeprate, real_pytest, family, fresh_seed, tmp_path, verdict):
    chosen = options(family, faulty=True, seed=fresh_seed)
    assert keeprate("gate", *chosen, "--json", "gate.json").code == 1
    assert real_pytest(*chosen, "--json", tmp_path / "pytest.json", "-p", "no:xdist").code == 1
    gate, by_pytest = (verdict(tmp_path / f"{name}.json") for name in ("gate", "pytest"))
    assert gate.pop("run") and by_pytest.pop("run")
    assert gate == by_pytest


def test_a_replay_shrinks_shows_a_picture_and_writes_a_script(keeprate, tmp_path, fresh_seed):
    chosen = options("games", faulty=True, seed=fresh_seed)
    run = keeprate("replay", FAMILIES["games"][3], *chosen, "--fresh", "--shrink", "--snippet", "fault.py")
    assert run.code == 1, run.out + run.err
    assert "rolls; dark is the first face" in run.out
    assert "roll/rolls/-/sides2/-/table" in run.out
    assert "wrote fault.py" in run.out
    assert "backend.roll(2)" in (tmp_path / "fault.py").read_text(encoding="utf-8")


@EVERY
def test_nights_add_up_merge_and_are_reported(keeprate, family, tmp_path, verdict):
    for name in ("a", "b"):
        night = ("--ledger", f"{name}.db", "--budget", "3s", "--out", name)
        run = keeprate("nightly", *options(family, faulty=True), *night)
        assert run.code == 1, run.out + run.err
    assert keeprate("merge", "a.db", "b.db", "--into", "c.db").code == 0
    run = keeprate("report", "--ledger", "c.db", "--suite", FAMILIES[family][0], "--out", "report")
    assert run.code == 0, run.out + run.err
    document = verdict(tmp_path / "report" / "report.json")
    assert FAMILIES[family][3] in {item["id"] for item in document["findings"] if item["status"] == "broken"}
    assert "table" in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")


@pytest.fixture
def documented(tmp_path):
    """The files of docs/new-suite.md, written out."""
    for name, text in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", DOCUMENT, re.DOTALL):
        (tmp_path / name).write_text(text, encoding="utf-8")
    (line,) = re.findall(r"^\$ keeprate (.*)$", DOCUMENT, re.MULTILINE)
    return line.split()


def test_the_suite_of_the_documentation_runs_as_it_stands(keeprate, documented):
    run = keeprate(*documented)
    assert run.code == 0, run.out + run.err  # fails once in a million
    assert "dice keeps 2 of 2 promises" in run.out


def test_the_suite_of_the_documentation_fails_a_loaded_die(keeprate, documented, tmp_path):
    fair = (tmp_path / "dice.py").read_text(encoding="utf-8")
    loaded = fair.replace("generator.randint(1, sides)", "max(1, generator.randint(0, sides))")
    assert loaded != fair
    (tmp_path / "dice.py").write_text(loaded, encoding="utf-8")
    run = keeprate(*documented)
    assert run.code == 1, run.out + run.err
    assert "roll/faces/-/sides6/-/plain" in run.out and "loaded die" in run.out
