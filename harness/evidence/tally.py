"""Counts against known probabilities: one statistic for every random promise.

A promise says how often a draw falls in each cell. A `Tally` holds how many did. Two errors can be made:

- *A kept promise is called broken.* The evidence is an e-value: a number whose mean is at most 1 while the
  promise holds. By Markov's inequality it reaches 1/alpha with probability at most alpha. As it is a
  likelihood ratio, a mixture of alternatives over the promise, it is a martingale as draws are added, so by
  Ville's inequality (1939) the chance that it *ever* reaches 1/alpha is at most alpha: look at any time.
- *A broken promise is called kept.* No sample excludes this, so each says what it would have caught:
  `detectable` is the smallest departure found with probability 0.99, `draws_to_detect` the draws it takes.

The mixture averages two e-values, and so is one (Vovk & Wang 2021, E-values: calibration, combination and
applications). *Dense*: Dirichlet(c q)-multinomial, the product over groups at a common concentration c,
averaged over c: small departures anywhere. *Sparse*: a cell against the rest, beta(c q, c (1-q))-binomial,
averaged over cells, groups and c: one bad cell among hundreds. Both depend on the counts alone, and counts
add: over chunks, workers, machines and nights. Where a rate is promised to within something, e is the least over
all rates within. Groups that were planned and not drawn count as e = 1, so
that every subset of them is a stage of one and the same martingale.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

import msgspec
import numpy as np
import numpy.typing as npt
import scipy

from keeprate.harness.evidence.chi_square import pearson
from keeprate.harness.evidence.decoding import converted
from keeprate.harness.evidence.kinds import Count, Interval, Statistic, evidence_kind, group_labels
from keeprate.harness.evidence.likelihood import (
    CELL_PRIOR,
    DENSE,
    Array,
    Departure,
    cell_log_e,
    cell_test,
    detectable_by,
    grid,
    invert,
    is_same,
    largest_log_ratio,
    log_mean,
    log_ratio,
)

_DEPARTURES = get_args(Departure)


class _Fields(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="tally"):
    """A tally's JSON; tuples, by which it is known what was checked before."""

    cells: tuple[str, ...]
    counts: tuple[tuple[Count, ...], ...]
    probabilities: tuple[tuple[float, ...], ...]
    groups: tuple[str, ...]
    departure: Departure
    within: tuple[float, ...] = ()


