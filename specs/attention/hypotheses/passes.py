"""Passes forward and back that show the noise of an output and of one gradient, beside each other.

The gradient of values is the cotangent's, weighed by noise. A score's gradient is its weight, times noise times what
the cotangent gives the key, less the sum of that over the row: which noise a backward pass takes for that sum is left
open, so such rows are compared less their mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from keeprate.specs.attention.hypotheses.clues import RATES, Clues
from keeprate.specs.attention.place import Mask
from keeprate.specs.rounding import Floats


class Back(NamedTuple):
    """One pass.

    Args:
        p: at which it is made.
        forward: (B, H, L, S) what the output multiplied weights by.
        shown: the same, what the gradient shows.
        gives: (L, S) what the cotangent gives a key, where rows are shown less some number; None where they aren't.
    """

    p: float
    forward: Floats
    shown: Floats
    gives: Floats | None = None


class Passes(Clues):
    """Clues, and those that passes give."""

    @cached_property
    def backs(self) -> Mapping[str, Sequence[Back]]:
        """By gradient, passes at several p; heads that share keys add up the gradients of these, and of values."""
        names = self.place.parts if self.place.shared == 1 else self.place.parts[:1]
        found = {name: [one for p in RATES if (one := back(self, name, p))] for name in names}
        return {name: some for name, some in found.items() if len(some) == len(RATES)}

    def end(self, name: str) -> Back | None:
        """A pass at p = 1."""
        return back(self, name, 1.0)


def back(clues: Clues, name: str, p: float) -> Back | None:
    """A pass that shows one gradient; None where it has another shape."""
    place, caller = clues.place, clues.caller()
    queries, keys = place.shape[2:]
    inputs = clues.inputs(caller, size=queries)
    size = inputs[0].shape[-1]
    gives = 1 + np.add.outer(np.arange(queries), np.arange(keys)) % 2 / 2
    cotangent = np.zeros((queries, size))
    cotangent[:, :keys] = gives
    if name == "values":
        cotangent = np.eye(queries, size)
    elif name == "queries":
        inputs[1] = np.array(place.keys_of(np.eye(keys, size)))
    else:
        inputs[0] = np.array(place.queries_of(np.eye(queries, size)))
    out, *gradients = next(caller.passes(inputs, p, np.array(place.queries_of(cotangent))))
    given = gradients[place.parts.index(name)].astype(np.float64)
    across = given[..., :keys] if name == "queries" else given.swapaxes(-1, -2)[:, :, :queries]
    if across.shape != place.shape or out.shape != inputs[0].shape:
        return None
    shown = across / place.weights * (1.0 if name == "values" else math.sqrt(size))
    return Back(p, out[..., :keys].astype(np.float64) / place.weights, shown, None if name == "values" else gives)


def shows(clues: Clues, one: Back, noise: Floats) -> bool:
    """Whether the gradient shows this noise, where keys are seen."""
    if one.gives is None:
        return bool(clues.near(one.shown, noise)[..., clues.place.seen].all())
    return bool(_rows_like(clues, one, noise).all())


def _rows_like(clues: Clues, one: Back, noise: Floats) -> Mask:
    """(B, H, L, 1) the rows that the gradient of a score has for this noise."""
    assert one.gives is not None
    seen, predicted = clues.place.seen, noise * one.gives
    number = seen.sum(axis=1, keepdims=True)
    shown, theirs = (x - (x * seen).sum(axis=-1, keepdims=True) / number for x in (one.shown, predicted))
    room = clues.slack * (1 + np.abs(predicted * seen).max(axis=-1, keepdims=True))
    alike: Mask = ((np.abs(shown - theirs) <= room) | ~seen).all(axis=-1, keepdims=True)
    return alike


def mask_of(clues: Clues, one: Back) -> tuple[Mask, Mask]:
    """What the gradient shows as kept, and where it shows neither kept nor dropped."""
    kept = 1 / (1 - one.p)
    if one.gives is None:
        found = clues.near(one.shown, kept)
        return found, ~(found | (one.shown == 0))
    whole = _rows_like(clues, one, np.full(one.shown.shape, kept))  # in which no key is dropped that shows the sum
    least = np.where(clues.place.seen, one.shown, np.inf).min(axis=-1, keepdims=True)
    noise = np.where(whole, kept, (one.shown - least) / one.gives)
    room = clues.slack * (1 + kept)
    found = np.abs(noise - kept) <= room
    return found, ~(found | (np.abs(noise) <= room)) & clues.place.seen


class Window(NamedTuple):
    """A part of the mask, of the queries or keys that one pass shows.

    Args:
        forward: (B, H, L, S) what the output keeps.
        shown: (B, H, queries, keys) of the part alone, what the gradient shows.
        part: the part's queries and keys.
    """

    forward: Mask
    shown: Floats
    part: tuple[slice, slice]


def windows(clues: Clues, name: str, p: float) -> list[Window]:
    """All of the mask in one gradient, window by window; none where some call doesn't show it."""
    place, caller, found = clues.place, clues.caller(), []
    for window in place.windows(caller.channels):
        turns = window.turns(caller.channels)
        if name not in turns:  # it lies behind the last query or key
            continue
        inputs, cotangent = turns[name]
        out, *gradients = next(caller.passes(inputs, p, cotangent))
        read, shown = place.read(out, p, 1), window.weighed(name, gradients[place.parts.index(name)])
        if read is None or read[1].any() or shown is None:
            return []
        found.append(Window(read[0], shown, window.part(name, inputs[0].shape[-1])))
    return found
