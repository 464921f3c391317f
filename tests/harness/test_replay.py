"""What `keeprate replay` shows beyond the gate: fresh draws, the smallest case, a script without keeprate."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keeprate.harness.commands import shown
from keeprate.harness.commands.snippet import _quoted, _to_stand_here, needs, snippet
from keeprate.harness.errors import UsageError
from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.source import beside, locate
from keeprate.harness.protocol.suite import load_suite
from keeprate.specs.dropout.reproduction.masks import is_kept
from keeprate.specs.dropout.reproduction.script import MODULES, OTHERS, SHOWN, constants, demonstrate

ROOT = Path(__file__).parents[2]
MUTANTS = ROOT / "tests" / "mutants"


def run(*words, cwd):
    command = [sys.executable, "-P", "-m", "keeprate", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def replay(finding, mutant, *options, cwd):
    return run("replay", finding, "--backend", f"{MUTANTS}/{mutant}", "--profile", "quick", *options, cwd=cwd)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A folder with NumPy and MLX, which is all that `script` can import beside Python's own library."""
    folder = tmp_path_factory.mktemp("bare")
    for name in ("numpy", "mlx"):
        for place in dict.fromkeys(importlib.util.find_spec(name).submodule_search_locations):
            for package in Path(place).parent.glob(f"{name}*"):
                if package.name in (name, f"{name}.libs") or package.name.endswith(".dist-info"):
                    (folder / package.name).symlink_to(package)
    return folder


@pytest.fixture
def script(bare, tmp_path):
    """What a script prints where nothing of ours is installed."""

    def ran(*command):
        # Without `site` no folder of installed packages is looked at.
        command = [sys.executable, "-S", "-P", "-W", "error", *command]
        found = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=60, env={"PYTHONPATH": str(bare)}
        )
        assert not found.stderr, found.stderr
        return found.stdout

    return ran


def test_nothing_of_ours_can_be_imported_where_scripts_run(script):
    names = ("harness", "specs", "impl", "keeprate", "torch", "scipy", "numpy")
    code = f"import importlib.util; print([importlib.util.find_spec(name) is None for name in {names}])"
    assert ast.literal_eval(script("-c", code)) == [True] * 6 + [False]


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


def test_the_smallest_case_is_as_small_as_the_fault(tmp_path, script):
    finding = "dropout/neighbours:1/float32/-/64x1024/eager"
    seen = replay(finding, "correlated.py:FourTogether", "--shrink", "--snippet", "fault.py", cwd=tmp_path)
    assert "cause: plain uses each draw for 4 neighbours, in dropout.\n" in seen.stdout
    smaller = seen.stdout.partition("still broken, and by this cause, in\n")[2].splitlines()
    cases = [line.strip() for line in smaller if line.strip().startswith("dropout/")]
    batch, width = map(int, cases[-1].split("/")[4].split("x"))
    assert "/p0.5/" in cases[-1] and 4 < batch * width <= 16  # of fewer nothing tells groups of four
    share = float(script("fault.py").split(" in ")[1].split()[0])
    assert share > 0.4  # 0.25 is promised


def test_no_case_is_shown_in_which_the_reference_breaks_the_law_too(tmp_path):
    finding = "dropout/no_mask_twice/float32/-/64x1024/eager"
    seen = replay(finding, "correlated.py:PeriodOfEightCalls", "--shrink", cwd=tmp_path)
    smallest = [line for line in seen.stdout.splitlines() if line.startswith("  dropout/masks")][-1]
    batch, width = map(int, smallest.split("/")[4].split("x"))
    assert batch * width >= 8  # of a single entry every mask comes twice, in PyTorch as well


@pytest.mark.parametrize("options", [("--shrink",), ("--snippet", "f.py"), ("--shrink", "--snippet", "f.py")])
def test_a_promise_that_is_kept_is_neither_shrunk_nor_shown(options, backend_file, tmp_path):
    """An exact law, which is kept whatever is drawn."""
    finding = "dropout/outcomes/float32/p0.3/64x1024/eager"
    seen = run("replay", finding, "--backend", backend_file(), "--profile", "smoke", *options, cwd=tmp_path)
    assert seen.returncode == 0, seen.stdout + seen.stderr
    told = " ".join(seen.stdout.split())
    assert "The promise is kept here, so there is nothing to shrink or to show" in told
    assert told.endswith("and f.py is not written." if "f.py" in options else "to show.")
    assert "still broken" not in told
    assert not (tmp_path / "f.py").exists()


