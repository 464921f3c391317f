"""The composite action, run as GitHub runs it: each step in bash, its inputs as variables."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import yaml

ROOT = Path(__file__).parents[2]
BASH = "/bin/bash"


def action():
    return yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))


def judged(tmp_path, **inputs):
    """Runs the action's last step."""
    step = action()["runs"]["steps"][-1]
    given = {name: about.get("default", "") for name, about in action()["inputs"].items()} | inputs
    variables = {
        name: str(given[value.removeprefix("${{ inputs.").removesuffix(" }}")]) for name, value in step["env"].items()
    }
    out = tmp_path / "output"
    here = Path(sys.executable).parent
    environment = {**os.environ, **variables, "GITHUB_OUTPUT": str(out), "PATH": f"{here}:{os.environ['PATH']}"}
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
