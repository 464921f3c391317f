"""Hypotheses about how often an entry is kept, tested on every keep rate that was counted: nothing more is drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import scipy

from keeprate.specs.masks.rate import GRID, KEPT, RARE
from keeprate.specs.rounding import representable, ulp
from keeprate.suite import ENOUGH, NEVER, Account, Case, Evidence, Seen, Tally, Told

MANY = 8  # rates that a formula must fit, where one alone is off
MIDDLE = (0.05, 0.95)  # p at which a rate is easily read
NEAR = 2  # standard deviations from a formula, at the one rate that is off

Keep = Callable[[float], float]  # from p to how often an entry is kept


class Rate(NamedTuple):
    """Draws at one p, and how many were kept."""

    p: float
    kept: int
    draws: int


def _nearest(value: float, dtype: str) -> float:
    return float(representable(value, dtype))


def _below(value: float, dtype: str) -> float:
    """Numbers below this round to less than `value`, which is one of the dtype's."""
    return value - float(ulp(np.nextafter(value, 0), dtype)) / 2


def _rates() -> Iterator[tuple[str, str, Keep]]:
    """The name of each, what it is in words, and how often an entry would be kept."""
    yield "exchanged", "keeps with probability p, not 1 − p", lambda p: p
    yield "all", "drops everything", lambda p: 0.0
    yield "none", "drops nothing", lambda p: 1.0
    ways: tuple[tuple[str, Callable[[float], int]], ...] = (("", round), ("down ", math.floor), ("up ", math.ceil))
    for steps in (256, 65536, 16, 32768, 1000, 100):
        for way, to in ways:
            name = f"{steps}_{way.strip() or 'nearest'}"
            yield name, f"rounds p {way}to a multiple of 1/{steps}", partial(_stepped, steps, to)
        above = f"drops where one of {steps:,} numbers is at most p·{steps:,}, not below it"
        yield f"{steps}_above", above, partial(_stepped, steps, lambda value: math.floor(value) + 1)
    for dtype in ("bfloat16", "float16"):
        yield f"p_{dtype}", f"rounds p to {dtype}", partial(_of_p, dtype)
        yield f"q_{dtype}", f"rounds 1 − p to {dtype}", partial(_of_q, dtype)
        yield f"drawn_{dtype}", f"compares {dtype} numbers with p", partial(_drawn, dtype)
        yield f"drawn_{dtype}_below", f"compares {dtype} numbers with 1 − p", partial(_drawn_below, dtype)
        yield f"drawn_{dtype}_exact", f"compares {dtype} numbers with an exact p", partial(_drawn_exact, dtype)
    yield "again", "drops with probability p², as if each dropped entry were drawn again", lambda p: 1 - p * p
    yield "twice", "drops twice: with probability 1 − (1 − p)²", lambda p: (1 - p) ** 2
    yield "double", "drops with probability 2p", lambda p: max(0.0, 1 - 2 * p)
    yield "half", "drops with probability p/2", lambda p: 1 - p / 2
    yield "root", "drops with probability √p", lambda p: 1 - math.sqrt(p)
    yield "root_of_keep", "keeps with probability √(1 − p)", lambda p: math.sqrt(1 - p)
    yield "product", "drops with probability p·(1 − p)", lambda p: 1 - p * (1 - p)
    yield "normal", "compares a normal variate with p", lambda p: float(scipy.special.ndtr(-p))


def _stepped(steps: int, to: Callable[[float], int], p: float) -> float:
    return 1 - to(p * steps) / steps


def _of_p(dtype: str, p: float) -> float:
    return 1 - _nearest(p, dtype)


def _of_q(dtype: str, p: float) -> float:
    return _nearest(1 - p, dtype)


def _drawn(dtype: str, p: float) -> float:
    return 1 - _below(_nearest(p, dtype), dtype)


def _drawn_exact(dtype: str, p: float) -> float:
    nearest = _nearest(p, dtype)
    return 1 - _below(nearest if nearest >= p else nearest + float(ulp(np.array(nearest), dtype)), dtype)


