"""The gate as plain pytest: the same verdict, one item for each finding, and pytest's own options."""

import json
import re
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from keeprate import judge

PROFILE = ("--profile", "quick")


@pytest.fixture
def judged_by_pytest(real_pytest, coin, coins):
    """Judges a coin in pytest; one of its kinds, with more options."""

    def run(kind, *options):
        return real_pytest("--backend", f"{coins}:{kind}", "--suite", coin, *PROFILE, *options)

    return run


def without_run(path):
    data = json.loads(path.read_text(encoding="utf-8"))
    assert data.pop("run")["seconds"] > 0
    return data


def outcomes(run):
    """What pytest says at the end: {"passed": 3, "failed": 1}."""
    last = run.out.strip().splitlines()[-1]
    return {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped|xfailed|errors?)", last)}


# One verdict, three ways in


def test_pytest_and_the_gate_write_the_same_json(judged_by_pytest, keeprate, coin, coins, tmp_path, fresh_seed):
    kind, seed = "CrashingAndBent", ("--seed", fresh_seed)
    options = ("--backend", f"{coins}:{kind}", "--suite", coin, *PROFILE, *seed)
    keeprate("gate", *options, "--json", "gate.json")
    judged_by_pytest(kind, *seed, "--json", tmp_path / "alone.json", "-p", "no:xdist")
    judged_by_pytest(kind, *seed, "--json", tmp_path / "parallel.json", "-n", "2")
    gate, alone, parallel = (without_run(tmp_path / f"{name}.json") for name in ("gate", "alone", "parallel"))
    assert {finding["status"] for finding in gate["findings"]} == {"kept", "broken", "error"}
    assert gate == alone
    assert gate == parallel


def test_gate_pytest_and_judge_agree_on_dropout(real_pytest, keeprate, backend_file, tmp_path, verdict, fresh_seed):
    backend = tmp_path / backend_file()
    selected = ["--profile", "smoke", "--ops", "dropout", "--dtypes", "float32"]
    options = [f"--backend={backend}", *selected, "--seed", fresh_seed]
    assert keeprate("gate", *options, "-n", "1", "--json", "gate.json").code == 0
    in_pytest = real_pytest(*options, "--json", tmp_path / "pytest.json", "-n", "2")
    assert in_pytest.code == 0, in_pytest.out + in_pytest.err
    gate, by_pytest = verdict(tmp_path / "gate.json"), verdict(tmp_path / "pytest.json")
    judged = judge(str(backend), ops=["dropout"], dtypes=["float32"], profile="smoke", seed=fresh_seed)
    assert judged.conforms
    assert [finding.id for finding in judged] == [finding["id"] for finding in gate["findings"]]
    by_judge = json.loads(judged.to_json())
    for data in (gate, by_pytest, by_judge):
        del data["run"]
    assert gate == by_pytest
    assert gate == by_judge
    skipped = sum(finding["status"] == "not_offered" for finding in gate["findings"])
    assert outcomes(in_pytest) == {"passed": len(gate["findings"]) - skipped, "skipped": skipped}


# Items


def test_k_selects_findings_and_keeps_their_thresholds(judged_by_pytest, tmp_path, fresh_seed):
    seed = ("--seed", fresh_seed)
    judged_by_pytest("Bent", *seed, "--json", tmp_path / "whole.json", "-p", "no:xdist")
    judged_by_pytest("Bent", *seed, "--json", tmp_path / "part.json", "-p", "no:xdist", "-k", "fair/float32/p0.25")
    whole, part = without_run(tmp_path / "whole.json"), without_run(tmp_path / "part.json")
    assert [finding["id"] for finding in part["findings"]] == [
        f"{op}/fair/float32/p0.25/-/eager" for op in ("toss", "spin")
    ]
    for finding in (*part["findings"], *whole["findings"]):
        del finding["rank"]  # among those that were selected
    assert part["findings"] == [finding for finding in whole["findings"] if finding in part["findings"]]


