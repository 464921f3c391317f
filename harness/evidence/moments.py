"""The sum of independent two-valued variables against its promised mean, judged exactly by tilting.

A draw of input value v has one of two known outcomes: k_v with probability q, d_v with p = 1 - q. So its
cumulants are known exactly, and for every lambda

    E_lambda = exp(lambda S - sum over v of n_v ln(q exp(lambda k_v) + p exp(lambda d_v)))

has mean 1 while the promise holds, S being the sum of what was observed: an e-value, as in `tally.py`
(Ville 1939; Waudby-Smith & Ramdas 2023, Estimating means of bounded random variables by betting). Nothing is
assumed about a normal. The average over a fixed grid of lambda, of both signs and in units of the outcomes'
standard deviation, finds shifts of the mean of any size. With several groups: the average of the product over
groups at a common lambda, and of the average over groups; those that were planned and not drawn count as 1.

What was observed may be off by rounding, in all by `slack`: S is moved by that much against each lambda
before it is judged, towards the promise, which only makes e smaller.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import add
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import scipy

from keeprate.harness.evidence.decoding import converted
from keeprate.harness.evidence.kinds import Count, Interval, Statistic, evidence_kind, group_labels
from keeprate.harness.evidence.likelihood import Array, invert, log_mean

UNIT = 2.0**-40  # of `total` and `slack`
_MOST = 2**200  # of these; msgspec bounds no integers that are larger than a machine's

# Lambda times the standard deviation of a draw. A mean that is off by t deviations is found best at t, and
# nearly as well within a factor of 1.4: from one deviation down to a millionth.
_TILTS = np.concatenate([sign * 2.0 ** -np.arange(21) for sign in (1, -1)])


class _Fields(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="moments"):
    """The JSON of moments."""

    keep: tuple[float, ...]
    kept: tuple[tuple[float, ...], ...]
    dropped: tuple[tuple[float, ...], ...]
    draws: tuple[tuple[Count, ...], ...]
    total: tuple[int, ...]
    slack: tuple[int, ...]
    groups: tuple[str, ...]


@evidence_kind("moments")
@dataclass(frozen=True, eq=False, init=False)
class Moments(Statistic):
    """A sum of draws of known two-valued variables, in groups that are independent of each other.

    Args:
        keep: (groups,) probability of the first outcome, in (0, 1).
        kept: (groups, values) first outcome of each input value; finite, in units of the output.
        dropped: (groups, values) second outcome of each input value.
        draws: (groups, values) non-negative integers: draws of each input value, fixed beforehand.
        total: per group, the sum of what was observed, in units of 2^-40.
        slack: per group, by how much rounding may have moved that sum, in the same units; not negative.
        groups: a label for each group, or none.
        planned: as of a `Tally`.
    Raises:
        ValueError: an argument is not as above, or the two outcomes of a group never differ.
    """

    keep: Array
    kept: Array
    dropped: Array
    draws: Array
    total: tuple[int, ...]
    slack: tuple[int, ...]
    groups: tuple[str, ...]
    planned: int

    amounts = ("draws", "total", "slack")

    def __init__(
        self,
        keep: npt.ArrayLike,
        kept: npt.ArrayLike,
        dropped: npt.ArrayLike,
        draws: npt.ArrayLike,
        total: Sequence[int],
        slack: Sequence[int],
        groups: Sequence[str] = (),
        planned: int = 1,
    ) -> None:
        """Check and store; arrays become read-only."""
        q = np.array(keep, dtype=np.float64, ndmin=1)
        first, second = (np.array(outcome, dtype=np.float64, ndmin=2) for outcome in (kept, dropped))
        number = np.array(draws, ndmin=2)
        if not (first.shape == second.shape == number.shape and q.shape == first.shape[:1] and first.size):
            raise ValueError(
                f"keep {q.shape}, kept {first.shape}, dropped {second.shape} and draws {number.shape} must be"
                " (groups,) and three times (groups, values)"
            )
        if number.dtype.kind not in "iu" or number.min() < 0:
            raise ValueError(f"draws must be non-negative integers, not {draws!r}")
        if not (q.min() > 0 and q.max() < 1):
            raise ValueError(f"keep must lie in (0, 1), not {keep!r}")
        if not (np.isfinite([first, second]).all() and (first != second).any(axis=1).all()):
            raise ValueError("outcomes must be finite, and differ for some value of each group")
        if not len(total) == len(slack) == len(q) or any(type(x) is not int for x in (*total, *slack)):
            raise ValueError(f"total and slack must hold an int for each of {len(q)} groups: {total!r}, {slack!r}")
        if min(slack) < 0 or max(map(abs, (*total, *slack))) > _MOST:
            raise ValueError(f"slack must not be negative, and no sum beyond 2^200: {total!r}, {slack!r}")
        if len(groups) not in (0, len(q)):
            raise ValueError(f"{len(groups)} labels for {len(q)} groups: one for each, or none")
        number = number.astype(np.int64)
        for array in (q, first, second, number):
            array.flags.writeable = False
        values = q, first, second, number, tuple(total), tuple(slack), tuple(groups), max(planned, len(q))
        self.__dict__.update(zip(self.__dataclass_fields__, values, strict=True))

    def __eq__(self, other: object) -> bool:
        """Whether all fields are the same."""
        return isinstance(other, Moments) and self.to_json() == other.to_json()

    @property
    def n(self) -> int:
        """All draws, over all groups."""
        return int(self.draws.sum())

    @cached_property
    def log10_e(self) -> float:
        """Log10 of the evidence against the promise: broken at alpha from -log10(alpha) on. 0 of no draws."""
        each = np.array([self._tilted(group, self._off[group]) for group in range(len(self.keep))])
        together = log_mean(each.sum(axis=0), each.shape[1])
        alone = log_mean(each, self.planned * each.shape[1])
        return float(np.logaddexp(together, alone) - math.log(2)) / math.log(10)

    @property
    def is_composite(self) -> bool:
        """True if the estimate is of one group among several."""
        return len(self.total) > 1

    @property
    def statistic(self) -> float:
        """The sum over groups of z squared; z is how far the sum is off, beyond slack, in standard errors."""
        return float((self._z**2).sum())

    @property
    def p_value(self) -> float:
        """For people; no verdict rests on it. Chi-square, a degree of freedom for each group with draws."""
        freedom = int((self._draws > 0).sum())
        return float(scipy.special.chdtrc(freedom, self.statistic)) if freedom else 1.0

    @property
    def furthest(self) -> int:
        """The group with the largest |z|."""
        return int(abs(self._z).argmax())

    @property
    def where(self) -> str:
        """The furthest group's label."""
        if self.groups:
            return self.groups[self.furthest]
        return f"group {self.furthest}" if len(self.keep) > 1 else "mean"

    @property
    def estimate(self) -> float:
        """The mean of what was observed in the furthest group; nan where it has no draws."""
        draws = self._draws[self.furthest]
        return self.expected + float(self._off[self.furthest] / draws) if draws else math.nan

    @property
    def expected(self) -> float:
        """The promised mean of the furthest group; nan where it has no draws."""
        draws = self._draws[self.furthest]
        return float(self._means[self.furthest] / draws) if draws else math.nan

    def table(self) -> list[tuple[str, ...]]:
        """Every group."""
        off, draws = self._z, np.maximum(self._draws, 1)
        names = self.groups or [f"group {group}" for group in range(len(off))]
        every = zip(names, self._draws, (self._means + self._off) / draws, self._means / draws, off, strict=True)
        rows = [(name, f"{n:,}", f"{seen:.6f}", f"{mean:.6f}", f"{z:+.1f}") for name, n, seen, mean, z in every]
        order = np.argsort(-abs(off), kind="stable").tolist()
        return [("group", "draws", "seen", "promised", "standard errors"), *(rows[group] for group in order)]

    def interval(self, alpha: float) -> Interval:
        """All means of the furthest group that are not rejected at alpha, valid whenever one looks.

        Of one group: not rejected by the e-value itself, so the promise is left out exactly when broken.
        Of several: by the group's own share of it, so a promise that is left out is broken, but a broken one
        may be left in, if the evidence is many small shifts.
        """
        group, estimate, expected = self.furthest, self.estimate, self.expected
        draws, threshold = float(self._draws[group]), self._threshold(alpha)
        if draws == 0:
            return Interval(-math.inf, math.inf)
        if self.planned == 1:
            broken = self.log10_e >= -math.log10(alpha)
        else:
            broken = bool(self._log_e(group, self._off[group]) >= threshold)

        def rejected(means: Array) -> Array:
            return self._log_e(group, draws * (estimate - means)) >= threshold

        reach = 2 * self._reach(group, threshold) / draws  # rejected from half of it on
        return invert(rejected, estimate, expected, broken, Interval(estimate - reach, estimate + reach))

    def detectable(self, alpha: float, power: float = 0.99) -> float:
        """The smallest shift of the mean that this many draws catch at alpha with probability `power`.

        In units of the output, in the worst group, of either sign; every outcome is shifted by as much. The
        noise is bounded by Bernstein's inequality (1924), so somewhat less would do. If a group is empty,
        nothing is detectable, and it is the largest distance between the two outcomes of a value.
        """
        threshold = self._threshold(alpha)
        if (self._draws == 0).any():
            return float(abs(self.kept - self.dropped).max())
        shifts = []
        for group, draws in enumerate(self._draws):
            # P(noise < -t) <= exp(-t^2 / (2 (V + b t / 3))), b the most that a draw can lie from its mean.
            ln = -math.log(1 - power)
            b = float((abs(self.kept - self.dropped)[group] * max(self.keep[group], 1 - self.keep[group])).max())
            noise = b * ln / 3 + math.sqrt((b * ln / 3) ** 2 + 2 * ln * float(self._variances[group]))
            shifts.append((self._reach(group, threshold) + noise) / float(draws))
        return max(shifts)

    def __add__(self, other: Moments) -> Moments:
        """All draws of both. Raises ValueError unless outcomes, probabilities and groups are the same."""
        if not isinstance(other, Moments):
            return NotImplemented
        mine, theirs = ((m.keep.tolist(), m.kept.tolist(), m.dropped.tolist(), m.groups) for m in (self, other))
        if mine != theirs:
            raise ValueError("only moments of the same outcomes, probabilities and groups can be added")
        total, slack = [*map(add, self.total, other.total)], [*map(add, self.slack, other.slack)]
        return Moments(self.keep, self.kept, self.dropped, self.draws + other.draws, total, slack, self.groups)

    @property
    def alike(self) -> tuple[Hashable, ...]:
        """How many groups and input values there are."""
        return self.kind, self.kept.shape

    @classmethod
    def pool(cls, parts: Sequence[Moments], labels: Sequence[str], planned: int = 0) -> Moments:
        """The groups of several, as groups of one, under their labels. Raises ValueError unless all are alike."""
        if len({part.alike for part in parts}) != 1:
            raise ValueError("only moments of equally many groups and input values can be pooled")
        keep, kept, dropped, draws = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("keep", "kept", "dropped", "draws")
        )
        total, slack = (sum((getattr(part, name) for part in parts), ()) for name in ("total", "slack"))
        names = group_labels(labels, [part.groups for part in parts], [len(part.keep) for part in parts])
        return cls(keep, kept, dropped, draws, total, slack, names, planned * len(parts[0].keep))

    def to_json(self) -> dict[str, Any]:
        """Strings, integers and floats, in lists."""
        fields = {name: getattr(self, name) for name in _Fields.__struct_fields__}
        lists = {name: list(x) if isinstance(x, tuple) else x.tolist() for name, x in fields.items()}
        return {"type": self.kind, **lists}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Moments:
        """What `to_json` wrote, or anyone else. Raises ValueError if it isn't that, or counts what can't be."""
        return cls(*msgspec.structs.astuple(converted(data, _Fields)))

    @property
    def _draws(self) -> Array:
        return np.asarray(self.draws.sum(axis=1))

    @cached_property
    def _spread(self) -> Array:
        """(groups, values) the variance of a draw."""
        return np.asarray((self.keep * (1 - self.keep))[:, None] * (self.kept - self.dropped) ** 2)

    @property
    def _variances(self) -> Array:
        """(groups,) the variance of the sum."""
        return np.asarray((self.draws * self._spread).sum(axis=1))

    @cached_property
    def _means(self) -> Array:
        """(groups,) the promised sum."""
        q = self.keep[:, None]
        return np.asarray((self.draws * (q * self.kept + (1 - q) * self.dropped)).sum(axis=1))

    @cached_property
    def _off(self) -> Array:
        """(groups,) the sum that was observed less the promised one."""
        return np.asarray(np.array(self.total, dtype=float) * UNIT - self._means)

    @property
    def _slack(self) -> Array:
        return np.asarray(np.array(self.slack, dtype=float) * UNIT)

    @property
    def _z(self) -> Array:
        beyond = np.sign(self._off) * np.maximum(abs(self._off) - self._slack, 0)
        certain = self._variances == 0  # no draws, or none of a value whose outcomes differ
        return np.asarray(np.where(certain, 0, beyond / np.sqrt(np.where(certain, 1, self._variances))))

    @cached_property
    def _lambdas(self) -> Array:
        """(groups, tilts) lambda; fixed by the outcomes, whatever was drawn."""
        return np.asarray(_TILTS / np.sqrt(self._spread.mean(axis=1))[:, None])

    @cached_property
    def _cumulants(self) -> Array:
        """(groups, tilts) ln E exp(lambda (S - E S)) under the promise."""
        rows = []
        for group, q in enumerate(self.keep):
            jump = self._lambdas[group] * (self.kept - self.dropped)[group][:, None]  # (values, tilts)
            up, down = (1 - q) * jump, -q * jump  # what lambda y is, less its mean
            # log1p of expm1 keeps the second order, down to 1e-12; logaddexp does not overflow.
            small = abs(jump) < 1
            near = np.log1p(q * np.expm1(np.where(small, up, 0)) + (1 - q) * np.expm1(np.where(small, down, 0)))
            far = np.logaddexp(math.log(q) + up, math.log1p(-q) + down)
            rows.append(self.draws[group] @ np.where(small, near, far))
        return np.array(rows)

    def _tilted(self, group: int, off: Array) -> Array:
        """Ln E_lambda of one group for sums that are off by so much: (...) to (..., tilts)."""
        tilts = self._lambdas[group]
        cumulants = abs(tilts) * self._slack[group] + self._cumulants[group]
        return np.asarray(np.asarray(off)[..., None] * tilts - cumulants)

    def _log_e(self, group: int, off: Array) -> Array:
        return np.asarray(np.logaddexp.reduce(self._tilted(group, off), axis=-1) - math.log(len(_TILTS)))

    def _threshold(self, alpha: float) -> float:
        """The ln e at which one group alone breaks the promise at alpha."""
        if not 0 < alpha < 1:
            raise ValueError(f"alpha = {alpha} is not in (0, 1)")
        return (math.log(2 * self.planned) if self.planned > 1 else 0.0) - math.log(alpha)

    def _reach(self, group: int, threshold: float) -> float:
        """How far the sum may be off, either way, before the group's e-value breaks the promise."""

        def farthest(sign: int) -> float:
            # One tilt alone may carry the average over the threshold: the best of them is an upper bound.
            tilts, cumulants = self._lambdas[group], self._cumulants[group]
            own = np.sign(tilts) == sign
            needed = (threshold + math.log(len(_TILTS)) + cumulants[own]) / abs(tilts[own])
            bound = float(needed.min() + self._slack[group])
            points = np.linspace(0, bound, 4097)
            first = int((self._log_e(group, sign * points) >= threshold).argmax())
            return float(points[first]) if first else bound

        return max(farthest(1), farthest(-1))
