"""Finds what a person names: an entry point, a module, a file, or an object in one of them."""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from keeprate.harness.errors import KeeprateError, NoVerdictError, UsageError
from keeprate.harness.untrusted_text import told

OURS = "keeprate"  # the distribution
LARGEST = 1 << 26  # bytes of a Python file
_ABSENT = object()


def installed(group: str) -> dict[str, str]:
    """Entry points of `group`: name to the module that it stands for."""
    return dict(_entries(group, tuple(sys.path)))


@functools.cache
def _entries(group: str, path: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Name and value of each, read from all metadata on `path`, which takes a fiftieth of a second."""
    return tuple((entry.name, entry.value) for entry in sorted(entry_points(group=group)))


def find(name: str, *, group: str, kind: str) -> Any:
    """The module or object called `name`; a class is instantiated.

    Args:
        name: an entry point's name, `package.module`, `package.module:Object`, `file.py` or `file.py:Object`.
        group: the entry points to look among.
        kind: what is looked for ("backend"), for messages.

    Raises:
        UsageError: nothing has this name.
        NoVerdictError: it is there, but loading it raised.
    """
    where, _, attribute = installed(group).get(name, name).partition(":")
    _look_at(where, kind)
    module = _from_file(where, kind) if where.endswith(".py") else _from_module(where, name, group, kind)
    if not attribute:
        return module
    found = _loading(name, kind, getattr, module, attribute, _ABSENT)
    if found is _ABSENT:
        names = [text for text in vars(module) if not text.startswith("_")]
        raise UsageError(f"{kind} {where} has no '{attribute}'.{similar(attribute, names)}")
    return _loading(name, kind, found) if inspect.isclass(found) else found


def _look_at(where: str, kind: str) -> None:
    """Looks at what `where` names on the disk, if anything."""
    path = Path(where)
    try:
        if where.endswith(".py"):
            if not path.is_file():
                hint = similar(path.name, [file.name for file in path.parent.glob("*.py")])
                why = ": it is a folder" if path.is_dir() else f".{hint}" if hint else ""
                raise UsageError(f"no {kind} file '{where}'{why}")
            if path.stat().st_size > LARGEST:
                raise UsageError(f"{kind} file '{where}' is larger than {LARGEST >> 20} MiB: too large for a program")
        elif os.sep in where and path.is_dir():
            raise UsageError(f"{kind} '{where}' is a folder; a {kind} is a file: {path / 'file.py'}")
    except OSError as error:  # a name that is too long, or a folder that may not be entered
        raise UsageError(f"no {kind} '{where}': {error.strerror}") from None


def _from_file(where: str, kind: str) -> ModuleType:
    path = Path(where)
    # Under its path, so that no file hides the module that has its name: a framework's is a likely one.
    spec = importlib.util.spec_from_file_location(str(path.resolve()), path.resolve())
    if spec is None or spec.loader is None:
        raise UsageError(f"'{where}' is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)  # as with `python file.py`
    try:
        _loading(where, kind, spec.loader.exec_module, module)
    finally:
        with contextlib.suppress(ValueError):  # by its name: the file may have put folders of its own before it
            sys.path.remove(folder)
    return module


def _from_module(where: str, name: str, group: str, kind: str) -> ModuleType:
    if not _exists(where, name, kind):
        known = installed(group)
        raise UsageError(
            f"no {kind} named '{name}'. Installed: {', '.join(known) or 'none'}.{similar(name, list(known))}\n"
            f"A {kind} is also a file: path/to/file.py, or a module: package.module"
        )
    module = _loading(name, kind, _imported, where)
    assert isinstance(module, ModuleType)
    return module


def _exists(where: str, name: str, kind: str) -> bool:
    """True if there is a module; the packages that it is in are loaded to find out."""
    parent = where.rpartition(".")[0]
    if parent and not (_exists(parent, name, kind) and "__path__" in vars(_loading(name, kind, _imported, parent))):
        return False  # that is no package
    try:
        return importlib.util.find_spec(where) is not None
    except (ImportError, ValueError):  # a name like '..', or the main module
        return False


def _imported(where: str) -> Any:
    return importlib.import_module(where)


def _loading(name: str, kind: str, load: Any, *arguments: Any) -> Any:
    try:
        return load(*arguments)
    except KeeprateError:
        raise
    except SystemExit as error:
        place, way_out = _line_of(error), "what it does as a program belongs under if __name__ == '__main__'"
        raise NoVerdictError(f"{kind} {name} can't be loaded: it exits, {told(error)}{place}; {way_out}") from error
    except Exception as error:  # foreign code may raise anything while it is loaded
        raise NoVerdictError(f"{kind} {name} can't be loaded: {told(error)}{_line_of(error)}") from error


def _line_of(error: BaseException) -> str:
    if isinstance(error, SyntaxError):  # its own text names the line
        return ""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or trace.tb_frame.f_code.co_filename == __file__:  # the call itself failed, none of its lines
        return ""
    return f" ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})"


def similar(name: str, names: Iterable[str]) -> str:
    """` Did you mean …?` with the name that is most like `name`; empty if none is."""
    close = difflib.get_close_matches(name, names, n=1)
    return f" Did you mean {close[0]}?" if close else ""
