"""Evidence in two parts: its form, which never changes, and its amounts, which add over runs; both as JSON."""

from __future__ import annotations

import functools
import json
import zlib
from collections.abc import Mapping
from typing import Any, NoReturn

from keeprate.harness.evidence.kinds import KINDS, Evidence, from_json

# What adds; the first counterexample of a check stays with its amounts, for it is no part of the form.
AMOUNTS = {"tally": ("counts",), "moments": ("draws", "total", "slack"), "check": ("checked", "exact", "wrong")}
MOST = 10**15  # of any one count: more than a century of draws
MOST_SUM = 2**200  # of the sums of moments, in units of 2^-40
LIMITS = {"total": (-MOST_SUM, MOST_SUM), "slack": (0, MOST_SUM)}  # least and most; of all others 0 and MOST
REMEMBERED = 1 << 16  # characters of the longest form that is kept in memory
MOST_TEXT = 8 << 20  # bytes of one form, or of amounts before they are packed


def split(evidence: Evidence) -> tuple[str, bytes]:
    """The form of `evidence`, as text, and its amounts, packed."""
    data = evidence.to_json()
    varying = {*AMOUNTS[data["type"]], "first"}
    form = {key: value for key, value in data.items() if key not in varying}
    amounts = {key: value for key, value in data.items() if key in varying}
    return _text(form), pack(amounts)


def join(form: str, amounts: bytes) -> Evidence:
    """The inverse of `split`, for parts that anyone may have written.

    Raises:
        ValueError: they are no evidence, or count what can't be.
    """
    try:
        fixed = (_known_form if len(form) <= REMEMBERED else _form)(form)
        varying = unpack(amounts)
        kind = fixed["type"]
        if set(varying) - {*AMOUNTS[kind], "first"}:
            raise ValueError(f"{kind} has no {', '.join(map(str, varying))}")
        for name in AMOUNTS[kind]:
            _bounded(varying[name], *LIMITS.get(name, (0, MOST)))
        if not all(isinstance(word, str) for item in varying.get("first", {}).items() for word in item):
            raise ValueError("a label is not text")
        return from_json({**fixed, **varying})
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"not evidence: {type(error).__name__}: {error}") from None


def _form(text: str) -> dict[str, Any]:
    """A form that anyone may have written; not to be changed.

    Raises:
        ValueError, KeyError, TypeError or AttributeError: it is none.
    """
    fixed: dict[str, Any] = json.loads(text, parse_constant=_refuse)
    if fixed["type"] not in KINDS:
        raise ValueError(f"no kind of evidence is called {fixed['type']!r}")
    if not all(isinstance(word, str) for name in ("cells", "groups") for word in fixed.get(name, ())):
        raise ValueError("a label is not text")
    if "probabilities" in fixed:  # as a tuple, by which a tally knows what it has checked before
        fixed["probabilities"] = tuple(tuple(row) for row in fixed["probabilities"])
    return fixed


_known_form = functools.lru_cache(maxsize=512)(_form)  # thousands of looks have a few hundred forms


def pack(amounts: Mapping[str, Any]) -> bytes:
    """JSON, compressed."""
    return zlib.compress(_text(amounts).encode(), 6)


def unpack(amounts: bytes) -> dict[str, Any]:
    """The inverse of `pack`.

    Raises:
        ValueError: it is not compressed JSON, or too much of it.
    """
    packer = zlib.decompressobj()
    try:
        text = packer.decompress(amounts, MOST_TEXT)
    except zlib.error as error:
        raise ValueError(f"not compressed: {error}") from None
    if not packer.eof:
        raise ValueError("cut off, or longer than evidence can be")
    data = json.loads(text, parse_constant=_refuse)
    if not isinstance(data, dict):
        raise ValueError("not an object of JSON")
    return data


def less(whole: bytes, part: bytes) -> bytes:
    """Amounts without a part of them; the first counterexample stays.

    Raises:
        ValueError: the part is not contained in the whole.
    """
    one, other = unpack(whole), unpack(part)
    if one.keys() != other.keys():
        raise ValueError("they are of different kinds")
    return pack({key: value if key == "first" else _less(value, other[key], key) for key, value in one.items()})


def _less(whole: Any, part: Any, name: str) -> Any:
    if isinstance(whole, list) and isinstance(part, list) and len(whole) == len(part):
        return [_less(one, other, name) for one, other in zip(whole, part, strict=True)]
    if type(whole) is not int or type(part) is not int or (whole < part and name != "total"):
        raise ValueError(f"{name}: a run counts what the total does not")
    return whole - part


def _bounded(value: Any, least: int, most: int) -> None:
    """Refuses what is no whole number, or none that draws can reach."""
    if isinstance(value, list):
        if value and all(type(item) is int for item in value):
            value = min(value) if min(value) < least else max(value)
        else:
            for item in value:
                _bounded(item, least, most)
            return
    if type(value) is not int:
        raise ValueError(f"{value!r} is not a whole number")
    if not least <= value <= most:
        raise ValueError("an amount is negative, or larger than draws can make it")


def _text(data: Mapping[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
