"""Whether a mask was seen before."""

from __future__ import annotations

from keeprate.harness.evidence.check import Check, failed, passed
from keeprate.harness.evidence.counterexample import Counterexample
from keeprate.specs.masks.packed_masks import WORD, PackedMasks

EARLIER = Counterexample({"first": "a mask that an earlier call had"}, gave="a mask that an earlier call had")
HEAD = 4096  # entries by which a mask is known again


class Repeats:
    """The masks that were seen so far, by their first entries: 4,096 are enough never to agree by chance."""

    def __init__(self) -> None:
        self._heads: set[bytes] = set()

    def look(self, bits: PackedMasks, number: int) -> Check:
        """Whether the mask of call `number` is another than all before it."""
        head = bits.words[number, : HEAD // WORD].tobytes()
        if head in self._heads:
            return failed(1, 1, EARLIER)
        self._heads.add(head)
        return passed()