def _drawn_below(dtype: str, p: float) -> float:
    return _below(_nearest(1 - p, dtype), dtype)


FORMULAS = {name: (words, keep) for name, words, keep in _rates()}


def thinned(evidence: Evidence, design: float) -> Evidence:
    """Counts of as many draws as are independent of one another, where `design` count as one; all else as it is."""
    if not isinstance(evidence, Tally):
        return evidence
    counts = np.rint(evidence.counts / design).astype(np.int64)
    return Tally(evidence.cells, counts, evidence.probabilities, within=evidence.within)


def holds_thinned(seen: Seen, design: Callable[[Case], float]) -> bool:
    """Whether a finding would hold if in each case so many draws counted as one, as `design` says."""
    threshold = -math.log10(seen.finding.level) if seen.finding.level else math.inf
    return not any(thinned(evidence, design(case)).reaches(threshold) for case, evidence in seen.parts if evidence)


def rates(seen: Sequence[Seen], broken: frozenset[str]) -> Iterator[Told]:
    """Every hypothesis, for each operator, context and dtype in which a keep rate is broken."""
    places: dict[tuple[str, str, str], list[Rate]] = {}
    accused = set()
    for finding, parts in seen:
        if finding.family != "keep_rate":
            continue
        for case, evidence in parts:
            if isinstance(evidence, Tally) and evidence.n:
                kept, dropped = (int(count) for count in evidence.counts.sum(axis=0))
                place = finding.op, case.context, case.dtype
                places.setdefault(place, []).append(Rate(case.parameters["p"], kept, kept + dropped))
                if finding.id in broken:
                    accused.add(place)
    refuted: set[tuple[str, str, str]] = set()
    for (op, context, dtype), found in sorted(places.items(), key=lambda item: -len(item[1])):
        if (op, context, dtype) in accused:
            for name, account in accounts_of(found):
                if account.contradicted:
                    refuted.add((name, op, dtype))
                if not (account.accepted and (name, op, dtype) in refuted):  # at few rates more formulas fit
                    yield Told(name, op, dtype, context, account)


def accounts_of(found: Sequence[Rate]) -> Iterator[tuple[str, Account]]:
    """Every hypothesis, by its name, with how it fares on these counts."""
    promise = _against(found, lambda p: 1 - p)
    off_at = {one.p for one in found if _against([one], lambda p: 1 - p) >= ENOUGH}
    if len(off_at) > 1 or len(found) >= MANY:  # of so many formulas one fits any one number
        for name, (words, keep) in FORMULAS.items():
            if len(off_at) != 1 or _near([one for one in found if one.p in off_at], keep):
                yield f"rate:{name}", _account(found, keep, promise, words)
    lowest = [one.p for one in found if one.kept == one.draws]
    if lowest and max(lowest) < max(one.p for one in found):
        edge = max(lowest)
        words = f"drops nothing at p = {edge:g}" + (" and below" if len(lowest) > 1 else "")
        yield "rate:rare", _account(found, lambda p: 1.0 if p <= edge else 1 - p, promise, words)
    fit = [one for one in found[::2] if 0 < one.kept < one.draws]  # a rate that is cut off at 0 or 1 tells less
    test = [one for one in found if one not in fit]
    if fit and len(test) > 1 and len(off_at) > 1:  # one rate alone is as far off as anything
        weights = [one.draws / (one.p * (1 - one.p)) for one in fit]
        off = sum(w * (1 - one.p - one.kept / one.draws) for w, one in zip(weights, fit, strict=True)) / sum(weights)
        digits = float(f"{off:.1g}") if abs(off) > 1e-4 else off
        given = f"drops with probability p {'+' if digits > 0 else '−'} {abs(digits):g}"
        yield "rate:offset", _account(found, lambda p: min(1.0, max(0.0, 1 - p - digits)), promise, given)
        factor = sum(one.kept for one in fit) / sum(one.draws * (1 - one.p) for one in fit)  # few are kept near p = 1
        digits = float(f"{factor:.2g}")
        words = f"keeps with probability {digits:g}·(1 − p)"
        yield "rate:factor", _account(found, lambda p: digits * (1 - p) if digits <= 1 else 1 - p, promise, words)
        digits = float(f"{1 - sum(one.kept for one in fit) / sum(one.draws for one in fit):.2g}")
        words = f"drops with probability {digits:g}, whatever p is"
        yield "rate:constant", _account(found, lambda p: 1 - digits, promise, words)
    if len(off_at) > 1:
        yield from _capped(found, off_at, promise)
    if len(off_at) == 1:
        yield from _at(found, min(off_at), promise)