UNDIVIDED = ("/ (1 - p)", "* (1 - p)")


def test_a_scale_that_is_wrong_is_shrunk_and_shown_as_that(backend_file, tmp_path, script):
    finding = "dropout/outcomes/float32/p0.1/64x1024/eager"
    options = ("--backend", backend_file(UNDIVIDED), "--profile", "quick", "--shrink", "--snippet", "fault.py")
    seen = run("replay", finding, *options, cwd=tmp_path)
    cases = [line.strip() for line in seen.stdout.splitlines() if line.startswith("  dropout/")]
    assert cases[-1] == "dropout/masks/float32/p0.5/1x1/eager"
    assert all(case.startswith("dropout/masks/") for case in cases)
    assert "it needs only numpy, and shows: inputs of 1.0 became [0.0, 0.5]" in " ".join(seen.stdout.split())
    assert script("fault.py").startswith("inputs of 1.0 became [0.0, 0.5] (of PyTorch: 2 and 0)\n")


@pytest.mark.parametrize(
    ("y", "if_kept", "if_dropped", "kept"),
    [
        ([0.0, 1.43, 0.0], 1.4286, 0.0, [False, True, False]),
        ([0.0, 0.7, 0.0], 1.4286, 0.0, [False, True, False]),  # a wrong scale
        ([0.0, 0.01], 100.0, 0.0, [False, True]),
        ([0.01, 1.43], 1.4286, 0.0, [False, True]),  # a wrong value of what is dropped
        ([0.0, 0.0], 1.4286, 0.0, [False, False]),
        ([0.0, -0.125], 430.0, -0.00275, [False, False]),  # alpha dropout near p = 1, in half precision
        ([-0.00275], 431.0, 0.0, [False]),
        ([-0.9, 0.1, 1.0], 2.3, -0.9, [False, False, True]),
        ([0.0], 0.0, 0.0, [False]),
    ],
)
def test_scripts_read_masks_of_wrong_values_too(y, if_kept, if_dropped, kept):
    assert is_kept(np.array(y), if_kept, if_dropped).tolist() == kept


def test_what_is_scaled_wrongly_counts_as_kept(backend_file, tmp_path, capsys):
    """At p = 0.3 it is nearer to what is dropped."""
    backend = find(str(tmp_path / backend_file(UNDIVIDED)), group="", kind="backend")
    plan = load_suite("dropout").cases("quick")
    at = {case.id: case for case in plan}
    for case, law, said in (
        (at["dropout/masks/float32/p0.3/64x1024/eager"], "keep_rate", r"kept 0\.(69|70)"),
        (
            at["dropout/probabilities/float32/-/-/eager"],
            "outcomes",
            r"p = 0.3 as float: float32 .*, 0\.(6[6-9]|7[0-3])",
        ),
        (at["dropout/probabilities/float32/-/-/eager"], "outcomes", r" and 0: \[0\.(69|7)\d*\] \(nothing\)"),
    ):
        names = {}
        exec(demonstrate(case, law, seed=1), names)  # noqa: S102 - the script itself
        names["show"](backend)
        assert re.search(said, capsys.readouterr().out)


@pytest.mark.parametrize(
    ("line", "shown", "code"),
    [("os._exit(7)", "ends with exit code 7", 7), ("os.kill(os.getpid(), 9)", "is ended by SIGKILL", -9)],
)
def test_a_script_ends_its_process_as_the_operator_does(line, shown, code, backend_file, tmp_path):
    dies = ("    scale = ", f"    import os\n    if p == 0.3 and x.shape == (64, 1024):\n        {line}\n    scale = ")
    finding = "dropout/outcomes/float32/p0.3/64x1024/eager"
    options = ("--profile", "quick", "--was-error", "--shrink", "--snippet", "fault.py")
    seen = run("replay", finding, "--backend", backend_file(dies), *options, cwd=tmp_path)
    assert seen.returncode == 1, seen.stderr
    assert f"wrote fault.py: it needs only numpy, and {shown}" in " ".join(seen.stdout.split())
    assert subprocess.run([sys.executable, "fault.py"], cwd=tmp_path, check=False, timeout=60).returncode == code


