"""How small a departure each profile is to catch, how many draws that takes, and whose share of the error budget."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from math import prod

from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.masks.every import NAMES as MASK_LAWS
from keeprate.specs.masks.rate import GRID
from keeprate.specs.rounding import DTYPES
from keeprate.suite import Case, Tally, draws_to_detect

MAIN = (0.1, 0.3, 0.5, 0.9)  # the rates that a profile's promise is about; laws that pool p look here
ENDS = (0.001, 0.99, 0.999)  # where rounding hides
RARE = (1e-5, 1e-6)  # one finding an operator: at 10⁻⁶ it takes 2·10⁷ draws to see twenty drops


@dataclass(frozen=True)
class Aim:
    """What a profile catches with probability 0.99, and how much it draws where no departure is promised.

    Args:
        departure: of the keep rate at the main rates.
        part: of the keep rate at the ends, as a part of the rarer outcome's probability, which a departure may exceed.
        calls: small calls, for laws that need many calls and not many entries.
        unchanged: elements at p = 0, none of which may be dropped, and at p = 1, none of which may be kept.
        seeds: that are looked at. Of 12,000 nine pairs give one mask if there are 2²³ in all: none with probability
            0.0002.
        grid: the rates at which contexts besides `eager` and `grad` are looked at.
        narrow: the same in other dtypes than float32.
    """

    departure: float
    part: float
    calls: int
    unchanged: int
    seeds: int = 12_000
    grid: tuple[float, ...] = (*MAIN, *ENDS)
    narrow: tuple[float, ...] = (*MAIN, *ENDS)

    def at(self, p: float) -> float:
        """The departure of the keep rate that is caught at `p`."""
        return self.departure if p in MAIN else min(self.departure, self.part * min(p, 1 - p))


_QUICK = Aim(0.005, 0.5, 300, 10**7, grid=(0.1, 0.9, 0.999), narrow=(0.9, 0.999))
AIMS = {
    "smoke": Aim(0.02, 1.0, 300, 10**6, 1000, (0.1, 0.9, 0.999), (0.9, 0.999)),
    "quick": _QUICK,
    "gate": Aim(0.001, 0.2, 4000, 2 * 10**8),
    "deep": Aim(0.0003, 0.03, 20000, 2 * 10**9),
}
# In every other context, and for the reference: quick's own draws in `gate` and `deep`, a tenth of them in `quick`.
_LESS = Aim(0.005 * 10**0.5, 0.5 * 10**0.5, 50, 10**6)
LESSER = {"smoke": _LESS, "quick": _LESS, "gate": _QUICK, "deep": _QUICK}

OTHERS = (*(name for name in MASK_LAWS if name != "keep_rate"), "data", "moments")
APART = ("first_positions", "no_mask_twice", "no_stretch_twice", "moments")  # with one finding, or no cells
# Shares of the error budget: half to keep_rate, 40 % over the other laws that draw, 5 % to what each shows over all
# operators together, the rest in reserve.
WEIGHTS = {"keep_rate": 0.5, **dict.fromkeys(OTHERS, 0.4 / len(OTHERS))}
TOGETHER = dict.fromkeys((law for law in WEIGHTS if law not in APART), 0.05 / (len(WEIGHTS) - len(APART)))
ALPHA = 1e-6  # the budget that draws are planned for
SHARED = 600  # findings that share the weight of keep_rate, at most: draws are planned for that many


@functools.cache
def draws(p: float, aim: Aim) -> int:
    """Draws that a mask is judged by at `p`, by formula."""
    return draws_to_detect((1 - p, p), aim.at(p), ALPHA * WEIGHTS["keep_rate"] / SHARED)


@functools.cache
def rare_draws(p: float) -> int:
    """Draws in one of all dtypes that tell a rare rate `p` from none at all and from 2.5 times as many."""
    edge = p + GRID  # of what is promised
    share = ALPHA * WEIGHTS["keep_rate"] / SHARED
    return draws_to_detect((1 - edge, edge), 2.5 * p - edge, share, groups=len(DTYPES))


def detects(case: Case, alpha: float) -> float:
    """The smallest departure of the keep rate that `case`, drawn as planned, catches with probability 0.99."""
    p = case.parameters["p"]
    entries = prod(CONTRACTS[case.op].mask_shape(case.shape))
    number = -(-case.draws // entries) * entries
    dropped = round(number * p)
    tally = Tally(("kept", "dropped"), (number - dropped, dropped), (1 - p, p), departure="rate")
    return tally.detectable(alpha)
