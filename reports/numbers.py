"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def count(value: int | None) -> str:
    """Exactly up to a million, then short: 2.23 M."""
    if value is None:
        return ""
    for size, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M")):
        if value >= size:
            return f"{value / size:,.3g} {unit}" if value < 1000 * size else f"{value / size:,.0f} {unit}"
    return f"{value:,}"


def figure(value: float | None) -> str:
    """Six digits, a real minus sign, powers of ten written out."""
    if value is None:
        return ""
    mantissa, _, exponent = f"{value:.6g}".partition("e")
    text = mantissa.replace("-", "−")
    return f"{text}·10{str(int(exponent)).translate(SUPERSCRIPT)}" if exponent else text


def short(value: float | None) -> str:
    """Three digits."""
    return "" if value is None else figure(float(f"{value:.3g}"))


def signed(value: float) -> str:
    """Three digits, and the sign in any case."""
    return ("+" if value > 0 else "") + short(value)


def off(finding: Mapping[str, Any]) -> str:
    """By how much the estimate is off, and how that compares with what would be caught."""
    departure = finding["estimate"] - finding["expected"]
    if not finding["detectable"]:
        return signed(departure)
    times = figure(float(f"{abs(departure) / finding['detectable']:.2g}"))
    return f"{signed(departure)}, {times} times what would still be caught ({short(finding['detectable'])})"
