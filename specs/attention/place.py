"""Where attention is looked at, how its mask is written into inputs, and how it is read off what comes back.

Scores are zero, so that all keys of a query weigh the same, and a dropped key is missing from its output. Key j is
written to a channel as the power 2^(j mod BITS): one output is the mask of BITS keys, as a whole number. Gradients show
the masks that a backward pass used in the same way: see `turns`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from keeprate.specs.rounding import DTYPES, Floats, ulp
from keeprate.suite import Case

Mask = npt.NDArray[np.bool_]
HALF = {dtype: float(ulp(np.ones(()), dtype)) / 2 for dtype in DTYPES}  # half a step at 1
BITS = {"float32": 8, "float64": 8, "float16": 4, "bfloat16": 4}  # keys in a channel
# Roundings that an output may have: of the weight, the scale, their product and the sum; where nothing sums in a wider
# dtype, one for each key of a channel as well.
ROUNDINGS = {"float32": 24, "float64": 24, "float16": 4, "bfloat16": 4}
WINDOW = 64  # queries or keys whose gradients are read in one pass, where heads may have any number of channels
Channels = Callable[..., int]  # of a head: as many as there are, or as are wanted, where the first number is needed


@dataclass(frozen=True)
class Place:
    """Shapes of one call of attention.

    Args:
        shape: of the mask: batch, heads, queries, keys.
        groups: heads of keys and values, of which each serves as many heads of queries.
        causal: query i sees the keys up to i.
        filled: with `causal`, independent draws stand for the keys that aren't seen, so that entries that are one draw
            stand equally far apart in all queries and heads.
        start: the first of the queries or keys at which gradients are read.
        lead: of heads that share keys, the first whose part in a gradient is read.
    """

    parts: ClassVar[tuple[str, ...]] = ("queries", "keys", "values")
    axes: ClassVar[tuple[str, ...]] = (
        "all samples of a batch",
        "all heads of a sample",
        "all queries of a head",
        "all keys of a query",
    )
    spread: ClassVar[float] = 1.0  # of random numbers

    shape: tuple[int, int, int, int]
    dtype: str
    groups: int
    causal: bool = False
    filled: bool = False
    start: int = 0
    lead: int = 0

    @classmethod
    def of(cls, case: Case) -> Place:
        """Where a case looks."""
        batch, heads, queries, keys = case.shape
        groups = int(case.parameters.get("kv", heads))
        causal, filled = (bool(case.parameters.get(name, 0)) for name in ("causal", "filled"))
        return cls((batch, heads, queries, keys), case.dtype, groups, causal, filled)

    @property
    def shared(self) -> int:
        """Heads of queries that share a head of keys."""
        return self.shape[1] // self.groups

    @cached_property
    def seen(self) -> Mask:
        """(queries, keys) the keys that a query sees."""
        every = np.ones(self.shape[2:], dtype=np.bool_)
        return np.tril(every) if self.causal else every

    @cached_property
    def weights(self) -> Floats:
        """(queries, 1) one over the number of keys that it sees: what each weighs."""
        weights: Floats = 1 / self.seen.sum(axis=1, keepdims=True, dtype=np.float64)
        return weights

    @property
    def mask_shape(self) -> tuple[int, ...]:
        """Of the entries that show: all, or for each head those of the keys that are seen, one after another."""
        return (*self.shape[:2], int(self.seen.sum())) if self.causal and not self.filled else self.shape

    def entries(self, mask: Mask) -> Mask:
        """`mask`, (batch, heads, queries, keys), as `mask_shape` has it."""
        return mask[:, :, self.seen] if self.causal and not self.filled else mask

    def queries_of(self, rows: Floats) -> Floats:
        """(B, H, L, D) the same (L, D) for each head."""
        return np.broadcast_to(rows, (*self.shape[:2], *rows.shape))

    def keys_of(self, rows: Floats) -> Floats:
        """(B, H', S, D) the same (S, D) for each head of keys."""
        return np.broadcast_to(rows, (self.shape[0], self.groups, *rows.shape))

    def whole(self, code: Floats, bits: int, size: float = 1) -> tuple[npt.NDArray[np.uint8], Mask]:
        """The whole numbers of some bits that `code` rounds to, and where it is none: further off than by roundings.

        Args:
            size: of what was added up to the number, at least.
        """
        finite = np.where(np.isfinite(code), code, -1)
        numbers = np.clip(np.rint(finite), 0, (1 << bits) - 1)
        off = np.abs(finite - numbers) > ROUNDINGS[self.dtype] * HALF[self.dtype] * np.maximum(numbers, size)
        return numbers.astype(np.uint8), off

    def function(self, backend: Any, p: float, train: bool) -> Callable[..., Any]:
        """A backend's attention, of queries, keys and values."""
        return lambda q, k, v: backend.attention(q, k, v, p, self.causal, train)

    def packed(self, function: Callable[..., Any]) -> Callable[[Any], Any]:
        """The same of one array, in which their heads stand one after another, each of as many rows as the longest."""
        heads, queries, keys = self.shape[1:]
        ends = heads + self.groups
        return lambda x: function(x[:, :heads, :queries], x[:, heads:ends, :keys], x[:, ends:, :keys])

    def parted(self, gradient: npt.NDArray[Any]) -> list[npt.NDArray[Any]] | None:
        """The gradients of the parts in that of one array; None if it has no heads."""
        if gradient.ndim != 4:
            return None
        heads, queries, keys = self.shape[1:]
        parts = np.split(gradient, [heads, heads + self.groups], axis=1)
        return [part[:, :, :rows] for part, rows in zip(parts, (queries, keys, keys), strict=True)]

    def shapes(self, channels: Channels) -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
        """Of the parts and of a cotangent, for a pass on random numbers."""
        batch, heads, queries, keys = self.shape
        size = channels(1, wanted=16)
        first = batch, heads, queries, size
        return [first, *[(batch, self.groups, keys, size)] * 2], first

    def inputs(self, channels: Channels) -> list[Floats]:
        """Queries, keys and values whose output shows the mask."""
        bits = BITS[self.dtype]
        needed = -(-self.shape[3] // bits)
        values = coded(self.shape[3], bits, channels(needed))
        nothing = np.zeros((1, values.shape[1]))
        return [
            self.queries_of(np.repeat(nothing, self.shape[2], axis=0)),
            self.keys_of(np.repeat(nothing, self.shape[3], axis=0)),
            self.keys_of(values),
        ]

    def windows(self, channels: Channels) -> list[Place]:
        """The same place, with all starts and leads that are needed to read each gradient whole."""
        starts = range(0, max(self.shape[2:]), self._channels(channels))
        leads = range(0, self.shared, BITS[self.dtype])
        return [replace(self, start=start, lead=lead) for start in starts for lead in leads]

    def _channels(self, channels: Channels) -> int:
        """One for the code of each few keys with a one beside it, and for each query and key of a window."""
        needed = 1 + -(-self.shape[3] // BITS[self.dtype])
        return channels(needed, wanted=max(needed, min(WINDOW, max(self.shape[2:]))))

    def turns(self, channels: Channels) -> dict[str, tuple[list[Floats], Floats]]:
        """Queries, keys and values, and a cotangent, for each gradient; the output shows its mask as well.

        Heads that share keys have a power of 2 each, so that what is summed over them tells them apart: as many as one
        number can, while the others have 0.
        """
        _, heads, queries, keys = self.shape
        size = self._channels(channels)
        values = coded(keys, BITS[self.dtype], size, 1)
        values[:, 0] = 1
        place = np.arange(heads) % self.shared - self.lead
        power = np.where((place >= 0) & (place < BITS[self.dtype]), 2.0**place, 0)
        first = self.queries_of(np.eye(1, size).repeat(queries, axis=0))
        each = self.queries_of(np.eye(queries, size, -self.start)) * power[:, None, None]
        no_queries, no_keys, given = 0 * first, self.keys_of(np.zeros((keys, size))), self.keys_of(values)
        turns = {
            "values": ([no_queries, no_keys, given], each),
            "queries": ([no_queries, self.keys_of(np.eye(keys, size, -self.start)), given], first),
            "keys": ([each, no_keys, given], first),
        }
        if self.lead:
            del turns["queries"]  # whose gradient no heads share
        return {name: turn for name, turn in turns.items() if self.start < self.shape[3 if name == "queries" else 2]}

    def part(self, name: str, size: int) -> tuple[slice, slice]:
        """The queries and keys of the window: so many keys in the gradient of queries, queries in the others."""
        window = slice(self.start, self.start + size)
        return (slice(None), window) if name == "queries" else (window, slice(None))

    def weighed(self, name: str, gradient: npt.NDArray[Any]) -> Floats | None:
        """(B, H', queries, keys) of the window, a gradient over weights; None for a wrong shape.

        It is the noise, in the gradients of queries and keys less what the row gives to the cotangent.
        """
        batch, heads = self.shape[:2]
        if gradient.shape != (batch, heads if name == "queries" else self.groups, *gradient.shape[2:]):
            return None
        of_queries, of_keys = self.part(name, gradient.shape[-1])
        number, keys = self.seen[of_queries, of_keys].shape
        given = gradient.astype(np.float64)
        across = (given if name == "queries" else given.swapaxes(-1, -2))[:, :, :number, :keys]
        if across.shape[2:] != (number, keys):
            return None
        noise: Floats = across / self.weights[of_queries]
        return noise if name == "values" else noise * math.sqrt(gradient.shape[-1])

    def shown(self, name: str, gradient: npt.NDArray[Any], p: float, mask: Mask) -> tuple[Mask, Floats] | None:
        """Where a gradient shows another mask than the output's, and what stands there; None for a wrong shape.

        Both are of the window alone.
        """
        noise = self.weighed(name, gradient)
        if noise is None:
            return None
        batch, shared = self.shape[0], self.shared if name != "queries" else 1
        of_queries, of_keys = self.part(name, gradient.shape[-1])
        weights, seen, whole = self.weights[of_queries], self.seen[of_queries, of_keys], mask[:, :, of_queries]
        grouped = whole.reshape(batch, -1, shared, *whole.shape[2:])[:, :, self.lead :][:, :, : BITS[self.dtype]]
        number = grouped.shape[2]
        power = (2.0 ** np.arange(number))[:, None, None]
        code = noise * (1 - p)
        if name != "values":
            rows = grouped.sum(axis=-1, keepdims=True) * weights * power
            code += np.where(seen, rows.sum(axis=2), 0)
        numbers, off = self.whole(code, number, 1 << number)
        found = unpacked(numbers[..., None], number)
        off |= (np.moveaxis(found, -1, 2) != grouped[..., of_keys]).any(axis=2)
        return off, code

    def first_of(self, name: str) -> tuple[int, int, int, int]:
        """The place of the first entry that a gradient shows."""
        return (0, 0, 0, self.start) if name == "queries" else (0, 0, self.start, 0)

    def told(self, index: Sequence[int]) -> str:
        """A place in an output, in words."""
        batch, head, query, place = index
        return f"at query {query} of head {head}, row {batch} of the batch, place {place}"

    def found(self, what: str, code: float) -> str:
        """What stands in an output or gradient, in words."""
        of = "key" if what == "output" else "head" * (self.shared > 1 and "queries" not in what)
        return in_words(code, of)

    def read(self, out: npt.NDArray[Any], p: float, first: int = 0) -> tuple[Mask, Mask, Floats] | None:
        """The mask in an output, (B, H, L, S), where in the output there is none, and what stands there.

        Args:
            out: (B, H, L, channels) for values as `coded` writes them; None is returned for another shape.
            first: the first channel that holds the mask.
        """
        if out.ndim != 4 or out.shape[:3] != self.shape[:3]:
            return None
        bits = BITS[self.dtype]
        out = out[..., first:][..., : -(-self.shape[3] // bits)]
        code = out.astype(np.float64) * ((1 - p) / self.weights)
        numbers, off = self.whole(code, bits)
        mask = unpacked(numbers, bits)[..., : self.shape[3]]
        if self.causal:  # a key that isn't seen is neither kept nor dropped
            off |= np.logical_or.reduceat(mask & ~self.seen, np.arange(0, self.shape[3], bits), axis=-1)
        return mask, off, code


def in_words(code: float, of: str) -> str:
    """What stands where one entry shows, or several of something as powers of 2."""
    return (
        f"{code:.4g}, where a sum of 1, 2, 4, … says which {of} is kept"
        if of
        else f"{code:.4g} times what a kept one is"
    )


def unpacked(numbers: npt.NDArray[np.uint8], bits: int) -> Mask:
    """(…, n) numbers as (…, n·bits) their lowest bits, the lowest first."""
    each = np.unpackbits(numbers, axis=-1, bitorder="little").reshape(*numbers.shape, 8)[..., :bits]
    return each.reshape(*numbers.shape[:-1], -1).view(np.bool_)


def coded(keys: int, bits: int, channels: int, first: int = 0) -> Floats:
    """(keys, channels) each key as a power of 2 in its channel, from the `first` on."""
    values = np.zeros((keys, channels))
    every = np.arange(keys)
    values[every, first + every // bits] = 2.0 ** (every % bits)
    return values
