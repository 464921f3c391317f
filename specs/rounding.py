"""How far a value may be off: two faithful frameworks round differently."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# For each dtype: bits of the significand after the leading one, exponent of the smallest normal number, largest number.
_FORMATS = {
    "float64": (52, -1022, np.finfo(np.float64).max),
    "float32": (23, -126, float(np.finfo(np.float32).max)),
    "float16": (10, -14, 65504.0),
    "bfloat16": (7, -126, float((2 - 2**-7) * 2.0**127)),
}
DTYPES = ("float32", "float64", "float16", "bfloat16")  # the plainest first
ULPS = 2  # PyTorch rounds alpha dropout three times; one rounding is within 1.12 ulp of that, plain scaling within 2


def ulp(values: Floats, dtype: str) -> Floats:
    """The distance between neighbouring numbers of `dtype` at `values`; the smallest step for subnormals."""
    bits, least, _ = _FORMATS[dtype]
    _, exponent = np.frexp(np.abs(values))
    steps: Floats = np.ldexp(1.0, np.maximum(exponent - 1, least) - bits)
    return steps


def least_normal(dtype: str) -> float:
    """The smallest positive number of `dtype` that has all its bits; those below it are subnormal."""
    return 2.0 ** _FORMATS[dtype][1]


def holds(numpy: np.dtype[Any], dtype: str) -> bool:
    """True if a floating-point dtype of NumPy's has all numbers of `dtype`."""
    bits, least, largest = _FORMATS[dtype]
    format = np.finfo(numpy)
    return bool(format.nmant >= bits and format.minexp <= least and format.max >= largest)


def largest_of(dtype: str) -> float:
    """The largest finite number of `dtype`."""
    return _FORMATS[dtype][2]


def representable(values: npt.ArrayLike, dtype: str) -> Floats:
    """`values` rounded to the nearest number of `dtype`."""
    given = np.asarray(values, dtype=np.float64)
    step = ulp(given, dtype)
    return np.round(given / step) * step


def bounds(out: Floats, out_at_zero: Floats, dtype: str) -> tuple[Floats, Floats]:
    """The smallest and largest value that counts as PyTorch's `out`.

    Args:
        out: PyTorch's outcomes, exactly.
        out_at_zero: PyTorch's kept outcome for input 0, of a shape that broadcasts to `out`'s.
        dtype: the dtype in which they were computed.

    Returns:
        Two arrays of `out`'s shape: `out` ± 2 ulp of the largest of |out|, |out_at_zero| and |out − out_at_zero|. Where
        PyTorch overflows to infinity, the largest number is allowed too. NaN where `out` is NaN.
    """
    largest = _FORMATS[dtype][2]
    finite = np.clip(out, -largest, largest)
    scale = np.maximum(
        np.maximum(np.abs(finite), np.abs(out_at_zero)), np.minimum(np.abs(finite - out_at_zero), largest)
    )
    slack = ULPS * ulp(scale, dtype)
    low, high = finite - slack, finite + slack
    if np.isfinite(out).all():
        return low, high
    overflowed = np.isinf(out)
    low = np.where(overflowed, np.where(out > 0, largest, -np.inf), np.where(np.isnan(out), np.nan, low))
    high = np.where(overflowed, np.where(out > 0, np.inf, -largest), np.where(np.isnan(out), np.nan, high))
    return low, high
