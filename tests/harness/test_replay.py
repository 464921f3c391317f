"""What `keeprate replay` shows beyond the gate: fresh draws, the smallest case, a script without keeprate."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.names import find
from harness.snippet import snippet
from harness.suite import load_suite
from specs.demonstration import SHOWN, demonstrate

ROOT = Path(__file__).parents[2]
MUTANTS = ROOT / "tests" / "mutants"


def run(*words, cwd):
    command = [sys.executable, "-P", "-m", "keeprate", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def replay(finding, mutant, *options, cwd):
    return run("replay", finding, "--backend", f"{MUTANTS}/{mutant}", "--profile", "quick", *options, cwd=cwd)


def script(path, cwd):
    """What a script prints where nothing of ours can be imported."""
    found = subprocess.run(
        [sys.executable, "-P", "-W", "error", path], cwd=cwd, capture_output=True, text=True, timeout=60, env={}
    )
    assert not found.stderr, found.stderr
    return found.stdout


def test_a_replay_shows_the_tally_and_the_masks(tmp_path):
    seen = replay("dropout/neighbours:1/float32/-/64x1024/eager", "correlated.py:FourTogether", cwd=tmp_path)
    assert seen.returncode == 1
    assert "standard errors" in seen.stdout and "both kept" in seen.stdout
    picture = [line for line in seen.stdout.splitlines() if set(line.strip()) <= set("█▀▄ ") and len(line) > 70]
    assert len(picture) == 20
    assert all(len(line) <= 80 for line in picture)


def test_fresh_draws_add_to_the_first_ones(tmp_path):
    finding = "dropout/keep_rate/float32/p0.3/64x1024/eager"
    seen = replay(finding, "plain.py:Plain", "--fresh", cwd=tmp_path)
    # Fails with probability 1e-6 when nothing is wrong: the verdict's own guarantee.
    assert seen.returncode == 0, seen.stdout
    draws = [
        int(line.split(" in ")[1].split()[0].replace(",", "")) for line in seen.stdout.splitlines() if " of 9" in line
    ]
    assert len(draws) == 3
    assert draws[0] + draws[1] == draws[2]


def test_the_smallest_case_is_as_small_as_the_fault(tmp_path):
    finding = "dropout/neighbours:1/float32/-/64x1024/eager"
    seen = replay(finding, "correlated.py:FourTogether", "--shrink", "--snippet", "fault.py", cwd=tmp_path)
    smaller = seen.stdout.partition("still broken in\n")[2].splitlines()
    cases = [line.strip() for line in smaller if line.strip().startswith("dropout/")]
    assert cases[-1] == "dropout/masks/float32/p0.5/1x4/eager"  # four neighbours have one mask entry
    share = float(script("fault.py", tmp_path).split(" in ")[1].split()[0])
    assert share > 0.4  # 0.25 is promised


def test_no_case_is_shown_in_which_the_reference_breaks_the_law_too(tmp_path):
    finding = "dropout/no_mask_twice/float32/-/64x1024/eager"
    seen = replay(finding, "correlated.py:PeriodOfEightCalls", "--shrink", cwd=tmp_path)
    smallest = [line for line in seen.stdout.splitlines() if line.startswith("  dropout/masks")][-1]
    batch, width = map(int, smallest.split("/")[4].split("x"))
    assert batch * width >= 8  # of a single entry every mask comes twice, in PyTorch as well


def test_a_case_that_is_kept_can_not_be_made_smaller(tmp_path):
    finding = "dropout/keep_rate/float32/p0.3/64x1024/eager"
    seen = replay(finding, "plain.py:Plain", "--shrink", cwd=tmp_path)
    assert "no case on its own" in seen.stdout


def test_a_script_takes_along_what_lies_beside_the_adapter(tmp_path):
    finding = "dropout/keep_rate/float32/p0.001/64x1024/eager"
    replay(finding, "rate.py:EightBits", "--snippet", "fault.py", cwd=tmp_path)
    text = (tmp_path / "fault.py").read_text()
    assert "class Plain" in text and "import keeprate" not in text and str(ROOT) not in text
    rate = float(script("fault.py", tmp_path).split()[1])
    assert rate == 1.0  # of 256ths, where 0.999 is promised


def test_a_script_of_an_adapter_in_a_package_takes_along_its_modules(tmp_path):
    text = snippet(load_suite("dropout"), "mlx", a_case("keep_rate"), "keep_rate", 1)
    (tmp_path / "shown.py").write_text(text)
    assert "impl.mask" in text
    assert "kept 0." in script("shown.py", tmp_path)


def a_case(law):
    family = law.partition(":")[0]
    plan = load_suite("dropout").plan("quick")
    shape = {"constancy": "dropout2d", "moments": "alpha_dropout"}.get(family, "dropout")
    return next(
        case
        for case in plan
        if case.op == shape
        and any(text.split("/")[1].partition(":")[0] == family for text in case.findings)
        and case.context in ("eager", "grad", "thread")
    )


PARAMETERS = {"neighbours": "3", "blocks": "4", "spread": "64", "calls": "1", "streams": "next", "moments": "mean"}


@pytest.mark.parametrize("family", [name for name in SHOWN if name != "threads"])
def test_what_shows_a_law_runs_on_a_faithful_backend(family, capsys):
    law = f"{family}:{PARAMETERS[family]}" if family in PARAMETERS else family
    text = demonstrate(a_case(law), law, seed=1)
    backend = find(f"{MUTANTS}/plain.py:Plain", group="", kind="backend")
    names = {}
    exec(text, names)  # noqa: S102 - the script itself
    names["show"](backend)
    said = capsys.readouterr().out
    assert "(" in said and ")" in said


def test_a_fault_between_processes_has_no_script(tmp_path):
    seen = replay("dropout/seeding/-/-/-/process", "plain.py:Plain", "--snippet", "fault.py", cwd=tmp_path)
    assert seen.returncode == 2
    assert "no script can show" in seen.stderr
    assert not (tmp_path / "fault.py").exists()


def test_every_law_can_be_shown():
    assert {law.name for law in load_suite("dropout").laws.values()} <= set(SHOWN)
