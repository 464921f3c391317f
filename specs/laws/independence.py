"""Entries of one mask are independent of one another."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from harness.suite import law
from harness.tally import Tally

if TYPE_CHECKING:  # the samples need PyTorch, the laws themselves do not
    from specs.sample import Masks

PAIR = ("both kept", "one kept", "none kept")


def pair_probabilities(p: float) -> tuple[float, float, float]:
    """Of `PAIR`, for two independent entries."""
    q = 1 - p
    return q * q, 2 * q * p, p * p


@law(source="torch.nn.functional.dropout: independent Bernoulli samples for each element or channel")
def neighbours(sample: Masks, lag: str) -> Tally:
    """Entries some way apart, along the flat order or along an axis, are kept independently.

    Counts disjoint pairs of entries: both kept, one, none. Catches a mask shared by the samples of a batch, one draw
    used for several entries, rows seeded alike. Blind to correlations at distances that are not looked at.
    """
    mask = sample.mask
    distance = prod(mask.shape[int(lag.removeprefix("axis")) + 1 :]) if lag.startswith("axis") else int(lag)
    return Tally(PAIR, mask.pairs(distance), pair_probabilities(sample.p), departure="correlation")
