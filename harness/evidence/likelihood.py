"""The likelihood ratios behind the e-value of counts, and what a number of draws can detect.

Everything here works in natural logarithms; `keeprate.harness.evidence.tally` says what it is for.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy  # its parts are loaded when they are first asked for: `special` takes longer than all of keeprate

from keeprate.harness.evidence.kinds import Interval

Array = npt.NDArray[Any]
Departure = Literal["rate", "correlation", "cell"]
Prior = tuple[Array, Array]  # concentrations, and the log of each one's weight

# Concentrations: departures of about 1/sqrt(c) are looked for, down to 1e-4 (dense) and 1e-3 (sparse).
DENSE = 4.0 ** np.arange(14)  # times the number of cells
_SPARSE = 2 * 16.0 ** np.arange(6)
# What weighs a single cell: log weights over concentrations. In one group of two cells the sparse half is
# a mixture over every other concentration of the dense one.
CELL_PRIOR = _SPARSE, np.log(np.full(6, 1 / 6))
RATE_PRIOR = 2 * DENSE, np.log(1 / 28 + np.isin(2 * DENSE, _SPARSE) / 12)

_GRID = 65  # points of an interval that is promised
_PASSES, _POINTS = 4, 34  # of an inversion: each pass narrows its bracket 33 times
_MOST_DRAWS = 10**15
_FEW = 16  # counts that are summed sooner as plain numbers: NumPy takes longer to begin
_CUTS = np.arange(1, 16) / 16  # where a critical count is looked for at once: one count costs NumPy as much as many


def log_ratio(counts: Array, q: Array, concentrations: Array) -> Array:
    """Ln of Dirichlet(c q)-multinomial over multinomial(q), for each concentration: (..., cells) to (..., c).

    In gammaln, terms of n ln n cancel. By Stirling's formula, lnGamma(x) = (x - 1/2) ln x - x + const + r(x),
    they cancel on paper, and leave a divergence, a determinant and remainders r.
    """
    n, counts, q = counts.sum(axis=-1, keepdims=True), counts[..., None], q[..., None]
    total = (n + concentrations)[..., None, :]
    off = (counts - n[..., None] * q) / (total * q)  # the posterior mean over q, less 1
    log = np.log1p(off)
    terms = total * q * ((1 + off) * log - off) - log / 2
    terms += _remainder(counts + q * concentrations) - _remainder(q * concentrations)
    freedom = counts.shape[-2] - 1
    terms = terms.sum(axis=-2) - freedom / 2 * np.log1p(n / concentrations)
    return np.asarray(terms - _remainder(n + concentrations) + _remainder(concentrations))


def largest_log_ratio(counts: Array, q: Array) -> float:
    """Ln of the largest multinomial likelihood over that of q, summed over groups: (groups, cells) to a number."""
    if counts.size > _FEW:
        expected = counts.sum(axis=-1, keepdims=True) * q
        return float(scipy.special.xlogy(counts, counts / np.maximum(expected, 1e-300)).sum())
    rows = zip(counts.tolist(), q.tolist(), strict=True)
    return float(sum(k * math.log(k / (sum(ks) * r)) for ks, rs in rows for k, r in zip(ks, rs, strict=True) if k))


def is_same(one: Array, other: Array) -> bool:
    """Whether two arrays are equal, bit for bit; NumPy's own question takes longer than a result has to be added."""
    return one is other or (one.shape == other.shape and one.tobytes() == other.tobytes())


def _remainder(x: Array) -> Array:
    """Of Stirling's formula: lnGamma(x) - ((x - 1/2) ln x - x + ln(2 pi)/2), to 1e-11."""
    y = 1 / np.maximum(x, 16)
    square = y * y
    series = y * (1 / 12 - square * (1 / 360 - square / 1260))
    small = x < 16
    if small.any():
        few = x[small]
        series[small] = scipy.special.gammaln(few) - (few - 0.5) * np.log(few) + few - math.log(2 * math.pi) / 2
    return np.asarray(series)


def cell_log_e(counts: Array, draws: Array, q: Array, prior: Prior) -> Array:
    """Ln of beta(c q, c (1-q))-binomial over binomial(q), mixed over the prior: (...) to (...)."""
    counts, draws, q = np.broadcast_arrays(counts, draws, q)
    pairs, rates = np.stack([counts, draws - counts], axis=-1), np.stack([q, 1 - q], axis=-1)
    concentrations, log_weights = prior
    return np.asarray(np.logaddexp.reduce(log_ratio(pairs, rates, concentrations) + log_weights, axis=-1))


def grid(q: Array, counts: Array, within: Array) -> Array:
    """Probabilities of two cells, from within below to within above: (groups, 2) to (points, groups, 2).

    Ln e is convex in the probability, as ln(c + j/q) is, and least near the share that was seen, so that is a point
    too. Between two points it falls below the least of all by 2e-4 at most, and only where it is negative.
    """
    reach = np.linspace(-1, 1, _GRID)[:, None] * within
    seen = counts[:, 0] / np.maximum(counts.sum(axis=1), 1) - q[:, 0]
    first = q[:, 0] + np.concatenate([reach, np.clip(seen, -within, within)[None]])
    return np.stack([first, 1 - first], axis=-1)


def log_mean(log_e: Array, size: int) -> float:
    """Ln of the average of `size` e-values; those that are not given are 1."""
    others = [math.log(size - log_e.size)] if size > log_e.size else []
    return float(np.logaddexp.reduce(np.append(log_e, others))) - math.log(size)


