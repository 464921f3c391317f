"""Samples of random calls: masks read off the outputs once for all laws, as packed bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from keeprate.specs.dropout import counterexamples, reference
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.compare import compare, same
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.inputs import PROBES, indices, laid_out, probes
from keeprate.specs.dropout.outcome import Mask, Outcomes, exactly
from keeprate.specs.dropout.rounding import Floats
from keeprate.specs.masks.packed_masks import PackedMasks
from keeprate.specs.masks.sample import Repeats, Sample, sampled
from keeprate.suite import UNIT, Case, Check, failed, passed

HELD = 1 << 18  # elements of outputs that are made before the first of them is read
BLOCK = 1 << 17  # elements that are compared at once where equality fails
LAZY = 8  # outputs that are made before the first is read


@dataclass(frozen=True, eq=False)
class Sums:
    """The sum of outputs and of their squares, against both outcomes of every probe value.

    Args:
        draws: (values,) how often each probe value was drawn for.
        outcomes: PyTorch's, of the probe values.
        total, squares: Σy and Σy² in units of 2⁻⁴⁰.
        inexact: outputs in the sum that are not bit for bit one of PyTorch's outcomes.
    """

    draws: npt.NDArray[np.int64]
    outcomes: Outcomes
    total: int
    squares: int
    inexact: int


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
    yield from sampled(case.draws, reader.entries, reader.read, lags=case.asks("all_lags"))


def lazily(case: Case, backend: Any, seed: int) -> Iterator[Masks]:
    """Calls the operator several times before any output is read, then reads the last one first."""
    reader = Reader(Caller(backend, CONTRACTS[case.op], case.dtype), case)
    reader.caller.seed(seed)
    for _ in range(-(-case.draws // (LAZY * reader.entries))):
        outputs = [reader.call() for _ in range(LAZY)]
        yield reader.read(LAZY, outputs[::-1])


class Reader:
    """Makes calls and reads their outputs, in the backend's own layout: moving axes would cost more than the laws."""

    def __init__(self, caller: Caller, case: Case) -> None:
        contract = caller.contract
        self.caller, self._contract, self.p = caller, contract, case.parameters["p"]
        values = probes(contract, case.dtype)
        self._table = reference.table(contract, case.dtype, self.p, values)
        which = laid_out(indices(case.shape), case.strides)
        self._x = laid_out(np.array(values, dtype=caller.wide)[indices(case.shape)], case.strides)
        self._strided = bool(case.strides)
        self._native = caller.native(self._x, strided=self._strided)
        self._which = np.ascontiguousarray(caller.to_layout(which))
        self._spatial = self._spatial_axes(len(case.shape))
        self._mask_shape = contract.mask_shape(which.shape)
        self.entries = int(np.prod(self._mask_shape))
        self._kept: npt.NDArray[Any] = np.empty(0)
        self._dropped: Any = np.empty(0)
        self._dtype: np.dtype[Any] = np.dtype(np.bool_)  # of the outputs that these are for: none yet
        # Written anew for each output: which elements are the kept outcome, and which are not the dropped one.
        self._flags = np.zeros((2, -(-which.size // 8) * 8), dtype=np.bool_)
        self._is_kept, self._is_not_dropped = self._flags[:, : which.size].reshape(2, *self._which.shape)
        self._as_words = self._flags.view(np.uint64)
        self._right = passed(which.size)
        # One element of each channel is summed, for the others share its mask.
        self._summed = tuple(0 if axis in self._spatial else slice(None) for axis in range(len(case.shape)))
        self._draws = np.bincount(self._which[self._summed].ravel(), minlength=PROBES).astype(np.int64)
        self._repeats = Repeats()
        self._sums_wanted = case.asks("moments")

    def _spatial_axes(self, rank: int) -> tuple[int, ...]:
        axis = self._contract.channel_axis(rank)
        if axis is None:
            return ()
        marked = np.empty(tuple(range(rank)))  # each axis is as long as its number, so that it is known again
        return tuple(place for place, number in enumerate(self.caller.to_layout(marked).shape) if number > axis)

    def call(self) -> Any:
        """One output, not yet read."""
        if self.caller.writes and not self.caller.pending:
            self._native = self.caller.native(self._x, strided=self._strided)
        return self.caller.call(self._native, self.p)

    def read(self, calls: int, outputs: Sequence[Any] | None = None) -> Masks:
        """The masks of `calls` calls, or of `outputs` that were made before."""
        bits = PackedMasks.empty(calls, self._mask_shape)
        outcomes, constancy, repeats = Check(0, 0), Check(0, 0), Check(0, 0)
        total = squares = inexact = 0
        unreadable = ""
        for number, y in enumerate(self._outputs(calls, outputs)):
            mask, outcome = self._mask(y)
            outcomes += outcome
            if self._sums_wanted and y.shape == self._which.shape:
                one, two = _exact_sums(y[self._summed])
                total, squares = total + one, squares + two
                inexact += 0 if outcome.exact == outcome.checked else self._inexact(y[self._summed])
            if mask is None:
                unreadable = "no mask could be read: outcomes is broken here"
                continue
            if self._contract.by_channel:
                mask, constant = self._by_channel(mask)
                constancy += constant
                if constant.broken:
                    unreadable = "no mask could be read: constancy is broken here"
            bits.put(number, mask)
            repeats += self._repeats.look(bits, number)
        purity = None if self.caller.writes else self._purity()
        if purity is not None and purity.broken:
            unreadable = "no mask could be read: purity is broken here"
        return Masks(
            p=self.p,
            bits=None if unreadable else bits,
            outcomes=outcomes,
            constancy=constancy if self._contract.by_channel else None,
            purity=purity,
            repeats=repeats,
            sums=Sums(calls * self._draws, self._table, total, squares, inexact) if self._sums_wanted else None,
            unreadable=unreadable,
        )

    def _outputs(self, calls: int, outputs: Sequence[Any] | None) -> Iterator[npt.NDArray[Any]]:
        """What `calls` calls give, or `outputs`: several before one is looked at, as caches forget in between."""
        several = max(1, HELD // self._which.size)
        for start in range(0, calls, several):
            some = range(start, min(calls, start + several))
            yield from [self.caller.raw(self.call() if outputs is None else outputs[number]) for number in some]

    def _mask(self, y: npt.NDArray[Any]) -> tuple[Mask | None, Check]:
        """The kept elements, and whether all are PyTorch's: a comparison for equality, bounds where that fails."""
        if self._dtype != y.dtype:
            self._dtype = y.dtype
            with np.errstate(over="ignore"):
                self._kept = self._table.kept.astype(y.dtype)[self._which]
                self._dropped = self._table.dropped.astype(y.dtype)
            # What is dropped is one value, whatever the input; half precision, read as integers, has two zeros.
            one = y.dtype != np.float16 and (self._dropped == self._dropped[0]).all()
            self._dropped = self._dropped[0] if one else self._dropped[self._which]
            if y.dtype == np.float16:
                self._kept, self._dropped = self._kept.view(np.uint16), self._dropped.view(np.uint16)
        if y.shape != self._which.shape:
            return None, compare(self.caller.from_layout(y), self._x, self._table)
        bits = y.view(np.uint16) if y.dtype == np.float16 else y  # as integers: half floats are slow to compare
        np.not_equal(bits, self._dropped, out=self._is_not_dropped)
        np.equal(bits, self._kept, out=self._is_kept)
        if np.array_equal(*self._as_words):  # each element is one outcome, and not the other
            return self._is_kept, self._right
        return self._within_bounds(y)

    def _within_bounds(self, y: npt.NDArray[Any]) -> tuple[Mask | None, Check]:
        """The same by comparing with what rounding allows, block by block: in float64 an array is large."""
        flat, which = y.reshape(-1), self._which.reshape(-1)
        x = self.caller.to_layout(self._x).reshape(-1)
        kept = np.empty(flat.shape, dtype=bool)
        check = Check(0, 0)
        for start in range(0, flat.size, BLOCK):
            part = slice(start, start + BLOCK)
            allowed = self._table.take(which[part])
            values = flat[part].astype(np.float64)
            place = partial(self._place, start)
            check += compare(values, x[part], allowed, place=place)
            kept[part] = allowed.is_kept(values)
        return (None if check.broken else kept.reshape(y.shape)), check

    def _place(self, start: int, at: tuple[int, ...]) -> tuple[int, ...]:
        """The index, channels first, of element `at` of the block that begins at `start` in the backend's layout."""
        index = np.zeros(self._which.shape, dtype=bool)
        index.reshape(-1)[start + at[0]] = True
        return tuple(int(axis) for axis in np.argwhere(self.caller.from_layout(index))[0])

    def _by_channel(self, mask: Mask) -> tuple[Mask, Check]:
        first = mask[tuple(slice(0, 1) if axis in self._spatial else slice(None) for axis in range(mask.ndim))]
        constant = mask == first
        compressed = first.reshape(self._mask_shape)
        if constant.all():
            return compressed, passed(compressed.size)
        torn = ~np.all(constant, axis=self._spatial)
        at = tuple(int(index) for index in np.argwhere(torn)[0])
        return compressed, failed(compressed.size, int(torn.sum()), counterexamples.torn(at))

    def _inexact(self, y: npt.NDArray[Any]) -> int:
        """How many of the elements that are summed are not bit for bit one of PyTorch's outcomes."""
        allowed, values = self._table.take(self._which[self._summed]), y.astype(np.float64)
        return int(np.count_nonzero(~(same(values, allowed.kept) | same(values, allowed.dropped))))

    def _purity(self) -> Check:
        y = self.caller.raw(self._native)
        x = self.caller.to_layout(self._x)
        if y.shape == x.shape and np.array_equal(y, x):
            return passed(y.size)
        return compare(self.caller.from_layout(y).astype(np.float64), self._x, exactly(self._x))


class Backward(Reader):
    """The same of passes forward and back."""

    def call(self) -> Any:
        """The output of one pass, not yet read."""
        if self.caller.writes:
            self._native = self.caller.native(self._x)
        return self.caller.vjp(self._native, self.p, True, self._native)[0]


def _exact_sums(y: npt.NDArray[Any]) -> tuple[int, int]:
    """Σy and Σy² in units of 2⁻⁴⁰, whatever the order; what is not finite, or huge, counts as 2²⁰ (2¹⁰ for squares)."""
    wide = np.nan_to_num(y.astype(np.float64), nan=2.0**20, posinf=2.0**20, neginf=-(2.0**20)).clip(-(2.0**20), 2.0**20)
    return _exact_sum(wide), _exact_sum(wide.clip(-(2.0**10), 2.0**10) ** 2)


def _exact_sum(values: Floats) -> int:
    units = np.rint(values / UNIT).astype(np.int64)
    return (int((units >> 20).sum()) << 20) + int((units & 0xFFFFF).sum())