def test_a_broken_promise_fails_in_our_words_and_no_others(judged_by_pytest, fresh_seed):
    run = judged_by_pytest("Bent", "--seed", fresh_seed, "-p", "no:xdist")
    assert run.code == 1
    assert outcomes(run) == {"failed": 2, "passed": 4}
    for words in (
        "BROKEN  toss/fair/float32/p0.5/-/eager",
        "A coin falls on heads as often as it says.",
        "promised   0.5",
        "seen       0.5",
        "broken from",
        "often      a bent coin",
        "keeprate replay toss/fair/float32/p0.5/-/eager",
        f"--seed {fresh_seed}",
        "keeprate: broken",
    ):
        assert words in run.out
    assert "Traceback" not in run.out
    assert "plugin.py" not in run.out
    assert "BrokenPromise" not in run.out


def test_x_is_pytests_own_and_the_verdict_says_what_it_left_out(judged_by_pytest, tmp_path, verdict):
    run = judged_by_pytest("Bent", "-x", "-p", "no:xdist", "--json", tmp_path / "v.json")
    assert outcomes(run) == {"failed": 1}
    assert verdict(tmp_path / "v.json")["unseen"] == 5
    assert "It stopped at the first that broke: 5 more were not judged." in " ".join(run.out.split())


def test_what_was_not_judged_is_skipped_with_its_reason(judged_by_pytest):
    run = judged_by_pytest("TossOnly", "-rs", "-p", "no:xdist")
    assert run.code == 0
    assert outcomes(run) == {"passed": 3, "skipped": 3}
    assert "not implemented" in run.out
    run = judged_by_pytest("OnEdge", "-rs", "-p", "no:xdist")
    assert outcomes(run) == {"failed": 1, "skipped": 2, "passed": 3}
    assert "unreadable: lands is broken here" in run.out


def test_known_deviations_are_expected_failures(judged_by_pytest, tmp_path):
    known = tmp_path / "known.txt"
    known.write_text("toss/fair/*  # bent since 1999\n")
    run = judged_by_pytest("Bent", "--known", known, "-rx", "-p", "no:xdist")
    assert run.code == 0, run.out
    assert outcomes(run) == {"xfailed": 2, "passed": 4}
    assert "bent since 1999" in run.out
    assert "keeprate: conforms" in run.out


def test_junit_has_one_test_case_for_each_finding(judged_by_pytest, tmp_path):
    run = judged_by_pytest(
        "Bent", "--junitxml", tmp_path / "junit.xml", "--json", tmp_path / "v.json", "-p", "no:xdist"
    )
    assert run.code == 1
    cases = ElementTree.parse(tmp_path / "junit.xml").getroot().findall(".//testcase")  # noqa: S314 - our own
    findings = without_run(tmp_path / "v.json")["findings"]
    assert sorted(case.get("name") for case in cases) == sorted(finding["id"] for finding in findings)
    failed = {case.get("name") for case in cases if case.find("failure") is not None}
    assert failed == {finding["id"] for finding in findings if finding["status"] == "broken"}


def test_the_seed_is_printed_and_shared_by_all_workers(judged_by_pytest, tmp_path):
    run = judged_by_pytest("Fair", "-n", "2", "--json", tmp_path / "v.json")
    assert f"seed {without_run(tmp_path / 'v.json')['seed']}" in run.out


