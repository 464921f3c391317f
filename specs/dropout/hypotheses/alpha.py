"""Hypotheses about alpha dropout's constants: what a kept entry, and a dropped one, is made into by a known formula."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from keeprate.specs.dropout.hypotheses.clues import Clues, Output
from keeprate.specs.dropout.hypotheses.values import VALUES, Pair, scaled, tested
from keeprate.specs.rounding import Floats
from keeprate.suite import Account, Hypothesis, Unreadable

USUAL = 0.3  # a rate among those that outputs are looked at
LIMIT = 1.7580993408473766  # SELU(x) → −LIMIT as x → −∞ (Klambauer et al. 2017)


def affine(p: float, limit: float = LIMIT) -> tuple[float, float]:
    """Alpha dropout's a and b: x becomes a·x + b."""
    a = 1 / math.sqrt((limit**2 * p + 1) * (1 - p))
    return a, limit * a * p


def _line(a: float, b: float, d: float, x: Floats) -> Pair:
    return a * x + b, np.full_like(x, a * d + b)


def _of_limit(limit: float, one: Output) -> Pair:
    return _line(*affine(one.p, limit), -limit, one.x)


ALPHAS: dict[str, Callable[[float, Floats], Pair]] = {
    "exchanged": lambda p, x: _line(*affine(1 - p), -LIMIT, x),
    "no_limit": lambda p, x: _line(*affine(p), 0.0, x),
    "minus_shift": lambda p, x: _line(affine(p)[0], -affine(p)[1], -LIMIT, x),
    "no_shift": lambda p, x: _line(affine(p)[0], 0.0, -LIMIT, x),
    "other_shift": lambda p, x: _line(affine(p)[0], LIMIT * affine(p)[0] * (1 - p), -LIMIT, x),
    "no_scale": lambda p, x: _line(1.0, p * LIMIT, -LIMIT, x),
    "bare": lambda p, x: _line(1.0, 0.0, -LIMIT, x),
    "plain": lambda p, x: scaled(1 / (1 - p), x),
}


def alpha(clues: Clues, name: str) -> Account:
    """Whether alpha dropout's constants are these."""
    if not clues.contract.preserves_moments:
        raise Unreadable("it is no alpha dropout")
    words = {
        "exchanged": "exchanges p and 1 − p in alpha dropout's constants",
        "no_limit": "sets dropped entries to 0 in place of −1.758, before alpha dropout's scale and shift",
        "minus_shift": "shifts by −b, not by b: the mean is not kept",
        "no_shift": "scales and doesn't shift: the mean is not kept",
        "other_shift": "shifts by a·1.758·(1 − p), not by a·1.758·p: the mean is not kept",
        "no_scale": "shifts and doesn't scale: the variance is not kept",
        "bare": "sets dropped entries to −1.758, and neither scales nor shifts",
        "plain": "does ordinary dropout in place of alpha dropout",
    }[name]
    return tested(clues, lambda one: ALPHAS[name](one.p, one.x), words)


def limit(clues: Clues) -> Account:
    """Whether alpha dropout's constant is another, of a few digits: what most elements become at some p tells it."""
    if not clues.contract.preserves_moments:
        raise Unreadable("it is no alpha dropout")
    first = next(one for one in clues.outputs if one.p == USUAL)
    values, counts = np.unique(first.y, return_counts=True)
    dropped, p = float(values[counts.argmax()]), first.p
    square = dropped**2 / max(1 - p - dropped**2 * p, 1e-9)  # a·(p − 1)·limit, with a of the same limit
    for digits in range(2, 9):
        found = float(f"{math.sqrt(square):.{digits}g}")
        words = f"takes {found:g} for alpha dropout's constant 1.7580993"
        account = tested(clues, partial(_of_limit, found), words)
        if account.accepted:
            return account
    return account


HYPOTHESES = (
    Hypothesis("alpha", "value", "{what}{at}", alpha, VALUES),
    Hypothesis("limit", "value", "{what}{at}", limit, VALUES),
)
