"""Every law that judges any Bernoulli mask."""

from __future__ import annotations

from keeprate.specs.masks import independence, linear, rate, search, stretches
from keeprate.suite import Law

LAWS: tuple[Law, ...] = tuple(law for module in (rate, independence, linear, stretches, search) for law in module.laws)
NAMES = tuple(law.name for law in LAWS)
