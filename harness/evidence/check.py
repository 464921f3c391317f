"""What a deterministic law returns: how many elements were compared, and the first that is wrong."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from keeprate.harness.evidence.counterexample import Counterexample
from keeprate.harness.evidence.decoding import converted
from keeprate.harness.evidence.kinds import Count, Evidence, Rows, evidence_kind
from keeprate.harness.untrusted_text import clean


@evidence_kind("check")
class Check(Evidence, msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="check"):
    """Elements that were compared with what they must be.

    Attributes:
        checked: elements (or calls, for a law about calls) that were compared.
        exact: how many were bit for bit the reference's; the others were off by rounding, or wrong.
        wrong: how many the law does not allow.
        first: the first wrong one.
        remark: what is worth a word though nothing is wrong; part of the form, which a ledger without it has as well.
    """

    amounts: ClassVar[tuple[str, ...]] = ("checked", "exact", "wrong")
    of_a_run: ClassVar[tuple[str, ...]] = ("first",)
    is_exact: ClassVar[bool] = True

    checked: Count
    exact: Count
    wrong: Count = 0
    first: Counterexample | None = None
    remark: str | None = None

    @property
    def n(self) -> int:
        """Elements that were compared."""
        return self.checked

    @property
    def share(self) -> float:
        """The part that is wrong."""
        return self.wrong / max(1, self.checked)

    @property
    def strength(self) -> float:
        """Elements that are wrong."""
        return float(self.wrong)

    @property
    def alike(self) -> tuple[Hashable, ...]:
        """Any two checks can be pooled."""
        return (self.kind,)

    @property
    def broken(self) -> bool:
        """True if at least one element is wrong."""
        return self.wrong > 0

    def reaches(self, threshold: float) -> bool:
        """True if at least one element is wrong."""
        return self.broken

    def __add__(self, other: Check) -> Check:
        """Both checks as one; the earlier counterexample and remark are kept."""
        if not isinstance(other, Check):
            return NotImplemented
        return Check(
            self.checked + other.checked,
            self.exact + other.exact,
            self.wrong + other.wrong,
            self.first or other.first,
            self.remark or other.remark,
        )

    @classmethod
    def pool(cls, parts: Sequence[Check], labels: Sequence[str], planned: int = 0) -> Check:
        """All checks as one."""
        return sum(parts[1:], parts[0])

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data if self.remark else {name: value for name, value in data.items() if name != "remark"}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Check:
        """The inverse of `to_json`; raises ValueError for what is none."""
        return converted(data, cls)

    @property
    def where(self) -> str:
        """The counterexample in one line."""
        return " ".join(self.first.words.values()) if self.first else ""

    @property
    def detail(self) -> dict[str, Any]:
        """How many were compared, the counterexample, and a remark if there is one."""
        counts = {"checked": self.checked, "exact": self.exact, "wrong": self.wrong}
        first, remark = self.first, {"remark": self.remark} if self.remark else {}
        data = {"first": first.words if first else None, "counterexample": first.data() if first else None}
        return {**counts, **data, **remark}

    def rows(self, level: float) -> Rows:
        """How many are wrong, and the counterexample."""
        wrong = "wrong", f"{self.wrong:,} of {self.checked:,} ({100 * self.share:.3g} %)"
        return [wrong, *(self.first.words.items() if self.first else ())]


def passed(checked: int = 1) -> Check:
    """A check of elements that were all exactly right.

    Args:
        checked: how many.
    """
    return Check(checked, checked)


def failed(checked: int = 1, wrong: int = 1, first: Counterexample | None = None, /, **words: str) -> Check:
    """A check that found elements wrong.

    Args:
        checked: how many were compared.
        wrong: how many of them the law doesn't allow.
        first: the first of these as data; unless given, in words alone.
        words: these words, as label="text".
    """
    first = first or Counterexample(words)
    told = {label: clean(text) for label, text in first.words.items()}
    return Check(checked, checked - wrong, wrong, msgspec.structs.replace(first, words=told))