def cell_test(groups: int, cells: int, alpha: float) -> tuple[Prior, float]:
    """For `cell_log_e`: the prior, and the ln e at which one cell alone breaks the promise at alpha."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha = {alpha} is not in (0, 1)")
    if (groups, cells) == (1, 2):
        return RATE_PRIOR, -math.log(alpha)
    return CELL_PRIOR, math.log(2 * groups * (1 if cells == 2 else cells)) - math.log(alpha)


def detectable(draws: Array, q: Array, test: tuple[Prior, float], departure: Departure, power: float) -> float:
    """`Tally.detectable` of draws (groups, 1) and q (groups, cells), which sums to 1."""
    rates = q[:, :1] if q.shape[1] == 2 else q
    looks = np.stack([np.broadcast_to(draws, rates.shape), rates]).reshape(2, -1)
    (n, r), place = np.unique(looks, axis=1, return_inverse=True)
    # Ln e is convex in the count, as lnGamma is: caught are exactly the counts from a critical one outward.
    many, few = _critical(n, r, np.stack([n + 1, np.full_like(n, -1)]), *test)
    # The rate at which a count of `many` or more has probability `power`; the same of `few` or less.
    rise = np.where(many > n, math.inf, scipy.special.betaincinv(many, n - many + 1, power) - r)
    fall = np.where(few < 0, math.inf, scipy.special.betaincinv(n - few, few + 1, power) - (1 - r))
    up, down = rise[place].reshape(rates.shape), fall[place].reshape(rates.shape)
    room_up, room_down = 1 - rates, rates
    if departure == "correlation":  # rho adds rho q p to both and none, and takes twice that from one
        slope = q[:, 1:2] / 2 * np.array([1, -2, 1])
        up, down = np.where(slope > 0, up, down) / abs(slope), np.where(slope > 0, down, up) / abs(slope)
        up, down = up.min(axis=1), down.min(axis=1)  # any of the three may tell
        odds = np.sqrt(q[:, 0] / q[:, 2])
        room_up, room_down = np.ones_like(odds), np.minimum(odds, 1 / odds)
    never = (up > room_up) & (down > room_down)
    return float(np.where(never, 1, np.maximum(np.minimum(up, room_up), np.minimum(down, room_down))).max())


@functools.lru_cache(maxsize=4096)  # it depends on the plan alone, and many findings share theirs
def detectable_by(
    draws: bytes, q: bytes, groups: int, cells: int, departure: Departure, alpha: float, power: float
) -> float:
    """The same of arrays as bytes, where so many groups are planned."""
    rows, number = np.frombuffer(q).reshape(-1, cells), np.frombuffer(draws, dtype=np.int64).reshape(-1, 1)
    return detectable(number, rows, cell_test(groups, cells, alpha), departure, power)


def draws_to_detect(
    probabilities: Sequence[float],
    delta: float,
    alpha: float,
    *,
    departure: Departure = "rate",
    groups: int = 1,
    power: float = 0.99,
) -> int:
    """The fewest draws per group, to a thousandth, at which `detectable` is at most delta (the sample size).

    Args:
        probabilities: (cells,) of each cell under the promise; they are divided by their sum.
        delta: the departure (effect size) to catch: of a cell's probability, or a correlation.
        alpha: a probability, the share of the error budget.
        departure: which of the two delta is.
        groups: how many independent multinomials there are, of which one is off.
        power: the probability of catching it.

    Raises:
        ValueError: 10^15 draws do not suffice.
    """
    q = np.array([probabilities]) / math.fsum(probabilities)
    test = cell_test(groups, q.size, alpha)
    rate = q[0, 0]
    few, enough = 0, max(1, int(-2 * math.log(alpha) * rate * (1 - rate) / delta**2))  # about Wald's bound
    while detectable(np.array([[enough]]), q, test, departure, power) > delta:
        few, enough = enough, 2 * enough
        if enough > _MOST_DRAWS:
            raise ValueError(f"no 10^15 draws detect delta = {delta} at alpha = {alpha}: choose a larger delta")
    while enough - few > 1 + enough // 1000:
        half = (few + enough) // 2
        caught = detectable(np.array([[half]]), q, test, departure, power) <= delta
        few, enough = (few, half) if caught else (half, enough)
    return enough


def _critical(draws: Array, q: Array, outside: Array, prior: Prior, threshold: float) -> Array:
    """The first count from the expected one to `outside` whose ln e reaches the threshold, else `outside`."""
    inside = np.broadcast_to(np.floor(draws * q), outside.shape)
    while (abs(outside - inside) > 1).any():
        between = np.trunc(inside + _CUTS.reshape(-1, *[1] * outside.ndim) * (outside - inside))
        caught = cell_log_e(between, draws, q, prior) >= threshold
        ends = np.concatenate([inside[None], between, outside[None]])
        first = 1 + np.where(caught.any(axis=0), caught.argmax(axis=0), len(caught))[None]
        inside, outside = (np.take_along_axis(ends, place, axis=0)[0] for place in (first - 1, first))
    return outside


def invert(
    rejected: Callable[[Array], Array], estimate: float, promise: float, broken: bool, limits: Interval
) -> Interval:
    """The values around `estimate` that are not rejected, within `limits`; the promise too, unless broken."""

    inside, outside = np.array([estimate, estimate]), np.array(limits)
    side = int(promise > estimate)
    if promise != estimate and limits.low <= promise <= limits.high:
        (outside if broken else inside)[side] = promise
    for _ in range(_PASSES):
        points = np.linspace(inside, outside, _POINTS, axis=1)
        within = points[:, 1:-1]
        out = rejected(within.ravel()).reshape(within.shape) | (within == outside[:, None])
        first = 1 + np.where(out.any(axis=1), out.argmax(axis=1), _POINTS - 2)
        inside, outside = points[[0, 1], first - 1], points[[0, 1], first]
    return Interval(float(inside[0]), float(inside[1]))