@pytest.mark.parametrize(
    ("more", "needed"),
    [
        ("", "only numpy"),
        ("import os.path\nimport scipy.special\nfrom torch import nn\n", "only numpy, scipy and torch"),
        ("from keeprate.testing import assert_dropout\n", "keeprate, which it imports, besides numpy"),
        ("try:\n    import cupy\nexcept ImportError:\n    import scipy\n", "only numpy"),
        ("if TYPE_CHECKING:\n    import torch\n", "only numpy"),
        ("def late():\n    import own.part, jax\n", "only jax and numpy"),
    ],
)
def test_a_script_needs_what_it_imports_and_has_no_text_of(more, needed):
    texts = 'TEXTS = {\n    "own": "",\n    "own.part": "import numpy\\n",\n}\n'
    assert needs(f"import sys\n{texts}import own\n{more}") == needed


def test_a_script_takes_along_what_lies_beside_the_adapter(tmp_path, script):
    finding = "dropout/keep_rate/float32/p0.001/64x1024/eager"
    replay(finding, "rate.py:EightBits", "--snippet", "fault.py", cwd=tmp_path)
    text = (tmp_path / "fault.py").read_text()
    assert "class Plain" in text and "import keeprate" not in text and str(ROOT) not in text
    rate = float(script("fault.py").split()[1])
    assert rate == 1.0  # of 256ths, where 0.999 is promised


def test_a_script_of_an_adapter_in_a_package_takes_along_its_modules(tmp_path, script):
    text = snippet(load_suite("dropout"), "mlx", "mlx", a_case("keep_rate"), "keep_rate", 1)
    (tmp_path / "shown.py").write_text(text)
    assert "keeprate.impl.mask" in text
    assert "kept 0." in script("shown.py")


def test_a_script_needs_keeprate_where_the_adapter_inherits_from_it(tmp_path, process):
    """As docs/tutorial.md and docs/new-backend.md say."""
    inherits = "from keeprate.testing.arrays import Numpy\n\n\nclass Mine(Numpy):\n    name = 'mine'\n"
    (tmp_path / "adapter.py").write_text(inherits)
    assert process(sys.executable, "-P", "-m", "keeprate", "init", "mine.py").code == 0
    needed = {}
    for name in ("adapter.py:Mine", "mine.py"):
        text = snippet(load_suite("dropout"), str(tmp_path / name), "mine", a_case("keep_rate"), "keep_rate", 1)
        needed[name] = needs(text)
    assert needed == {"adapter.py:Mine": "keeprate, which it imports, besides numpy", "mine.py": "only numpy"}


QUOTES = ['x = "a"', "x = '''a'''", '"""doc"""', '\'""""\'', 'x = "\\\\n\\N{DASH}"\n\n', '"""a"""\nx = \'"\'']


@pytest.mark.parametrize("source", QUOTES)
def test_a_source_goes_along_as_it_is(source):
    assert ast.literal_eval(_quoted(source)) in (source, source + "\n")


@pytest.mark.parametrize(
    ("source", "future", "text"),
    [
        ("from __future__ import annotations\nx = 1\n", "from __future__ import annotations\n", "x = 1\n"),
        ("from __future__ import annotations; import math\n", "from __future__ import annotations\n", "import math\n"),
        ("from __future__ import (\n    annotations,\n)  # why\n", "from __future__ import annotations\n", "# why\n"),
        ("x = 'é\u2028\x85'\nif __name__ == '__main__': x = 1\n", "", "x = 'é\u2028\x85'\nif False: x = 1\n"),
        ('é = 1; y = 2 if __name__ == "__main__" else 3', "", "é = 1; y = 2 if False else 3"),
        ("if '__main__' == __name__ and 1:\n  exit()\nelse:\n  x = 1", "", "if False and 1:\n  exit()\nelse:\n  x = 1"),
    ],
)
def test_a_source_is_changed_for_a_script_where_it_must_be_alone(source, future, text):
    assert _to_stand_here(source) == (future, text)


def test_a_script_is_not_the_program_that_the_adapter_is(backend_file, tmp_path, script):
    more = "\n\nversion = '1\"\"\" \\\\N'\nif __name__ == '__main__':\n    raise SystemExit('as a program')\n"
    name = str(tmp_path / backend_file(more=more))
    text = snippet(load_suite("dropout"), name, '1""" \\N', a_case("keep_rate"), "keep_rate", 1)
    (tmp_path / "shown.py").write_text(text)
    assert script("shown.py").startswith("kept 0.9")


