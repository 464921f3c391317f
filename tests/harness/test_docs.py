"""Names that people rely on exist: the interface's and the command line's; test_pages.py has those of the pages."""

import importlib
import inspect
import re
from pathlib import Path

import click
import pytest

import keeprate
import keeprate.suite
import keeprate.testing
from keeprate.harness.commands.cli import cli
from keeprate.harness.judging.gate import judge
from keeprate.harness.judging.verdict import Verdict
from keeprate.harness.protocol.case import FindingId
from keeprate.harness.protocol.suite import PROFILES, load_suite
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.transforms import DEVICE, TRANSFORMS

BACKENDS = Path(__file__).parents[2] / "docs" / "backend.md"

# The public interface. It changes only with a deprecation.
NAMES = {"judge", "Verdict", "Finding", "KeeprateError", "UsageError", "NoVerdictError"}
JUDGES = {
    "--case-timeout",
    "--memory",
    "--device",
    "--backend",
    "--profile",
    "--alpha",
    "--seed",
    "--json",
    "--known",
    "--suite",
    "-n",
}
CHOICE = {"--ops", "--dtypes"}
OPTIONS = {
    "gate": JUDGES
    | CHOICE
    | {"--write-known", "--durations", "--exitfirst", "-x", "--verbose", "-v", "--ledger", "--executor"},
    "nightly": (JUDGES | CHOICE | {"--ledger", "--budget", "--executor", "--out"}) - {"--json"},
    "merge": {"--into"},
    "ledger": set(),
    "report": {"--backend", "--ledger", "--json", "--out", "--against", "--known", "--profile", "--suite"},
    "plan": (JUDGES | CHOICE) - {"--json"},
    "replay": JUDGES | {"--dtypes", "--fresh", "--shrink", "--snippet", "--was-error"},
    "matrix": {"--backends", "--out", "--seed", "--profile", "--suite", "-n", "--case-timeout", "--memory", "--device"}
    | CHOICE,
    "init": {"--suite"},
    "check": {"--suite", "--device"},
    "backends": {"--suite"},
    "explain": {"--suite"},
}
TO_COME = {
    "--json",
}
IN_PYTEST = (JUDGES | CHOICE) - {"-n"}  # -n is pytest-xdist's


def options_of(command):
    return {name for parameter in command.params if isinstance(parameter, click.Option) for name in parameter.opts}


def test_the_public_names_can_be_imported():
    assert set(keeprate.__all__) >= NAMES
    for name in keeprate.__all__:
        assert inspect.getdoc(getattr(keeprate, name)), f"{name} has no docstring"


def test_nothing_is_defined_in_the_public_module():
    defined = [name for name in keeprate.__all__ if getattr(keeprate, name).__module__ == "keeprate"]
    assert defined == []


def test_judge_takes_what_the_interface_says():
    parameters = inspect.signature(judge).parameters
    names = ["backend", "profile", "alpha", "seed", "ops", "dtypes", "known", "workers", "device"]
    assert list(parameters) == names
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in names[1:])
    defaults = [parameters[name].default for name in names[1:]]
    assert defaults == ["gate", 1e-6, None, None, None, None, None, None]
    for name in names:
        assert re.search(rf"^ +[\w, ]*\b{name}\b[\w, ]*: ", inspect.getdoc(judge), re.MULTILINE), name


def test_a_verdict_has_what_the_interface_says():
    assert {"conforms", "to_json", "__iter__", "__str__"} <= set(dir(Verdict))


def test_every_operator_context_and_transform_is_documented():
    text = BACKENDS.read_text(encoding="utf-8")
    protocol, inputs, contexts, _ = re.split(r"\n## (?:Inputs|Contexts|Devices)\n", text)
    for name in CONTRACTS:
        assert f"`{name}`" in protocol, f"{name} is missing in the list of operators in docs/backend.md"
        assert re.search(rf"^\|[^|]*`{name}`", inputs, re.MULTILINE), f"{name} is missing in docs/backend.md#inputs"
    for name in {FindingId.parse(text).context for text in load_suite("dropout").promises("gate")}:
        if "+" not in name and name != "-":
            assert f"\n| `{name}` |" in contexts, f"{name} is missing in docs/backend.md#contexts"
    for name in (*TRANSFORMS, *DEVICE):
        assert f"`{name}(fn) -> fn`" in protocol, f"{name} is missing in the list of capabilities in docs/backend.md"


