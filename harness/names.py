"""Finds what a person names: an entry point, a module, a file, or an object in one of them."""

from __future__ import annotations

import difflib
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

from harness.errors import NoVerdictError, UsageError

LARGEST = 1 << 26  # bytes of a Python file


def installed(group: str) -> dict[str, str]:
    """Entry points of `group`: name to the module that it stands for."""
    return {entry.name: entry.value for entry in sorted(entry_points(group=group))}


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
    try:
        found = getattr(module, attribute)
    except AttributeError:
        names = [text for text in vars(module) if not text.startswith("_")]
        raise UsageError(f"{kind} {where} has no '{attribute}'.{similar(attribute, names)}") from None
    return _loading(name, kind, found) if inspect.isclass(found) else found


def file_of(name: str, *, group: str) -> Path:
    """The file that `find` loads `name` from, which must exist."""
    where = installed(group).get(name, name).partition(":")[0]
    if where.endswith(".py"):
        return Path(where).resolve()
    spec = importlib.util.find_spec(where)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin)


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
                raise UsageError(f"{kind} file '{where}' is larger than {LARGEST >> 20} MiB: it is no program")
        elif os.sep in where and path.is_dir():
            raise UsageError(f"{kind} '{where}' is a folder; a {kind} is a file: {path / 'file.py'}")
    except OSError as error:  # a name that is too long, or a folder that may not be entered
        raise UsageError(f"no {kind} '{where}': {error.strerror}") from None


def _from_file(where: str, kind: str) -> ModuleType:
    path = Path(where)
    # Under its path, so that no file hides the module that has its name: `torch.py` is a likely one.
    spec = importlib.util.spec_from_file_location(str(path.resolve()), path.resolve())
    if spec is None or spec.loader is None:
        raise UsageError(f"'{where}' is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up
    sys.path.insert(0, str(path.resolve().parent))  # as with `python file.py`
    try:
        _loading(where, kind, spec.loader.exec_module, module)
    finally:
        sys.path.pop(0)
    return module


def _from_module(where: str, name: str, group: str, kind: str) -> ModuleType:
    try:
        missing = importlib.util.find_spec(where) is None
    except (ImportError, ValueError):  # a parent package that is absent, or a name like '..'
        missing = True
    if missing:
        known = installed(group)
        raise UsageError(
            f"no {kind} named '{name}'. Installed: {', '.join(known) or 'none'}.{similar(name, list(known))}\n"
            f"A {kind} is also a file: path/to/file.py, or a module: package.module"
        )
    module = _loading(name, kind, importlib.import_module, where)
    assert isinstance(module, ModuleType)
    return module


def _loading(name: str, kind: str, load: Any, *arguments: Any) -> Any:
    try:
        return load(*arguments)
    except Exception as error:  # foreign code may raise anything while it is loaded
        place = _line_of(error)
        raise NoVerdictError(f"{kind} {name} can't be loaded: {type(error).__name__}: {error}{place}") from error


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