@evidence_kind("tally")
@dataclass(frozen=True, eq=False, init=False)
class Tally(Statistic):
    """How many draws fell in each cell, and how often they should; a group is an independent multinomial.

    Args:
        cells: a name for each cell, two or more.
        counts: (groups, cells) non-negative integers; (cells,) is one group.
        probabilities: (groups, cells) or (cells,), in (0, 1), rows summing to 1 (to 1e-9, then rescaled).
        groups: a label for each group, or none.
        planned: how many groups there are, those without draws that are left out here included; of no interest where
            evidence is added or travels, which is before it is pooled.
        departure: what `detectable` speaks of. "correlation" takes three cells: both, one, none of a pair.
        within: how far from them the promised rate may be, for each group; of two cells. P-values look at none of it.
    Raises:
        ValueError: an argument is not as above.
    """

    cells: tuple[str, ...]
    counts: Array
    probabilities: Array
    groups: tuple[str, ...]
    departure: Departure
    planned: int
    within: tuple[float, ...]

    amounts = ("counts",)

    def __init__(
        self,
        cells: Sequence[str],
        counts: npt.ArrayLike,
        probabilities: npt.ArrayLike,
        groups: Sequence[str] = (),
        departure: Departure = "cell",
        within: Sequence[float] = (),
        planned: int = 1,
    ) -> None:
        """Check and store; arrays become read-only."""
        table = np.array(counts, ndmin=2)
        if table.dtype.kind not in "iu" or not table.size or table.min() < 0:
            raise ValueError(f"counts must be non-negative integers, not {counts!r}")
        if len(cells) < 2 or table.ndim != 2 or len(cells) != table.shape[1]:
            raise ValueError(f"{len(cells)} cells for counts of shape {table.shape}: two or more, one a column")
        shape = table.shape
        q = _checked(probabilities, shape) if isinstance(probabilities, tuple) else _check(probabilities, shape)
        if len(groups) not in (0, len(table)):
            raise ValueError(f"{len(groups)} labels for {len(table)} groups: one for each, or none")
        if departure not in _DEPARTURES or (departure == "correlation" and len(cells) != 3):
            raise ValueError(f"departure {departure!r} is not rate, cell or (of three cells) correlation")
        within = tuple(within) if any(within) else ()
        fits = len(cells) == 2 and len(within) == len(table)
        if within and not (fits and min(within) >= 0 and (within < q.min(axis=1)).all()):
            raise ValueError(
                f"within {within} is not a distance for each group, of two cells, that leaves rates in (0, 1)"
            )
        counts = table.astype(np.int64, copy=False)
        self._set(tuple(cells), counts, q, tuple(groups), departure, max(planned, len(table)), within)

    def _set(self, *values: Any) -> None:
        self.__dict__.update(zip(self.__dataclass_fields__, values, strict=True))
        self.counts.flags.writeable = False

    def __eq__(self, other: object) -> bool:
        """Whether all fields are the same."""
        return isinstance(other, Tally) and self.to_json() == other.to_json()

    @property
    def n(self) -> int:
        """All draws, over all groups."""
        return int(self.counts.sum())

    @cached_property
    def ratios(self) -> Array:
        """Ln of likelihood ratios that multiply over groups, and over independent tallies: one a concentration."""
        return np.asarray(log_ratio(self.counts, self._promised, len(self.cells) * DENSE).min(axis=0).sum(axis=0))

    @cached_property
    def log10_e(self) -> float:
        """Log10 of the evidence against the promise: broken at alpha from -log10(alpha) on. 0 of no draws."""
        q = self._promised[..., self._telling]
        sparse = cell_log_e(self.counts[:, self._telling], self._draws, q, CELL_PRIOR).min(axis=0)
        halves = log_mean(self.ratios, DENSE.size), log_mean(sparse, self.planned * sparse.shape[1])
        return float(np.logaddexp(*halves) - math.log(2)) / math.log(10)

    @property
    def log10_e_bound(self) -> float:
        """Log10 of the largest likelihood ratio: cheap, and never below `log10_e`, an average of such ratios."""
        return largest_log_ratio(self.counts, self._q) / math.log(10)

    @property
    def statistic(self) -> float:
        """Pearson's chi-square over all groups, cells pooled in each to an expected count of at least 10."""
        return pearson(self.counts, self._draws * self._q)[0]

    @property
    def p_value(self) -> float:
        """For people; no verdict rests on it. Of one group of two cells: twice the smaller binomial tail."""
        if self.counts.shape != (1, 2):
            statistic, freedom = pearson(self.counts, self._draws * self._q)
            return float(scipy.special.chdtrc(freedom, statistic)) if freedom else 1.0
        (one, other), (q, p) = self.counts[0].tolist(), self._q[0].tolist()
        above = scipy.special.betainc(one, other + 1, q) if one else 1.0
        below = scipy.special.betainc(other, one + 1, p) if other else 1.0
        return min(1.0, 2 * float(min(above, below)))

    @property
    def is_composite(self) -> bool:
        """True if the estimate is of one place among several: of a group, or of a cell of many."""
        return self.counts.shape != (1, 2)

    @property
    def furthest(self) -> tuple[int, int]:
        """(group, cell) of the largest standardised residual; of two cells, equally far, the first."""
        q, counts = self._q[:, self._telling], self.counts[:, self._telling]
        residuals = abs(counts - self._draws * q) / np.sqrt(np.maximum(self._draws, 1) * q * (1 - q))
        group, cell = divmod(int(residuals.argmax()), q.shape[1])
        return group, cell

    @property
    def where(self) -> str:
        """The furthest cell in words: "position 17, kept", or the cell alone where there is one group."""
        group, cell = self.furthest
        label = self.groups[group] if self.groups else f"group {group}"
        return f"{label}, {self.cells[cell]}" if len(self.counts) > 1 else self.cells[cell]

    @property
    def estimate(self) -> float:
        """The share of draws seen in the furthest cell, of its group; nan where it has no draws."""
        group, cell = self.furthest
        return float(self.counts[group, cell] / self._draws[group, 0]) if self._draws[group, 0] else math.nan

    @property
    def expected(self) -> float:
        """The probability promised for the cell of `estimate`."""
        return float(self.probabilities[self.furthest])

    @property
    def off(self) -> float:
        """Of a rate, the furthest one's departure; of pairs, their correlation.

        Of many cells, by how much of the draws the outer two are too full: a spread that is too wide, draws that are
        shared.
        """
        if self.departure == "rate":
            return self.estimate - self.expected
        expected = self._draws * self.probabilities
        if self.departure == "correlation":
            return float(1 - self.counts[:, 1].sum() / expected[:, 1].sum())
        return float((self.counts - expected)[:, [0, -1]].sum() / self.n)

    def table(self) -> list[tuple[str, ...]]:
        """Every cell of every group."""
        off = (self.counts - self._draws * self.probabilities) / np.sqrt(
            np.maximum(self._draws, 1) * self.probabilities * (1 - self.probabilities)
        )
        rows: list[tuple[str, ...]] = [("cell", "seen", "of", "share", "promised", "standard errors")]
        for place in np.argsort(-abs(off), axis=None, kind="stable").tolist():
            group, cell = divmod(place, len(self.cells))
            name = self.groups[group] if self.groups else f"group {group}" if len(self.counts) > 1 else ""
            draws, count = int(self._draws[group, 0]), int(self.counts[group, cell])
            share, promised = count / max(1, draws), self.probabilities[group, cell]
            label = f"{name}: {self.cells[cell]}" if name else self.cells[cell]
            rows.append(
                (label, f"{count:,}", f"{draws:,}", f"{share:.6f}", f"{promised:.6f}", f"{off[group, cell]:+.1f}")
            )
        return rows

    def interval(self, alpha: float) -> Interval:
        """All rates of the furthest cell that are not rejected at alpha, valid whenever one looks.

        Of one group of two cells: not rejected by the e-value itself, so the promise is left out exactly when
        it is broken. Otherwise by the cell's share of the sparse half alone: a promise that is left out is
        broken, but a broken one may be left in, if the evidence is many small departures.
        """
        prior, threshold = cell_test(self.planned, len(self.cells), alpha)
        count, draws = self.counts[self.furthest], self._draws[self.furthest[0], 0]
        within = self.within[self.furthest[0]] if self.within else 0.0
        if draws == 0:
            return Interval(0.0, 1.0)

        def rejected(rates: Array) -> Array:
            inner = np.clip(rates, 1e-300, 1 - 1e-16)  # representable, and so is what follows from them
            return cell_log_e(count, draws, inner, prior) >= threshold

        exact = (self.planned, len(self.cells)) == (1, 2)
        promise = min(max(self.estimate, self.expected - within), self.expected + within)  # the nearest one
        broken = self.log10_e >= -math.log10(alpha) if exact else bool(rejected(np.array([promise])))
        # As far as a normal approximation reaches, and again: narrow limits need fewer steps, but must be rejected.
        far = threshold + 20.0
        rate = (count + 1) / (draws + 2)
        reach = 3 * math.sqrt(2 * far * rate * (1 - rate) / draws) + 3 * far / draws
        near = Interval(max(0.0, self.estimate - reach), min(1.0, self.estimate + reach))
        low, high = rejected(np.array(near)) | (np.array(near) == (0.0, 1.0))
        limits = Interval(near.low if low else 0.0, near.high if high else 1.0)
        return invert(rejected, self.estimate, promise, broken, limits)

    def detectable(self, alpha: float, power: float = 0.99) -> float:
        """The smallest departure that this many draws catch at alpha with probability `power` or more.

        Of a rate or cell: the change of a probability, in the worst group and cell. Of a correlation: |rho|,
        in the worst group. The worse of both signs, unless it takes a probability out of (0, 1). 1.0: nothing
        is detectable, or a group is empty. Never optimistic: but for one group of two cells, it relies on the
        sparse half alone. Of groups that were left out it doesn't speak.
        """
        how = self.planned, len(self.cells), self.departure, alpha, power
        reach = np.array(self.within)[:, None] * [1, -1] if self.within else np.zeros(1)
        edges = {(self._q + edge).tobytes() for edge in (reach, -reach)}
        return min(1.0, max(detectable_by(self._draws.tobytes(), edge, *how) for edge in edges) + float(reach.max()))

    def __add__(self, other: Tally) -> Tally:
        """The tally of all draws of both. Raises ValueError unless all but the counts is the same."""
        if not isinstance(other, Tally):
            return NotImplemented
        mine, theirs = ((t.cells, t.groups, t.departure, t.planned, t.within) for t in (self, other))
        if mine != theirs or not is_same(self.probabilities, other.probabilities):
            raise ValueError("only tallies of the same cells, probabilities, groups and departure can be added")
        total = object.__new__(Tally)  # what was checked need not be checked again: every chunk is added
        total._set(self.cells, self.counts + other.counts, self.probabilities, *mine[1:])
        return total

    @property
    def alike(self) -> tuple[Hashable, ...]:
        """Cells and departure, and how many groups there are: how many are left out must be known."""
        return self.kind, self.cells, self.departure, len(self.counts)

    @classmethod
    def pool(cls, parts: Sequence[Tally], labels: Sequence[str], planned: int = 0) -> Tally:
        """The groups of several, as groups of one, under their labels. Raises ValueError unless all are alike."""
        if len({part.alike for part in parts}) != 1:
            raise ValueError("only tallies of the same cells, departure and number of groups can be pooled")
        counts, q = (np.concatenate([getattr(t, name) for t in parts]) for name in ("counts", "probabilities"))
        names = group_labels(labels, [t.groups for t in parts], [len(t.counts) for t in parts])
        within = [each for t in parts for each in t.within or [0.0] * len(t.counts)]
        return cls(parts[0].cells, counts, q, names, parts[0].departure, within, planned * len(parts[0].counts))

    def to_json(self) -> dict[str, Any]:
        """Strings, integers and floats, in lists; probabilities are one row if all groups have the same."""
        first = self.probabilities[:1]
        rows = first if (self.probabilities == first).all() else self.probabilities
        return {
            "type": self.kind,
            "cells": list(self.cells),
            "counts": self.counts.tolist(),
            "probabilities": rows.tolist(),
            "groups": list(self.groups),
            "departure": self.departure,
            **({"within": list(self.within)} if self.within else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Tally:
        """What `to_json` wrote, or anyone else. Raises ValueError if it isn't a tally, or counts what can't be."""
        return cls(*msgspec.structs.astuple(converted(data, _Fields)))

    @property
    def _draws(self) -> Array:
        return np.asarray(self.counts.sum(axis=1, keepdims=True))

    @property
    def _q(self) -> Array:
        return np.asarray(self.probabilities / self.probabilities.sum(axis=1, keepdims=True))

    @property
    def _promised(self) -> Array:  # (points, groups, cells), the points being rates that are promised, if several
        return grid(self._q, self.counts, np.array(self.within)) if self.within else self._q[None]

    @property
    def _telling(self) -> slice:  # of two cells, one says it all
        return slice(1 if len(self.cells) == 2 else None)


def _check(probabilities: npt.ArrayLike, shape: tuple[int, int]) -> Array:
    """The probabilities of counts of `shape`; read-only, so that several tallies may have one array."""
    q = np.array(probabilities, dtype=np.float64)
    if not (q.min() > 0 and q.max() < 1 and (abs(q.sum(-1) - 1) < 1e-9).all()):
        raise ValueError(f"probabilities must lie in (0, 1) and sum to 1 in each row, not {probabilities!r}")
    if q.shape not in (shape, (1, shape[1]), shape[1:]):
        raise ValueError(f"probabilities of shape {q.shape} do not fit counts of shape {shape}")
    return np.broadcast_to(q, shape)


_checked = functools.lru_cache(maxsize=1024)(_check)  # the same few promises are counted chunk after chunk
