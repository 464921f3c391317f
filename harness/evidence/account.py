"""What testing a hypothesis returns: how it fares, and how the promise fares, on the same draws."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from keeprate.harness.evidence.counterexample import Finite, Value
from keeprate.harness.evidence.decoding import converted
from keeprate.harness.evidence.kinds import Count, Evidence, Rows, evidence_kind

ENOUGH = 3.0  # log10 e from which on a hypothesis, or a promise, is given up
NEVER = 999.0  # log10 e of what can't be, as of an exact hypothesis that one element contradicts
Line = Annotated[str, Meta(max_length=400)]


@evidence_kind("account")
class Account(Evidence, msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="account"):
    """How a fault that is supposed fares on some draws.

    Args:
        looked_at: entries, elements or calls that it speaks of.
        log10_e: evidence against the hypothesis.
        promise: evidence against the promise, from the same draws.
        seen: what was counted, in words.
        given: values for the names in braces of the hypothesis' sentence.
        picture: rows of 1 and 0 that show it; empty where none do.
        design: how many draws count as one, where they depend on one another.
    """

    amounts: ClassVar[tuple[str, ...]] = ("looked_at",)
    of_a_run: ClassVar[tuple[str, ...]] = ("log10_e", "promise", "seen", "given", "picture", "design")

    looked_at: Count
    log10_e: Finite
    promise: Finite
    seen: Line = ""
    given: dict[str, Value] = {}
    picture: tuple[Annotated[str, Meta(pattern="^[01]*$", max_length=64)], ...] = ()
    design: Finite = 1.0

    @property
    def accepted(self) -> bool:
        """True if the promise is broken, and the hypothesis is not."""
        return self.looked_at > 0 and self.promise >= ENOUGH > self.log10_e

    @property
    def contradicted(self) -> bool:
        """True if both the promise and the hypothesis are broken."""
        return self.looked_at > 0 and min(self.promise, self.log10_e) >= ENOUGH

    @property
    def n(self) -> int:
        """Entries that it speaks of."""
        return self.looked_at

    @property
    def strength(self) -> float:
        """Evidence against the promise."""
        return self.promise

    @property
    def alike(self) -> tuple[Hashable, ...]:
        """Any two are of one kind."""
        return (self.kind,)

    def reaches(self, threshold: float) -> bool:
        """False: it decides nothing."""
        return False

    def __add__(self, other: Account) -> Account:
        """Both as one: what speaks against either speaks against both."""
        if not isinstance(other, Account):
            return NotImplemented
        return msgspec.structs.replace(
            self,
            looked_at=self.looked_at + other.looked_at,
            log10_e=max(self.log10_e, other.log10_e),
            promise=max(self.promise, other.promise),
        )

    @classmethod
    def pool(cls, parts: Sequence[Account], labels: Sequence[str], planned: int = 0) -> Account:
        """All as one."""
        return sum(parts[1:], parts[0])

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Account:
        """The inverse of `to_json`; raises ValueError for what is none."""
        return converted(data, cls)

    @property
    def where(self) -> str:
        """What was counted."""
        return self.seen

    @property
    def detail(self) -> dict[str, Any] | None:
        """Nothing: no finding rests on it."""
        return None

    def rows(self, level: float) -> Rows:
        """What was counted."""
        return [("seen", self.seen)]
