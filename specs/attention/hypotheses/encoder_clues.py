"""What hypotheses about an encoder's layer look at: as of attention, the noise that each entry was multiplied by."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np

from keeprate.specs.attention import looks
from keeprate.specs.attention.caller import Caller
from keeprate.specs.attention.encoder import ATTENDED, BOTH, OUTPUT, Encoder
from keeprate.specs.attention.hypotheses.clues import EVEN
from keeprate.specs.attention.hypotheses.passes import Back
from keeprate.specs.attention.hypotheses.recurrent_clues import RecurrentClues
from keeprate.specs.rounding import Floats
from keeprate.suite import Unreadable


class EncoderClues(RecurrentClues):
    """A layer of one backend in one context, and one of its masks."""

    place: Encoder  # type: ignore[assignment]  # has what hypotheses ask of a place
    where = staticmethod(Encoder.of)  # type: ignore[assignment]

    def noise(self, p: float, number: int = 1, caller: Caller | None = None, train: bool = True) -> Floats:
        """(calls, …) what each entry of the mask was multiplied by in so many calls."""
        at = self.at(p)
        outputs = [*islice(self.outputs(caller or self.caller(), at.inputs(int), p, train), number)]
        if at.site in (ATTENDED, OUTPUT):
            return np.array(outputs) / (looks.whole(at)[0] * (1 - at.p))
        masks = []
        for out in outputs:
            found = looks.read(at, out)
            if found is None or found[1].any():
                raise Unreadable("an output that no masks explain")
            masks.append(found[0])
        return np.array(masks) / (1 - at.p)

    def gaps(self, number: int = 8) -> tuple[int, int]:
        """Entries that the last of two masks of one shape keeps, and those of them that the other keeps as well."""
        both = replace(self.at(EVEN), site=BOTH)
        caller = Caller(self.backend, both, self.context)
        caller.seed(int(self.random.integers(1 << 30)))
        found = [looks.both(both, out) for out in islice(self.outputs(caller, both.inputs(int), EVEN), number)]
        if any(off.any() for _, off in found):
            raise Unreadable("an output that no masks explain")
        numbers = np.array([one for one, _ in found])
        return int((numbers > 0).sum()), int((numbers == 2).sum())

    def at(self, p: float) -> Encoder:  # type: ignore[override]
        """The layer as it is looked at for p."""
        return replace(self.place, p=p if 0 < p < 1 else EVEN)

    def _pass(self, p: float) -> Back:
        at = self.at(p)
        if at.site not in (ATTENDED, OUTPUT) or at.shape[:2] != (1, 1):
            raise Unreadable("a gradient adds tokens up")
        out, gradient = next(self.caller().passes(at.inputs(int), p, np.ones(at.shape)))
        forward = out.astype(np.float64) / (looks.whole(at)[0] * (1 - p))
        return Back(p, forward, gradient[at.gradient_rows].reshape(at.shape).astype(np.float64))
