"""Samples of forward and backward passes: each is compared with both outcomes of PyTorch's output and gradient.

A gradient has two outcomes for each element, as an output has. Both are learned once; a pass whose every element is the
one or the other in output and gradient alike is right. What departs by more than rounding is replayed: PyTorch is given
the mask of that very pass, and what it says then counts. So are some passes of each case, to prove the outcomes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from keeprate.specs.dropout import reference
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.compare import compare, same
from keeprate.specs.dropout.contracts import CONTRACTS, Contract
from keeprate.specs.dropout.given import Given
from keeprate.specs.dropout.inputs import PROBES, SPECIAL, cotangent, indices, laid_out, probes, with_specials
from keeprate.specs.dropout.outcome import Mask, Outcomes
from keeprate.specs.dropout.pair import Array, Pair, pair
from keeprate.specs.masks.packed_masks import PackedMasks
from keeprate.specs.masks.sample import CHUNK, Repeats, Sample
from keeprate.specs.rounding import Floats, bounds, holds
from keeprate.suite import BackendError, Case, Check, passed

Counts = npt.NDArray[np.int64]
ORDINARY = 0  # of the input values, one that is no special
SPECIAL_EVERY = 7  # no power of two divides it, so zeros meet every position of a vector and every channel
AT_ONCE = 1 << 17  # elements of outputs that are looked at together
REPLAYED = 64  # each of so many passes is replayed, whatever the outcomes say; the first of a case is one


@dataclass(frozen=True, eq=False, kw_only=True)
class Gradients(Sample):
    """Some passes forward and back, in training.

    The masks are read off the *outputs* where the input tells them apart, else off the gradients.

    Args:
        outcomes: whether each output is PyTorch's for its mask.
        gradient: whether each gradient is PyTorch's for the mask of its own output.
        purity: whether input and cotangent are still what they were.
        values: the input values, and ±0, ±inf and NaN after them.
        by_value: for each of them how many entries were kept, and how many there were; where the output can't tell, by
            the gradient. None where no law asks for it.
    """

    outcomes: Check
    gradient: Check
    purity: Check
    values: tuple[float, ...]
    by_value: tuple[Counts, Counts] | None


def gradients(case: Case, backend: Any, seed: int) -> Iterator[Gradients]:
    """Passes through the operator in training: many in a sample, which ends with one in which anything is wrong."""
    caller = Caller(backend, CONTRACTS[case.op], case.dtype, case.context)
    passes = _Passes(caller, case)
    caller.seed(seed)
    entries = prod(caller.contract.mask_shape(case.shape))
    some: list[_Pass] = []
    try:
        for one in passes.run(-(-case.draws // entries)):
            if some and one.bits is None:
                yield passes.sample(some)
                some = []
            some.append(one)
            if one.wrong or len(some) * entries >= CHUNK:
                yield passes.sample(some)
                some = []
    except BackendError:  # what was seen before counts
        if some:
            yield passes.sample(some)
        raise
    if some:
        yield passes.sample(some)


Made = tuple[Array, Array, Check]  # output and gradient, in the backend's layout, and purity
Seen = tuple[Mask, Check, Check]  # the mask, outcomes and gradient


class _Pass(NamedTuple):
    """What was seen of one pass; its mask is None where the output shows none, and nobody looked whether it repeats."""

    bits: PackedMasks | None
    outcomes: Check
    gradient: Check
    purity: Check
    repeats: Check = Check(0, 0)

    @property
    def wrong(self) -> bool:
        """True if any check is broken."""
        return any(check.broken for check in self[1:])


@dataclass(frozen=True, eq=False)
class _Setting:
    """An input and a cotangent, and both outcomes of every output and gradient, channels first.

    Args:
        values: the input's, each once.
        which: of them stands where.
        table: both outcomes of each of them.
        slopes: the gradient if all is kept, and if nothing is.
    """

    dtype: str
    values: tuple[float, ...]
    which: npt.NDArray[np.uint8]
    x: Floats
    ct: Floats
    table: Outcomes
    slopes: tuple[Floats, Floats]

    def outputs(self, at: Any = ...) -> Outcomes:
        """Both outcomes of the outputs at some places, with what rounding allows."""
        return self.table.take(self.which[at])

    def gradients(self, at: Any = ...) -> Outcomes:
        """The same of the gradients; a gradient is linear in the cotangent, so its outcome at 0 is 0."""
        kept, dropped = (slope[at] for slope in self.slopes)
        zero = np.zeros_like(kept)
        return Outcomes(kept, dropped, *bounds(kept, zero, self.dtype), *bounds(dropped, zero, self.dtype))

    def settled(self, kept: Mask, dropped: Mask, g: Floats, at: Any = ...) -> Mask:
        """What is kept where an output may be either outcome, at zeros and NaN: what the gradient says."""
        unclear = kept & dropped
        slope, none = (slope[at] for slope in self.slopes)
        return np.where(unclear, np.abs(g - slope) < np.abs(g - none), kept)


def _setting(contract: Contract, dtype: str, p: float, shape: tuple[int, ...], layout: str, special: bool) -> _Setting:
    values = (*probes(contract, dtype), *SPECIAL)
    which = indices(shape).copy()
    if special:
        which = with_specials(which, SPECIAL_EVERY, range(PROBES, len(values)))
    if contract.by_channel:
        which[contract.fronts(len(shape))] = ORDINARY  # so that the channel's mask can be read there
    parts = np.array(values)[which], cotangent(shape, dtype, seed=0), which
    x, ct, which = (laid_out(np.asarray(part), layout) for part in parts)
    kept, dropped = (reference.replay(contract, dtype, p, x, mask, ct)[1] for mask in (1.0, 0.0))
    assert kept is not None and dropped is not None
    return _Setting(dtype, values, which, x, ct, reference.table(contract, dtype, p, values), (kept, dropped))


_again = functools.lru_cache(maxsize=16)(_setting)  # other contexts ask for the same
COTANGENT = "the cotangent"  # in counterexamples
HELD = 1 << 18  # elements of an input, at most, whose setting is held for them: it takes 40 bytes an element


class _Passes:
    """Passes forward and back on one input with one cotangent."""

    def __init__(self, caller: Caller, case: Case) -> None:
        self._caller, self._contract, self._p = caller, caller.contract, case.parameters["p"]
        settle = _again if prod(case.shape) <= HELD else _setting
        special = not caller.context.fused
        self._off_gradients = special and not self._contract.by_channel  # the mask where the input is 0
        self._setting = setting = settle(self._contract, caller.dtype, self._p, case.shape, case.strides, special)
        self._x, self._ct = setting.x, setting.ct
        self._shape = caller.layout.to_theirs(self._x).shape
        self._fronts = caller.layout.fronts(self._x.ndim)
        self._mask_shape = self._contract.mask_shape(self._x.shape)
        self._front = setting.table.take(ORDINARY)
        self._input, self._cotangent = (
            Given(caller, name, x, strided=bool(case.strides)) for name, x in (("", self._x), (COTANGENT, self._ct))
        )
        self._pairs: dict[tuple[str, np.dtype[Any]], Pair] = {}
        self._proven = not np.equal(*setting.slopes).any()  # that the outcomes say what replays say
        self._right = passed(self._x.size)
        self._repeats = Repeats()
        self._by_value = case.asks("data")

    def run(self, number: int) -> Iterator[_Pass]:
        """So many passes: several are made before one is looked at, as caches forget in between."""
        several = max(1, AT_ONCE // self._x.size)
        for start in range(0, number, several):
            made, error = self._made(min(several, number - start))
            for place, (one, told) in enumerate(zip(made, self._told(made), strict=True), start):
                yield self._looked_at(one, told, replayed=place % REPLAYED == 0)
            if error is not None:
                raise error

    def _made(self, number: int) -> tuple[list[Made], BackendError | None]:
        """So many passes, or those before one that raised, and what it raised."""
        made: list[Made] = []
        for _ in range(number):
            try:
                out, gradient = self._caller.vjp(self._input.native, self._p, True, self._cotangent.native)
                unwritten = self._input.unwritten() + self._cotangent.unwritten()
                made.append((self._caller.raw(out).copy(), self._caller.raw(gradient).copy(), unwritten))
            except BackendError as error:
                return made, error
        return made, None

    def _told(self, made: Sequence[Made]) -> Sequence[Seen | None]:
        """What the outcomes say of each pass; None where anything departs from them by more than rounding."""
        if len({(y.shape, y.dtype, g.shape, g.dtype) for y, g, _ in made}) != 1:
            return [told for one in made for told in self._told([one])]
        if any(one.shape != self._shape or not holds(one.dtype, self._setting.dtype) for one in made[0][:2]):
            return [None] * len(made)
        y, g = np.stack([y for y, _, _ in made]), np.stack([g for _, g, _ in made])
        kept, dropped = self._pair("outputs", y.dtype).look(y)
        kept_too, dropped_too = self._pair("slopes", g.dtype).look(g)
        kept &= kept_too
        dropped &= dropped_too
        if self._contract.by_channel:
            masks = self._front.is_kept(y[:, *self._fronts])
            right = np.where(masks, kept, dropped)
        else:
            masks, right = kept, kept | dropped
        masks = masks.reshape(len(made), *self._mask_shape)
        if right.all():
            return [(mask, self._right, self._right) for mask in masks]
        return [
            (mask, self._right, self._right) if all_right.all() else self._to_rounding(one, mask, ~all_right)
            for one, mask, all_right in zip(made, masks, right, strict=True)
        ]

    def _to_rounding(self, made: Made, mask: Mask, at: Mask) -> Seen | None:
        """The same of one pass, by what rounding allows `at` some places."""
        y, g, at = (self._caller.layout.to_ours(one) for one in (*made[:2], at))
        values, slopes = y[at].astype(np.float64), g[at].astype(np.float64)
        mask, outputs = np.array(mask), self._setting.outputs(at)
        if self._contract.by_channel:
            kept = self._whole(mask)[at]
        else:
            kept = mask[at] = self._setting.settled(outputs.is_kept(values), outputs.is_dropped(values), slopes, at)
        checks = (
            compare(values, self._x[at], outputs.select(kept)),
            compare(slopes, self._ct[at], self._setting.gradients(at).select(kept)),
        )
        if any(check.broken for check in checks):
            return None
        outcomes, gradient = (check + passed(self._x.size - check.checked) for check in checks)
        return mask, outcomes, gradient

    def _looked_at(self, made: Made, told: Seen | None, *, replayed: bool) -> _Pass:
        """A pass of which the outcomes told so much; `replayed` whatever that is."""
        seen = told
        if told is None or replayed or not self._proven:
            y, g = (self._caller.layout.to_ours(one).astype(np.float64) for one in made[:2])
            seen = self._replayed(y, g, told) if y.shape == g.shape == self._x.shape else None
            right = seen[1:] if seen and not any(check.broken for check in seen[1:]) else None
            self._proven &= right == (told and told[1:])
        if seen is None:
            outcomes = compare(y, self._x, self._setting.outputs())
            return _Pass(None, outcomes, compare(g, self._ct, self._setting.gradients()), made[2])
        if seen[2].broken and self._off_gradients:  # which tell nothing where they are wrong
            return _Pass(None, *seen[1:], made[2])
        bits = PackedMasks.of(seen[0][None])
        return _Pass(bits, *seen[1:], made[2], self._repeats.look(bits, 0))

    def _replayed(self, y: Floats, g: Floats, told: Seen | None) -> Seen | None:
        """What PyTorch's own output and gradient for this very mask say of a pass; None where no mask can be read."""
        setting = self._setting
        mask = told[0] if told is not None else self._read(y, g)
        if mask is None:
            return None
        expected, slope = reference.replay(self._contract, setting.dtype, self._p, self._x, mask, self._ct)
        assert slope is not None
        outcomes = gradient = self._right
        if not same(y, expected).all():
            outcomes = compare(y, self._x, setting.outputs().select(self._whole(mask)))
        if not same(g, slope).all():
            low, high = bounds(slope, np.zeros_like(slope), setting.dtype)
            gradient = compare(g, self._ct, Outcomes(slope, slope, low, high, low, high))
        return mask, outcomes, gradient

    def _read(self, y: Floats, g: Floats) -> Mask | None:
        """The mask that an output shows, by the nearer outcome where a value is off; None if that can't be told."""
        if self._contract.by_channel:
            return self._front.nearer(y[self._contract.fronts(y.ndim)])
        outputs = self._setting.outputs()
        kept = outputs.nearer(y)
        return None if kept is None else self._setting.settled(kept, outputs.is_dropped(y), g)

    def sample(self, passes: Sequence[_Pass]) -> Gradients:
        """Passes whose masks were read, or one that has none, as a sample."""
        masks = [one.bits for one in passes if one.bits is not None]
        bits = PackedMasks(np.concatenate([one.words for one in masks]), masks[0].shape) if masks else None
        return Gradients(
            p=self._p,
            bits=bits,
            outcomes=_sum(one.outcomes for one in passes),
            gradient=_sum(one.gradient for one in passes),
            purity=_sum(one.purity for one in passes),
            repeats=_sum(one.repeats for one in passes) if bits else None,
            values=self._setting.values,
            by_value=self._counts(bits) if bits and self._by_value else None,
            unreadable="" if bits else f"no mask could be read: {_first_broken(passes)} is broken here",
        )

    def _counts(self, bits: PackedMasks) -> tuple[Counts, Counts]:
        """For each input value how often it was kept, and how often it was there."""
        which, values = self._setting.which.ravel(), len(self._setting.values)
        kept = np.bincount(which, bits.unpack().sum(axis=0, dtype=np.int64), values)
        return kept.astype(np.int64), bits.calls * np.bincount(which, minlength=values)

    def _whole(self, mask: Mask) -> Mask:
        """The mask of each element, channels first."""
        return np.broadcast_to(mask.reshape(mask.shape + (1,) * (self._x.ndim - mask.ndim)), self._x.shape)

    def _pair(self, of: str, dtype: np.dtype[Any]) -> Pair:
        """Both outcomes as a backend gives them, in `dtype` and in its layout."""
        if (of, dtype) not in self._pairs:
            table, which = self._setting.table, self._setting.which
            if of == "slopes":
                kept, dropped = map(self._in_layout, self._setting.slopes)
                made = pair(kept, dropped, dtype)
            else:
                made = pair(table.kept, table.dropped, dtype).take(self._in_layout(which))
            self._pairs[of, dtype] = made
        return self._pairs[of, dtype]

    def _in_layout(self, x: Array) -> Array:
        return np.array(self._caller.layout.to_theirs(x), order="C")


def _first_broken(passes: Sequence[_Pass]) -> str:
    return "outcomes" if any(one.outcomes.broken for one in passes) else "gradient"


def _sum(checks: Iterable[Check]) -> Check:
    return sum(checks, Check(0, 0))
