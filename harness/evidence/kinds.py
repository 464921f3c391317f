"""What evidence is: how it adds up, decides, and is told; and the kinds of it, each in a file of its own.

A kind is a class that says all that `Evidence` asks, entered under its name by `evidence_kind`; a suite's module may
enter others. What travels and what a ledger keeps is a kind's own JSON, and nobody else asks which kind he holds.
"""

from __future__ import annotations

import inspect
import math
from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, NamedTuple, Self, TypeVar

import numpy as np
from msgspec import Meta

from keeprate.harness.evidence.counterexample import Counterexample

Count = Annotated[int, Meta(ge=0, le=10**15)]  # more than a century of draws
Rows = list[tuple[str, str]]  # labels and texts
NUMBERS = (  # of the public JSON, in its order
    *("statistic", "p_value", "log10_e", "threshold_log10_e", "n", "estimate", "expected", "interval", "detectable"),
)
UNTOLD = 0.99  # a p-value that tells nothing beside an e-value
DIGITS = 6  # significant digits of what is derived: fewer than what differs between machines


class Interval(NamedTuple):
    """A closed interval.

    Args:
        low, high: its ends, in the units of what it is about.
    """

    low: float
    high: float


class Evidence:
    """What a law found in the samples of a case; immutable, and equal if all of it is.

    A class and no `typing.Protocol`, for what comes off a wire is checked to be one, and Python would compute every
    property of a protocol to see that it is there.

    Attributes:
        kind: its name, in the JSON's `type`; set by `evidence_kind`.
        amounts: names in its JSON that add over samples: whole numbers, or lists of them.
        of_a_run: names in its JSON that are neither an amount nor the same in every run; the earlier run's stays.
        is_exact: one counterexample breaks a promise, whatever its threshold, and so does having looked at nothing.

    Arguments of the methods:
        threshold: log10 of the e-value from which on evidence breaks its promise, if an e-value decides.
        data: what `to_json` gave.
        level, peak: as in `Effect`.
    """

    __slots__ = ()
    kind: ClassVar[str]
    amounts: ClassVar[tuple[str, ...]]
    of_a_run: ClassVar[tuple[str, ...]] = ()
    is_exact: ClassVar[bool] = False

    @property
    @abstractmethod
    def n(self) -> int:
        """How much was looked at: draws, or elements that were compared."""

    @property
    @abstractmethod
    def strength(self) -> float:
        """How clearly it speaks against its promise, among evidence of the same finding."""

    @property
    @abstractmethod
    def alike(self) -> tuple[Hashable, ...]:
        """What the evidence of two cases has in common if it can be pooled."""

    @abstractmethod
    def reaches(self, threshold: float) -> bool:
        """Whether it breaks its promise."""

    @abstractmethod
    def __add__(self, other: Self) -> Self:
        """The evidence of both samples of one case.

        Raises:
            ValueError: they are not of one case, for what never changes differs.
            TypeError: they are of two kinds.
        """

    @classmethod
    @abstractmethod
    def pool(cls, parts: Sequence[Self], labels: Sequence[str], planned: int = 0) -> Self:
        """The evidence of several cases of one finding.

        Args:
            parts: the evidence of each case, one at least.
            labels: a text for each, which tells them apart.
            planned: how many cases the plan has; what it averages over must not depend on which of them were drawn.
        """

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """As JSON values, with its name under `type`."""

    @classmethod
    @abstractmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse, for JSON that anyone may have written.

        Raises:
            ValueError: it is not evidence of this kind, or counts what can't be.
        """

    @property
    @abstractmethod
    def where(self) -> str:
        """Where it is furthest from its promise, or what is wrong first, in one line."""

    @property
    def first(self) -> Counterexample | None:
        """The first counterexample; None where there is none, or no one result is wrong."""
        return None

    @property
    @abstractmethod
    def detail(self) -> dict[str, Any] | None:
        """What the public JSON has under `detail`, as harness/verdict.schema.json allows; None for nothing."""

    @abstractmethod
    def rows(self, level: float) -> Rows:
        """It in words."""

    def effect(self, level: float, peak: float = -math.inf) -> Effect | None:
        """Its public numbers; None where no e-value decides."""
        return None

    def table(self) -> list[tuple[str, ...]]:
        """From close by: headings, then rows, what is furthest off first; empty where there is no more to see."""
        return []


class Statistic(Evidence):
    """Evidence whose e-value decides; valid whenever one looks, by Ville's inequality (1939)."""

    __slots__ = ()

    @property
    @abstractmethod
    def log10_e(self) -> float:
        """Log10 of the evidence against the promise: broken at alpha from -log10(alpha) on. 0 of no draws."""

    @property
    def log10_e_bound(self) -> float:
        """What `log10_e` is not above: cheaper, where there is a cheaper bound than itself."""
        return self.log10_e

    @property
    @abstractmethod
    def statistic(self) -> float:
        """Of a test that people know."""

    @property
    @abstractmethod
    def p_value(self) -> float:
        """For people; no verdict rests on it."""

    @property
    @abstractmethod
    def estimate(self) -> float:
        """What was seen, where it is furthest from the promise; nan where nothing was."""

    @property
    @abstractmethod
    def expected(self) -> float:
        """What is promised there."""

    @property
    @abstractmethod
    def is_composite(self) -> bool:
        """True if the estimate is of one place among several."""

    @abstractmethod
    def interval(self, alpha: float) -> Interval:
        """All values there that are not rejected, valid whenever one looks (a confidence sequence).

        Args:
            alpha: a probability: that the interval ever misses the true value.
        """

    @abstractmethod
    def detectable(self, alpha: float) -> float:
        """The smallest departure that so many draws catch (the minimum detectable effect).

        Args:
            alpha: a probability, the share of the error budget.
            power: where a kind takes it, the probability of catching it; else 0.99.
        """

    @property
    def off(self) -> float:
        """How far all of it is off, with a sign that doesn't depend on which place is the furthest."""
        return self.estimate - self.expected

    @property
    def strength(self) -> float:
        """Log10 of the evidence."""
        return self.log10_e

    def reaches(self, threshold: float) -> bool:
        """Whether its e-value is large enough."""
        return threshold < math.inf and self.log10_e_bound >= threshold and self.log10_e >= threshold

    @property
    def detail(self) -> dict[str, Any] | None:
        """Where it is furthest off, if that needs to be said."""
        return {"where": self.where} if self.is_composite else None

    def effect(self, level: float, peak: float = -math.inf) -> Effect:
        """Its public numbers."""
        return Effect(self, level, peak)

    def rows(self, level: float) -> Rows:
        """Where it is furthest off, what was promised and seen there, by how much, and how sure that is."""
        return self.effect(level).rows()


