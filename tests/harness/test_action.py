"""The composite action, run as GitHub runs it: each step in bash, its inputs as variables."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from keeprate.harness.ledger.store import Ledger

ROOT = Path(__file__).parents[2]
BASH = "/bin/bash"


def action():
    return yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))


def judged(tmp_path, **inputs):
    """Runs the action's last step."""
    return ran(action()["runs"]["steps"][-1], tmp_path, **inputs)


def ran(step, tmp_path, **inputs):
    """Runs a step of the action; what GitHub itself would fill in is empty."""
    given = {name: about.get("default", "") for name, about in action()["inputs"].items()} | inputs
    variables = {
        name: str(given.get(value.removeprefix("${{ inputs.").removesuffix(" }}"), ""))
        for name, value in step["env"].items()
    }
    out = tmp_path / "output"
    path = f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, **variables, "GITHUB_OUTPUT": str(out), "PATH": path}
    found = subprocess.run(
        [BASH, "-e", "-o", "pipefail", "-c", step["run"]],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    return found, out.read_text() if out.exists() else ""


def test_the_action_ends_as_the_gate_does(tmp_path, coin, coins):
    found, output = judged(tmp_path, backend=f"{coins}:Bent", arguments=f"--suite {coin} -n 1")
    assert found.returncode == 1, found.stderr
    assert output == "verdict=broken\n"
    assert (tmp_path / "keeprate.json").exists()


def test_a_verdict_of_an_earlier_run_is_not_taken_for_one(tmp_path):
    (tmp_path / "keeprate.json").write_text('{"verdict": "conforms"}')
    found, output = judged(tmp_path, backend="nobody")
    assert (found.returncode, output) == (2, "")
    assert not (tmp_path / "keeprate.json").exists()


def test_junit_has_every_finding_and_the_verdict_is_the_same(tmp_path, coin, coins):
    options = {"backend": f"{coins}:Bent", "arguments": f"--suite {coin} --seed 1"}
    found, output = judged(tmp_path, **options, junit="junit.xml")
    assert found.returncode == 1, found.stdout
    assert output == "verdict=broken\n"
    cases = ElementTree.parse(tmp_path / "junit.xml").getroot().findall(".//testcase")  # noqa: S314 - our own
    by_pytest = json.loads((tmp_path / "keeprate.json").read_text())
    assert sorted(case.get("name") for case in cases) == sorted(finding["id"] for finding in by_pytest["findings"])
    judged(tmp_path, **options)
    by_gate = json.loads((tmp_path / "keeprate.json").read_text())
    assert by_gate.pop("run") and by_pytest.pop("run")
    assert by_gate == by_pytest


SETTINGS = """
[tool.pytest.ini_options]
required_plugins = ["pytest-that-nobody-has"]
addopts = "--no-such-option"
filterwarnings = ["error"]
testpaths = ["nowhere"]
"""


@pytest.fixture
def project(tmp_path):
    """A project whose pytest settings are for its own tests alone."""
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    (tmp_path / "conftest.py").write_text("raise SystemExit('for our own tests')")
    (tmp_path / "sub").mkdir()
    return tmp_path


def test_junit_leaves_a_projects_own_pytest_settings_aside_and_keeps_its_paths(project, coin, coins):
    (project / "sub" / "list.known").write_text("toss/*  # it is bent\n")
    files = {"known": "sub/list.known", "json": "sub/verdict.json", "junit": "sub/junit.xml"}
    found, output = judged(project, backend=f"{coins}:Bent", arguments=f"--suite {coin}", **files)
    assert found.returncode == 0, found.stdout + found.stderr
    assert output == "verdict=conforms\n"
    assert {path.name for path in (project / "sub").iterdir()} == {"list.known", "verdict.json", "junit.xml"}


def test_the_line_for_gitlab_leaves_them_aside_too(project):
    (line,) = re.findall(
        r"^ +- python -P -m (pytest .*)", (ROOT / "docs" / "ci.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    words = shlex.split(line.replace("tests/keeprate_backend.py", "numpy").replace("-n auto", "-n 1"))
    fewer = ["--ops", "dropout_", "--dtypes", "float32", "-k", "evaluation"]
    found = subprocess.run([sys.executable, "-m", *words, *fewer], cwd=project, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    assert ElementTree.parse(project / "keeprate.xml").getroot().findall(".//testcase")  # noqa: S314 - our own


CPU = "--extra-index-url=https://download.pytorch.org/whl/cpu"


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, [CPU]),
        ({"constraints": "my pins.txt"}, [CPU, "--constraint=my pins.txt"]),
        ({"extras": "mlx", "index": ""}, []),
    ],
)
def test_versions_that_a_project_chose_are_held_to_its_own_constraints_alone(tmp_path, inputs, words):
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    found, _ = ran(action()["runs"]["steps"][0], tmp_path, **inputs)
    extras = f"[{inputs['extras']}]" if "extras" in inputs else ""
    assert found.stdout.splitlines() == ["-P", "-m", "pip", "install", *words, extras]


def test_a_list_of_known_deviations_is_handed_on(tmp_path, coin, coins):
    (tmp_path / "my list").write_text("toss/*  # it is bent\n")
    found, output = judged(tmp_path, backend=f"{coins}:Bent", known="my list", arguments=f"--suite {coin} -n 1")
    assert found.returncode == 0, found.stderr
    assert output == "verdict=conforms\n"


def test_an_input_is_no_command(tmp_path):
    found, _ = judged(tmp_path, backend="$(touch here); nobody")
    assert found.returncode == 2
    assert not (tmp_path / "here").exists()


def test_no_step_puts_an_input_into_a_command():
    for step in action()["runs"]["steps"]:
        assert "${{" not in step["run"]


def test_workflows_use_what_exists():
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml")):
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        for job in workflow["jobs"].values():
            for step in job["steps"]:
                if step.get("uses") == "./":
                    assert set(step["with"]) <= set(action()["inputs"])


def test_a_page_is_published_only_if_there_is_one():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "nightly.yml").read_text(encoding="utf-8"))["jobs"]
    (upload,) = (step for step in jobs["draw"]["steps"] if "upload-pages-artifact" in step.get("uses", ""))
    assert jobs["draw"]["outputs"]["page"] == f"${{{{ steps.{upload['id']}.outcome }}}}"
    assert "needs.draw.outputs.page == 'success'" in jobs["publish"]["if"]


