"""What hypotheses look at: fresh calls in one place and context, each kind of them made when first asked for.

Values are the unit vectors of the keys, so an output is its row of weights after dropout. Scores are zero, so a weight
is one over the number of keys that are seen, times what dropout multiplied it by: its *noise*, 0 or 1/(1 − p).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from keeprate.specs.attention.caller import Caller
from keeprate.specs.attention.place import BITS, HALF, ROUNDINGS, Mask, Place
from keeprate.specs.rounding import Floats
from keeprate.suite import Case, Unreadable

EVEN = 0.5  # the p of masks that are compared with one another: two agree least often
RATES = (0.1, 0.3, 0.9)  # at which values are looked at
SEVERAL = (0.1, 0.3, 0.5, 0.9)  # at which formulas of a rate differ
CALLS = 12
CODED = 16  # calls at each of several p: in large places enough to tell 0.9 from 230/256


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
        from keeprate.specs.attention import reference  # a plan does not need PyTorch

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

    @property
    def slack(self) -> float:
        """What a number near 1 may be off by."""
        return ROUNDINGS[self.place.dtype] * HALF[self.place.dtype]

    def near(self, one: npt.ArrayLike, other: npt.ArrayLike) -> Mask:
        """Where two are one number, but for rounding."""
        one, other = np.asarray(one), np.asarray(other)
        alike: Mask = np.abs(one - other) <= self.slack * np.maximum(np.abs(other), 1e-3)
        return alike

    def codes(self, p: float, number: int = 1, caller: Caller | None = None) -> list[Floats]:
        """Outputs of so many calls whose values are powers of 2, which need fewer channels than there are keys."""
        caller = caller or self.caller()
        return [*islice(self.outputs(caller, self.place.inputs(caller.channels), p), number)]

    def kept(self, number: int, seed: int | None = None) -> Mask:
        """(calls, B, H, L, S) what is kept in so many calls."""
        masks = self._kept(number, seed)
        if not 0.05 < masks[..., self.place.seen].mean() < 0.95:
            raise Unreadable("nearly all is kept, or dropped")
        return masks

    def _kept(self, number: int, seed: int | None) -> Mask:
        """Read off codes, where all is scaled as it should be."""
        read = [self.place.read(out, EVEN) for out in self.codes(EVEN, number, self.caller(seed))]
        found = [one[0] for one in read if one is not None and not one[1].any()]
        return np.array(found) if len(found) == number else self.noise(EVEN, number, self.caller(seed)) != 0

    @cached_property
    def masks(self) -> Mask:
        """(calls, B, H, L, S) what is kept."""
        if not self.of_weights:
            raise Unreadable("something else than weights is dropped")
        return self.kept(CALLS)

    @cached_property
    def sums(self) -> Floats:
        """(B, H, L, channels) an output for values that are all 1: where weights are dropped, channels are alike."""
        caller = self.caller()
        size = caller.channels(max(2, -(-self.place.shape[3] // BITS[self.place.dtype])))
        first, other = (np.zeros((number, size)) for number in self.place.shape[2:])
        inputs = [self.place.queries_of(first), self.place.keys_of(other), self.place.keys_of(other + 1)]
        return next(self.outputs(caller, inputs, EVEN))

    @property
    def of_weights(self) -> bool:
        """Whether what is dropped is dropped in all channels."""
        return bool(self.near(self.sums, self.sums[..., :1]).all())

    def after(self, seed: int, number: int = 1) -> Mask:
        """(calls, entries) masks of the first calls after a seed."""
        return self.kept(number, seed)[..., self.place.seen].reshape(number, -1)

    @cached_property
    def values(self) -> dict[float, Floats]:
        """Noise at several p."""
        return {p: self.noise(p) for p in RATES}

    @cached_property
    def coded(self) -> dict[float, list[Floats]]:
        """Outputs whose values are powers of 2, at several p."""
        return {p: self.codes(p, CODED) for p in SEVERAL}

    @cached_property
    def coded_once(self) -> dict[float, list[Floats]]:
        """One such output at each p, by which most other rates can be told."""
        return {p: self.codes(p) for p in SEVERAL}

    @cached_property
    def scaled_by_p(self) -> bool:
        """Whether what is kept is scaled by 1/(1 − p)."""
        return self.counted({p: p for p in SEVERAL}, self.coded_once) is not None

    def counted(
        self, rates: Mapping[float, float], outputs: Mapping[float, list[Floats]]
    ) -> dict[float, tuple[int, int]] | None:
        """How many weights are kept, and how many there are, at each p, in outputs whose values are powers of 2.

        None unless all that is kept is scaled by 1/(1 − rate), where `rates` has the rate of each p.
        """
        counts = {}
        for p, rate in rates.items():
            kept, size = 0, 0
            for out in outputs[p]:
                read = self.place.read(out, rate)
                if read is None or read[1].any():
                    return None
                mask = read[0][..., self.place.seen]
                kept, size = kept + int(np.count_nonzero(mask)), size + mask.size
            counts[p] = kept, size
        return counts
