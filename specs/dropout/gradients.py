"""Samples of forward and backward passes: the mask of each pass, replayed through PyTorch."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from keeprate.specs.dropout import reference
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.compare import compare, same
from keeprate.specs.dropout.contracts import CONTRACTS, Contract
from keeprate.specs.dropout.inputs import PROBES, SPECIAL, cotangent, indices, laid_out, probes, with_specials
from keeprate.specs.dropout.outcome import Mask, Outcomes, exactly
from keeprate.specs.dropout.rounding import Floats, bounds
from keeprate.specs.masks.packed_masks import PackedMasks
from keeprate.specs.masks.sample import Repeats, Sample
from keeprate.suite import Case, Check, passed

Counts = npt.NDArray[np.int64]
SPECIAL_EVERY = 7  # no power of two divides it, so zeros meet every position of a vector and every channel


@dataclass(frozen=True, eq=False, kw_only=True)
class Gradients(Sample):
    """Some passes forward and back, in training.

    The masks are read off the *outputs* where the input tells them apart, else off the gradients.

    Args:
        outcomes: whether each output is PyTorch's for its mask.
        gradient: whether each gradient is PyTorch's for the mask of its own output.
        purity: whether the input is still what it was.
        values: the input values, and ±0, ±inf and NaN after them.
        by_value: for each of them how many entries were kept, and how many there were; where the output can't tell, by
            the gradient.
    """

    outcomes: Check
    gradient: Check
    purity: Check
    values: tuple[float, ...]
    by_value: tuple[Counts, Counts]


def gradients(case: Case, backend: Any, seed: int) -> Iterator[Gradients]:
    """Passes through the operator in training: one sample for each pass."""
    caller = Caller(backend, CONTRACTS[case.op], case.dtype, case.context)
    passes = _Passes(caller, case)
    caller.seed(seed)
    for _ in range(-(-case.draws // prod(caller.contract.mask_shape(case.shape)))):
        yield passes.run()


@dataclass(frozen=True, eq=False)
class _Setting:
    """An input and a cotangent, both outcomes of every output, and both gradients: where all is kept, and nothing."""

    values: tuple[float, ...]
    which: npt.NDArray[np.uint8]
    x: Floats
    ct: Floats
    outputs: Outcomes
    slopes: tuple[Floats, Floats]


def _setting(contract: Contract, dtype: str, p: float, shape: tuple[int, ...], layout: str) -> _Setting:
    values = (*probes(contract, dtype), *SPECIAL)
    which = with_specials(indices(shape), SPECIAL_EVERY, range(PROBES, len(values)))
    if contract.by_channel:
        which[_fronts(contract, len(shape))] = 0  # an ordinary value, so that the channel's mask can be read there
    parts = np.array(values)[which], cotangent(shape, dtype, seed=0), which
    x, ct, which = (laid_out(part, layout) for part in parts)
    outputs = reference.table(contract, dtype, p, values).take(which)
    return _Setting(values, which, x, ct, outputs, _slopes(contract, dtype, p, x, ct))


_again = functools.lru_cache(maxsize=8)(_setting)  # other contexts ask for the same
HELD = 1 << 18  # elements of an input, at most, whose setting is held for them: it takes 80 bytes an element


class _Passes:
    """Passes forward and back on one input with one cotangent."""

    def __init__(self, caller: Caller, case: Case) -> None:
        self._caller, self._p = caller, case.parameters["p"]
        settle = _again if prod(case.shape) <= HELD else _setting
        setting = settle(caller.contract, caller.dtype, self._p, case.shape, case.strides)
        self._values, self._which = setting.values, setting.which
        self._x, self._ct = setting.x, setting.ct
        self._outputs, self._slopes = setting.outputs, setting.slopes
        self._draws = np.bincount(self._which.ravel(), minlength=len(self._values))
        self._repeats = Repeats()
        strided = bool(case.strides)
        self._native, self._native_ct = (caller.native(one, strided=strided) for one in (self._x, self._ct))

    def run(self) -> Gradients:
        """One pass: its mask is read, and replayed through PyTorch."""
        out, gradient = self._caller.vjp(self._native, self._p, True, self._native_ct)
        y, g = self._caller.values(out), self._caller.values(gradient)
        purity = compare(self._caller.values(self._native), self._x, exactly(self._x))
        if y.shape != self._x.shape or g.shape != self._x.shape:
            return self._unread(y, g, purity)
        mask = self._read(y, g)
        expected, slope = reference.replay(self._caller.contract, self._caller.dtype, self._p, self._x, mask, self._ct)
        whole = np.broadcast_to(mask.reshape(mask.shape + (1,) * (y.ndim - mask.ndim)), y.shape)
        outcomes = passed(y.size)
        if not same(y, expected).all():
            if compare(y, self._x, self._outputs).broken:
                return self._unread(y, g, purity)
            outcomes = compare(y, self._x, self._outputs.select(whole))
        assert slope is not None
        bits = PackedMasks.of(mask[None])
        kept = np.bincount(self._which[whole], minlength=len(self._values))
        return Gradients(
            p=self._p,
            bits=bits,
            outcomes=outcomes,
            gradient=self._compared(g, slope),
            purity=purity,
            repeats=self._repeats.look(bits, 0),
            values=self._values,
            by_value=(kept, self._draws),
        )

    def _unread(self, y: Floats, g: Floats, purity: Check) -> Gradients:
        """A pass whose outputs are not PyTorch's: each gradient is compared with both that it may be."""
        return Gradients(
            p=self._p,
            bits=None,
            outcomes=compare(y, self._x, self._outputs),
            gradient=compare(g, self._ct, self._either_slope()),
            purity=purity,
            values=self._values,
            by_value=(np.zeros_like(self._draws), self._draws),
            unreadable="no mask could be read: outcomes is broken here",
        )

    def _read(self, y: Floats, g: Floats) -> Mask:
        """The mask, off the output where it tells; where it doesn't (zeros, NaN), off the gradient."""
        kept = self._outputs.is_kept(y)
        if self._caller.contract.by_channel:
            front: Mask = kept[_fronts(self._caller.contract, kept.ndim)]
            return front
        unclear = kept & self._outputs.is_dropped(y)
        slope, none = self._slopes
        return np.where(unclear, np.abs(g - slope) < np.abs(g - none), kept)

    def _either_slope(self) -> Outcomes:
        """Both gradients of every element; a gradient is linear in the cotangent, so its outcome at 0 is 0."""
        zero, dtype = np.zeros_like(self._x), self._caller.dtype
        kept, dropped = self._slopes
        return Outcomes(kept, dropped, *bounds(kept, zero, dtype), *bounds(dropped, zero, dtype))

    def _compared(self, g: Floats, expected: Floats) -> Check:
        """The gradient against PyTorch's for this very mask."""
        if np.array_equal(g, expected):
            return passed(g.size)
        low, high = bounds(expected, np.zeros_like(g), self._caller.dtype)
        return compare(g, self._ct, Outcomes(expected, expected, low, high, low, high))


def _fronts(contract: Contract, rank: int) -> tuple[slice | int, ...]:
    """The index of the first element of each channel."""
    kept = len(contract.mask_shape((1,) * rank))
    return (slice(None),) * kept + (0,) * (rank - kept)


def _slopes(contract: Contract, dtype: str, p: float, x: Floats, ct: Floats) -> tuple[Floats, Floats]:
    """PyTorch's gradient if all is kept, and if nothing is."""
    kept, dropped = (reference.replay(contract, dtype, p, x, mask, ct)[1] for mask in (1.0, 0.0))
    assert kept is not None and dropped is not None
    return kept, dropped
