"""The wheel: one name in it, and it works beside a stranger's own packages that are called as our folders are."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("harness", "impl", "reports", "specs")
NAMES = ", ".join(FOLDERS)
ONLY = ("--profile", "quick", "--ops", "dropout", "--dtypes", "float32", "--json", "v.json")

# What a stranger adds to our template: a backend in several files, and a look at whose code judges it.
ADDED = f"""
import sys
from pathlib import Path

import keeprate
import {NAMES}

version = " ".join(module.MINE for module in ({NAMES}))
assert Path(keeprate.__file__).is_relative_to(sys.prefix), keeprate.__file__
"""

THEIR_TEST = f"""
import {NAMES}
from keeprate import judge

def test_mine():
    assert callable(judge)
    assert {{module.MINE for module in ({NAMES})}} == {{"my own"}}
"""


@dataclass(frozen=True)
class Run:
    code: int
    text: str


@pytest.fixture(scope="module")
def wheel(made_once):
    """Built from what the repository holds, in a copy: a build leaves things behind."""
    (path,) = made_once("wheel", build).glob("*.whl")
    return path


def build(folder):
    source = folder / "source"
    source.mkdir()
    for name in ("keeprate", *FOLDERS):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-build-isolation", "--wheel-dir", folder, source)


@pytest.fixture(scope="module")
def environment(wheel, made_once):
    """A fresh environment with the wheel in it, which borrows our packages but not our editable install."""

    def install(folder):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=120)
        pip("--python", folder / "bin" / "python", "install", wheel)
        (site,) = folder.glob("lib/python*/site-packages")
        ours = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        (site / "borrowed.pth").write_text("\n".join(ours))  # a .pth file that lies in there isn't read

    return made_once("environment", install)


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(
        [*command, "--no-deps", "--no-index"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def stranger(environment, tmp_path):
    """Runs a command of the fresh environment in a folder whose packages are called as ours are."""
    for name in FOLDERS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("MINE = 'my own'\n")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))}

    def run(program, *arguments):
        command = [environment / "bin" / program, *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=300, check=False
        )
        return Run(done.returncode, done.stdout + done.stderr)

    return run


@pytest.fixture
def mine(stranger, tmp_path):
    """The backend that we give a beginner, with imports of the stranger's own packages."""
    made = stranger("keeprate", "init", "mine.py")
    assert made.code == 0, made.text
    with (tmp_path / "mine.py").open("a") as file:
        file.write(ADDED)
    return "mine.py"


def verdict(folder):
    """What the JSON concludes, of the backend that imports the stranger's own packages."""
    data = json.loads((folder / "v.json").read_text(encoding="utf-8"))
    assert data["backend"]["version"] == "my own my own my own my own"
    return data["verdict"]


def test_the_wheel_holds_one_name_and_all_that_its_folders_hold(wheel):
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    tops = {name.partition("/")[0] for name in inside}
    (information,) = tops - {"keeprate"}
    assert information.endswith(".dist-info") and "keeprate" in tops
    held = {
        str(path.relative_to(ROOT))
        for folder in ("keeprate", *(f"keeprate/{name}" for name in FOLDERS))
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert {Path(name).suffix for name in held} >= {".j2", ".css", ".json", ".known", ".typed"}
    assert {name for name in inside if name.startswith("keeprate/")} == held


@pytest.mark.parametrize("how", ["packages", "modules"])
def test_keeprate_is_found_beside_names_like_those_of_our_folders(stranger, environment, tmp_path, how):
    if how == "modules":
        for name in FOLDERS:
            shutil.rmtree(tmp_path / name)
            (tmp_path / f"{name}.py").write_text("MINE = 'my own'\n")
    said = stranger("python", "-m", "keeprate", "--version")
    assert said.code == 0 and said.text.startswith("keeprate, version "), said.text
    script = f"from keeprate import judge; import {NAMES}, keeprate; print(harness.MINE, keeprate.__file__)"
    said = stranger("python", "-c", script)
    assert said.text.startswith(f"my own {environment}"), said.text


def test_a_gate_and_its_report_work_there(stranger, mine, tmp_path):
    judged = stranger("keeprate", "gate", "--backend", mine, *ONLY)
    assert (judged.code, verdict(tmp_path)) == (0, "conforms"), judged.text
    told = stranger("keeprate", "report", "--json", "v.json", "--out", "out")
    assert told.code == 0, told.text
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"index.html", "report.md"}


@pytest.mark.parametrize(
    ("interpreter", "options"), [(("-P",), ()), ((), ("-n", "2"))], ids=["as the pytest script", "in parallel"]
)
def test_pytest_judges_there_without_being_told_a_path(stranger, mine, tmp_path, interpreter, options):
    ours = ("-p", "keeprate.plugin", f"--backend={mine}", *ONLY, "-k", "keep_rate")
    judged = stranger("python", *interpreter, "-m", "pytest", "-p", "no:cacheprovider", *ours, *options)
    assert (judged.code, verdict(tmp_path)) == (0, "conforms"), judged.text


def test_a_test_of_the_strangers_finds_both(stranger, tmp_path):
    (tmp_path / "test_mine.py").write_text(THEIR_TEST)
    tested = stranger("python", "-m", "pytest", "-p", "no:cacheprovider", "-p", "keeprate.plugin")
    assert tested.code == 0 and "1 passed" in tested.text, tested.text
