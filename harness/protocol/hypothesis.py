"""A hypothesis: a fault in the form of a law, that predicts what would be counted if it were there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keeprate.harness.evidence.account import Account


@dataclass(frozen=True)
class Hypothesis:
    """A supposed fault, with a function of a sample that says how it fares there.

    Args:
        name: unlike any law's.
        kind: hypotheses of one kind have this in common.
        says: what the backend does, as a sentence goes on after its name; with names in braces of what was found.
        function: from a sample, and the parameter if it takes one, to an account; None where the evidence of what broke
            says all, so that nothing more is drawn.
        laws: those whose breaking it explains.
        diluted: those that it explains if they hold once draws are counted as one that depend on one another, and only
            where no other hypothesis has them as its own.
        vague: another hypothesis is named before it, unless that explains less than half as much.
        consequences: those of its laws that it explains only where no other hypothesis has them as its own.
    """

    name: str
    kind: str
    says: str
    function: Callable[..., Account] | None = None
    laws: frozenset[str] = frozenset()
    diluted: frozenset[str] = frozenset()
    vague: bool = False
    consequences: frozenset[str] = frozenset()

    @property
    def own(self) -> frozenset[str]:
        """Laws that it explains whatever else is accepted."""
        return self.laws - self.consequences

    @property
    def yielded(self) -> frozenset[str]:
        """Laws that it leaves to a hypothesis that has them as its own."""
        return self.consequences | (self.diluted - self.laws)

    def __call__(self, sample: Any, parameter: str = "") -> Account:
        """How it fares in one sample; `parameter` is what follows the colon in its name."""
        assert self.function is not None
        return self.function(sample, parameter) if parameter else self.function(sample)
