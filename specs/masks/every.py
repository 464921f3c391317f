"""Every law that judges any Bernoulli mask, and of what kind it is."""

from __future__ import annotations

from keeprate.specs.masks import independence, linear, rate, search, stretches
from keeprate.suite import Law

LAWS: tuple[Law, ...] = tuple(law for module in (rate, independence, linear, stretches, search) for law in module.laws)
NAMES = tuple(law.name for law in LAWS)
COUNTED = frozenset({law.name for law in rate.laws} - {"spread"})  # what counts entries, as if each were a draw
DEPENDENCE = frozenset(NAMES) - COUNTED
