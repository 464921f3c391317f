"""What the judge looks up while it judges, remembered before a backend is loaded that could put something in its place.

A backend shares its process with the code that judges it. If it replaces `numpy.array_equal`, every comparison
is its own; so each name that the judge's code mentions must go on standing for what it stood for.
"""

from __future__ import annotations

import builtins
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any


class Integrity:
    """The functions, classes and modules that some modules name, as they are now.

    Args:
        names: of the modules of the judge, as in `sys.modules`.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._known: dict[tuple[int, str], tuple[Mapping[str, Any], str, Any, Any]] = {}
        self._note(builtins, vars(builtins))
        for name in names:
            module = sys.modules[name]
            self._note(module, vars(module))
            mentioned = {word for code in _codes(module) for word in _words(code)}
            for value in list(vars(module).values()):
                if isinstance(value, ModuleType):
                    self._follow(value, mentioned)
                elif inspect.isclass(value) and value.__module__ == name:
                    self._note(value, vars(value))

    def put_back(self) -> str:
        """Undoes what was replaced; says what, empty if nothing was."""
        replaced = []
        for space, name, value, owner in self._known.values():
            if space.get(name) is not value:
                setattr(owner, name, value)
                replaced.append(f"{owner.__name__}.{name}")
        return ", ".join(replaced)

    def _follow(self, module: ModuleType, mentioned: set[str]) -> None:
        """Notes what `module` has of the names in `mentioned`, and what its parts have that are modules themselves."""
        names = mentioned & vars(module).keys()
        self._note(module, names)
        for name in names:
            part = vars(module)[name]
            if isinstance(part, ModuleType) and (id(module), name) in self._known and part is not module:
                self._note(part, mentioned & vars(part).keys())

    def _note(self, owner: Any, names: Iterable[str]) -> None:
        for name in names:
            value = vars(owner)[name]
            if callable(value) or isinstance(value, (ModuleType, staticmethod, classmethod, property)):
                self._known[id(owner), name] = vars(owner), name, value, owner


def _codes(module: ModuleType) -> Iterator[CodeType]:
    """The code of every function and method that `module` defines."""
    for value in list(vars(module).values()):
        inner = vars(value).values() if inspect.isclass(value) and value.__module__ == module.__name__ else (value,)
        for item in inner:
            function = inspect.unwrap(getattr(item, "__func__", getattr(item, "function", item)))
            if isinstance(function, FunctionType):
                yield function.__code__
            elif isinstance(item, property) and isinstance(item.fget, FunctionType):
                yield item.fget.__code__


def _words(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _words(constant)
