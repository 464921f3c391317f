"""Known deviations: read, matched, written, reported."""

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.known import Known, known_beside, known_text, read_known

BENT = "toss/fair/float32/p0.5/-/eager"


@pytest.fixture
def gate(keeprate, coin, coins):
    return lambda kind, *more: keeprate(
        "gate", "--backend", f"{coins}:{kind}", "--suite", coin, "--profile", "quick", *more
    )


def test_a_pattern_matches_whole_ids_and_the_first_reason_counts(tmp_path):
    path = tmp_path / "known.txt"
    path.write_text("# a comment\n\n*/fair/*  # bent # since 1999\ntoss/*   # later\n")
    known = read_known(path)
    assert known.reason(BENT) == "bent # since 1999"
    assert known.reason("toss/lands/float32/-/-/eager") == "later"
    assert known.reason("spin/lands/float32/-/-/eager") is None
    assert known.reason("x" + BENT.replace("fair", "foul")) is None


def test_case_matters_in_a_pattern():
    assert Known((("TOSS/*", "loud"),)).reason(BENT) is None


@pytest.mark.parametrize("line", ["toss/*", "toss/* #", "toss/*  #   "])
def test_a_pattern_without_a_reason_is_refused_with_its_line(tmp_path, line):
    path = tmp_path / "known.txt"
    path.write_text(f"# first\n{line}\n")
    with pytest.raises(UsageError, match=r"line 2: 'toss/\*' has no reason"):
        read_known(path)


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "known.txt"
    findings = [(BENT, "broken when this list was written"), ("a/b:1/c/p1e-06/2x3:step2/d+e", "too # many")]
    path.write_text(known_text(findings))
    known = read_known(path)
    assert known.patterns == tuple(findings)
    assert [known.reason(id) for id, _ in findings] == [reason for _, reason in findings]


def test_a_line_that_stands_for_nothing_is_warned_of(gate, tmp_path):
    (tmp_path / "known.txt").write_text("toss/fair/*  # bent\ntos/fair/*  # mistyped\n*/fair/x  # too\n")
    run = gate("Bent", "--known", "known.txt")
    assert (run.code, run.err) == (
        0,
        "warning: known.txt: 'tos/fair/*' and 1 more match no finding of profile 'quick'\n",
    )


def test_a_known_deviation_does_not_fail_the_gate_and_is_reported(gate, tmp_path, verdict):
    (tmp_path / "known.txt").write_text("toss/fair/*  # bent since 1999\n")
    run = gate("Bent", "--known", "known.txt", "--json", "v.json")
    assert run.code == 0, run.out
    assert f"known deviation: {BENT} and 1 more (bent since 1999)" in run.out
    assert "BROKEN  toss" not in run.out
    found = {finding["id"]: finding for finding in verdict(tmp_path / "v.json")["findings"]}
    assert found[BENT]["status"] == "broken"
    assert found[BENT]["known"] == "bent since 1999"
    assert found["spin/lands/float32/-/-/eager"]["known"] is None


def test_what_is_not_listed_fails_beside_what_is(gate, tmp_path):
    (tmp_path / "known.txt").write_text(f"{BENT}  # bent since 1999\n")
    run = gate("Bent", "--known", "known.txt")
    assert run.code == 1
    assert "BROKEN  toss/fair/float32/p0.25/-/eager" in run.out
    assert f"BROKEN  {BENT}" not in run.out


def test_a_known_deviation_that_holds_is_reported(gate, tmp_path):
    (tmp_path / "known.txt").write_text(f"{BENT}  # bent since 1999\n")
    run = gate("Fair", "--known", "known.txt")
    assert run.code == 0
    assert f"known deviation no longer seen: {BENT}" in run.out


@pytest.mark.parametrize("kind", ["Bent", "Crashing"])
def test_a_project_that_is_broken_can_adopt_the_gate_today(gate, tmp_path, kind):
    first = gate(kind, "--write-known", "known.txt")
    assert first.code == 1
    listed = {pattern for pattern, _ in read_known(tmp_path / "known.txt").patterns}
    assert len(listed) == 2
    assert all(id.startswith("toss/") for id in listed)
    assert gate(kind, "--known", "known.txt").code == 0


def test_a_reason_survives_writing_the_list_again(gate, tmp_path):
    (tmp_path / "known.txt").write_text(f"{BENT}  # bent since 1999\n")
    gate("Bent", "--known", "known.txt", "--write-known", "known.txt")
    reasons = dict(read_known(tmp_path / "known.txt").patterns)
    assert reasons[BENT] == "bent since 1999"
    assert len(reasons) == 2


def test_a_faithful_backend_has_an_empty_list(gate, tmp_path):
    gate("Fair", "--write-known", "known.txt")
    assert read_known(tmp_path / "known.txt").patterns == ()


def test_the_list_beside_an_adapter_is_used_unless_another_is_named(keeprate, coin, coins, tmp_path):
    for name in ("coins.py", "other.py"):
        (tmp_path / name).write_text(Path(coins).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "coins.known").write_text("toss/fair/*  # bent since 1999\n")
    judged = ("--suite", coin, "--profile", "quick")
    run = keeprate("gate", "--backend", "coins.py:Bent", *judged)
    assert run.code == 0, run.out
    assert f"known deviations are those of {tmp_path / 'coins.known'}" in " ".join(run.out.split())
    assert f"known deviation: {BENT} and 1 more (bent since 1999)" in run.out
    assert keeprate("gate", "--backend", "other.py:Bent", *judged).code == 1
    strictly = keeprate("gate", "--backend", "coins.py:Bent", "--known", "/dev/null", *judged)
    assert strictly.code == 1
    assert "bent since 1999" not in strictly.out


def test_the_list_of_a_built_in_adapter_is_found_though_its_framework_is_not_installed():
    assert "keras" in known_beside("keras-jax").reason("dropout2d/shape/float32/-/-/eager")
    assert known_beside("impl.backends.keras_jax") == known_beside("keras-jax")
    assert known_beside("mlx") == known_beside("nowhere.at.all") == Known()
