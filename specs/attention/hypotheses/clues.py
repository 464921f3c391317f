"""What hypotheses look at: fresh calls in one place and context, each kind of them made when first asked for.

Values are the unit vectors of the keys, so an output is its row of weights after dropout. Scores are zero, so a weight
is one over the number of keys that are seen, times what dropout multiplied it by: its *noise*, 0 or 1/(1 − p).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from keeprate.specs.attention import reference
from keeprate.specs.attention.caller import Caller
from keeprate.specs.attention.place import HALF, ROUNDINGS, Mask, Place
from keeprate.specs.rounding import Floats
from keeprate.suite import Case, Unreadable

EVEN = 0.5  # the p of masks that are compared with one another: two agree least often
RATES = (0.1, 0.3, 0.9)  # at which values are looked at
CALLS = 12


class Back(NamedTuple):
    """A pass forward and back: the noise of its output and of its gradient of values, p, and other gradients.

    Args:
        forward: (B, H, L, S)
        backward: the same; None where heads share keys, and so are added up.
        scores: by name, the gradient of queries or keys beside what it is without a mask, both ways of computing it.
    """

    p: float
    forward: Floats
    backward: Floats | None
    scores: dict[str, tuple[Floats, tuple[Floats, ...]]]


class Clues:
    """Attention of one backend in one place and context."""

    where = staticmethod(Place.of)

    def __init__(self, case: Case, backend: Any, seed: int) -> None:
        self.place, self.backend, self.context = self.where(case), backend, case.context
        self.random = np.random.default_rng(seed)
        self.backward = "checkpoint" in case.context or case.context == "grad"

    def caller(self, seed: int | None = None, context: str = "") -> Caller:
        """A fresh one, seeded."""
        caller = Caller(self.backend, self.place, context or self.context)
        caller.seed(int(self.random.integers(1 << 30)) if seed is None else seed)
        return caller

    def inputs(self, caller: Caller, of: float = 0.0, *, size: int = 0) -> list[Floats]:
        """Queries and keys, that are zero or random numbers of that size, and unit vectors as values."""
        batch, heads, queries, keys = self.place.shape
        size = caller.channels(max(keys, size))
        shapes = (batch, heads, queries, size), (batch, self.place.groups, keys, size)
        drawn = [reference.rounded(of * self.random.normal(size=shape), self.place.dtype) for shape in shapes]
        return [*drawn, np.array(self.place.keys_of(np.eye(keys, size)))]

    def outputs(self, caller: Caller, inputs: Sequence[Floats], p: float, train: bool = True) -> Iterator[Floats]:
        """Outputs, off a pass where calls alone don't show the context."""
        if self.backward and train:
            outputs: Iterator[Any] = (out for out, *_ in caller.passes(inputs, p, np.ones(inputs[0].shape)))
        else:
            outputs = caller.outputs(caller.given(*inputs), p, train)
        for out in outputs:
            if out.shape != inputs[0].shape:
                raise Unreadable("an output of another shape")
            yield out[..., : self.place.shape[3]].astype(np.float64)

    def noise(self, p: float, number: int = 1, caller: Caller | None = None, train: bool = True) -> Floats:
        """(calls, B, H, L, S) what each weight was multiplied by in so many calls."""
        caller = caller or self.caller()
        made = [*islice(self.outputs(caller, self.inputs(caller), p, train), number)]
        return np.array(made) / self.place.weights

    def near(self, one: npt.ArrayLike, other: npt.ArrayLike) -> Mask:
        """Where two are one number, but for rounding."""
        one, other = np.asarray(one), np.asarray(other)
        slack = ROUNDINGS[self.place.dtype] * HALF[self.place.dtype]
        alike: Mask = np.abs(one - other) <= slack * np.maximum(np.abs(other), 1e-3)
        return alike

    @cached_property
    def masks(self) -> Mask:
        """(calls, B, H, L, S) what is kept."""
        masks: Mask = self.noise(EVEN, CALLS) != 0
        if not 0.05 < masks[..., self.place.seen].mean() < 0.95:
            raise Unreadable("nearly all is kept, or dropped")
        return masks

    def after(self, seed: int, number: int = 1) -> Mask:
        """(calls, entries) masks of the first calls after a seed."""
        masks: Mask = (self.noise(EVEN, number, self.caller(seed)) != 0)[..., self.place.seen]
        if not 0.05 < masks.mean() < 0.95:
            raise Unreadable("nearly all is kept, or dropped")
        return masks.reshape(number, -1)

    @cached_property
    def values(self) -> dict[float, Floats]:
        """Noise at several p."""
        return {p: self.noise(p) for p in RATES}

    @cached_property
    def passes(self) -> list[Back]:
        """A pass forward and back at several p."""
        return [self._pass(p) for p in RATES]

    def _pass(self, p: float) -> Back:
        queries, keys = self.place.shape[2:]
        caller, weights = self.caller(), self.place.weights
        inputs = self.inputs(caller, size=queries)
        size = inputs[0].shape[-1]
        out, *gradients = next(caller.passes(inputs, p, np.array(self.place.queries_of(np.eye(queries, size)))))
        backward = None
        if self.place.shared == 1:
            across = gradients[2].swapaxes(-1, -2)[:, :, :queries].astype(np.float64)
            if across.shape == self.place.shape:
                backward = across / weights
        forward = out[..., :keys].astype(np.float64) / weights
        return Back(p, forward, backward, {name: self._scores(p, name) for name in ("queries", "keys")})

    def _scores(self, p: float, name: str) -> tuple[Floats, tuple[Floats, ...]]:
        """The gradient of queries, for which they alone are zero, or of keys."""
        caller, place = self.caller(), self.place
        queries, keys, values = self.inputs(caller, 1.0)
        queries, keys = (0 * queries, keys) if name == "queries" else (queries, 0 * keys)
        ct = reference.rounded(self.random.normal(size=queries.shape), place.dtype)
        out, *gradients = next(caller.passes([queries, keys, values], p, ct))
        shown = gradients[name == "keys"].astype(np.float64)
        times = place.shared
        by_weight = ct @ np.repeat(values, times, axis=1).swapaxes(-1, -2)
        whole = place.weights * place.seen
        found = []
        for noise in (np.ones(place.shape), out[..., : place.shape[3]] / place.weights):  # in the sum over a row
            rows = (by_weight * noise * whole).sum(axis=-1, keepdims=True)
            of_scores = whole * (by_weight - rows) / np.sqrt(ct.shape[-1])
            if name == "queries":
                found.append(of_scores @ np.repeat(keys, times, axis=1))
            else:
                each = of_scores.swapaxes(-1, -2) @ queries
                found.append(each.reshape(*each.shape[:1], -1, times, *each.shape[2:]).sum(axis=2))
        return shown, tuple(found)