# Options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--alpha", "2"), "alpha = 2.0 is not between 0 and 1"),
        (("--ops", "nix"), "no operator named 'nix'"),
        (("--ops", ","), "ops names no operator; leave it out to judge all"),
        (("--case-timeout", "0"), "case timeout = 0.0 is not a positive number of seconds"),
        (("--memory", "much"), "memory = 'much' is not a size as in 4G or 512M"),
        (("--seed", "-1"), "seed = -1 is not a whole number"),
        (("--json", "specs"), "can't write 'specs': it is a folder"),
        (("--known", "/dev/zero"), "known deviations /dev/zero: it is larger than 16 MiB"),
        (("--suite", "specs/"), "suite 'specs/' is a folder"),
        (("--profile", "fast"), "profile 'fast' is not one of"),
        (("--json", "nowhere/v.json"), "can't write 'nowhere/v.json'"),
        (("--known", "nowhere.txt"), "known deviations nowhere.txt"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_bad_option_is_a_usage_error_in_a_line(judged_by_pytest, options, words):
    run = judged_by_pytest("Fair", *options)
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert words in run.err
    assert len(run.err.strip().splitlines()) == 1


@pytest.mark.parametrize("parallel", [("-p", "no:xdist"), ("-n", "2")], ids=["alone", "parallel"])
def test_a_backend_that_does_not_exist_is_a_usage_error(real_pytest, coin, parallel):
    run = real_pytest("--backend", "mxl", "--suite", coin, *PROFILE, *parallel)
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "Did you mean mlx?" in run.err
    assert "Traceback" not in run.out + run.err
    assert "INTERNALERROR" not in run.out + run.err


def test_an_adapter_at_fault_is_refused_as_the_gate_refuses_it(real_pytest, keeprate, backend_file, tmp_path, verdict):
    backend = tmp_path / backend_file(("return str(x.dtype)", "return 'float16'"))
    options = (f"--backend={backend}", *PROFILE, "--seed", 1)
    gate = keeprate("gate", *options, "-n", "1", "--json", "gate.json")
    run = real_pytest(*options, "--json", tmp_path / "pytest.json", "-p", "no:xdist")
    assert (gate.code, run.code) == (3, pytest.ExitCode.USAGE_ERROR)
    said = " ".join(run.err.split()).removeprefix("ERROR: ")
    assert said == " ".join(gate.err.split()).removeprefix("error: ")
    assert "its adapter is at fault, not the framework" in said
    assert verdict(tmp_path / "pytest.json") == verdict(tmp_path / "gate.json")


def test_a_suite_may_be_an_object_of_a_file(real_pytest, keeprate, coin, coins, tmp_path, verdict):
    suite = tmp_path / "mine.py"
    suite.write_text(
        f"import sys\nsys.path.append({str(Path(coin).parent)!r})\nimport coin\nfrom keeprate.suite import Picture\n"
        "class Mine(coin.Coin):\n    def picture(self, case, backend, seed):\n"
        "        return Picture('a mask', ('1101', '1010'))\n"
    )
    options = ("--backend", f"{coins}:Bent", "--suite", f"{suite}:Mine", *PROFILE, "--seed", 1)
    run = real_pytest(*options, "--json", tmp_path / "pytest.json", "-p", "no:xdist")
    assert outcomes(run) == {"failed": 2, "passed": 4}, run.out + run.err
    assert keeprate("gate", *options, "-n", "1", "--json", "gate.json").code == 1
    by_pytest, by_gate = (verdict(tmp_path / f"{name}.json") for name in ("pytest", "gate"))
    assert by_pytest.pop("run") and by_gate.pop("run")
    assert len(by_gate["pictures"]) == 1
    assert by_pytest == by_gate


def test_the_summary_of_a_job_is_that_of_the_gate(judged_by_pytest, keeprate, coin, coins, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    said = {}
    for name in ("gate", "pytest"):
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / name))
        run = (
            keeprate("gate", "--backend", f"{coins}:Bent", "--suite", coin, *PROFILE, "--seed", 1, "-n", 1)
            if name == "gate"
            else judged_by_pytest("Bent", "--seed", 1, "-p", "no:xdist")
        )
        summary = (tmp_path / name).read_text()
        said[name] = (
            [line for line in run.out.splitlines() if line.startswith("::")],
            re.sub(r"\d+ s with", "", summary),
        )
    assert said["gate"] == said["pytest"]
    assert len(said["gate"][0]) == 1


