"""Samples of random calls: masks read off the outputs once for all laws, as packed bits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from keeprate.specs.dropout import counterexamples, reference
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.compare import compare, fast, same
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.inputs import indices, laid_out, probes
from keeprate.specs.dropout.outcome import Mask, Outcomes, exactly
from keeprate.specs.dropout.packing import CHECKED, Packing
from keeprate.specs.dropout.sums import Summing, Sums
from keeprate.specs.masks.packed_masks import PackedMasks
from keeprate.specs.masks.sample import Repeats, Sample, sampled
from keeprate.suite import Case, Check, failed, passed

HELD = 1 << 18  # elements of outputs that are made before the first of them is read
BLOCK = 1 << 17  # elements that are compared at once where equality fails
LAZY = 8  # outputs that are made before the first is read
SMALL = 1 << 12  # elements of an output up to which several are compared at once: NumPy's own steps would cost more
SPARED = 1 << 16  # mask entries of a plain call from which on its elements cost more than the call itself
SPARING = 8  # of so many such calls one has all elements of the case, the others one in each channel


@dataclass(frozen=True, eq=False, kw_only=True)
class Masks(Sample):
    """The masks of some calls of an operator, with what was seen while they were read.

    Args:
        outcomes: whether each element is one of PyTorch's two.
        constancy: whether each channel was kept or dropped whole; None for element operators.
        purity: whether the input is still what it was; None for operators that write to it.
        sums: of the outputs, for operators that preserve moments.
    """

    outcomes: Check
    constancy: Check | None = None
    purity: Check | None = None
    sums: Sums | None = None


def masks(case: Case, backend: Any, seed: int) -> Iterator[Masks]:
    """Calls the operator in training, over and over on one input, and yields the masks chunk by chunk."""
    caller = Caller(backend, CONTRACTS[case.op], case.dtype, case.context, stacked=case.study != "unmapped")
    reader = Reader(caller, case)
    caller.seed(seed)
    yield from sampled(case.draws, reader.entries, reader.read)


def lazily(case: Case, backend: Any, seed: int) -> Iterator[Masks]:
    """Calls the operator several times before any output is read, then reads the last one first."""
    reader = Reader(Caller(backend, CONTRACTS[case.op], case.dtype), case)
    reader.caller.seed(seed)
    for _ in range(-(-case.draws // (LAZY * reader.entries))):
        outputs = [reader.call() for _ in range(LAZY)]
        yield reader.read(LAZY, outputs[::-1])


_Told = tuple[npt.NDArray[Any] | None, Mask | None, Check]  # values, if they were read, the mask, and outcomes


class Reader:
    """Makes calls on one input and reads the masks of their outputs."""

    def __init__(self, caller: Caller, case: Case) -> None:
        self.caller, self.p = caller, case.parameters["p"]
        which = indices(case.shape)
        self._mask_shape = caller.contract.mask_shape(laid_out(which, case.strides).shape)
        self.entries = math.prod(self._mask_shape)
        self._input = _Input(caller, case, which)
        spared = case.context == "eager" and not case.strides and SPARED <= self.entries < which.size
        one = which[tuple(slice(None if axis < len(self._mask_shape) else 1) for axis in range(which.ndim))]
        self._thin = _Input(caller, case, one) if spared else self._input
        self._repeats = Repeats() if case.asks("no_mask_twice") else None
        self._sums_wanted = case.asks("moments")
        small = self._input.right.checked <= SMALL
        self._together = small and not self._sums_wanted
        self._packs = caller.packs and not small

    def call(self) -> Any:
        """One output, not yet read."""
        return self._call(self._input)

    def _call(self, given: _Input) -> Any:
        return self.caller.call(given.native, self.p)

    def read(self, calls: int, outputs: Sequence[Any] | None = None) -> Masks:
        """The masks of `calls` calls, or of `outputs` that were made before; the first call is never a spared one."""
        bits = PackedMasks.empty(calls, self._mask_shape)
        outcomes, constancy, repeats = Check(0, 0), Check(0, 0), Check(0, 0)
        sums = self._input.summing() if self._sums_wanted else None
        unreadable, several = "", max(1, HELD // self._input.right.checked)
        for start in range(0, calls, several):
            packs = self._packs
            made = self._made(range(start, min(calls, start + several)), outputs)
            if self._together and (masks := self._input.masks([y for _, y in made])) is not None:
                bits.put_all(start, masks)
                outcomes += passed(len(made) * self._input.right.checked)
                constancy += passed(masks.size)
                repeats += self._looked(bits, range(start, start + len(made)))
                continue
            for number, (given, made_y) in enumerate(made, start):
                y, mask, outcome = self._told(given, made_y, checked=number % CHECKED == 0, packs=packs)
                outcomes += outcome
                if mask is None:
                    unreadable = "no mask could be read: outcomes is broken here"
                elif given is not self._input:
                    mask = mask[given.front]  # all that there is
                elif self.caller.contract.by_channel:
                    mask, constant = given.by_channel(mask)
                    constancy += constant
                    if constant.broken:
                        unreadable = "no mask could be read: constancy is broken here"
                if sums is not None and mask is not None and outcome is given.right:
                    sums.add_exact(mask)
                elif sums is not None and y is not None and y.shape == given.shape:
                    sums.add(y[given.front])
                if mask is not None:
                    bits.put(number, mask)
                    repeats += self._looked(bits, [number])
        purity = None if self.caller.writes else self._input.purity()
        if purity is not None and self._thin is not self._input:
            purity += self._thin.purity()
        if purity is not None and purity.broken:
            unreadable = "no mask could be read: purity is broken here"
        return Masks(
            p=self.p,
            bits=None if unreadable else bits,
            outcomes=outcomes,
            constancy=constancy if self.caller.contract.by_channel else None,
            purity=purity,
            repeats=repeats,
            sums=sums.result() if sums else None,
            unreadable=unreadable,
        )

    def _made(self, some: range, outputs: Sequence[Any] | None) -> list[tuple[_Input, Any]]:
        """What some calls give, or `outputs`, and the input: several before one is looked at, as caches forget.

        They are read, unless the backend packs what they say.
        """
        read = (lambda y: y) if self._packs else self.caller.raw
        if outputs is not None:
            return [(self._input, read(outputs[number])) for number in some]
        inputs = [self._thin if number % SPARING else self._input for number in some]
        return [(one, read(self._call(one))) for one in inputs]

    def _told(self, given: _Input, y: Any, *, checked: bool, packs: bool) -> _Told:
        """What an output says, if it was read or not; `checked` whether `pack` says the same of it.

        Once an output isn't PyTorch's, bit for bit, this one and all later ones are read whole.
        """
        if not packs:
            return y, *given.mask(y)
        packing = given.packing
        self._packs &= packing.reads(y)
        if self._packs and not checked and (mask := packing.mask(y)) is not None:
            return None, mask, given.right
        values = self.caller.raw(y)
        if self._packs and checked:
            packing.check(y, values)
        mask, outcome = given.mask(values)
        self._packs &= outcome is given.right
        return values, mask, outcome

    def _looked(self, bits: PackedMasks, calls: Iterable[int]) -> Check:
        """Whether the masks of `calls` are others than all before them, if a law asks for it."""
        if self._repeats is None:
            return Check(0, 0)
        return sum((self._repeats.look(bits, call) for call in calls), Check(0, 0))


class _Input:
    """An input that the operator is called on over and over, and what its outputs may be.

    Both lie in the backend's own layout: moving axes would cost more than the laws.

    Args:
        which: of the probe values stands where, channels first.
    """

    def __init__(self, caller: Caller, case: Case, which: npt.NDArray[np.uint8]) -> None:
        self._caller, self._strided = caller, bool(case.strides)
        values = probes(caller.contract, case.dtype)
        self._table = reference.table(caller.contract, case.dtype, case.parameters["p"], values)
        self._x = laid_out(np.array(values, dtype=caller.wide)[which], case.strides)
        which = laid_out(which, case.strides)
        self._native = caller.native(self._x, strided=self._strided)
        self._which = np.ascontiguousarray(caller.layout.to_theirs(which))
        # One element of each channel, for the others share its mask, in as many axes; and without those in between.
        self._fronts = caller.layout.fronts(len(case.shape))
        self._spatial = tuple(axis for axis, index in enumerate(self._fronts) if index.stop)
        self.front = tuple(0 if index.stop else index for index in self._fronts)
        self._kept: npt.NDArray[Any] = np.empty(0)
        self._dropped: Any = np.empty(0)
        self._dtype: np.dtype[Any] = np.dtype(np.bool_)  # of the outputs that these are for: none yet
        # Written anew for each output: which elements are the kept outcome, and which are not the dropped one.
        self._flags = np.zeros((2, -(-which.size // 8) * 8), dtype=np.bool_)
        self._is_kept, self._is_not_dropped = self._flags[:, : which.size].reshape(2, *self._which.shape)
        self._as_words = self._flags.view(np.uint64)
        self.right = passed(which.size)  # what is said of an output that is PyTorch's, bit for bit

    @property
    def shape(self) -> tuple[int, ...]:
        """In the backend's layout."""
        return self._which.shape

    @property
    def native(self) -> Any:
        """The backend's array of it; a fresh one where the last one may have been written over."""
        if self._caller.writes and not self._caller.pending:
            self._native = self._caller.native(self._x, strided=self._strided)
        return self._native

    @cached_property
    def packing(self) -> Packing:
        """Reads outputs by what the backend packs of them."""
        laid_out_first = self._caller.layout.to_ours(self._which)
        return Packing(self._caller, *(outcome[laid_out_first] for outcome in (self._table.kept, self._table.dropped)))

    def mask(self, y: npt.NDArray[Any]) -> tuple[Mask | None, Check]:
        """The kept elements, and whether all are PyTorch's: a comparison for equality, bounds where that fails."""
        if self._dtype != y.dtype:
            self._learn(y.dtype)
        if y.shape != self.shape:
            return None, compare(self._caller.layout.to_ours(y), self._x, self._table)
        np.not_equal(fast(y), self._dropped, out=self._is_not_dropped)
        np.equal(fast(y), self._kept, out=self._is_kept)
        if np.array_equal(*self._as_words):  # each element is one outcome, and not the other
            return self._is_kept, self.right
        return self._within_bounds(y)

    def masks(self, outputs: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.bool_] | None:
        """The masks of several outputs that are PyTorch's, bit for bit; None unless all are, and each channel is whole.

        Returns:
            (outputs, …) of the channels or elements, in the backend's layout.
        """
        dtype = outputs[0].dtype
        if any(y.shape != self.shape or y.dtype != dtype for y in outputs):
            return None
        if self._dtype != dtype:
            self._learn(dtype)
        y = fast(np.stack(outputs))
        kept: npt.NDArray[np.bool_] = y == self._kept
        if not np.array_equal(kept, y != self._dropped):
            return None
        if not self._spatial:
            return kept
        whole = np.equal(kept, kept[:, *self._fronts]).all()
        return kept[:, *self.front] if whole else None

    def _learn(self, dtype: np.dtype[Any]) -> None:
        """Both outcomes as they are compared with outputs of `dtype`."""
        self._dtype = dtype
        with np.errstate(over="ignore"):
            kept, dropped = fast(self._table.kept.astype(dtype)), fast(self._table.dropped.astype(dtype))
        one = (dropped == dropped[0]).all()  # whatever the input, but for the sign of a zero
        self._kept, self._dropped = kept[self._which], dropped[0] if one else dropped[self._which]

    def _within_bounds(self, y: npt.NDArray[Any]) -> tuple[Mask | None, Check]:
        """The same by comparing with what rounding allows, block by block: in float64 an array is large.

        Where a value is off, the nearer outcome tells the mask all the same; it is None if that can't be told.
        """
        flat, which = y.reshape(-1), self._which.reshape(-1)
        x = self._caller.layout.to_theirs(self._x).reshape(-1)
        kept = np.empty(flat.shape, dtype=bool)
        check, told_apart = Check(0, 0), True
        for start in range(0, flat.size, BLOCK):
            part = slice(start, start + BLOCK)
            allowed = self._table.take(which[part]) if start else self._first_block
            values = flat[part].astype(np.float64)
            mask = allowed.known(values)
            if mask is not None:
                exact = same(values, np.where(mask, allowed.kept, allowed.dropped))
                one = Check(values.size, int(np.count_nonzero(exact)))
            else:
                one = compare(values, x[part], allowed, place=partial(self._place, start))
                mask = allowed.nearer(values) if one.broken else allowed.is_kept(values)
            told_apart &= mask is not None
            kept[part] = mask if mask is not None else False
            check += one
        return (kept.reshape(y.shape) if told_apart else None), check

    @cached_property
    def _first_block(self) -> Outcomes:
        """What the first elements may become: for most inputs all of them."""
        return self._table.take(self._which.reshape(-1)[:BLOCK])

    def _place(self, start: int, at: tuple[int, ...]) -> tuple[int, ...]:
        """The index, channels first, of element `at` of the block that begins at `start` in the backend's layout."""
        index = np.zeros(self.shape, dtype=bool)
        index.reshape(-1)[start + at[0]] = True
        return tuple(int(axis) for axis in np.argwhere(self._caller.layout.to_ours(index))[0])

    def by_channel(self, mask: Mask) -> tuple[Mask, Check]:
        """A mask of the elements as one of the channels, and whether each was kept or dropped whole."""
        channels = mask[self.front]
        constant = np.equal(mask, mask[self._fronts], out=self._is_not_dropped)  # which has been looked at
        if constant.all():
            return channels, passed(channels.size)
        torn = ~np.all(constant, axis=self._spatial)
        at = tuple(int(index) for index in np.argwhere(torn)[0])
        return channels, failed(channels.size, int(torn.sum()), counterexamples.torn(at))

    def summing(self) -> Summing:
        """The sum of no outputs yet, at one element of each channel."""
        return Summing(self._table, self._which[self.front])

    @cached_property
    def cotangent(self) -> Any:
        """The same values in an array of their own."""
        return self._caller.native(self._x)

    def purity(self) -> Check:
        """Whether it is still what it was."""
        y = self._caller.raw(self._native)
        x = self._caller.layout.to_theirs(self._x)
        if y.shape == x.shape and np.array_equal(y, x):
            return passed(y.size)
        return compare(self._caller.layout.to_ours(y).astype(np.float64), self._x, exactly(self._x))


class Backward(Reader):
    """The same of passes forward and back."""

    def _call(self, given: _Input) -> Any:
        return self.caller.vjp(given.native, self.p, True, given.cotangent)[0]
