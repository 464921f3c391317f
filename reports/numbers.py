"""Numbers as people read them."""

from __future__ import annotations

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
