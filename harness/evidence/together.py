"""What many tallies of one law show together: a departure that all share, too small for each of them.

Likelihood ratios of independent draws multiply: so do those of the dense halves at a common concentration, and the
product, averaged over concentrations, is an e-value again, and a martingale as draws are added to any of the tallies. A
law may count in several ways, over the same draws: of these the products are averaged, over all that the plan has.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from keeprate.harness.evidence.likelihood import DENSE, log_mean
from keeprate.harness.evidence.tally import Tally

_SLIGHT = 0.01  # of a cell's probability, and of the others': a larger departure isn't taken to be common to all
_SIZES = np.geomspace(1e-8, 0.5, 600)  # of departures: 3 % apart


class Together(Tally):
    """All draws of a law as one group of two cells: the cell that is furthest off in all, and the others.

    Its e-value is that of the tallies, and not of the sum. The estimate and its interval are of the sum, to which a
    binomial law is fair: the sum of many probabilities spreads less than one of them (Hoeffding 1956).

    Args:
        ways: the tallies of each way of counting, by its label, one at least.
        planned: how many ways there are.
    """

    def __init__(self, ways: Mapping[str, Sequence[Tally]], planned: int) -> None:
        """Adds up the tallies of the way that shows most."""
        self.ratios_of = [np.sum([one.ratios for one in tallies], axis=0) for tallies in ways.values()]
        self.ways = planned
        clearest = max(range(len(ways)), key=lambda way: log_mean(self.ratios_of[way], DENSE.size))
        self.way, tallies = list(ways.items())[clearest]
        tallies = [one for one in tallies if one.cells == tallies[0].cells]  # what is told is of these
        counts, q = (np.concatenate([getattr(one, name) for one in tallies]) for name in ("counts", "probabilities"))
        draws = counts.sum(axis=1, keepdims=True)
        off, variance = (counts - draws * q).sum(axis=0), (draws * q * (1 - q)).sum(axis=0)
        residuals = abs(off) / np.sqrt(np.maximum(variance, 1e-300))
        cells, cell = tallies[0].cells, int(residuals[tallies[0]._telling].argmax())
        seen, total = int(counts[:, cell].sum()), int(draws.sum())
        share = float(np.average(q[:, cell], weights=draws[:, 0] + 1e-9))  # and not of nothing, if nothing was drawn
        # As many groups are planned as there are cells to choose from: then the interval is of the sum alone.
        sum_of_all = (cells[cell], "others"), (seen, total - seen), (share, 1 - share)
        super().__init__(*sum_of_all, departure="rate", planned=len(cells))
        self.draws, self.q, self.freedom = draws, q[:, [cell]], len(cells) - 1

    @cached_property
    def log10_e(self) -> float:
        """Log10 of the evidence of all tallies."""
        each = [log_mean(ratios, DENSE.size) for ratios in self.ratios_of]
        return log_mean(np.array(each), self.ways) / math.log(10)

    @property
    def log10_e_bound(self) -> float:
        """The same: there is no cheaper bound."""
        return self.log10_e

    @property
    def p_value(self) -> float:
        """Of the cell, which was chosen among all."""
        return min(1.0, super().p_value * self.freedom)

    @property
    def is_composite(self) -> bool:
        """True, for it is of many places."""
        return True

    @property
    def where(self) -> str:
        """Which way of counting shows most, and in how many places."""
        return f"{self.way}, in {len(self.draws):,} places together, {self.cells[0]}"

    def detectable(self, alpha: float, power: float = 0.99) -> float:
        """The smallest change of the cell's probability, the same in all places, that is caught at `alpha`.

        Where the change would not be slight it is taken to be absent. By a normal approximation of the counts, and an
        inequality for the sums of squares that follow (Birgé 2001), which is never optimistic. 1.0: nothing is
        detectable.
        """
        places, times = np.unique(np.concatenate([self.draws, self.q], axis=1), axis=0, return_counts=True)
        draws, q, times, freedom = places[:, :1], places[:, 1:], times[:, None], self.freedom
        threshold = math.log(DENSE.size * self.ways) - math.log(alpha)
        ratio = draws / ((freedom + 1) * DENSE + 1)  # the variance of an alternative over that of what is seen
        weight = ratio / (1 + ratio)
        for size in _SIZES.tolist():
            off = np.where(size <= _SLIGHT * np.minimum(q, 1 - q), draws * size**2 / (q * (1 - q)), 0.0)
            mean = (times * (weight * (freedom + off) - freedom * np.log1p(ratio))).sum(axis=0) / 2
            spread = np.sqrt(-math.log(1 - power) * (times * weight**2 * (freedom + 2 * off)).sum(axis=0))
            if (mean - spread).max() >= threshold:
                return float(size)
        return 1.0
