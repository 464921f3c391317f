"""The suite for a function that takes one number of heads alone: every case has its shape with these."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from math import ceil, prod

from keeprate.specs.attention.hypotheses import every
from keeprate.specs.attention.place import BITS
from keeprate.specs.attention.suite import Attention
from keeprate.suite import ANY, Case, FindingId, Seen, shape_text

# Kinds of passes that a case has the calls for: one reads a gradient, of as many heads that share keys as a number has
# bits.
VISITED = 6


@functools.cache  # a suite keeps its plan
def suite_of(heads: int, kv_heads: int) -> OfHeads:
    """The suite for these numbers.

    Args:
        heads: of queries, a multiple of `kv_heads`.
        kv_heads: of keys and values.
    """
    return OfHeads(heads, kv_heads)


class OfHeads(Attention):
    """Attention alone, with one number of heads of queries and one of keys.

    The batch grows where a case had more heads: none draws fewer entries than planned, or makes fewer calls.
    """

    def __init__(self, heads: int, kv_heads: int) -> None:
        self.heads, self.kv_heads = heads, kv_heads

    def plan(self, profile: str) -> Iterator[Case]:
        """Its cases of attention, once each; none where heads share keys, if these don't."""
        yield from self._fitted(super().plan(profile))

    def questions(self, seen: Sequence[Seen], can: Callable[[Case], bool]) -> Iterator[Case]:
        """Those of the suite, which asks for heads that share keys apart: here all do, or none."""
        alike = [one._replace(parts=tuple((_plain(case), given) for case, given in one.parts)) for one in seen]
        yield from self._fitted(every.questions(alike, can))

    def _fitted(self, cases: Iterator[Case]) -> Iterator[Case]:
        made = set()
        for case in cases:
            if case.op != "attention" or ("kv" in case.parameters and self.kv_heads == self.heads):
                continue
            fitted = self._with_heads(case)
            if fitted.id not in made:
                made.add(fitted.id)
                yield fitted

    def _with_heads(self, case: Case) -> Case:
        batch, heads, *rest = case.shape
        shape = (max(batch, -(-batch * heads // self.heads)), self.heads, *rest)
        more = {"kv": self.kv_heads} if self.kv_heads < self.heads else {}
        parameters = {**_plain(case).parameters, **more}
        kind = "".join(f"{name}{value}" for name, value in parameters.items() if name != "p")
        ids = map(FindingId.parse, case.findings)
        named = (one if one.shape == ANY else one._replace(shape=shape_text(shape, kind)) for one in ids)
        turns = 1 + 2 * -(-self.heads // self.kv_heads // BITS[case.dtype]) if case.study == "passes" else 0
        growth = Fraction(prod(shape), prod(case.shape)) * Fraction(max(turns, VISITED), VISITED)
        return case.replace(
            shape=shape,
            parameters=parameters,
            draws=ceil(case.draws * growth),
            reference_draws=None if case.reference_draws is None else ceil(case.reference_draws * growth),
            findings=tuple(map(str, named)),
        )


def _plain(case: Case) -> Case:
    return case.replace(parameters={name: value for name, value in case.parameters.items() if name != "kv"})