def test_an_interrupted_run_concludes_nothing(real_pytest, coin, coins, tmp_path):
    conftest = tmp_path / "conftest.py"
    conftest.write_text(
        "def pytest_runtest_teardown(item):\n    if 'spin' in item.name:\n        raise KeyboardInterrupt\n"
    )
    options = (f"--backend={coins}:Fair", "--suite", coin, *PROFILE, "--json", tmp_path / "v.json", "-p", "no:xdist")
    run = real_pytest(*options, "--confcutdir", tmp_path, "-p", "conftest", cwd=tmp_path)
    assert run.code == pytest.ExitCode.INTERRUPTED, run.out + run.err
    assert "CONFORMS" not in run.out
    assert not (tmp_path / "v.json").exists()


def test_what_pytest_could_not_judge_is_an_error(real_pytest, coin, coins, tmp_path, verdict):
    """As when a worker of pytest-xdist dies: a report of the item's failure, and nothing of ours in it."""
    text = "def pytest_runtest_setup(item):\n    if 'spin/lands' in item.name:\n        raise OSError('lost')\n"
    (tmp_path / "loses.py").write_text(text)
    shutil.copy(coin, tmp_path)
    options = (f"--backend={coins}:Fair", "--suite", "coin.py", *PROFILE, "--json", "v.json", "-p", "keeprate.plugin")
    run = real_pytest(*options, "-p", "loses", "-p", "no:xdist", cwd=tmp_path)
    assert run.code == 1, run.out + run.err
    data = verdict(tmp_path / "v.json")
    assert data["verdict"] == "broken"
    (lost,) = (item for item in data["findings"] if item["status"] != "kept")
    assert (lost["id"], lost["status"]) == ("spin/lands/float32/-/-/eager", "error")
    assert "lost" in lost["detail"]["reason"]


def test_with_a_backend_and_no_path_only_the_suite_is_collected(judged_by_pytest):
    run = judged_by_pytest("Fair", "--collect-only", "-q", "-p", "no:xdist")
    ids = [line for line in run.out.splitlines() if "::" in line]
    assert len(ids) == 6
    assert all(line.startswith("tests/harness/coin.py::") for line in ids)


def test_without_a_backend_nothing_changes(real_pytest):
    run = real_pytest("--collect-only", "-q", "-p", "no:xdist", "tests/harness/test_text.py")
    assert run.code == 0
    assert "keeprate:" not in run.out
    assert "tests/harness/test_text.py::" in run.out
    assert real_pytest("specs", "-p", "no:xdist").code == pytest.ExitCode.NO_TESTS_COLLECTED


def test_the_plugin_works_from_another_folder(real_pytest, backend_file, tmp_path):
    selected = ("--ops", "dropout", "--dtypes", "float32", "-k", "shape or dtype/", "-p", "no:xdist")
    run = real_pytest("-p", "keeprate.plugin", "--backend", backend_file(), *PROFILE, *selected, cwd=tmp_path)
    assert run.code == 0, run.out + run.err
    assert outcomes(run)["passed"] >= 2
    assert "CONFORMS" in run.out


def test_installing_keeprate_gives_pytest_no_new_options(process, tmp_path):
    run = process(sys.executable, "-c", "import importlib.metadata as m; print(m.entry_points(group='pytest11'))")
    assert "keeprate" not in run.out and "harness" not in run.out


def test_a_hang_ends_its_own_case_alone_under_pytest_too(real_pytest, coin):
    backend = f"{coin.replace('harness/coin.py', 'faults/hangs.py')}:Loops"
    options = ["-q", "-p", "keeprate.plugin", f"--backend={backend}", f"--suite={coin}", "--profile=quick"]
    run = real_pytest(*options, "--case-timeout=3", "-n", "2")
    assert run.code == 1, run.out + run.err
    assert "2 failed, 4 passed" in run.out
    assert "gave no answer within 3.2 s (--case-timeout)" in run.out