def steps_of(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def written_nights():
    """Our own night, and the one that docs/ci.md gives to others."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "ci.md").read_text(encoding="utf-8"), re.M | re.S)
    own = (ROOT / ".github" / "workflows" / "nightly.yml").read_text(encoding="utf-8")
    return [yaml.safe_load(text) for text in (own, *blocks) if "actions/cache/save" in text]


def test_a_night_that_is_run_again_can_keep_its_ledger_and_goes_on_from_the_latest():
    nights = written_nights()
    assert len(nights) == 2
    for night in nights:
        steps = [step["with"] for step in steps_of(night) if step.get("uses", "").startswith("actions/cache/")]
        restored, saved = steps
        assert saved["key"] == restored["key"] == "ledger-${{ github.run_id }}-${{ github.run_attempt }}"
        assert saved["key"].startswith(restored["restore-keys"])
        assert saved["path"] == restored["path"] == "ledger"


def step_named(night, beginning):
    (step,) = (step for step in steps_of(night) if step.get("name", "").startswith(beginning))
    return step["run"].replace(".venv/bin/keeprate", "keeprate")


def in_bash(text, folder, **more):
    path = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    words = [BASH, "--noprofile", "--norc", "-eo", "pipefail", "-c", text]
    return subprocess.run(words, cwd=folder, env={**os.environ, "PATH": path, **more}, capture_output=True, text=True)


def test_what_is_cached_is_one_whole_file_though_a_log_lies_beside_the_ledger(tmp_path):
    for number, night in enumerate(written_nights()):
        folder = tmp_path / str(number)
        (folder / "ledger").mkdir(parents=True)
        with Ledger(tmp_path / f"{number}.db", create=True) as ledger:
            ledger.db.execute("INSERT INTO form VALUES (7, 'in the log')")
            for ending in ("", "-wal"):
                shutil.copy(tmp_path / f"{number}.db{ending}", folder / "ledger" / f"night.db{ending}")
        found = in_bash(step_named(night, "One whole file"), folder)
        assert found.returncode == 0, found.stderr
        assert [path.name for path in (folder / "ledger").iterdir()] == ["night.db"]
        with Ledger(folder / "ledger" / "night.db") as ledger:
            assert ledger.db.execute("SELECT text FROM form").fetchone()[0] == "in the log"


@pytest.mark.parametrize("latest", ["", "7"])
def test_where_the_cache_was_evicted_the_artefact_is_taken_and_else_it_is_said(tmp_path, latest):
    (tmp_path / "bin").mkdir()
    gh = tmp_path / "bin" / "gh"
    gh.write_text(f'#!/bin/sh\n[ $1 = api ] && echo {latest} || echo "$@" > asked\n')
    gh.chmod(0o755)
    for night in written_nights():
        found = in_bash(step_named(night, "Or from the latest artefact"), tmp_path, GITHUB_REPOSITORY="some/where")
        assert found.returncode == 0, found.stderr
        assert ("begins a new one" in found.stdout) == (not latest)
        if latest:
            assert (tmp_path / "asked").read_text() == "run download 7 --repo some/where --name ledger --dir ledger\n"


def written():
    """Every workflow: our own, and those that docs/ci.md gives to others."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "ci.md").read_text(encoding="utf-8"), re.M | re.S)
    own = [path.read_text(encoding="utf-8") for path in (ROOT / ".github" / "workflows").glob("*.yml")]
    return [workflow for text in (*own, *blocks) if "jobs" in (workflow := yaml.safe_load(text))]


def test_actions_of_others_are_pinned_and_get_no_credentials():
    assert len(written()) == 6
    for step in (step for workflow in written() for step in steps_of(workflow)):
        uses = step.get("uses", "")
        assert not uses or uses == "./" or re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", uses), uses
        if uses.startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_workflows_ask_for_the_least_and_don_t_run_twice_at_once():
    for workflow in written():
        assert workflow["permissions"] in ({}, {"contents": "read"})
        assert "concurrency" in workflow
        assert all(job["timeout-minutes"] for job in workflow["jobs"].values())


@pytest.mark.parametrize("words", [("zizmor", "--offline", "--no-progress"), ("jactionlint", "--strict-exit")])
def test_linters_find_nothing_in_what_others_are_to_copy(words, tmp_path):
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "ci.md").read_text(encoding="utf-8"), re.M | re.S)
    for number, text in enumerate(text for text in blocks if "runs-on" in text):
        (tmp_path / f"{number}.yml").write_text(text, encoding="utf-8")
    linter = Path(sys.executable).with_name(words[0])
    if not linter.exists():
        pytest.skip(f"{linter.name} is not installed: make lint asks for it")
    files = [*tmp_path.glob("*.yml"), ROOT / "action.yml"]
    assert len(files) == 3
    found = subprocess.run([linter, *words[1:], *files], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
