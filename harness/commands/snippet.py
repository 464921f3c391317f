"""A script that shows a fault on its own: the adapter's own source, and a few lines that import nothing of keeprate."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator

from keeprate.harness.commands import text_modules
from keeprate.harness.errors import UsageError
from keeprate.harness.protocol.case import Case
from keeprate.harness.protocol.lookup import OURS
from keeprate.harness.protocol.source import Source, beside, locate, text_of
from keeprate.harness.protocol.suite import Suite

AS_PROGRAM = ("__name__ == '__main__'", "'__main__' == __name__")


def snippet(suite: Suite, backend: str, title: str, case: Case, law: str, seed: int) -> str:
    """A script that shows how `law` fares in `case`, and imports nothing but what the backend's framework needs.

    Modules of the adapter's own that it imports go along as text. The backend is not loaded.

    Args:
        title: the backend's name and version.

    Raises:
        UsageError: the suite has no script for this law, or the backend has no source.
    """
    source = locate(backend)
    if source is None:
        raise UsageError(f"backend {backend} has no source file, so no script can be made of it")
    future, text = _to_stand_here(source.text)
    modules = beside(source)
    shown = suite.demonstrate(case, law, seed)
    promise = suite.by_name[law.partition(":")[0]].promise
    head = f'"""{promise}\n\nShown for {case.op} of {_plain(title)}; in brackets what should be there.\n"""\n'
    parts = [head, "\n", future, "import sys\n"]
    if modules:
        packages = [name for name, path in modules.items() if path.name == "__init__.py"]
        texts = [f'    "{name}": {_quoted(text_of(path))},\n' for name, path in modules.items()]
        parts += [inspect.getsource(text_modules), "\n\n# Modules of the adapter's own.\nTEXTS = {\n", *texts, "}\n"]
        parts.append(f"sys.meta_path.insert(0, TextModules(TEXTS, {packages!r}))\n")
    if any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(ast.parse(text))):
        parts.append(f'\n__package__ = "{source.package}"  # for the relative imports below\n')
    parts.append(f"\n# The framework, as it is called here.\n{text.strip()}\n\n\n")
    parts.append(f"# What is shown.\n{shown}\n\nshow({_made(source)})\n")
    return "".join(parts)


def needs(script: str) -> str:
    """What a script needs besides Python, in words: what it imports, and has no text of.

    An import that it does without where it fails is not among these.
    """
    whole = ast.parse(script)
    texts: dict[str, str] = {}
    for node in whole.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TEXTS":
            texts = ast.literal_eval(node.value)
    own = {name.partition(".")[0] for name in texts} | sys.stdlib_module_names
    names = {name for part in (whole, *map(ast.parse, texts.values())) for name in _needed(part)} - own
    listed = sorted(names - {OURS})
    others = " and ".join(filter(None, (", ".join(listed[:-1]), *listed[-1:])))
    if OURS in names:
        return f"{OURS}, which it imports{f', besides {others}' if others else ''}"
    return f"only {others or 'Python'}"


def _needed(node: ast.AST) -> Iterator[str]:
    """The first parts of the names of modules that are imported below a node, not for types or where that may fail."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from [] if child.level else [(child.module or "").partition(".")[0]]
        elif not _does_without(child):
            yield from _needed(child)


def _does_without(node: ast.AST) -> bool:
    if isinstance(node, ast.Try):
        caught = [ast.unparse(handler.type) if handler.type else "Exception" for handler in node.handlers]
        return bool(re.search(r"\b(ImportError|ModuleNotFoundError|Exception)\b", " ".join(caught)))
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _made(source: Source) -> str:
    """The expression that is the backend at the end of its source."""
    if not source.attribute:
        return "sys.modules[__name__]"
    classes = {node.name for node in ast.parse(source.text).body if isinstance(node, ast.ClassDef)}
    name = source.attribute
    return f"{name}()" if name in classes else f"{name}() if isinstance({name}, type) else {name}"


def _plain(title: str) -> str:
    """`title` for the middle of a docstring."""
    return title.replace("\\", "\\\\").replace('"', "'")


def _to_stand_here(text: str) -> tuple[str, str]:
    """The imports from `__future__`, which must come first in a file, and the text without them.

    What it does where it is run as a program, as this script is, is not done there.
    """
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom | ast.Compare)]
    future = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    tests = [node for node in nodes if isinstance(node, ast.Compare) and ast.unparse(node) in AS_PROGRAM]
    lines = text.encode().split(b"\n")  # as Python counts them; `splitlines` knows other ends of lines
    changed: list[ast.stmt | ast.expr] = [*future, *tests]
    for node in sorted(changed, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        before, after = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
        if node in tests:
            lines[first : last + 1] = [before + b"False" + after]
        else:
            lines[first : last + 1] = [before + after.lstrip(b" ;")] if before + after else []
    return "".join(f"{ast.unparse(node)}\n" for node in future), b"\n".join(lines).decode()


def _quoted(source: str) -> str:
    """A literal of `source` that can be read: its lines as they are, wherever that is the same text."""
    text = source if source.endswith("\n") else f"{source}\n"
    escaped = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""\\\n{escaped}"""'
