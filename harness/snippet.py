"""A script that shows a fault to someone who has never heard of keeprate: the adapter's own source, and a few lines."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.case import Case
from harness.errors import UsageError
from harness.names import find
from harness.suite import Suite

FUTURE = re.compile(r"^from __future__ import .*\n", re.MULTILINE)


def snippet(suite: Suite, backend: str, case: Case, law: str, seed: int) -> str:
    """A script that shows how `law` fares in `case`, and imports nothing but what the backend's framework needs.

    Modules of the adapter's own that it imports go along as text.

    Raises:
        UsageError: the suite has no script for this law, or the backend has no source.
    """
    if suite.demonstrate is None:
        raise UsageError(f"suite {suite.name} has no scripts to show a fault with")
    module, made = _source_of(backend)
    path = Path(str(module.__file__))
    text = path.read_text(encoding="utf-8")
    is_file = module.__name__ == str(path.resolve())  # as `harness.names` loads it
    package = "" if is_file else module.__name__.rpartition(".")[0]
    beside = _beside(text, path.resolve().parent if is_file else None, package)
    shown = suite.demonstrate(case, law, seed)
    promise = suite.laws[law.partition(":")[0]].promise
    head = f'"""{promise}\n\nShown for {case.op} of {_title(module, backend)}; in brackets what should be there.\n"""\n'
    imports = "import sys\nimport types\n" if beside else "import sys\n"
    return (
        f"{head}\n{''.join(dict.fromkeys(FUTURE.findall(text)))}{imports}"
        + "".join(_embedded(name, source) for name, source in beside.items())
        + f"\n# The framework, as it is called here.\n{FUTURE.sub('', text).strip()}\n\n\n"
        + f"# What is shown.\n{shown}\n\nshow({made})\n"
    )


def _title(module: ModuleType, backend: str) -> str:
    version = getattr(module, "version", "")
    return f"{getattr(module, 'name', Path(backend).name)} {version}".strip()


def _source_of(backend: str) -> tuple[ModuleType, str]:
    """The module of a backend, and the expression that is the backend at its end."""
    found: Any = find(backend, group="keeprate.backends", kind="backend")
    if isinstance(found, ModuleType):
        module, made = found, "sys.modules[__name__]"
    else:
        owner = inspect.getmodule(type(found))
        if owner is None or getattr(owner, "__file__", None) is None:
            raise UsageError(f"backend {backend} has no source file, so no script can be made of it")
        module, made = owner, f"{type(found).__name__}()"
    return module, made


def _beside(text: str, folder: Path | None, package: str) -> dict[str, str]:
    """Modules of the adapter's own that a source imports, those first that others need; name to source.

    They lie in `folder`, for an adapter that is a file, or in the top package of its `package`.
    """
    found: dict[str, str] = {}
    for name in _imported(text):
        path = _path_of(name, folder, package)
        if path is not None and name not in found:
            source = path.read_text(encoding="utf-8")
            found = {**_beside(source, folder, package), **found, name: source}
    return found


def _imported(text: str) -> list[str]:
    """The names of all modules that a source may import, in order."""
    names: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def _path_of(name: str, folder: Path | None, package: str) -> Path | None:
    """The file of a module of the adapter's own; None for all others."""
    if folder is not None:
        path = folder / f"{name}.py"
        return path if path.is_file() else None
    if not package or name.partition(".")[0] != package.partition(".")[0]:
        return None
    spec = importlib.util.find_spec(name.rpartition(".")[0] or name)
    for place in (spec.submodule_search_locations or []) if spec else []:
        path = Path(place) / f"{name.rpartition('.')[2]}.py"
        if path.is_file():
            return path
    return None


def _embedded(name: str, source: str) -> str:
    """Statements that make a module of a source, so that it can be imported."""
    lines = [""]
    parts = name.split(".")
    for number in range(1, len(parts)):
        parent = ".".join(parts[:number])
        lines.append(f'sys.modules.setdefault("{parent}", types.ModuleType("{parent}"))')
    lines.append(f'module = sys.modules["{name}"] = types.ModuleType("{name}")')
    if len(parts) > 1:
        lines.append(f'setattr(sys.modules["{".".join(parts[:-1])}"], "{parts[-1]}", module)')
    quoted = source.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    lines.append(f'exec("""\\\n{quoted}""", module.__dict__)\n')
    return "\n".join(lines)