def _near(found: Sequence[Rate], keep: Keep) -> bool:
    """Whether these rates are as near to a formula as most are that come of it."""
    expected = sum(one.draws * keep(one.p) for one in found)
    variance = sum(one.draws * keep(one.p) * (1 - keep(one.p)) for one in found)
    return abs(sum(one.kept for one in found) - expected) <= NEAR * math.sqrt(variance)


def _capped(found: Sequence[Rate], off_at: set[float], promise: float) -> Iterator[tuple[str, Account]]:
    """A rate that goes no further up than some number, of two digits."""
    off = max((one for one in found if one.p in off_at), key=lambda one: one.draws)
    most = float(f"{1 - off.kept / off.draws:.2g}")
    if 0 < most < off.p:
        words = f"never drops with a probability above {most:g}"
        yield "rate:capped", _account(found, lambda p: 1 - min(p, most), promise, words)


def _at(found: Sequence[Rate], p: float, promise: float) -> Iterator[tuple[str, Account]]:
    """A rate that is off at one p, shown by the largest count there and tested on all others."""
    first, *others = sorted((one for one in found if one.p == p), key=lambda one: -one.draws)
    if not others:
        return
    digits = float(f"{1 - p - first.kept / first.draws:.1g}")
    words = f"drops with probability {p + digits:g} at p = {p:g}, and at no other p"
    tested = [*others, *(one for one in found if one.p != p)]
    yield "rate:at", _account(tested, lambda q: min(1.0, max(0.0, 1 - q - digits * (q == p))), promise, words)


def _against(found: Sequence[Rate], keep: Keep) -> float:
    """Log10 e against these rates."""
    counts, probabilities, within = [], [], []
    for one in found:
        q = keep(one.p)
        if q <= 0 or q >= 1:
            if one.kept != (one.draws if q >= 1 else 0):
                return NEVER
            continue
        counts.append((one.kept, one.draws - one.kept))
        probabilities.append((q, 1 - q))
        within.append(min(GRID, (1 - q) / 2) if one.p <= RARE else 0.0)
    if not counts:
        return 0.0
    try:
        e = Tally(KEPT, counts, np.array(probabilities), within=within if any(within) else ()).log10_e
    except ValueError:  # a rate that is no number between 0 and 1 any more
        return NEVER
    return max(-NEVER, min(NEVER, e))


def _account(found: Sequence[Rate], keep: Keep, promise: float, words: str) -> Account:
    plain = [one for one in found if MIDDLE[0] <= one.p <= MIDDLE[1] and keep(one.p) != 1 - one.p] or found
    off = max(plain, key=lambda one: abs(keep(one.p) - 1 + one.p))
    places = max(4, 2 - math.floor(math.log10(abs(keep(off.p) - 1 + off.p) or 1)))
    seen, said, right = (f"{x:.{places}f}" for x in (off.kept / off.draws, keep(off.p), 1 - off.p))
    many = f"all {len(found)} rates are" if len(found) > 1 else "the rate is"
    text = f"{many} as this predicts: at p = {off.p:g} it kept {seen} where {said} is predicted, {right} promised"
    if keep(off.p) == 1 - off.p:
        return Account(1, NEVER, promise)
    return Account(sum(one.draws for one in found), _against(found, keep), promise, text, {"what": words})
