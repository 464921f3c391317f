"""Where the source of a backend lies, and which modules of its author's own it needs; nothing is executed.

A module that is installed is imported by whoever reads the source; one that isn't, and what is installed with keeprate,
is text that must go along.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import os
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import packages_distributions
from pathlib import Path

from keeprate.harness.protocol.lookup import OURS, installed


@dataclass(frozen=True)
class Source:
    """The source of a module.

    Args:
        path: its file.
        package: the package that it is in; empty for none.
        attribute: the name in it that was meant; empty for the module itself.
    """

    path: Path
    package: str = ""
    attribute: str = ""

    @property
    def text(self) -> str:
        """What it says, in whatever encoding it declares."""
        return text_of(self.path)


def text_of(path: Path) -> str:
    """The text of a Python file."""
    with tokenize.open(path) as file:
        return file.read()


def locate(name: str, group: str = "keeprate.backends") -> Source | None:
    """The source of what `find` loads by this name; None where there is no file of Python."""
    where, _, attribute = installed(group).get(name, name).partition(":")
    if where.endswith(".py"):
        # Unlike Path.is_file, which raises where nobody may look: who loads the backend says why it can't be.
        return Source(Path(where).resolve(), "", attribute) if os.path.isfile(where) else None
    spec = _spec(where)
    path = _file(spec)
    if spec is None or path is None:
        return None
    return Source(path, where if spec.submodule_search_locations is not None else where.rpartition(".")[0], attribute)


def beside(source: Source) -> dict[str, Path]:
    """Modules of the author's own that a source imports, and those that they import; name to file.

    The packages around them are among these. For a file they lie in its folder, as with `python file.py`.
    """
    folders = [] if source.package else [str(source.path.parent)]
    theirs = _installed(tuple(sys.path))
    found: dict[str, Path] = {}
    todo = list(_imported(source.text, source.package))
    while todo:
        name = todo.pop(0)
        if name in found or (not folders and name.partition(".")[0] in theirs):
            continue
        spec = _spec(name, folders)
        path = _file(spec)
        if spec is None or path is None:
            continue
        found[name] = path
        package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
        todo += [*_parents(name), *_imported(text_of(path), package)]
    return found


@functools.cache
def _installed(path: tuple[str, ...]) -> frozenset[str]:
    """The packages on `path` that a reader has or can install: Python's own, and all distributions' but keeprate's."""
    distributions = packages_distributions()
    return sys.stdlib_module_names | {name for name, owners in distributions.items() if set(owners) - {OURS}}


def _spec(name: str, folders: list[str] | None = None) -> ModuleSpec | None:
    """Where a module is, in `folders` or, without any, where Python or a worker would look; no package is run."""
    first, *others = name.split(".")
    if folders:
        spec = PathFinder.find_spec(first, folders)
    else:
        try:
            spec = importlib.util.find_spec(first) or PathFinder.find_spec(first, _here())
        except ValueError:  # the main module has none
            return None
    for number in range(len(others)):
        if spec is None or spec.submodule_search_locations is None:
            return None
        full = ".".join([first, *others[: number + 1]])
        spec = PathFinder.find_spec(full, list(spec.submodule_search_locations))
    return spec


def _here() -> list[str]:
    """The current folder; none if it has been removed."""
    try:
        return [os.getcwd()]
    except FileNotFoundError:
        return []


def _file(spec: ModuleSpec | None) -> Path | None:
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:number]) for number in range(1, len(parts))]


def _imported(text: str, package: str) -> Iterator[str]:
    """The names of all modules that a source may import, in order; relative ones are in `package`."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = package.split(".") if node.level else []
            above = around[: len(around) - node.level + 1]
            module = ".".join([*above, *([node.module] if node.module else [])])
            if module:
                yield from (module, *(f"{module}.{alias.name}" for alias in node.names))
