"""What a law is: a promise, as data, and the function that counts how it fares in a sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keeprate.harness.evidence.kinds import Evidence


@dataclass(frozen=True)
class Law:
    """A promise, with a pure function of a sample that counts how it fares; made by the decorator `law`.

    Args:
        name: the function's.
        promise: a sentence, as messages and reports print it.
        catches: faults that break it.
        blind_to: what it does not see.
        source: who makes the promise, and in which words.
        function: from a sample, and the parameter if the law takes one, to evidence.
        rests_on: names of laws whose breaking leaves nothing to read here, or wrong things: then this one says nothing
            of its own.
    """

    name: str
    promise: str
    catches: tuple[str, ...]
    blind_to: tuple[str, ...]
    source: str
    function: Callable[..., Evidence]
    rests_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field, value in (("catches", self.catches), ("blind_to", self.blind_to), ("rests_on", self.rests_on)):
            if isinstance(value, str):  # which is a sequence of texts as well, of one character each
                raise TypeError(f"law {self.name}: {field} = {value!r} is one string; write a tuple of strings")

    def __call__(self, sample: Any, parameter: str = "") -> Evidence:
        """What this law says of one sample; `parameter` is what follows the colon in its name."""
        return self.function(sample, parameter) if parameter else self.function(sample)


def law(
    *, promise: str, catches: tuple[str, ...], blind_to: tuple[str, ...], source: str, rests_on: tuple[str, ...] = ()
) -> Callable[[Callable[..., Evidence]], Law]:
    """Makes a law of a function of a sample, under the function's name.

    Args:
        promise: a sentence, as messages and reports print it.
        catches: faults that break it.
        blind_to: what it does not see.
        source: who makes the promise, and in which words.
        rests_on: names of laws whose breaking leaves nothing to read here, or wrong things.

    Returns:
        A decorator, which puts a `Law` in place of the function.

    Raises:
        TypeError: one text stands where a tuple of texts belongs.
    """
    return lambda function: Law(function.__name__, promise, catches, blind_to, source, function, rests_on)