def _rounded(name: str) -> cached_property[float]:
    """One of the numbers of a `Statistic`, as people read it."""
    return cached_property(lambda effect: _round(getattr(effect.of, name)))


@dataclass(frozen=True)
class Effect:
    """How far what was seen is from what was promised: numbers that are rounded for people, and decide nothing.

    Each is computed when it is asked for, for an interval takes longer than a verdict.

    Args:
        level: the finding's share of the error budget, as a probability.
        peak: log10 e that it was broken with before, for it stays so.
    """

    of: Statistic
    level: float
    peak: float

    statistic = _rounded("statistic")
    p_value = _rounded("p_value")
    estimate = _rounded("estimate")
    expected = _rounded("expected")

    @property
    def n(self) -> int:
        """Draws."""
        return self.of.n

    @cached_property
    def log10_e(self) -> float:
        """Log10 of the evidence against the promise: the most there has been, where that was enough."""
        return _round(max(self.peak, self.of.log10_e))

    @cached_property
    def threshold_log10_e(self) -> float:
        """Log10 of the e-value from which on it is broken."""
        return _round(-math.log10(self.level))

    @cached_property
    def interval(self) -> Interval:
        """What can't be excluded there."""
        return Interval(*map(_round, self.of.interval(self.level)))

    @cached_property
    def detectable(self) -> float:
        """The smallest departure that would have been caught."""
        return _round(self.of.detectable(self.level))

    @property
    def part(self) -> float:
        """Log10 of the evidence, as a part of what breaks the promise."""
        return self.log10_e / self.threshold_log10_e

    def rows(self) -> Rows:
        """All of it in words."""
        (low, high), off = self.interval, self.estimate - self.expected
        times = f"{plain(abs(off) / self.detectable)} times what would still be caught here" if self.detectable else ""
        p_value = f"; p = {self.p_value:.2g}" if self.p_value else "; p < 1e-300"
        if self.p_value > UNTOLD:  # as where no degree of freedom is left
            p_value = ""
        return [
            *([("where", self.of.where)] if self.of.is_composite else []),
            ("promised", f"{self.expected:.6g}"),
            ("seen", f"{self.estimate:.6g}   between {low:.6g} and {high:.6g}, in {self.n:,} draws"),
            ("off by", f"{off:+.3g}   {times} ({self.detectable:.2g})" if times else f"{off:+.3g}"),
            ("evidence", f"log10 e = {self.log10_e:.1f}, broken from {self.threshold_log10_e:.1f} on{p_value}"),
        ]


def _round(value: float) -> float:
    """`value` to the digits that the JSON has, which knows neither infinity nor NaN: an estimate of no draws is 0."""
    return float(f"{np.nan_to_num(value):.{DIGITS}g}")


def group_labels(labels: Sequence[str], groups: Sequence[tuple[str, ...]], sizes: Sequence[int]) -> tuple[str, ...]:
    """Labels of pooled groups: each part's, then its group's own, or a number where there are several."""
    names: list[str] = []
    for label, own, size in zip(labels, groups, sizes, strict=True):
        inner = own or tuple(f"group {i}" if size > 1 else "" for i in range(size))
        names += [f"{label} {name}".strip() for name in inner]
    return tuple(names)


def plain(number: float) -> str:
    """Two digits, without a power of ten."""
    return f"{float(f'{number:.2g}'):,.10g}"


KINDS: dict[str, type[Evidence]] = {}
Kind = TypeVar("Kind", bound=type[Evidence])


def evidence_kind(name: str) -> Callable[[Kind], Kind]:
    """Enters a class as a kind of evidence.

    Args:
        name: what the JSON of its evidence has under `type`.

    Raises:
        ValueError: another class has that name.
        TypeError: the class leaves out something that a kind must say.
    """

    def enter(cls: Kind) -> Kind:
        if (other := KINDS.get(name, cls)).__qualname__ != cls.__qualname__:  # else its file is loaded again
            raise ValueError(f"evidence of kind '{name}' is {other.__module__}.{other.__qualname__} already")
        members = ((text, inspect.getattr_static(cls, text)) for text in dir(cls))
        lacking = [text for text, member in members if getattr(member, "__isabstractmethod__", False)]
        if lacking or not hasattr(cls, "amounts"):
            raise TypeError(f"{cls.__name__} is not a kind of evidence: it lacks {', '.join(lacking) or 'amounts'}")
        cls.kind = name
        KINDS[name] = cls
        return cls

    return enter
