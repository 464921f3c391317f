"""keeprate: proof that a stochastic operator keeps its promises.

The names that a user imports. Each is loaded when it is first asked for, so that the operators of `keeprate.impl` need
nothing of the judge.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keeprate.harness.errors import KeeprateError, NoVerdictError, UsageError
    from keeprate.harness.judging.finding import Finding
    from keeprate.harness.judging.gate import judge
    from keeprate.harness.judging.verdict import Verdict

__all__ = ["Finding", "KeeprateError", "NoVerdictError", "UsageError", "Verdict", "judge"]

_MODULES = {
    "Finding": "judging.finding",
    "KeeprateError": "errors",
    "NoVerdictError": "errors",
    "UsageError": "errors",
    "Verdict": "judging.verdict",
    "judge": "judging.gate",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.metadata.version("keeprate")
    if name not in _MODULES:
        raise AttributeError(f"module 'keeprate' has no attribute '{name}'")
    return getattr(importlib.import_module(f"keeprate.harness.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
