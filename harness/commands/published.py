"""Reads the public JSON back, from a file that anyone may have written."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from keeprate.harness.commands.recomputed import recomputed
from keeprate.harness.errors import UsageError
from keeprate.harness.files import read
from keeprate.harness.untrusted_text import printable

SCHEMA = Path(__file__).parents[1] / "verdict.schema.json"
LARGEST = 64 << 20  # bytes of a file: ten times 4,000 findings


def read_verdict(path: Path) -> dict[str, Any]:
    """The verdict in the file at `path`, checked against the schema and against itself.

    Raises:
        UsageError: there is none, it isn't one, or jsonschema isn't installed.
    """
    text = read(path, LARGEST)
    try:
        data = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON: {error}") from None
    try:
        import jsonschema
    except ImportError:
        raise UsageError("reports need more packages: pip install 'keeprate[report]'") from None
    schema = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    wrong = jsonschema.exceptions.best_match(schema.iter_errors(data))
    if wrong is not None:
        told = wrong.message if len(wrong.message) < 200 else f"{wrong.message[:200]} …"
        raise UsageError(f"{path}: not a verdict of keeprate, at {wrong.json_path}: {told}")
    try:
        return recomputed(printable(data))
    except ValueError as error:
        raise UsageError(f"{path}: not a verdict of keeprate: {error}") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is out of range")
    return value


def _whole(text: str) -> int:
    value = int(text)
    if abs(value) >= 2**63:
        raise ValueError(f"{text} is out of range")
    return value
