"""Samples of attention: masks read off outputs, passes whose gradients show their masks too, and single calls."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from keeprate.specs.attention.caller import Caller
from keeprate.specs.attention.place import BITS, HALF, Mask, Place, coded, unpacked
from keeprate.specs.masks.packed_masks import PackedMasks
from keeprate.specs.masks.sample import Repeats, Sample, sampled
from keeprate.specs.masks.seeded import anywhere, side_by_side
from keeprate.specs.rounding import Floats
from keeprate.suite import Case, Check, Counterexample, failed

LAZY = 8  # outputs that are made before the first is read
TOGETHER = 16  # seeds after which calls are made before the laws look
UNREADABLE = "no mask could be read: outcomes is broken here"
PARTS = ("queries", "keys", "values")


@dataclass(frozen=True, eq=False, kw_only=True)
class Seen(Sample):
    """Masks, if any were read, and what exact laws say of the calls, by law with its parameter."""

    checks: Mapping[str, Check] = field(default_factory=dict)


def masks(case: Case, backend: Any, seed: int) -> Iterator[Seen]:
    """Calls in training, over and over on one input."""
    reader = Reader(case, backend)
    reader.caller.seed(seed)
    yield from sampled(case.draws, reader.entries, reader.read)


def lazily(case: Case, backend: Any, seed: int) -> Iterator[Seen]:
    """Calls several times before any output is read, then reads the last one first."""
    reader = Reader(case, backend)
    reader.caller.seed(seed)
    for _ in range(-(-case.draws // (LAZY * reader.entries))):
        outputs = [reader.caller.lazily(reader.given, reader.p) for _ in range(LAZY)]
        yield reader.seen([reader.caller.values(out) for out in outputs[::-1]])


def streams(case: Case, backend: Any, seed: int) -> Iterator[Seen]:
    """Seeds, calls twice, and goes on to the next seed."""
    reader, base = Reader(case, backend), seed >> 1  # s + 1, s + 2, … stay below 2**31
    left = -(-case.draws // reader.entries)
    while left > 0:
        number = min(TOGETHER, left)
        outputs = [out for step in range(number) for value in (0, 1) for out in reader.after(base + 3 * step + value)]
        seen = reader.seen(outputs)
        if seen.bits is not None:
            seen = replace(seen, pairs=side_by_side(seen.bits, 4))
        yield seen
        left, base = left - number, base + 3 * number  # an odd step, for a seed could be cut to its upper bits


def after_seeds(case: Case, backend: Any, seed: int) -> Iterator[Seen]:
    """The first call after each of many seeds, anywhere among those of 31 bits."""
    reader = Reader(case, backend)
    values = anywhere(seed, -(-case.draws // reader.entries))
    for some in np.array_split(values, -(-len(values) // 256)):
        yield reader.seen([out for value in some.tolist() for out in reader.after(value, 1)])


class Reader:
    """Makes calls on one input, and reads the masks of their outputs."""

    def __init__(self, case: Case, backend: Any) -> None:
        self.place, self.p = Place.of(case), case.parameters["p"]
        self.caller = Caller(backend, self.place, case.context)
        self.entries = math.prod(self.place.mask_shape)
        keys, bits = self.place.shape[3], BITS[case.dtype]
        values = coded(keys, bits, self.caller.channels(-(-keys // bits)))
        nothing = np.zeros((1, values.shape[1]))
        self._inputs = (
            self.place.queries_of(np.repeat(nothing, self.place.shape[2], axis=0)),
            self.place.keys_of(np.repeat(nothing, self.place.shape[3], axis=0)),
            self.place.keys_of(values),
        )
        self.given = self.caller.given(*self._inputs)
        self._outputs = self.caller.outputs(self.given, self.p)
        self._before = [self.caller.values(one).copy() for one in self.given]
        self._repeats = Repeats()

    def after(self, seed: int, calls: int = 2) -> list[npt.NDArray[Any]]:
        """The first outputs after seeding."""
        self.caller.seed(seed)
        return [*islice(self.caller.outputs(self.given, self.p), calls)]

    def read(self, calls: int) -> Seen:
        """What some further calls show."""
        return self.seen(islice(self._outputs, calls), calls)

    def seen(self, outputs: Any, calls: int | None = None) -> Seen:
        """What some outputs show."""
        book = Book(self.place, self.p, len(outputs) if calls is None else calls, self._repeats)
        for out in outputs:
            book.enter(out)
        unwritten = Check(0, 0)
        for name, before, native in zip(PARTS, self._before, self.given, strict=False):
            same = np.array_equal(before, self.caller.values(native))
            unwritten += Check(
                1, int(same), int(not same), None if same else _words(f"{name} are others after the call")
            )
        return book.result(purity=unwritten)


class Book:
    """Into which the masks of some calls are entered."""

    def __init__(self, place: Place, p: float, calls: int, repeats: Repeats) -> None:
        self._place, self._p, self._repeats = place, p, repeats
        self._bits, self._number = PackedMasks.empty(calls, place.mask_shape), 0
        self._outcomes, self._again, self._readable = Check(0, 0), Check(0, 0), True

    def enter(self, out: npt.NDArray[Any], first: int = 0) -> Mask | None:
        """The mask of an output, whose channels from `first` on hold it; None if it holds none."""
        mask = None
        if out.shape[:3] != self._place.shape[:3] or out.ndim != 4:
            self._outcomes += failed(1, 1, _words(f"the output has shape {out.shape}"))
        else:
            bits = BITS[self._place.dtype]
            mask, off, code = self._place.read(out[..., first:][..., : -(-self._place.shape[3] // bits)], self._p, bits)
            self._outcomes += _compared(off, code, "output")
        if mask is None or self._outcomes.broken:
            self._readable = False
            return None
        self._bits.put(self._number, self._place.entries(mask))
        self._again += self._repeats.look(self._bits, self._number)
        self._number += 1
        return mask

    def result(self, **checks: Check) -> Seen:
        """All of it."""
        return Seen(
            p=self._p,
            bits=self._bits if self._readable else None,
            unreadable="" if self._readable else UNREADABLE,
            repeats=self._again,
            checks={"outcomes": self._outcomes, **checks},
        )


def passes(case: Case, backend: Any, seed: int) -> Iterator[Seen]:
    """Passes forward and back by turns, in which the gradient of values, of queries and of keys shows its mask."""
    place, p = Place.of(case), case.parameters["p"]
    caller = Caller(backend, place, case.context)
    size = caller.channels(needed_in_passes(place))
    turns = [(name, caller.passes(inputs, p, cotangent)) for name, (inputs, cotangent) in turns_of(place, size).items()]
    repeats, number = Repeats(), 0

    def read(calls: int) -> Seen:
        nonlocal number
        book = Book(place, p, calls, repeats)
        checks = {f"gradient:{name}": Check(0, 0) for name in PARTS}
        for _ in range(calls):
            # Rows of one mapped pass stand together.
            name, made = turns[number // (3 if caller.mapped else 1) % len(turns)]
            number += 1
            out, *gradients = next(made)
            mask = book.enter(out, 1)
            if mask is not None:
                checks[f"gradient:{name}"] += _shown(place, p, name, gradients[PARTS.index(name)], mask)
        return book.result(**checks)

    caller.seed(seed)
    yield from sampled(case.draws, math.prod(place.mask_shape), read)


def needed_in_passes(place: Place) -> int:
    """Channels of a head: one for each query, for each key, and for their code with one beside it."""
    return max(place.shape[2], place.shape[3], 1 + -(-place.shape[3] // BITS[place.dtype]))


def turns_of(place: Place, size: int) -> dict[str, tuple[list[Floats], Floats]]:
    """Queries, keys and values, and a cotangent, for each of the three gradients.

    Each head that shares keys with others has a power of 2 of its own, so that what is summed over them tells them
    apart.
    """
    _, heads, queries, keys = place.shape
    values = coded(keys, BITS[place.dtype], size, 1)
    values[:, 0] = 1
    power = 2.0 ** (np.arange(heads) % place.shared)
    first = place.queries_of(np.eye(1, size).repeat(queries, axis=0))
    each = place.queries_of(np.eye(queries, size)) * power[:, None, None]
    no_queries, no_keys, given = 0 * first, place.keys_of(np.zeros((keys, size))), place.keys_of(values)
    return {
        "values": ([no_queries, no_keys, given], each),
        "queries": ([no_queries, place.keys_of(np.eye(keys, size)), given], first),
        "keys": ([each, no_keys, given], first),
    }


def _shown(place: Place, p: float, name: str, gradient: npt.NDArray[Any], mask: Mask) -> Check:
    """Whether the mask that a gradient shows is the output's."""
    batch, heads, queries, keys = place.shape
    shared = place.shared if name != "queries" else 1
    given = gradient.astype(np.float64)
    across = given[..., :keys] if name == "queries" else given.swapaxes(-1, -2)[:, :, :queries]
    if across.shape != (batch, heads // shared, queries, keys):
        return failed(1, 1, _words(f"the gradient of {name} has shape {gradient.shape}"))
    power = (2.0 ** np.arange(shared))[:, None, None]
    grouped = mask.reshape(batch, -1, shared, queries, keys)
    code = across * ((1 - p) / place.weights)
    if name != "values":
        # A score's gradient is weight · (noise − what the row gives to the cotangent).
        code *= math.sqrt(gradient.shape[-1])
        rows = grouped.sum(axis=-1, keepdims=True) * place.weights * power
        code += np.where(place.seen, rows.sum(axis=2), 0)
    numbers, off = place.whole(code, shared, 1 << shared)
    found = unpacked(numbers[..., None], shared)
    off |= (np.moveaxis(found, -1, 2) != grouped).any(axis=2)
    return _compared(off, code, f"gradient of {name}")


def _compared(off: Mask, code: Floats, what: str) -> Check:
    """All entries, and the first that is wrong."""
    wrong = int(off.sum())
    if not wrong:
        return Check(off.size, off.size)
    batch, head, query, place = (int(index) for index in np.argwhere(off)[0])
    found = f"{code[batch, head, query, place]:.4g} times what a kept key weighs"
    told = f"{what} at query {query} of head {head}, row {batch} of the batch, place {place}: {found}"
    return Check(off.size, off.size - wrong, wrong, _words(told))


def _words(text: str) -> Counterexample:
    return Counterexample({"first": text})


def near(got: npt.NDArray[Any], true: Floats, theirs: Floats, dtype: str, what: str) -> Check:
    """Whether all is as near the exact values as twice PyTorch's own rounding, or some steps of the dtype.

    Args:
        true: computed in float64.
        theirs: computed in the dtype.
    """
    if got.shape != true.shape:
        return failed(1, 1, _words(f"{what} has shape {got.shape}, not {true.shape}"))
    room = max(2 * np.abs(theirs - true).max(), 32 * HALF[dtype] * np.abs(true).max())
    with np.errstate(invalid="ignore"):
        off = ~(np.abs(got.astype(np.float64) - true) <= room)
    if not off.any():
        return Check(off.size, off.size)
    at = tuple(int(index) for index in np.argwhere(off)[0])
    said = f"{what} at {at} is {got[at]:.6g}, not {true[at]:.6g}, and may be off by {room:.2g}"
    return Check(off.size, off.size - int(off.sum()), int(off.sum()), _words(said))
