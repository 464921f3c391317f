"""Samples of attention: masks read off outputs, passes whose gradients show their masks too, and single calls."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from keeprate.specs.attention import levels, looks
from keeprate.specs.attention.caller import Caller
from keeprate.specs.attention.encoder import Encoder
from keeprate.specs.attention.network import Network
from keeprate.specs.attention.place import HALF, Mask, Place
from keeprate.specs.attention.places import Where, place_of
from keeprate.specs.masks.packed_masks import PackedMasks
from keeprate.specs.masks.sample import Repeats, Sample, sampled
from keeprate.specs.masks.seeded import anywhere, side_by_side
from keeprate.specs.rounding import Floats
from keeprate.specs.transforms import ROWS
from keeprate.suite import Case, Check, Counterexample, failed, passed

LAZY = 8  # outputs that are made before the first is read
TOGETHER = 16  # seeds after which calls are made before the laws look
UNREADABLE = "no mask could be read: outcomes is broken here"


@dataclass(frozen=True, eq=False, kw_only=True)
class Seen(Sample):
    """Masks, if any were read, and what exact laws say of the calls, by law with its parameter.

    Args:
        gaps: of two places that drop, units that the last one dropped, that it kept and the first one dropped, and
            that both kept.
    """

    checks: Mapping[str, Check] = field(default_factory=dict)
    gaps: tuple[int, int, int] | None = None


def masks(case: Case, backend: Any, seed: int) -> Iterator[Seen]:
    """Calls in training, over and over on one input."""
    reader = Reader(case, backend, seed)
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


def gaps(case: Case, backend: Any, seed: int) -> Iterator[Seen]:
    """Calls whose outputs show two masks: what the last one keeps shows the one before it."""
    place, p = place_of(case), case.parameters["p"]
    assert isinstance(place, Network | Encoder)  # attention has one mask
    caller = Caller(backend, place, case.context)
    outputs = caller.outputs(caller.given(*place.inputs(caller.channels)), p)

    def read(calls: int) -> Seen:
        numbers, check = np.zeros(3, dtype=np.int64), Check(0, 0)
        for out in islice(outputs, calls):
            if out.shape != place.shape:
                check += failed(1, 1, _words(f"the output has shape {out.shape}"))
                continue
            found, off = looks.both(place, out) if isinstance(place, Encoder) else levels.both(place, out)
            check += _compared(place, off, out, "output")
            numbers += np.bincount(found.reshape(-1), minlength=3)
        one, two, three = numbers.tolist()
        readable = not check.broken
        return Seen(
            p=p,
            bits=None,
            unreadable="" if readable else UNREADABLE,
            checks={"outcomes": check},
            gaps=(one, two, three) if readable else None,
        )

    caller.seed(seed)
    yield from sampled(case.draws, math.prod(place.shape), read)


def after_seeds(case: Case, backend: Any, seed: int) -> Iterator[Seen]:
    """The first call after each of many seeds, anywhere among those of 31 bits."""
    reader = Reader(case, backend)
    values = anywhere(seed, -(-case.draws // reader.entries))
    for some in np.array_split(values, -(-len(values) // 256)):
        yield reader.seen([out for value in some.tolist() for out in reader.after(value, 1)])


class Given:
    """Native arrays that calls are made with, and what they held before."""

    def __init__(self, caller: Caller, inputs: Sequence[Floats]) -> None:
        self._caller, self.native = caller, caller.given(*inputs)
        self._before = [caller.values(one).copy() for one in self.native]

    def unwritten(self) -> Check:
        """Whether each holds what it held."""
        check = Check(0, 0)
        for name, before, native in zip(self._caller.place.parts, self._before, self.native, strict=False):
            same = np.array_equal(before, self._caller.values(native))
            check += passed() if same else failed(1, 1, _words(f"{name} are others after the call"))
        return check


class Reader:
    """Makes calls on one input, and reads the masks of their outputs.

    Args:
        seed: of the draws that stand for keys that aren't seen.
    """

    def __init__(self, case: Case, backend: Any, seed: int = 0) -> None:
        self.place, self.p = place_of(case), case.parameters["p"]
        self.caller = Caller(backend, self.place, case.context)
        self.entries = math.prod(self.place.mask_shape)
        self._given = Given(self.caller, self.place.inputs(self.caller.channels))
        self.given = self._given.native
        self._outputs = self.caller.outputs(self.given, self.p)
        self._repeats = Repeats()
        filled = isinstance(self.place, Place) and self.place.filled
        self._hidden = np.random.default_rng(seed) if filled else None

    def after(self, seed: int, calls: int = 2) -> list[npt.NDArray[Any]]:
        """The first outputs after seeding."""
        self.caller.seed(seed)
        return [*islice(self.caller.outputs(self.given, self.p), calls)]

    def read(self, calls: int) -> Seen:
        """What some further calls show."""
        return self.seen(islice(self._outputs, calls), calls)

    def seen(self, outputs: Any, calls: int | None = None) -> Seen:
        """What some outputs show."""
        book = Book(self.place, self.p, len(outputs) if calls is None else calls, self._repeats, self._hidden)
        for out in outputs:
            book.enter(out)
        return book.result(purity=self._given.unwritten())


class Book:
    """Into which the masks of some calls are entered.

    Args:
        hidden: draws what stands for keys that aren't seen, in a place that is filled.
    """

    def __init__(
        self, place: Where, p: float, calls: int, repeats: Repeats, hidden: np.random.Generator | None = None
    ) -> None:
        self._place, self._p, self._repeats, self._hidden = place, p, repeats, hidden
        self._bits, self._number = PackedMasks.empty(calls, place.mask_shape), 0
        self._outcomes, self._again, self._readable = Check(0, 0), Check(0, 0), True

    def enter(self, out: npt.NDArray[Any], first: int = 0) -> Mask | None:
        """The mask of an output, whose channels from `first` on hold it; None if it holds none."""
        mask = None
        read = _read(self._place, out, self._p, first)
        if read is None:
            self._outcomes += failed(1, 1, _words(f"the output has shape {out.shape}"))
        else:
            mask, off, code = read
            self._outcomes += _compared(self._place, off, code, "output")
        if mask is None or self._outcomes.broken:
            self._readable = False
            return None
        self._bits.put(self._number, self._entries(mask))
        self._again += self._repeats.look(self._bits, self._number)
        self._number += 1
        return mask

    def _entries(self, mask: Mask) -> Mask:
        if self._hidden is None:
            return self._place.entries(mask)
        assert isinstance(self._place, Place)
        return np.where(self._place.seen, mask, self._hidden.random(mask.shape) >= self._p)

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
    place, p = place_of(case), case.parameters["p"]
    caller = Caller(backend, place, case.context)
    turns = [
        (window, name, caller.passes(inputs, p, cotangent))
        for window in place.windows(caller.channels)
        for name, (inputs, cotangent) in window.turns(caller.channels).items()
    ]
    repeats, number = Repeats(), 0

    def read(calls: int) -> Seen:
        nonlocal number
        book = Book(place, p, calls, repeats)
        checks = {f"gradient:{name}": Check(0, 0) for _, name, _ in turns}
        for _ in range(calls):
            # Rows of one mapped pass stand together, and so do passes of all calls that are compiled together.
            window, name, made = turns[number // (ROWS if caller.mapped else 1) % len(turns)]
            number += 1
            out, *gradients = next(made)
            mask = book.enter(out, 1)
            if mask is not None:
                checks[f"gradient:{name}"] += _shown(window, p, name, gradients[place.parts.index(name)], mask, out)
        return book.result(**checks)

    caller.seed(seed)
    yield from sampled(case.draws, math.prod(place.mask_shape), read)


def pullbacks(case: Case, backend: Any, seed: int) -> Iterator[Seen]:
    """Two passes forward, then both back, in either order, and the one that was first again."""
    place, p = place_of(case), case.parameters["p"]
    caller = Caller(backend, place, case.context)
    turns = [*place.turns(caller.channels).items()]
    repeats, number = Repeats(), 0

    def read(calls: int) -> Seen:
        nonlocal number
        book = Book(place, p, calls // 2 * 2, repeats)
        checks = {f"gradient:{name}": Check(0, 0) for name, _ in turns}
        for _ in range(calls // 2):
            name, (inputs, cotangent) = turns[number % len(turns)]
            passes = [caller.linearized(inputs, p) for _ in range(2)]
            masks = [book.enter(out, 1) for out, _ in passes]
            order = (0, 1, 0) if number // len(turns) % 2 else (1, 0, 1)
            number += 1
            for which in order:
                if (mask := masks[which]) is not None:
                    (out, back), part = passes[which], place.parts.index(name)
                    checks[f"gradient:{name}"] += _shown(place, p, name, back(cotangent)[part], mask, out)
        return book.result(**checks)

    caller.seed(seed)
    yield from sampled(case.draws, math.prod(place.mask_shape), read)


def _read(place: Where, out: npt.NDArray[Any], p: float, first: int) -> tuple[Mask, Mask, Floats] | None:
    """The mask in an output, where there is none, and what stands there; None for another shape."""
    if isinstance(place, Encoder):
        return looks.read(place, out)
    return levels.read(place, out) if isinstance(place, Network) else place.read(out, p, first)


def _shown(place: Where, p: float, name: str, gradient: npt.NDArray[Any], mask: Mask, out: npt.NDArray[Any]) -> Check:
    """Whether the mask that a gradient shows is the output's."""
    if isinstance(place, Encoder):
        return _compared(place, *looks.shown(place, gradient, mask, out), f"gradient of {name}")
    if isinstance(place, Network):
        return _compared(place, *levels.shown(place, gradient, mask), f"gradient of {name}")
    found = place.shown(name, gradient, p, mask)
    if found is None:
        return failed(1, 1, _words(f"the gradient of {name} has shape {gradient.shape}"))
    return _compared(place, *found, f"gradient of {name}", place.first_of(name))


