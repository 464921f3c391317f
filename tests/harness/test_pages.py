"""Every page does as it says: its Python blocks and its commands run, and what it names exists.

A page is run from top to bottom in an empty folder. A Python block that begins with `# name.py` is a file, and pytest
runs it if that is a test; any other block is executed. Each `$ keeprate …` must end with 0. A comment of HTML above a
block says otherwise:

    <!-- test: ends with 1 -->          another exit code
    <!-- test: with --ops dropout -->   options that make the commands of the block faster; also after `ends with 1, `
    <!-- test: not run, REASON -->      only the names that it uses are looked up
"""

import itertools
import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from keeprate.harness.commands.cli import cli

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")],
    key=lambda path: path.as_posix(),
)
BLOCK = re.compile(
    r"^(?: *<!-- test: (?P<note>[^>]*?) -->\n)?(?P<indent> *)```(?P<kind>\w*)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
INLINE = re.compile(r"`((?:keeprate|make|pytest|pip|python benchmarks/[^`\s]+) ?[^`\n]*(?:\n[^`\n]+)?)`")
NOTE = re.compile(
    r"(?:ends with (?P<code>\d)(?:, (?=with)|$))?(?:with (?P<options>-.*))?|not run, \w.{10,}",
    re.DOTALL,
)
RUN = {"python", "console"}
MESSAGE = "keeprate itself failed"  # is quoted, and is not a command


@dataclass(frozen=True)
class Block:
    """A fenced block; `note` says how it is run."""

    kind: str
    text: str
    note: str

    @property
    def code(self):
        """The exit code of its commands."""
        return int(NOTE.fullmatch(self.note)["code"] or 0)

    @property
    def options(self):
        """Those that are added to its commands."""
        return shlex.split(NOTE.fullmatch(self.note)["options"] or "")

    @property
    def file(self):
        """The name of the file that it is, if it is one."""
        found = re.match(r"# (\w+\.py)\n", self.text)
        return found[1] if found and self.kind == "python" else None

    def commands(self):
        """Its commands, without remarks."""
        lines = self.text.replace("\\\n", " ").splitlines()
        started = [line.lstrip()[2:] for line in lines if line.lstrip().startswith("$ ")]
        return [shlex.split(line, comments=True) for line in started if line.count('"') % 2 == 0]


def blocks(text):
    """The blocks of a page that are run or looked at, in order."""
    for found in BLOCK.finditer(text):
        if found["kind"] in RUN:
            yield Block(
                found["kind"], "".join(found["text"].replace(f"\n{found['indent']}", "\n")), found["note"] or ""
            )


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def read(path):
    return path.read_text(encoding="utf-8")


def options_of(command):
    return {name for parameter in command.params if isinstance(parameter, click.Option) for name in parameter.opts}


@pytest.fixture(scope="session")
def options_of_pytest(tmp_path_factory):
    """All options that pytest has with our plug-in."""
    from _pytest.config import get_config

    config = get_config(["-p", "keeprate.plugin"])
    config.pluginmanager.import_plugin("keeprate.harness.plugin")
    return {name for group in config._parser._groups for option in group.options for name in option.names()}


def assert_exists(words, options_of_pytest):
    """What a command line names exists; what is in capitals stands for something."""
    program, *rest = itertools.dropwhile(re.compile(r"[A-Z_]+=").match, words)  # variables come first
    if any(word.isupper() and word.isalpha() for word in rest[:1]):  # stands for one
        return
    line = shlex.join(words)
    options = {word.partition("=")[0] for word in rest if re.match(r"--?[a-zA-Z]", word)}
    if program == "keeprate":
        command = next((word for word in rest if not word.startswith("-")), None)
        known = options_of(cli.commands[command]) if command else {"--version"}
        assert options <= known | {"--help", "-h"}, line
    elif program == "make":
        targets = {word for word in rest if "=" not in word and not word.startswith("-")}
        assert targets <= set(re.findall(r"^([\w-]+):", read(ROOT / "Makefile"), re.M)), line
    elif program == "pytest":
        joined = {option[:2] for option in options if not option.startswith("--")}
        written = {option for option in options if option.startswith("--")}
        assert joined | written <= options_of_pytest | {"--noconftest", "--rootdir", "-c", "-p", "-n", "-k", "-q"}, line
    elif program == "pip":
        extras = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
        wanted = {name for found in re.findall(r"(?:keeprate|\.)\[([\w,]+)\]", line) for name in found.split(",")}
        assert wanted <= extras.keys(), line
    elif program == "python" and rest and rest[0].startswith("benchmarks/"):
        assert (ROOT / rest[0]).is_file(), line
        text = read(ROOT / rest[0])
        assert {option for option in options if option.startswith("--") and option not in text} == set(), line


def named(text):
    """Every command line of a page, in a block or in a sentence."""
    inside = [words for block in blocks(text) if block.kind == "console" for words in block.commands()]
    prose = BLOCK.sub("", text)
    lines = [" ".join(found.split()) for found in INLINE.findall(prose)]
    return [*inside, *(shlex.split(line) for line in lines if not line.startswith(MESSAGE))]


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_what_a_page_names_exists(path, options_of_pytest):
    for words in named(read(path)):
        assert_exists(words, options_of_pytest)


WRONG = ["keeprate gat --backend mlx", "keeprate gate --bakend mlx", "make coffee", "pytest --bakend mlx"]
WRONG += ["pip install '.[coffee]'", "python benchmarks/coffee.py", "python benchmarks/scale.py --coffee 1"]
RIGHT = ["keeprate gate --backend=mlx -n 2", "make gate BACKEND=torch", "make", "pytest --backend mlx -n auto"]
RIGHT += ["pip install '.[report]'", "python benchmarks/scale.py worth --workers 1000", "ls"]


@pytest.mark.parametrize("line", WRONG)
def test_a_name_that_does_not_exist_would_be_found(line, options_of_pytest):
    with pytest.raises((AssertionError, KeyError)):
        assert_exists(shlex.split(line), options_of_pytest)


@pytest.mark.parametrize("line", RIGHT)
def test_a_name_that_exists_is_not_found_fault_with(line, options_of_pytest):
    assert_exists(shlex.split(line), options_of_pytest)


def test_a_wrong_name_in_a_sentence_or_a_block_of_a_page_would_be_found(options_of_pytest):
    for text in ("Call `pytest --bakend mlx`.", "```console\n$ pytest --bakend mlx\n```\n"):
        (words,) = named(text)
        with pytest.raises(AssertionError):
            assert_exists(words, options_of_pytest)


def test_a_block_that_is_not_run_says_why():
    for path, block in itertools.chain.from_iterable(((path, b) for b in blocks(read(path))) for path in PAGES):
        assert NOTE.fullmatch(block.note), (path, block.note)


@pytest.mark.parametrize(
    "path", [path for path in PAGES if any(not b.note.startswith("not run") for b in blocks(read(path)))], ids=name_of
)
def test_a_page_runs_from_top_to_bottom(path, keeprate, real_pytest, tmp_path, monkeypatch):
    """A gate on a page fails by chance once in a million runs; seeds are printed by what fails."""
    monkeypatch.chdir(tmp_path)
    for block in blocks(read(path)):
        if block.note.startswith("not run"):
            continue
        if block.kind == "console":
            for words in block.commands():
                run_command(words, block, keeprate, real_pytest)
        elif block.file:
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
            if block.file.startswith("test_"):
                run_command(["pytest", block.file], block, keeprate, real_pytest)
        else:
            exec(compile(block.text, str(path), "exec"), {})  # noqa: S102 - our own page


def run_command(words, block, keeprate, real_pytest):
    """Runs a command of a page; only those that need no network and no repository can be run."""
    program, *arguments = words
    if program == "keeprate":
        known = options_of(cli.commands[arguments[0]])
        takes = known >= {option for option in block.options if option.startswith("-")}
        done = keeprate(*arguments, *(block.options if takes else ()))
    else:
        assert program == "pytest", f"{shlex.join(words)}: say that it is not run, and why"
        done = real_pytest(*arguments, *block.options, cwd=Path.cwd())
    assert done.code == block.code, f"{shlex.join(words)} ended with {done.code}\n{done.out}\n{done.err}"
