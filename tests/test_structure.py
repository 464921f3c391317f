"""The house as pyproject's contracts draw it: no arrow kept for later, no module too long or far from its user.

What may import what stands in the contracts, which `make lint` checks; here is what they can't say.
"""

import ast
import re
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("harness", "impl", "reports", "specs")
TEXTS = {"", ".cfg", ".j2", ".md", ".py", ".toml", ".txt", ".yml"}
LONGEST = 350  # lines: what is longer has two subjects

BARE = f"(?:{'|'.join(FOLDERS)})"
# One of the four folders as a module, in a line of Python, of a shell, or as a dotted name; files are no modules.
NAMED_BARE = re.compile(
    rf"\bfrom +{BARE}[.\w]* +import\b|\bimport +{BARE}\b|(?:-m|-p|--pyargs) +{BARE}\b"
    rf"|(?<![\w./-]){BARE}\.(?!py\b|db\b|md\b|html\b)[a-z_]+"
)
STRANGERS = ("tests/harness/test_security.py", "tests/test_wheel.py")  # in which somebody else has such modules


@pytest.fixture(scope="module")
def graph():
    """All imports, those for type checkers and those in functions included."""
    return grimp.build_graph("keeprate", cache_dir=None)


@pytest.fixture(scope="module")
def contracts():
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["tool"]["importlinter"]["contracts"]


def texts():
    """What people read and write of the repository, by name; once, where a link leads to it as well."""
    folders = (*FOLDERS, "benchmarks", "docs", "tests", ".ci", ".github")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    for path in [*ROOT.glob("*"), *(ROOT / "keeprate").glob("*"), *found]:
        if path.is_file() and path.suffix in TEXTS and "__pycache__" not in path.parts:
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def modules(*folders):
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def lines_of(path):
    return len(path.read_text(encoding="utf-8").splitlines())


def imported(text):
    """The top-level names that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def test_our_folders_are_modules_of_keeprate_and_never_called_by_their_bare_names():
    read = dict(texts())
    assert {"README.md", "keeprate/__init__.py", "harness/plugin.py", "docs/backend.md", "Makefile"} <= read.keys()
    found = [
        f"{name}, line {text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for name, text in read.items()
        if name not in STRANGERS
        for match in NAMED_BARE.finditer(text)
    ]
    found += [f"{name}: imports {each}" for name, text in read.items() if name.endswith(".py")
              for each in imported(text) if each in FOLDERS]  # fmt: skip
    assert found == []


def layers_of(contracts):
    """The rows of the one contract of layers, the highest first; siblings share a row."""
    (contract,) = (contract for contract in contracts if contract["type"] == "layers")
    return [re.split(" [:|] ", row) for row in contract["layers"]]


def permitted(contracts):
    """The arrows between layers, and from the suites to them, that no contract forbids."""
    rows = layers_of(contracts)
    below = {
        (one, other)
        for number, row in enumerate(rows)
        for one in row
        for lower in rows[number + 1 :]
        for other in lower
    }
    beside = {(one, other) for row in rows for one in row for other in row if one != other}
    suites = {("keeprate.specs", layer) for row in rows for layer in row}
    forbidden = {
        (source, target)
        for contract in contracts
        if contract["type"] == "forbidden"
        for source in contract["source_modules"]
        for target in contract["forbidden_modules"]
    }
    return {
        (one, other)
        for one, other in below | beside | suites
        if not any(is_in(one, source) and is_in(other, target) for source, target in forbidden)
    }


def is_in(module, package):
    return f"{module}.".startswith(f"{package}.")


def test_there_are_nine_layers_and_each_is_a_package_or_module_of_the_harness(graph, contracts):
    rows = layers_of(contracts)
    assert len(rows) == 9
    assert {layer for row in rows for layer in row} == graph.find_children("keeprate.harness")


def test_no_arrow_between_layers_is_kept_for_later(graph, contracts):
    used = {
        (one, other)
        for one, other in permitted(contracts)
        for module in {other, *graph.find_descendants(other)}
        for importer in graph.find_modules_that_directly_import(module)
        if is_in(importer, one)
    }
    later = sorted(permitted(contracts) - used)
    assert later == [], "\n" + "\n".join(
        f"nobody needs {one} -> {other}: forbid it in pyproject" for one, other in later
    )


def test_a_module_has_one_subject():
    long = {str(path.relative_to(ROOT)): lines_of(path) for path in modules("harness", "specs")}
    assert {name: lines for name, lines in long.items() if lines > LONGEST} == {}


def test_a_module_with_one_importer_lies_beside_it_or_among_what_it_is_made_of(graph):
    """What a command calls of a layer below, and nobody else does, is made of that layer: so it stays there."""
    far = []
    for module in sorted(graph.modules):
        importers = {name for name in graph.find_modules_that_directly_import(module) if name.count(".") > 1}
        home = module.rpartition(".")[0]
        if len(importers) != 1 or any(is_in(home, name.rpartition(".")[0]) for name in importers):
            continue
        if not any(name.rpartition(".")[0] == home for name in graph.find_modules_directly_imported_by(module)):
            far.append(f"{module} is imported by {importers.pop()} alone")
    assert far == []


def test_only_the_package_that_people_import_says_anything_in_its_init():
    said = [str(path.relative_to(ROOT)) for path in modules(*FOLDERS) if path.name == "__init__.py" and lines_of(path)]
    assert said == []
    assert lines_of(ROOT / "keeprate" / "__init__.py") > 0