def _compared(place: Where, off: Mask, code: Floats, what: str, first: Sequence[int] = (0,)) -> Check:
    """All entries, and the first that is wrong.

    Args:
        first: the place of the first entry.
    """
    wrong = int(off.sum())
    if not wrong:
        return Check(off.size, off.size)
    at = tuple(int(index) for index in np.argwhere(off)[0])
    told = f"{what} {place.told(np.add(at, first).tolist())}: {place.found(what, code[at])}"
    return Check(off.size, off.size - wrong, wrong, _words(told))


def _words(text: str) -> Counterexample:
    return Counterexample({"first": text})


def near(got: npt.NDArray[Any], true: Floats, theirs: Floats, dtype: str, what: str, steps: int = 32) -> Check:
    """Whether all is as near the exact values as twice PyTorch's own rounding, or some steps of the dtype.

    Args:
        true: computed in float64.
        theirs: computed in the dtype.
        steps: half of them.
    """
    if got.shape != true.shape:
        return failed(1, 1, _words(f"{what} has shape {got.shape}, not {true.shape}"))
    room = max(2 * np.abs(theirs - true).max(), steps * HALF[dtype] * np.abs(true).max())
    with np.errstate(invalid="ignore"):
        off = ~(np.abs(got.astype(np.float64) - true) <= room)
    if not off.any():
        return Check(off.size, off.size)
    at = tuple(int(index) for index in np.argwhere(off)[0])
    said = f"{what} at {at} is {got[at]:.6g}, not {true[at]:.6g}, and may be off by {room:.2g}"
    return Check(off.size, off.size - int(off.sum()), int(off.sum()), _words(said))
