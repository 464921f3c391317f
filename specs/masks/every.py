"""Every law that judges any Bernoulli mask, and of what kind it is; what needs no statistics comes before all rates."""

from __future__ import annotations

from keeprate.specs.masks import independence, linear, rate, search, slices, stretches
from keeprate.suite import Law

MODULES = (slices, rate, independence, linear, stretches, search)
LAWS: tuple[Law, ...] = tuple(law for module in MODULES for law in module.laws)
NAMES = tuple(law.name for law in LAWS)
COUNTED = frozenset({law.name for law in rate.laws} - {"spread"})  # what counts entries, as if each were a draw
DEPENDENCE = frozenset(NAMES) - COUNTED
