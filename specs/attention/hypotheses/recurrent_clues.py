"""What hypotheses about recurrent layers look at: as of attention, the noise that each entry was multiplied by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from keeprate.specs.attention.caller import Caller
from keeprate.specs.attention.hypotheses.clues import EVEN, RATES
from keeprate.specs.attention.hypotheses.passes import Back, Passes
from keeprate.specs.attention.levels import levels
from keeprate.specs.attention.network import INPUT, Network
from keeprate.specs.attention.place import Mask
from keeprate.specs.rounding import Floats
from keeprate.suite import Unreadable


class RecurrentClues(Passes):
    """A network of one backend in one context."""

    place: Network  # type: ignore[assignment]  # has what hypotheses ask of a place
    where = staticmethod(Network.of)  # type: ignore[assignment]

    def inputs(self, caller: Caller, of: float = 0.0, *, size: int = 0) -> list[Floats]:
        """Inputs and weights that show a mask."""
        return self.place.inputs(caller.channels)

    def outputs(self, caller: Caller, inputs: Sequence[Floats], p: float, train: bool = True) -> Iterator[Floats]:
        """Outputs, off a pass where calls alone don't show the context."""
        if self.backward and train:
            outputs: Iterator[Any] = (out for out, *_ in caller.passes(inputs, p, np.ones(self.place.shape)))
        else:
            outputs = caller.outputs(caller.given(*inputs), p, train)
        for out in outputs:
            if out.shape != self.place.shape:
                raise Unreadable("an output of another shape")
            yield out.astype(np.float64)

    def noise(self, p: float, number: int = 1, caller: Caller | None = None, train: bool = True) -> Floats:
        """(calls, steps, batch, units) what each entry was multiplied by in so many calls."""
        at = self.at(p)
        outputs = islice(self.outputs(caller or self.caller(), at.inputs(int), p, train), number)
        return at.before(np.array([*outputs]), 1) / at.kept

    def gaps(self, number: int = 8) -> tuple[int, int]:
        """Entries that the last of two gaps keeps, and those of them that the first one keeps as well."""
        network = replace(self.at(EVEN), layers=3)
        caller = Caller(self.backend, network, self.context)
        caller.seed(int(self.random.integers(1 << 30)))
        kept = both = 0
        for out in islice(self.outputs(caller, network.inputs(int), EVEN), number):
            numbers, off = levels(network).outcome(out)
            if off.any():
                raise Unreadable("an output that no masks explain")
            kept, both = kept + int((numbers > 0).sum()), both + int((numbers == 2).sum())
        return kept, both

    def at(self, p: float) -> Network:
        """The network whose weights are made for p."""
        return replace(self.place, p=p if 0 < p < 1 else EVEN)

    @property
    def of_weights(self) -> bool:
        """True: there is one place that drops."""
        return True

    def _kept(self, number: int, seed: int | None) -> Mask:
        kept: Mask = self.noise(EVEN, number, self.caller(seed)) != 0
        return kept

    @cached_property
    def backs(self) -> Mapping[str, Sequence[Back]]:
        """The gradient of what is given, at several p."""
        return {self.place.parts[-1]: [self._pass(p) for p in RATES]}

    def end(self, name: str) -> Back | None:
        """None: a network is made for p below 1."""
        return None

    def _pass(self, p: float) -> Back:
        at = self.at(p)
        out, gradient = next(self.caller().passes(at.inputs(int), p, np.ones(at.shape)))
        steps, batch, _ = at.shape
        forward = at.before(out.astype(np.float64), 1) / at.kept
        shown = gradient[: steps * batch].reshape(at.shape).astype(np.float64)
        whole = at.slope(forward * at.kept, 1) * at.slope(np.full(at.shape, INPUT), 0)
        return Back(p, forward, shown / whole)
