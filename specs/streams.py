"""Samples of calls after related seeds: whether their masks are related too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.case import Case
from harness.errors import NotOffered
from specs.bench import Bench
from specs.bits import Bits
from specs.contracts import CONTRACTS
from specs.sample import CHUNK, Masks, Reader

HIGH = 1 << 31  # seeds this far apart differ in their highest of 32 bits


@dataclass(frozen=True, eq=False)
class Streams:
    """Pairs of masks, one after another, that were drawn after related seeds; by kind.

    Args:
        p: the probability that the operator was called with.
        pairs: (2·pairs calls) by kind: `next` the first calls after seeds s and s + 1; `ahead` the second call after s
            and the first after s + 1; `behind` the first after s and the second after s + 1; `high` the first calls
            after s and s + 2³¹, absent if the backend takes no such seed.
        masks: all of them as they were read, for what an exact law says of them.
    """

    p: float
    pairs: Mapping[str, Bits]
    masks: Masks

    def of(self, kind: str) -> Bits:
        """The pairs of one kind.

        Raises:
            Unreadable: an exact law is broken, so that no mask could be read.
            NotOffered: the backend takes no seed that high.
        """
        self.masks.mask  # noqa: B018 - raises where nothing could be read
        if kind not in self.pairs:
            raise NotOffered("the backend takes no seed of 2**31 or more")
        return self.pairs[kind]


def streams(case: Case, backend: Any, seed: int) -> Iterator[Streams]:
    """Seeds, calls twice, and goes on to the next seed; `case.draws` counts the entries of the first calls."""
    assert case.p is not None
    reader = Reader(Bench(backend, CONTRACTS[case.op], case.dtype), case)
    seeds = -(-case.draws // reader.entries)
    high = reader.bench.takes_seed(HIGH)
    each = max(1, CHUNK // (4 * reader.entries))
    base = seed >> 1  # s + 1, s + 2, … stay below 2**31
    while seeds > 0:
        outputs = []
        for _ in range(min(each, seeds)):
            for value in (base, base + 1):
                reader.bench.seed(value)
                outputs += [reader.call(), reader.call()]
            if high:
                reader.bench.seed(base + HIGH)
                outputs.append(reader.call())
            base += 3  # an odd step, for a seed could be cut to its upper bits
        yield _paired(case.p, reader.read(len(outputs), outputs), 5 if high else 4)
        seeds -= each


def _paired(p: float, masks: Masks, width: int) -> Streams:
    if masks.bits is None:
        return Streams(p, {}, masks)
    words = masks.bits.words.reshape(-1, width, masks.bits.words.shape[1])
    kinds = {"next": [0, 2], "ahead": [1, 2], "behind": [0, 3]}
    if width == 5:
        kinds["high"] = [0, 4]
    bits = {kind: Bits(words[:, pair].reshape(-1, words.shape[2]), masks.bits.shape) for kind, pair in kinds.items()}
    return Streams(p, bits, masks)
