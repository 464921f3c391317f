"""Samples of random calls: masks read off the outputs once for all laws, as packed bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.case import Case
from harness.check import Check, failed, passed
from harness.errors import Unreadable
from harness.moments import UNIT
from specs import reference
from specs.bench import Bench
from specs.bits import Bits
from specs.compare import compare
from specs.contracts import CONTRACTS, Contract
from specs.inputs import PROBES, indices, probes
from specs.outcome import Mask, Outcomes, exactly
from specs.rounding import Floats

CHUNK = 1 << 20  # mask entries that are read before the laws look: large enough to hide their cost


@dataclass(frozen=True, eq=False)
class Sums:
    """The sum of outputs and of their squares, against both outcomes of every probe value.

    Args:
        draws: (values,) how often each probe value was drawn for.
        outcomes: PyTorch's, of the probe values.
        total, squares: Σy and Σy² in units of 2⁻⁴⁰.
        inexact: outputs that are not bit for bit one of PyTorch's outcomes.
    """

    draws: npt.NDArray[np.int64]
    outcomes: Outcomes
    total: int
    squares: int
    inexact: int


@dataclass(frozen=True, eq=False)
class Masks:
    """The masks of some calls of an operator, with what was seen while they were read.

    Args:
        p: the probability that the operator was called with.
        bits: the masks, or None if they could not be read, for the reason in `unreadable`.
        outcomes: whether each element is one of PyTorch's two.
        constancy: whether each channel was kept or dropped whole; None for element operators.
        purity: whether the input is still what it was; None for operators that write to it.
        sums: of the outputs, for operators that preserve moments.
    """

    p: float
    bits: Bits | None
    outcomes: Check
    constancy: Check | None
    purity: Check | None
    sums: Sums | None
    unreadable: str

    @property
    def mask(self) -> Bits:
        """The masks.

        Raises:
            Unreadable: an exact law is broken, so that no mask could be read.
        """
        if self.bits is None:
            raise Unreadable(self.unreadable)
        return self.bits


def masks(case: Case, backend: Any, seed: int) -> Iterator[Masks]:
    """Calls the operator in training, over and over on one input, and yields the masks chunk by chunk."""
    assert case.p is not None
    contract = CONTRACTS[case.op]
    reader = _Reader(Bench(backend, contract, case.dtype), contract, case)
    reader.bench.seed(seed)
    entries = int(np.prod(contract.mask_shape(case.shape)))
    calls = -(-case.draws // entries)
    chunk = max(1, CHUNK // entries)
    while calls > 0:
        yield reader.read(min(chunk, calls))
        calls -= chunk


class _Reader:
    """Makes calls and reads their outputs, in the backend's own layout: moving axes would cost more than the laws."""

    def __init__(self, bench: Bench, contract: Contract, case: Case) -> None:
        assert case.p is not None
        self.bench, self._contract, self._p = bench, contract, case.p
        values = probes(contract, case.dtype)
        self._table = reference.table(contract, case.dtype, case.p, values)
        which = indices(case.shape)
        self._x = np.array(values)[which]
        self._native = bench.native(self._x)
        self._which = np.ascontiguousarray(bench.to_layout(which))
        self._spatial = self._spatial_axes(len(case.shape))
        self._mask_shape = contract.mask_shape(case.shape)
        self._kept: npt.NDArray[Any] = np.empty(0)
        self._dropped: npt.NDArray[Any] = np.empty(0)
        first = tuple(0 if axis in self._spatial else slice(None) for axis in range(len(case.shape)))
        self._summed = first  # one element of each channel: the others share its mask
        self._draws = np.bincount(self._which[first].ravel(), minlength=PROBES).astype(np.int64)

    def _spatial_axes(self, rank: int) -> tuple[int, ...]:
        axis = self._contract.channel_axis(rank)
        if axis is None:
            return ()
        marked = np.empty(tuple(range(rank)))  # each axis is as long as its number, so that it is known again
        return tuple(place for place, number in enumerate(self.bench.to_layout(marked).shape) if number > axis)

    def read(self, calls: int) -> Masks:
        bits = Bits.empty(calls, self._mask_shape)
        outcomes, constancy = Check(0, 0), Check(0, 0)
        total = squares = inexact = 0
        unreadable = ""
        for number in range(calls):
            native = self.bench.native(self._x) if self._contract.writes else self._native
            y = self.bench.raw(self.bench.call(native, self._p))
            mask, outcome = self._mask(y)
            outcomes += outcome
            inexact += outcome.checked - outcome.exact
            if self._contract.preserves_moments and y.shape == self._which.shape:
                one, two = _exact_sums(y[self._summed])
                total, squares = total + one, squares + two
            if mask is None:
                unreadable = "no mask could be read: outcomes is broken here"
                continue
            if self._contract.by_channel:
                mask, constant = self._by_channel(mask)
                constancy += constant
                if constant.broken:
                    unreadable = "no mask could be read: constancy is broken here"
            bits.put(number, mask)
        purity = None if self._contract.writes else self._purity()
        if purity is not None and purity.broken:
            unreadable = "no mask could be read: purity is broken here"
        sums = None
        if self._contract.preserves_moments and outcomes.checked:
            sums = Sums(calls * self._draws, self._table, total, squares, inexact)
        return Masks(
            self._p,
            None if unreadable else bits,
            outcomes,
            constancy if self._contract.by_channel else None,
            purity,
            sums,
            unreadable,
        )

    def _mask(self, y: npt.NDArray[Any]) -> tuple[Mask | None, Check]:
        """The kept elements, and whether all are PyTorch's; a comparison for equality first, bounds where that fails."""
        if self._kept.dtype != y.dtype:
            with np.errstate(over="ignore"):
                self._kept = self._table.kept[self._which].astype(y.dtype)
                self._dropped = self._table.dropped[self._which].astype(y.dtype)
        if y.shape == self._kept.shape:
            kept = _equal(y, self._kept)
            known = kept | _equal(y, self._dropped)
            if known.all():
                return kept, passed(y.size)
        x, values = self._x, self.bench.from_layout(y.astype(np.float64))
        allowed = self._table.take(self.bench.from_layout(self._which))
        check = compare(values, x, allowed)
        if check.broken:
            return None, check
        return self.bench.to_layout(allowed.is_kept(values)), check

    def _by_channel(self, mask: Mask) -> tuple[Mask, Check]:
        first = mask[tuple(slice(0, 1) if axis in self._spatial else slice(None) for axis in range(mask.ndim))]
        constant = mask == first
        compressed = first.reshape(self._mask_shape)
        if constant.all():
            return compressed, passed(compressed.size)
        torn = ~np.all(constant, axis=self._spatial)
        at = tuple(int(index) for index in np.argwhere(torn)[0])
        return compressed, failed(
            compressed.size,
            int(torn.sum()),
            first=f"channel {at} is kept in one place and dropped in another",
        )

    def _purity(self) -> Check:
        return compare(self.bench.values(self._native), self._x, exactly(self._x))


def _equal(y: npt.NDArray[Any], values: npt.NDArray[Any]) -> Mask:
    """Elementwise equality; half precision as integers, for its floats are slow to compare."""
    if y.dtype == np.float16:
        y, values = y.view(np.uint16), values.view(np.uint16)
    equal: Mask = y == values
    return equal


def _exact_sums(y: npt.NDArray[Any]) -> tuple[int, int]:
    """Σy and Σy² in units of 2⁻⁴⁰, whatever the order; what is not finite, or huge, counts as 2²⁰ (2¹⁰ for squares)."""
    wide = np.nan_to_num(y.astype(np.float64), nan=2.0**20, posinf=2.0**20, neginf=-(2.0**20)).clip(-(2.0**20), 2.0**20)
    return _exact_sum(wide), _exact_sum(wide.clip(-(2.0**10), 2.0**10) ** 2)


def _exact_sum(values: Floats) -> int:
    units = np.rint(values / UNIT).astype(np.int64)
    return (int((units >> 20).sum()) << 20) + int((units & 0xFFFFF).sum())
