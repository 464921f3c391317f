"""What a deterministic law returns: how many elements were compared, and the first that is wrong."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from keeprate.harness.untrusted_text import clean


@dataclass(frozen=True)
class Check:
    """Elements that were compared with what they must be.

    Args:
        checked: elements (or calls, for a law about calls) that were compared.
        exact: how many were bit for bit the reference's; the others were off by rounding, or wrong.
        wrong: how many the law does not allow.
        first: the first wrong one, as label and text ("input", "0.5 at (0, 0) gave 1.0989"), in the order to print.
    """

    checked: int
    exact: int
    wrong: int = 0
    first: dict[str, str] = field(default_factory=dict)

    @property
    def broken(self) -> bool:
        """True if at least one element is wrong."""
        return self.wrong > 0

    def __add__(self, other: Check) -> Check:
        """Both checks as one; the earlier counterexample is kept."""
        return Check(
            self.checked + other.checked,
            self.exact + other.exact,
            self.wrong + other.wrong,
            self.first or other.first,
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"type": "check", **asdict(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Check:
        """The inverse of `to_json`."""
        return cls(checked=data["checked"], exact=data["exact"], wrong=data["wrong"], first=dict(data["first"]))


def passed(checked: int = 1) -> Check:
    """A check of `checked` elements that were all exactly right."""
    return Check(checked, checked)


def failed(checked: int = 1, wrong: int = 1, **first: str) -> Check:
    """A check that found `wrong` of `checked` elements wrong; the first as label="text"."""
    return Check(checked, checked - wrong, wrong, {label: clean(text) for label, text in first.items()})
