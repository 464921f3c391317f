"""Imports modules that are there as text. A script that stands alone has this module in it, as it is."""

import importlib.abc
import importlib.util
from importlib.machinery import ModuleSpec
from types import ModuleType


class TextModules(importlib.abc.Loader):
    """Finds and loads modules by name, from their texts; those in `packages` are packages."""

    def __init__(self, texts: dict[str, str], packages: list[str]) -> None:
        self.texts, self.packages = texts, packages

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Where a module is; None where it isn't among these."""
        if name not in self.texts:
            return None
        return importlib.util.spec_from_loader(name, self, is_package=name in self.packages)

    def exec_module(self, module: ModuleType) -> None:
        """Runs the text of a module."""
        exec(compile(self.texts[module.__name__], module.__name__, "exec"), module.__dict__)  # noqa: S102 - of the script itself
