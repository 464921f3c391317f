"""Evidence in two parts: its form, which never changes, and its amounts, which add over runs; both as JSON.

A ledger may hold evidence of a kind that nobody here has entered, for no suite is loaded because a ledger names it.
Such amounts can't be judged; they add, and can be taken away, all the same.
"""

from __future__ import annotations

import functools
import operator
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from keeprate.harness.evidence.decoding import parsed
from keeprate.harness.evidence.kinds import KINDS, Evidence
from keeprate.harness.evidence.wire import of_json

REMEMBERED = 1 << 16  # characters of the longest form that is kept in memory
SHORT = 100  # bytes that compressing saves next to nothing of
MOST_TEXT = 8 << 20  # bytes of one form, or of amounts before they are packed


def split(evidence: Evidence) -> tuple[str, bytes]:
    """The form of `evidence`, as text, and its amounts, packed."""
    form = evidence.to_json()
    amounts = {name: form.pop(name) for name in (*evidence.amounts, *evidence.of_a_run)}
    return msgspec.json.encode(form).decode(), pack(amounts)


def amounts_of(evidence: Evidence) -> bytes:
    """The latter alone."""
    data = evidence.to_json()
    return pack({name: data[name] for name in (*evidence.amounts, *evidence.of_a_run)})


def join(form: str, amounts: bytes) -> Evidence:
    """The inverse of `split`, for parts that anyone may have written.

    Raises:
        ValueError: they are no evidence, or count what can't be.
    """
    fixed, varying = (_known_form if len(form) <= REMEMBERED else _object)(form), unpack(amounts)
    if twice := fixed.keys() & varying:
        raise ValueError(f"not evidence: its form and its amounts both say {', '.join(sorted(twice))}")
    return of_json({**fixed, **varying})


def more(form: str, one: bytes, other: bytes) -> bytes:
    """The amounts of two runs as one; of what is no amount the first's stays.

    Raises:
        ValueError: they are no amounts of this form.
    """
    return _combined(form, one, other, operator.add)


def less(form: str, whole: bytes, part: bytes) -> bytes:
    """Amounts without a part of them; what is no amount stays.

    Raises:
        ValueError: the part is not contained in the whole.
    """
    try:
        return _combined(form, whole, part, operator.sub)
    except ValueError as error:
        raise ValueError(f"a run counts what the total does not: {error}") from None


def check(form: str, amounts: bytes) -> None:
    """Looks whether these are evidence, as far as its kind is known here.

    Raises:
        ValueError: they are none, or count what can't be.
    """
    if _object(form).get("type") in KINDS:
        join(form, amounts)
    else:
        more(form, amounts, amounts)


def _combined(form: str, one: bytes, other: bytes, function: Callable[[int, int], int]) -> bytes:
    mine, theirs = unpack(one), unpack(other)
    if mine.keys() != theirs.keys():
        raise ValueError("they differ in kind")
    both = pack({name: _each(value, theirs[name], function) for name, value in mine.items()})
    if (_known_form if len(form) <= REMEMBERED else _object)(form).get("type") in KINDS:
        join(form, both)
    return both


def _each(one: Any, other: Any, function: Callable[[int, int], int]) -> Any:
    if type(one) is int and type(other) is int:
        return function(one, other)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [_each(mine, theirs, function) for mine, theirs in zip(one, other, strict=True)]
    if isinstance(one, int | list) or isinstance(other, int | list):
        raise ValueError("they differ in size, or are not whole numbers")
    return other if one is None else one


def _object(text: str | bytes) -> dict[str, Any]:
    """An object of JSON that anyone may have written; not to be changed.

    Raises:
        ValueError: it is none.
    """
    try:
        return parsed(text, dict[str, Any])
    except RecursionError as error:
        raise ValueError(f"not JSON: {error}") from None


_known_form = functools.lru_cache(maxsize=512)(_object)  # thousands of looks have a few hundred forms


def pack(amounts: Mapping[str, Any]) -> bytes:
    """JSON, compressed; where it is short as one stored block (RFC 1950, 1951), which zlib itself is slow to begin."""
    text = msgspec.json.encode(amounts)
    if len(text) > SHORT:
        return zlib.compress(text, 6)
    return b"\x78\x01\x01" + struct.pack("<HH", len(text), 0xFFFF - len(text)) + text + zlib.adler32(text).to_bytes(4)


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
    return _object(text)