BACKEND = """
from __future__ import (
    annotations,
)
import numpy as np
import numpy.linalg as np  # as `import mlx.core as np` would
from own import left
from own.parts.right import dropout
name, version, layout, dtypes = "mine", left.version, "channels_first", ("float32",)
seed, asarray, asnumpy, dtype_of = left.seed, left.asarray, left.asnumpy, left.dtype_of
(_here / "loaded").touch()
"""
LEFT = '''
import numpy
from .parts import right  # which imports this one
version, random = '"', numpy.random.default_rng()
def seed(value):
    global random
    random = numpy.random.default_rng(value)
asarray = lambda x, dtype: numpy.array(x, dtype)
asnumpy = lambda x: x
dtype_of = lambda x: str(x.dtype)
last = "a source that ends in a quote"'''
RIGHT = """
from .. import left
from . import CUT
def dropout(x, p, train):
    return x * (left.random.random(x.shape) >= CUT)
"""


@pytest.fixture
def mine(tmp_path):
    """A file with a package beside it, whose modules import one another; it leaves a mark where it is loaded."""
    (tmp_path / "own" / "parts").mkdir(parents=True)
    (tmp_path / "own" / "__init__.py").touch()
    (tmp_path / "own" / "left.py").write_text(LEFT)
    (tmp_path / "own" / "parts" / "__init__.py").write_text("CUT = 0.25\n")
    (tmp_path / "own" / "parts" / "right.py").write_text(RIGHT)
    here = f"from pathlib import Path; _here = Path({str(tmp_path)!r})"
    (tmp_path / "mine.py").write_text(f"{BACKEND}".replace("import numpy as np\n", f"import numpy as np\n{here}\n"))
    return str(tmp_path / "mine.py")


def test_packages_beside_a_file_go_along_and_nothing_is_loaded_for_it(mine, tmp_path, script):
    text = snippet(load_suite("dropout"), mine, "mine", a_case("keep_rate"), "keep_rate", 1)
    assert set(beside(locate(mine))) == {"own", "own.left", "own.parts", "own.parts.right"}
    assert not (tmp_path / "loaded").exists()
    (tmp_path / "own").rename(tmp_path / "elsewhere")
    (tmp_path / "shown.py").write_text(text)
    assert script("shown.py").startswith("kept 0.7")  # where 0.9 is promised
    assert (tmp_path / "loaded").exists()


def test_an_adapter_in_a_package_of_its_own_keeps_its_relative_imports(tmp_path, script, monkeypatch):
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "__init__.py").touch()
    (tmp_path / "adapters" / "right.py").write_text("CUT = 0.25\n")
    (tmp_path / "adapters" / "mine.py").write_text(
        "from . import right\n"
        + LEFT.replace("from .parts import right", "")
        + """
name, layout, dtypes = "mine", "channels_first", ("float32",)
def dropout(x, p, train):
    return x * (random.random(x.shape) >= right.CUT)
"""
    )
    monkeypatch.chdir(tmp_path)
    text = snippet(load_suite("dropout"), "adapters.mine", "mine", a_case("keep_rate"), "keep_rate", 1)
    (tmp_path / "adapters").rename(tmp_path / "elsewhere")
    (tmp_path / "shown.py").write_text(text)
    assert script("shown.py").startswith("kept 0.7")


def test_what_is_installed_is_imported_and_not_copied():
    """As an adapter in the framework's own package: its packages are neither copied nor run."""
    loaded = "import sys; from keeprate.harness.protocol.source import beside, locate; s = locate('rich.table'); "
    code = loaded + "print(s.package, s.path.name, list(beside(s)), 'rich' in sys.modules)"
    found = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert found.stdout == "rich table.py [] False\n", found.stderr


REFUSES = ("    scale = ", '    if p == 0.9 and x.shape[0] > 2:\n        raise OverflowError("too few")\n    scale = ')


def test_an_error_is_made_smaller_and_shown_by_a_script(backend_file, tmp_path, bare):
    finding = "dropout/keep_rate/float32/p0.9/64x1024/eager"
    options = ("--backend", backend_file(REFUSES), "--profile", "quick", "--fresh", "--shrink", "--snippet", "fault.py")
    seen = run("replay", finding, *options, cwd=tmp_path)
    assert seen.returncode == 1, seen.stderr
    assert "error, dropout raised OverflowError: too few" in seen.stdout
    cases = [line.strip() for line in seen.stdout.splitlines() if line.strip().startswith("dropout/masks")]
    assert cases[0] == "dropout/masks/float32/p0.9/64x1024/eager"
    assert cases[-1] == "dropout/masks/float32/p0.9/4x1/eager"
    shown = subprocess.run(
        [sys.executable, "-S", "-P", "fault.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": str(bare)},
    )
    assert shown.stderr.endswith("OverflowError: too few\n")


