"""Known deviations: read, matched, written, reported."""

from dataclasses import replace
from pathlib import Path

import pytest

from keeprate.harness.errors import UsageError
from keeprate.harness.evidence.tally import Tally
from keeprate.harness.judging.finding import unjudged
from keeprate.harness.judging.known import (
    Deviation,
    Known,
    known_beside,
    no_longer_seen,
    read_known,
)
from keeprate.harness.judging.listing import known_text
from keeprate.harness.protocol.suite import load_suite

BENT = "toss/fair/float32/p0.5/-/eager"


@pytest.fixture
def gate(keeprate, coin, coins):
    return lambda kind, *more: keeprate(
        "gate", "--backend", f"{coins}:{kind}", "--suite", coin, "--profile", "quick", "-n", "1", *more
    )


def test_a_pattern_matches_whole_ids_and_the_first_reason_counts(tmp_path):
    path = tmp_path / "known.txt"
    path.write_text("# a comment\n\n*/fair/*  # bent # since 1999\ntoss/*   # later\n")
    known = read_known(path)
    assert known.reason(BENT) == "bent # since 1999"
    assert known.reason("toss/lands/float32/-/-/eager") == "later"
    assert known.reason("spin/lands/float32/-/-/eager") is None
    assert known.reason("x" + BENT.replace("fair", "foul")) is None


def test_what_a_terminal_obeys_is_escaped_in_a_list(tmp_path):
    path = tmp_path / "known.txt"
    path.write_text("toss/\x1b[2J*  # bent \x1b]0;evil\x07 \u202e\n", encoding="utf-8")
    assert read_known(path).lines == (Deviation(r"toss/\x1b[2J*", r"bent \x1b]0;evil\x07 \u202e"),)


def test_a_rare_deviation_excuses_no_more_than_it_says(tmp_path):
    path = tmp_path / "known.txt"
    path.write_text("toss/* if bent below 5%  # rare\n")
    known = read_known(path)
    assert known.lines == (Deviation("toss/*", "rare", "bent", 0.05),)
    assert known.reason(BENT, 0.049) == "rare"
    assert known.reason(BENT, 0.05) is None


def test_case_matters_in_a_pattern():
    assert Known((Deviation("TOSS/*", "loud"),)).reason(BENT) is None


@pytest.mark.parametrize("line", ["toss/*", "toss/* #", "toss/*  #   "])
def test_a_pattern_without_a_reason_is_refused_with_its_line(tmp_path, line):
    path = tmp_path / "known.txt"
    path.write_text(f"# first\n{line}\n")
    with pytest.raises(UsageError, match=r"line 2: 'toss/\*' has no reason"):
        read_known(path)


@pytest.mark.parametrize("line", ["toss/* unless bent", "toss/* if", "toss/* if bent twice", "toss/* if bent?", "a b"])
def test_a_line_that_is_no_pattern_with_a_condition_is_refused(tmp_path, line):
    path = tmp_path / "known.txt"
    path.write_text(f"{line}  # bent\n")
    with pytest.raises(UsageError, match=r"line 1: '.*' is neither PATTERN nor PATTERN if NAME"):
        read_known(path)


def test_a_line_with_a_condition_counts_where_the_backend_has_that_name(tmp_path):
    path = tmp_path / "known.txt"
    path.write_text("toss/* if thumbs  # by hand\ntoss/fair/*  # bent\n")
    known = read_known(path)
    assert known.conditions == {"thumbs"}
    assert known.given(["thumbs"]).reason(BENT) == "by hand"
    assert known.given([]).reason(BENT) == "bent"
    assert known.given([]).idle([]) == ["toss/fair/*"]


@pytest.mark.parametrize("thumbs", ["True", "False"])
def test_a_condition_is_asked_of_the_adapter_on_the_machine_where_it_runs(gate, tmp_path, coins, thumbs):
    (tmp_path / "thumbs.py").write_text(
        f"import sys\nsys.path.insert(0, {str(Path(coins).parent)!r})\nfrom coins import Bent\n\n"
        f"class Thumbs(Bent):\n    thumbs = {thumbs}\n"
    )
    (tmp_path / "thumbs.known").write_text("toss/fair/* if thumbs  # by hand\n")
    run = gate("Fair", "--backend", "thumbs.py:Thumbs")
    assert run.code == (0 if thumbs == "True" else 1), run.out
    assert ("(by hand)" in run.out) == (thumbs == "True")


REFERENCE = """
import sys
sys.path.insert(0, {folder!r})
from coin import Coin
from coins import Bent, Fair

class Crooked(Bent):
    thumbs = {thumbs}

class Beside(Coin):
    reference = "beside.py:Crooked"
"""


def test_a_known_deviation_of_the_reference_is_named_and_takes_no_verdict_away(keeprate, coins, tmp_path, verdict):
    def judged(kind, thumbs):
        text = REFERENCE.format(folder=str(Path(coins).parent), thumbs=thumbs)
        (tmp_path / "beside.py").write_text(text)
        words = ("--backend", f"{coins}:{kind}", "--suite", "beside.py:Beside", "--profile", "quick", "-n", "1")
        return keeprate("gate", *words, "--json", "v.json")

    (tmp_path / "beside.known").write_text("toss/fair/* if thumbs  # by hand\nspin/* # on the edge\nelse/* # never\n")
    run = judged("Fair", thumbs=True)
    assert run.code == 0, run.out + run.err
    said = " ".join(run.out.split())
    assert f"known deviation of the reference: by hand; seen in 2, first in {BENT}: broken" in said
    assert "known deviation of the reference: on the edge; not seen this time" in said
    assert "never" not in said
    told = verdict(tmp_path / "v.json")
    assert (told["reference"]["failures"], len(told["reference"]["known"])) == ([], 2)
    assert all(finding["known"] is None for finding in told["findings"])  # the backend's list is another
    assert judged("Bent", thumbs=True).code == 1  # the same law judges the backend
    assert judged("Fair", thumbs=False).code == 3


