"""The first wrong result of a law as data, and the one place where it is put in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keeprate.suite import BackendError, Counterexample, NotOffered, Value, shape_text

NEARLY = 0.01  # of a value, up to which it is that one and rounded, not another


@dataclass(frozen=True)
class Call:
    """What was done: words in which names in braces stand for what was given, so that nobody reads it out of them."""

    text: str = ""
    given: Mapping[str, Value] = field(default_factory=dict)

    def __str__(self) -> str:
        text = self.text
        for name, value in self.given.items():
            text = text.replace(f"{{{name}}}", shape_text(value) if isinstance(value, tuple) else str(value))
        return text

    def then(self, text: str) -> Call:
        """The same, with something more to say."""
        return Call(self.text + text, self.given)

    def after(self, text: str, **given: Value) -> Call:
        """The same, with something to say before."""
        return Call(text + self.text, {**given, **self.given})


def call(text: str, **given: Value) -> Call:
    """A call, as `Call` has it."""
    return Call(
        text, {name: str(x) if isinstance(x, float) and not math.isfinite(x) else x for name, x in given.items()}
    )


def mode(train: bool) -> str:
    """The mode in a word."""
    return "training" if train else "evaluation"


def plain(p: float) -> float:
    """`p` as messages write it: 1 and not 1.0."""
    return int(p) if p == int(p) else p


def wrong_value(call: Call, x: float, at: tuple[int, ...], y: float, kept: float, dropped: float) -> Counterexample:
    """An element that is neither of the two that PyTorch gives; `at` is its index."""
    place = f" at ({', '.join(map(str, at))})" if at else ""
    only = kept == dropped or (math.isnan(kept) and math.isnan(dropped))
    allowed = (kept,) if only else (kept, dropped)
    gave, *texts = _told_apart(y, *allowed)
    return _told(
        call,
        f"input {number(x)}{place} gave {gave}{_off(y, kept)}",
        texts[0] if only else f"kept {texts[0]}, dropped {texts[1]}",
        gave="value",
        input=_value(x),
        at=at,
        output=_value(y),
        allowed=tuple(map(_value, allowed)),
    )


def wrong_shape(call: Call, gave: tuple[int, ...], given: tuple[int, ...]) -> Counterexample:
    """An output whose shape is not its input's."""
    first = f"shape {gave} for an input of shape {given}"
    return _told(call, first, gave="another shape", output=gave, allowed=(given,))


def wrong_dtype(call: Call, gave: str, given: str) -> Counterexample:
    """An output, or a gradient, whose dtype is not its input's."""
    return _told(call, f"{given} came back as {gave}", gave="another dtype", output=gave, allowed=(given,))


def raised(call: Call, error: BackendError | NotOffered, reference: str = "") -> Counterexample:
    """A call that raised; `reference` says what PyTorch does, if that is worth a word."""
    kind = error.kind if isinstance(error, BackendError) else ""
    return _told(call, str(error), reference, gave="an exception", output=kind)


def taken(call: Call) -> Counterexample:
    """A call that PyTorch refuses."""
    return _told(call, "was taken, and gave a result", "refuses it", gave="a result")


def wrong_mask(call: Call, gave: str, other: Call | None = None) -> Counterexample:
    """A mask that is, or is not, that of another call: `gave` says which ("the same mask as")."""
    if other is None:
        return _told(call, gave, gave=gave)
    return _told(call, f"{gave} {other}", gave=gave, output=str(other))


def rarely_kept(call: Call, kept: float, p: float) -> Counterexample:
    """A mask that is too often kept, or not often enough."""
    return wrong_mask(call, f"{kept:.2%} were kept where {1 - p:.0%} are to be")


def no_mask(call: Call) -> Counterexample:
    """An output that shows no mask."""
    return _told(call, "an output of another shape than its input", gave="another shape")


def torn(at: tuple[int, ...], call: Call | None = None) -> Counterexample:
    """A channel, by its index, that has no one mask."""
    return _told(
        call or Call(), f"channel {at} is kept in one place and dropped in another", gave="a torn channel", at=at
    )


def shared(axis: int, call: Call) -> Counterexample:
    """A mask that is one along an axis."""
    return _told(call, f"all along axis {axis} have one mask", gave="a mask shared along an axis", at=(axis,))


def _told_apart(y: float, *others: float) -> list[str]:
    """Numbers with eight digits, or as many as tell the first from the others."""
    for digits in range(8, 18):
        first, *texts = (f"{float(value):.{digits}g}" for value in (y, *others))
        if first not in texts:
            break
    return [first, *texts]


def _off(y: float, kept: float) -> str:
    """By how much of it a value that is nearly the kept one is off; empty where it is another."""
    off = abs(y / kept - 1) if kept and math.isfinite(y) and math.isfinite(kept) else 0.0
    return f", off by {off:.1e} of it" if 0 < off < NEARLY else ""


def number(value: float) -> str:
    """A value as messages write it: eight significant digits."""
    return f"{float(value):.8g}"


def _value(value: float) -> Value:
    """The same for JSON, which knows neither NaN nor infinities."""
    return float(number(value)) if math.isfinite(value) else number(value)


def _told(call: Call, first: str, reference: str = "", **data: Any) -> Counterexample:
    texts = {"call": str(call), "first": first, "PyTorch": reference}
    words = {label: text for label, text in texts.items() if text}
    return Counterexample(words, call.text, dict(call.given), **data)
