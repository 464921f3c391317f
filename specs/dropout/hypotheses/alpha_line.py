"""Hypothesis about alpha dropout's three numbers: the slope and the offset of what is kept, and the dropped value.

They are read from outputs at several p: kept entries must lie on one line a·x + b, and all that is dropped must be one
value d. PyTorch's are a, b = a·p·LIMIT and d = b − a·LIMIT.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from keeprate.specs.dropout.hypotheses.alpha import LIMIT, USUAL, affine
from keeprate.specs.dropout.hypotheses.clues import RATES, Clues, Output
from keeprate.specs.dropout.hypotheses.values import VALUES, digits_of
from keeprate.specs.rounding import bounds, ulp
from keeprate.suite import NEVER, Account, Hypothesis, Unreadable

ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805  # SELU's constants, of which LIMIT is the product
NEAR, FAR = 3, 32  # steps of the dtype: what is nearer is right, and what is farther is wrong
DISTINCT = 8  # inputs that become one value, or that lie on one line


class Numbers(NamedTuple):
    """What outputs at one p show, and how far rounding may move each number."""

    p: float
    a: float
    b: float
    d: float
    step: float


Formula = Callable[[Numbers], float]
# Each after PyTorch's own; a later one may use what was found of the numbers before it.
SLOPES: dict[str, Formula] = {
    "exchanges p and 1 − p in alpha dropout's scale a": lambda n: affine(1 - n.p)[0],
    "leaves alpha dropout's scale a out": lambda n: 1.0,
    "scales by 1/(1 − p), as dropout does, not by alpha dropout's a": lambda n: 1 / (1 - n.p),
    "scales what it keeps by 1/(1 − p) on top of alpha dropout's a": lambda n: affine(n.p)[0] / (1 - n.p),
    "scales what it keeps by 1 − p on top of alpha dropout's a": lambda n: affine(n.p)[0] * (1 - n.p),
    "divides by alpha dropout's scale a": lambda n: 1 / affine(n.p)[0],
    "takes no root in alpha dropout's scale a": lambda n: affine(n.p)[0] ** 2,
    "leaves 1 − p out of alpha dropout's scale a": lambda n: (1 + n.p * LIMIT**2) ** -0.5,
    "leaves α′ out of alpha dropout's scale a": lambda n: (1 - n.p) ** -0.5,
    "doesn't square α′ in alpha dropout's scale a": lambda n: ((1 - n.p) * (1 + n.p * LIMIT)) ** -0.5,
    "takes p for 1 − p in alpha dropout's scale a": lambda n: (n.p * (1 + n.p * LIMIT**2)) ** -0.5,
    "takes 1 − p for p in alpha dropout's scale a": lambda n: ((1 - n.p) * (1 + (1 - n.p) * LIMIT**2)) ** -0.5,
    "computes alpha dropout's scale a with 1.673, SELU's α alone, for 1.758": lambda n: affine(n.p, ALPHA)[0],
}
OFFSETS: dict[str, Formula] = {
    "doesn't add alpha dropout's shift b": lambda n: 0.0,
    "subtracts alpha dropout's shift b": lambda n: -n.a * n.p * LIMIT,
    "leaves p out of alpha dropout's shift b": lambda n: n.a * LIMIT,
    "takes 1 − p for p in alpha dropout's shift b": lambda n: n.a * (1 - n.p) * LIMIT,
    "leaves a out of alpha dropout's shift b": lambda n: n.p * LIMIT,
    "squares α′ in alpha dropout's shift b": lambda n: n.a * n.p * LIMIT**2,
    "computes alpha dropout's shift b with 1.673, SELU's α alone, for 1.758": lambda n: n.a * n.p * ALPHA,
}
DROPPED: dict[str, Formula] = {
    "sets dropped entries to −1.758 after scale and shift, not before": lambda n: -LIMIT,
    "sets dropped entries to 0 after scale and shift": lambda n: 0.0,
    "sets dropped entries to 0, not to −1.758, before scale and shift": lambda n: n.b,
    "doesn't add the shift b to what it drops": lambda n: -n.a * LIMIT,
    "doesn't scale what it drops by a": lambda n: n.b - LIMIT,
    "sets dropped entries to +1.758, not to −1.758, before scale and shift": lambda n: n.a * LIMIT + n.b,
    "subtracts the shift b from what it drops": lambda n: -n.a * LIMIT - n.b,
    "sets dropped entries to −1.673, SELU's α without its scale, not to −1.758, before scale and shift": (
        lambda n: n.b - n.a * ALPHA
    ),
    "sets dropped entries to −1.673, SELU's α without its scale, after scale and shift": lambda n: -ALPHA,
}
LIMITS = {"SELU's α without its scale 1.0507": ALPHA, "SELU's scale without its α": SCALE}


def line(clues: Clues) -> Account:
    """Whether kept entries lie on one line and dropped ones are one value at each p, of which some number is wrong."""
    if not clues.contract.preserves_moments:
        raise Unreadable("it is no alpha dropout")
    outputs = [one for one in clues.outputs if one.p >= RATES[0]]
    read = [numbers_of(one, clues.case.dtype) for one in outputs]
    wrong = sum(int(np.count_nonzero(~one.allowed)) for one in outputs)
    looked = sum(one.y.size for one in outputs)
    found = [one for one in read if one is not None]
    if len(found) < len(read) or not wrong:
        return Account(looked, NEVER, NEVER if wrong else 0.0)
    words = _of_one_limit(found) or _of_one_p(found) or _twice(found) or _of_each(found)
    seen = f"{wrong:,} of {looked:,} outputs are wrong; at each p all kept ones lie on one line, and dropped are one"
    return Account(looked, 0.0, NEVER, seen, {"what": words})


def numbers_of(one: Output, dtype: str) -> Numbers | None:
    """The three numbers at one p; None where outputs are not of one line and one value.

    Raises:
        Unreadable: too little is kept, or dropped.
    """
    x, y = one.x.ravel(), one.y.ravel()
    if not np.isfinite(y).all():
        return None
    inputs, which = np.unique(x, return_inverse=True)
    values, value = np.unique(y, return_inverse=True)
    several = np.unique(value * inputs.size + which) // inputs.size  # once for each input that became the value
    counts = np.bincount(several)
    d = float(values[counts.argmax()])
    kept = y != d
    if counts.max() < DISTINCT or np.unique(x[kept]).size < DISTINCT:
        raise Unreadable("too little is dropped, or kept, to tell one from the other")
    a, b = np.polyfit(x[kept], y[kept], 1)
    low, high = bounds(a * x[kept] + b, np.array(b), dtype)
    a, b = (float(number) for number in np.polyfit(x[kept], y[kept], 1, w=1 / (high - low)))  # as exact as each is
    low, high = bounds(a * x[kept] + b, np.array(b), dtype)
    if (np.abs(y[kept] - a * x[kept] - b) > high - low).any():  # twice what rounding does: the line is rounded too
        return None
    return Numbers(one.p, a, b, d, float(ulp(np.array(max(abs(a), abs(b), abs(d))), dtype)))


def _of_one_limit(found: Sequence[Numbers]) -> str:
    """Words for another constant in place of 1.758, in all three numbers alike; empty if there is none."""
    for name, limit in LIMITS.items():
        a, b = (lambda n, i=i, limit=limit: affine(n.p, limit)[i] for i in (0, 1))
        if (
            _fits(found, "a", a)
            and _fits(found, "b", b)
            and _fits(found, "d", lambda n, limit=limit: n.b - n.a * limit)  # type: ignore[misc]
        ):
            return f"takes {limit:.5g}, {name}, for alpha dropout's constant 1.7581"
    return ""


def _of_one_p(found: Sequence[Numbers]) -> str:
    """Words for numbers that are those of one p, at every p; empty if they are not."""
    p = float(f"{found[0].b / (found[0].a * LIMIT):.3g}") if found[0].a else 0.0
    if not 0 < p < 1:
        return ""
    a, b = affine(p)
    if _fits(found, "a", lambda n: a) and _fits(found, "b", lambda n: b) and _fits(found, "d", lambda n: b - a * LIMIT):
        return f"takes alpha dropout's scale and shift of p = {p:g} at other p too"
    return ""


def _twice(found: Sequence[Numbers]) -> str:
    """Words for scale and shift that are applied twice; empty if they are not."""
    of_p = {one.p: affine(one.p) for one in found}
    a, b, d = (
        lambda n: of_p[n.p][0] ** 2,
        lambda n: (of_p[n.p][0] + 1) * of_p[n.p][1],
        lambda n: of_p[n.p][0] * -of_p[n.p][0] * (1 - n.p) * LIMIT + of_p[n.p][1],
    )
    fits = _fits(found, "a", a) and _fits(found, "b", b) and _fits(found, "d", d)
    return "applies alpha dropout's scale and shift twice" if fits else ""


def _fits(found: Sequence[Numbers], number: str, formula: Formula) -> bool:
    """Whether a formula gives this number at every p."""
    return all(abs(getattr(one, number) - formula(one)) <= NEAR * one.step for one in found)


def _of_each(found: Sequence[Numbers]) -> str:
    """Words for which numbers are wrong, by which formula if it is a known one, and by how much at one p."""
    said: list[str] = []
    follow, right = [], []
    for number, what, formula, following, formulas in (
        ("a", "the scale a", lambda n: affine(n.p)[0], None, SLOPES),
        ("b", "the shift b", lambda n: affine(n.p)[1], lambda n: n.a * n.p * LIMIT, OFFSETS),
        ("d", "what it drops", lambda n: -affine(n.p)[0] * (1 - n.p) * LIMIT, lambda n: n.b - n.a * LIMIT, DROPPED),
    ):
        if _fits(found, number, formula):
            right.append(what)
        elif following is not None and said and _fits(found, number, following):
            follow.append(what)
        else:
            said.append(_wrong(found, number, formula, formulas))
    if right == ["the scale a", "the shift b"]:
        right = ["what it keeps"]
    more = [f"{_listed(follow, 'follows', 'follow')} from it"] if follow else []
    more += [_listed(right, "is right", "are right")] if right else []
    return "; ".join([" and ".join(said), *more])


def _listed(what: Sequence[str], one: str, more: str) -> str:
    return f"{' and '.join(what)} {more if len(what) > 1 else one}"


def _wrong(found: Sequence[Numbers], number: str, right: Formula, formulas: Mapping[str, Formula]) -> str:
    """Words for one number that is wrong."""
    off = [one for one in found if abs(getattr(one, number) - right(one)) > FAR * one.step]
    if not off:
        raise Unreadable("it is off by little more than rounding")
    at = next((one for one in off if one.p == USUAL), off[0])
    value = getattr(at, number)
    value = 0.0 if abs(value) <= NEAR * at.step else value
    seen, wanted = (text.replace("-", "−") for text in digits_of(value, right(at)))
    amount = {
        "a": f"multiplies what it keeps by {seen} at p = {at.p:g}, not by {wanted}",
        "b": f"adds {seen} to what it keeps at p = {at.p:g}, not {wanted}",
        "d": f"turns what it drops into {seen} at p = {at.p:g}, where PyTorch has {wanted}",
    }[number]
    name = next((words for words, formula in formulas.items() if _fits(found, number, formula)), "")
    return f"{name}: it {amount}" if name else amount


HYPOTHESES = (Hypothesis("alpha_line", "value", "{what}", line, VALUES),)