def test_what_is_known_to_deviate_ends_no_case(gate, tmp_path, verdict):
    """The laws beside it look at as many draws as where nothing deviates."""

    def throws(kind, *more):
        gate(kind, "--json", "v.json", *more)
        findings = verdict(tmp_path / "v.json")["findings"]
        return {one["id"]: one["n"] for one in findings if one["op"] == "toss" and one["n"]}

    (tmp_path / "bent.known").write_text("toss/fair/*  # bent\n")
    known = throws("Bent", "--known", "bent.known")
    assert known == throws("Fair")
    assert all(number < known[text] for text, number in throws("Bent").items())


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "known.txt"
    findings = [(BENT, "broken when this list was written"), ("a/b:1/c/p1e-06/2x3:step2/d+e", "too # many")]
    path.write_text(known_text(findings))
    known = read_known(path)
    assert known.lines == tuple(Deviation(pattern, reason) for pattern, reason in findings)
    assert [known.reason(id) for id, _ in findings] == [reason for _, reason in findings]


def test_a_line_that_stands_for_nothing_is_warned_of(gate, tmp_path):
    other = next(iter(load_suite("dropout").promises("quick")))  # a list serves every suite of its adapter
    (tmp_path / "known.txt").write_text(
        f"toss/fair/*  # bent\ntos/fair/*  # mistyped\n*/fair/x  # too\n{other}  # else\n"
    )
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
    headings, toss = (line.split() for line in run.out.splitlines() if line.startswith(("operator", "toss ")))
    assert (headings[1:4], toss[1:4]) == (["kept", "broken", "known"], ["1", "0", "2"])
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


@pytest.mark.parametrize(
    ("kind", "listed"),
    [
        ("Bent", {"toss/fair/*"}),  # statistical: whichever of its findings break next time
        ("OnEdge", {"toss/lands/float32/-/-/eager"}),
        ("Crashing", {"toss/fair/float32/p0.25/-/eager", "toss/lands/float32/-/-/eager"}),
    ],
)
def test_a_project_that_is_broken_can_adopt_the_gate_today(gate, tmp_path, kind, listed):
    first = gate(kind, "--write-known", "known.txt")
    assert first.code == 1
    assert {line.pattern for line in read_known(tmp_path / "known.txt").lines} == listed
    assert gate(kind, "--known", "known.txt").code == 0


def test_what_was_listed_stays_as_it_is_when_the_list_is_written_again(gate, tmp_path):
    before = f"# ours\n\n{BENT}  # bent since 1999\nspin/lands/*  # mended, but listed still\n"
    (tmp_path / "known.txt").write_text(before)
    gate("Bent", "--known", "known.txt", "--write-known", "known.txt")
    after = f"{before}toss/fair/*  # broken when this list was written\n"
    assert (tmp_path / "known.txt").read_text() == after
    gate("Bent", "--known", "known.txt", "--write-known", "known.txt")
    assert (tmp_path / "known.txt").read_text() == after


PROMISES = load_suite("dropout").promises("quick")


def first(beginning, number=1):
    """The first ids of the plan that begin so."""
    return [text for text in PROMISES if text.startswith(beginning)][:number]


def decided(ids, status="broken", known=None):
    """Findings, with evidence where the law is statistical."""
    evidence = Tally(("kept", "dropped"), (70, 30), (0.7, 0.3))
    return [
        replace(unjudged(promise, status, ""), evidence=evidence if promise.share else None, level=1e-9, known=known)
        for promise in map(PROMISES.get, ids)
    ]


def test_a_statistical_deviation_is_no_longer_seen_once_all_that_its_reason_covers_is_kept():
    *kept, last = decided(first("dropout/keep_rate/float32/p0.", 3), "kept", "borderline")
    assert list(no_longer_seen([*kept, last])) == [[*kept, last]]
    for status in ("broken", "error", "unreadable"):
        assert list(no_longer_seen([*kept, replace(last, status=status)])) == []
    for other in (replace(last, status="not_offered"), replace(last, status="broken", known="another")):
        assert list(no_longer_seen([*kept, other])) == [kept]


def test_consequences_that_a_reason_covers_are_no_longer_seen_once_all_of_the_operator_are_kept():
    rates, runs = (decided(first(f"dropout/{law}/", 2), "kept", "it wanders") for law in ("keep_rate", "runs"))
    assert list(no_longer_seen([*rates, *runs])) == [[*rates, *runs]]
    assert list(no_longer_seen([*rates, replace(runs[0], status="broken"), *runs[1:]])) == []


def test_an_exact_deviation_is_no_longer_seen_as_soon_as_it_is_kept():
    one, *rest = decided(first("dropout/outcomes/", 3), "broken", "rounded")
    mended = replace(one, status="kept")
    assert list(no_longer_seen([mended, *rest])) == [[mended]]


def test_a_faithful_backend_has_an_empty_list(gate, tmp_path):
    gate("Fair", "--write-known", "known.txt")
    assert read_known(tmp_path / "known.txt").lines == ()


def test_the_list_beside_an_adapter_is_used_unless_another_is_named(keeprate, coin, coins, tmp_path):
    for name in ("coins.py", "other.py"):
        (tmp_path / name).write_text(Path(coins).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "coins.known").write_text("toss/fair/*  # bent since 1999\n")
    judged = ("--suite", coin, "--profile", "quick", "-n", "1")
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
    assert known_beside("keeprate.impl.backends.keras_jax") == known_beside("keras-jax")
    assert known_beside("mlx") == known_beside("nowhere.at.all") == Known()
