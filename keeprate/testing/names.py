"""Which operator a function is to be like: by our name, by PyTorch's, or by PyTorch's function or layer itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from keeprate.harness.errors import UsageError
from keeprate.harness.protocol.lookup import similar
from keeprate.harness.untrusted_text import shown
from keeprate.specs.dropout.contracts import CONTRACTS

PLAINEST = "dropout"  # what is meant where nothing else is said


def name_of(fn: Any) -> str:
    """What a person calls a function."""
    inner = getattr(fn, "func", fn)  # of a functools.partial
    return str(getattr(inner, "__name__", type(inner).__name__)).replace("<lambda>", "the function")


def written(value: Any) -> str:
    """How a function, a module or a value is written in a line of Python, as far as that can be told."""
    if callable(value) or isinstance(value, ModuleType):
        return name_of(value).replace("the function", "lambda …")
    return repr(value)


def arguments(fn: Callable[..., Any], options: Mapping[str, Any], seed: Any, number: int) -> str:
    """The arguments that repeat a run, as they are written in a line of Python.

    Args:
        options: that were given, but for seed and repeat.
        seed: as it was given.
        number: what repeats the run.
    """
    last = {"seed": seed, "repeat": number} if callable(seed) else {"seed": number}
    return ", ".join([written(fn), *(f"{name}={written(value)}" for name, value in {**options, **last}.items())])


def operator(like: str | Callable[..., Any] | None, fn: Callable[..., Any]) -> str:
    """The operator that `fn` is judged as.

    Raises:
        UsageError: there is none of this name, or the function's own name is that of another than would be meant.
    """
    if like is not None:
        if not isinstance(like, str) and not callable(like):
            raise UsageError(f"like = {shown(like)} is not the name of an operator, such as 'dropout2d'")
        text = like if isinstance(like, str) else name_of(like)
        named = _plain(text)
        if named not in CONTRACTS:
            raise UsageError(
                f"no operator named '{text}'.{similar(named, CONTRACTS)} There are: {', '.join(CONTRACTS)}"
            )
        return named
    own = _plain(name_of(fn))
    if own in CONTRACTS:
        return own
    others = [name for name in CONTRACTS if name.strip("_") != PLAINEST and name in own]
    if others:
        meant = max(others, key=len)
        raise UsageError(f"{name_of(fn)}: is it like='{meant}' or like='{PLAINEST}'? Only its name suggests the first")
    return PLAINEST


def _plain(text: str) -> str:
    """`torch.nn.FeatureAlphaDropout` as we write it: feature_alpha_dropout."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text.rpartition(".")[2]).lower()