def test_what_was_not_judged_can_not_be_looked_at_further(backend_file, tmp_path):
    finding, backend = "dropout/keep_rate/float64/p0.3/64x1024/eager", backend_file()
    for option in ("--fresh", "--shrink", "--snippet=fault.py"):
        seen = run("replay", finding, "--backend", backend, "--profile", "quick", option, cwd=tmp_path)
        assert seen.returncode == 2
        assert "this finding is not offered: the backend has no float64" in " ".join(seen.stderr.split())
    assert not (tmp_path / "fault.py").exists()


def a_case(law):
    family = law.partition(":")[0]
    plan = load_suite("dropout").cases("quick")
    shape = {"constancy": "dropout2d", "moments": "alpha_dropout"}.get(family, "dropout")
    return next(
        case
        for case in plan
        if case.op == shape
        and any(text.split("/")[1].partition(":")[0] == family for text in case.findings)
        and case.context in ("eager", "grad", "thread")
        and (case.study != "mixed" if family == "first_positions" else case.study not in ("mixed", "after_seeds"))
    )


PARAMETERS = {
    "neighbours": "3",
    "blocks": "4",
    "spread": "64",
    "calls": "1",
    "streams": "next",
    "moments": "mean",
    "rank": "64",
}


@pytest.mark.parametrize("family", [name for name in SHOWN if name in load_suite("dropout").by_name])
def test_what_shows_a_law_runs_on_a_faithful_backend(family, capsys, monkeypatch):
    law = f"{family}:{PARAMETERS[family]}" if family in PARAMETERS else family
    text = demonstrate(a_case(law), law, seed=1)
    backend = find(f"{MUTANTS}/plain.py:Plain", group="", kind="backend")
    names = {}
    exec(text, names)  # noqa: S102 - the script itself
    names["show"](backend)
    said = capsys.readouterr().out
    assert "(" in said and ")" in said
    # What was copied does as much where it was copied from.
    for module in MODULES:
        for name, value in constants(a_case(law), law, seed=1).items():
            monkeypatch.setattr(module, name, value, raising=False)
    backend.seed(1)
    SHOWN[family](backend)
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(("study", "law"), OTHERS)
def test_what_shows_a_study_says_nothing_of_a_faithful_backend(study, law, capsys):
    """What it prints is what the reference prints, up to chance."""
    suite = load_suite("dropout")
    case = next(
        case
        for case in suite.cases("quick")
        if case.study == study and case.asks(law.partition(":")[0]) and case.context in ("eager", "grad", "thread")
    )
    names = {}
    exec(demonstrate(case, law, seed=1), names)  # noqa: S102 - the script itself
    names["show"](find(f"{MUTANTS}/plain.py:Plain", group="", kind="backend"))
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert not list(shown.departing(lines, shown.beside(suite, case, law)))


def test_a_script_says_what_pytorch_does_with_each_rank():
    case = next(
        case for case in load_suite("dropout").cases("quick") if case.op == "feature_dropout" and case.asks("arguments")
    )
    text = demonstrate(case, "arguments", seed=1)
    (ranks,) = re.findall(r"RANKS = (.*\])", text)
    promised = {(rank, train): word for rank, train, word in ast.literal_eval(ranks)}
    assert promised == {(0, True): "refused", (0, False): "taken", (1, True): "refused", (1, False): "taken"}


def test_a_fault_between_processes_has_no_script(backend_file, tmp_path):
    of_process = ("default_rng(value)", "default_rng([value, __import__('os').getpid()])")
    options = ("--backend", backend_file(of_process), "--profile", "quick", "--snippet", "fault.py")
    seen = run("replay", "dropout/seeding/-/-/-/process", *options, cwd=tmp_path)
    assert seen.returncode == 2
    assert "no script can show" in seen.stderr
    assert not (tmp_path / "fault.py").exists()


def test_every_law_can_be_shown():
    assert {law.name for law in load_suite("dropout").by_name.values()} <= set(SHOWN)


def test_a_script_calls_the_form_that_is_at_fault():
    cases = [case for case in load_suite("dropout").cases("quick") if case.study in ("masks", "mixed")]
    (in_place,) = (case for case in cases if case.id == "dropout/masks/float32/p0.9/64x256/inplace")
    assert "KEYWORDS = {'inplace': True}" in demonstrate(in_place, "keep_rate", 1)
    (unlike,) = (case for case in cases if case.id == "dropout/mixed/float32/p0.3/64x64/eager")
    with pytest.raises(UsageError, match="no script can show streams:op here: calls of two kinds alternate"):
        demonstrate(unlike, "streams:op", 1)