def test_commands_are_those_of_the_interface():
    assert set(cli.commands) == set(OPTIONS)


@pytest.mark.parametrize("command", sorted(OPTIONS))
def test_a_command_has_the_options_of_the_interface_and_no_others(command):
    options = options_of(cli.commands[command])
    assert options >= OPTIONS[command]
    assert options - OPTIONS[command] <= TO_COME | {"--workers"}


def test_pytest_has_the_same_options(real_pytest):
    run = real_pytest("--help", "-p", "no:xdist")
    ours = run.out[run.out.index("judge a backend (keeprate):") :]
    for option in IN_PYTEST:
        assert f"  {option}" in ours
    for profile in PROFILES:
        assert profile in ours


@pytest.mark.parametrize("command", ["merge", "ledger", "report"])
def test_a_command_that_judges_nothing_claims_no_exit_code_of_a_verdict(command):
    assert "Exit codes: 0 it was written, whatever" in cli.commands[command].epilog


# What docs/development/releasing.md calls public, and docs/reference/python.md shows.
IMPL = ("alpha", "attention", "dropout", "modules", "paths", "random", "transforms")


def public():
    """(name, function or class) of all that is public, methods included."""
    found = {f"{module.__name__}.{name}": getattr(module, name)
             for module in (keeprate, keeprate.suite, keeprate.testing) for name in module.__all__}  # fmt: skip
    for name in IMPL:
        module = importlib.import_module(f"keeprate.impl.{name}")
        found |= {f"{module.__name__}.{key}": value for key, value in vars(module).items()
                  if not key.startswith("_") and getattr(value, "__module__", "") == module.__name__}  # fmt: skip
    for name, item in found.items():
        if inspect.isclass(item) or inspect.isfunction(item):
            yield name, item
        if inspect.isclass(item):
            members = {key: getattr(item, key) for key in vars(item) if not key.startswith("_")}
            yield from ((f"{name}.{key}", one) for key, one in members.items()
                        if inspect.isfunction(one) or inspect.ismethod(one))  # fmt: skip


def documentation(item):
    """The docstrings in which its arguments may be: its own, those that it inherits, and those of its class."""
    owners = [item] if inspect.isclass(item) else []
    owner, _, _ = item.__qualname__.rpartition(".")
    if owner and owner.isidentifier():
        owners = [getattr(inspect.getmodule(item), owner)]
    classes = [each for owner in owners for each in owner.__mro__ if each.__module__.startswith("keeprate.")]
    members = [vars(each).get("__init__" if inspect.isclass(item) else item.__name__) for each in classes]
    members = [getattr(member, "__func__", member) for member in members]
    return "\n".join(inspect.cleandoc(each.__doc__) for each in [item, *members, *classes] if each and each.__doc__)


def undocumented(item):
    """Its arguments that no docstring names."""
    if inspect.isclass(item) and issubclass(item, Exception) and "__init__" not in vars(item):
        return []
    text = documentation(item)
    parameters = inspect.signature(item).parameters.values()
    arguments = [one.name for one in parameters if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]
    arguments = [one for one in arguments if one not in ("self", "cls")]
    return [one for one in arguments if not re.search(rf"^ +[\w, ]*\b{one}\b[\w, ]*: ", text, re.MULTILINE)]


@pytest.mark.parametrize(("name", "item"), list(public()), ids=lambda each: each if isinstance(each, str) else "")
def test_a_public_docstring_names_every_argument(name, item):
    assert item.__doc__ or inspect.getdoc(item), name
    assert undocumented(item) == [], name


def test_an_argument_that_no_docstring_names_would_be_found():
    def half(x, p):
        """Drops.

        Args:
            x: any shape.
        """

    assert undocumented(half) == ["p"]


def test_each_test_that_a_statement_rests_on_exists():
    named = re.findall(
        r"`(test_\w+)::(test_\w+)`",
        (Path(__file__).parents[2] / "docs/development/statements.md").read_text(encoding="utf-8"),
    )
    files: dict[str, str] = {}
    for path in (Path(__file__).parents[2] / "tests").rglob("test_*.py"):
        files[path.stem] = files.get(path.stem, "") + path.read_text(encoding="utf-8")
    assert named and [f"{file}::{name}" for file, name in named if f"def {name}(" not in files.get(file, "")] == []
