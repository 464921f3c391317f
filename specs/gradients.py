"""Samples of forward and backward passes: the mask of each pass, replayed through PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.case import Case
from harness.check import Check, passed
from specs import reference
from specs.bench import Bench
from specs.bits import Bits, readable
from specs.compare import compare
from specs.contracts import CONTRACTS, Contract
from specs.inputs import PROBES, SPECIAL, cotangent, indices, probes, with_specials
from specs.outcome import Mask, Outcomes, exactly
from specs.rounding import Floats, bounds

Counts = npt.NDArray[np.int64]
SPECIAL_EVERY = 7  # no power of two divides it, so zeros meet every position of a vector and every channel


@dataclass(frozen=True, eq=False)
class Gradients:
    """Some passes forward and back, in training.

    Args:
        p: the probability that the operator was called with.
        bits: the masks, read off the *outputs* where the input tells them apart, else off the gradients; None if
            neither could be read, for the reason in `unreadable`.
        outcomes: whether each output is PyTorch's for its mask.
        gradient: whether each gradient is PyTorch's for the mask of its own output.
        values: the input values, and ±0, ±inf and NaN after them.
        by_value: for each of them how many entries were kept, and how many there were; where the output can't tell, by
            the gradient.
    """

    p: float
    bits: Bits | None
    outcomes: Check
    gradient: Check
    purity: Check | None
    values: tuple[float, ...]
    by_value: tuple[Counts, Counts]
    unreadable: str

    @property
    def mask(self) -> Bits:
        """The masks.

        Raises:
            Unreadable: an exact law is broken, so that no mask could be read.
        """
        return readable(self.bits, self.unreadable)


def gradients(case: Case, backend: Any, seed: int) -> Iterator[Gradients]:
    """Passes through the operator in training: one sample for each pass."""
    bench = Bench(backend, CONTRACTS[case.op], case.dtype)
    passes = _Passes(bench, case)
    bench.seed(seed)
    for _ in range(-(-case.draws // int(np.prod(bench.contract.mask_shape(case.shape))))):
        yield passes.run()


class _Passes:
    """Passes forward and back on one input with one cotangent, both outcomes of every element learned before."""

    def __init__(self, bench: Bench, case: Case) -> None:
        assert case.p is not None
        contract, dtype = bench.contract, bench.dtype
        self._bench, self._p = bench, case.p
        self._values = (*probes(contract, dtype), *SPECIAL)
        which = with_specials(indices(case.shape), SPECIAL_EVERY, range(PROBES, len(self._values)))
        if contract.by_channel:
            _make_readable(which, contract)
        self._which = which
        self._draws = np.bincount(which.ravel(), minlength=len(self._values))
        self._x = np.array(self._values)[which]
        self._ct = cotangent(case.shape, dtype, seed=0)
        self._native, self._native_ct = bench.native(self._x), bench.native(self._ct)
        self._outputs = reference.outcomes(contract, dtype, self._p, self._x)
        self._slopes = _slopes(contract, dtype, self._p, self._x, self._ct)

    def run(self) -> Gradients:
        """One pass: its mask is read, and replayed through PyTorch."""
        out, gradient = self._bench.vjp(self._native, self._p, True, self._native_ct)
        y, g = self._bench.values(out), self._bench.values(gradient)
        purity = compare(self._bench.values(self._native), self._x, exactly(self._x))
        outcomes = compare(y, self._x, self._outputs)
        if outcomes.broken or g.shape != self._x.shape:
            reason = "no mask could be read: outcomes is broken here"
            slopes = compare(g, self._ct, self._slopes)
            nothing = np.zeros_like(self._draws)
            return Gradients(self._p, None, outcomes, slopes, purity, self._values, (nothing, self._draws), reason)
        mask = self._read(y, g)
        bits = Bits.empty(1, mask.shape)
        bits.put(0, mask)
        whole = np.broadcast_to(mask.reshape(mask.shape + (1,) * (y.ndim - mask.ndim)), y.shape)
        kept = np.bincount(self._which[whole], minlength=len(self._values))
        return Gradients(
            self._p,
            bits,
            compare(y, self._x, self._outputs.select(whole)),
            self._replayed(mask, g),
            purity,
            self._values,
            (kept, self._draws),
            "",
        )

    def _read(self, y: Floats, g: Floats) -> Mask:
        """The mask, off the output where it tells; where it doesn't (zeros, infinities), off the gradient."""
        kept = self._outputs.is_kept(y)
        if self._bench.contract.by_channel:
            return _front(kept, self._bench.contract)
        unclear = kept & self._outputs.is_dropped(y) | ~np.isfinite(self._x)
        return np.where(unclear, np.abs(g - self._slopes.kept) < np.abs(g - self._slopes.dropped), kept)

    def _replayed(self, mask: Mask, g: Floats) -> Check:
        """The gradient against PyTorch's for this very mask."""
        contract, dtype = self._bench.contract, self._bench.dtype
        _, replayed = reference.replay(contract, dtype, self._p, self._x, mask, self._ct)
        assert replayed is not None
        if np.array_equal(g, replayed):
            return passed(g.size)
        low, high = bounds(replayed, np.zeros_like(g), dtype)
        return compare(g, self._ct, Outcomes(replayed, replayed, low, high, low, high))


def _make_readable(which: npt.NDArray[np.uint8], contract: Contract) -> None:
    """Puts an ordinary value in front of each channel, so that its mask can be read there."""
    axis = contract.channel_axis(which.ndim)
    assert axis is not None
    which[(slice(None),) * (axis + 1) + (0,) * (which.ndim - axis - 1)] = 0


def _front(kept: Mask, contract: Contract) -> Mask:
    axis = contract.channel_axis(kept.ndim)
    assert axis is not None
    front: Mask = kept[(slice(None),) * (axis + 1) + (0,) * (kept.ndim - axis - 1)]
    return front


def _slopes(contract: Contract, dtype: str, p: float, x: Floats, ct: Floats) -> Outcomes:
    """Both gradients of every element; a gradient is linear in the cotangent, so its outcome at 0 is 0."""
    _, kept = reference.replay(contract, dtype, p, x, 1.0, ct)
    _, dropped = reference.replay(contract, dtype, p, x, 0.0, ct)
    assert kept is not None and dropped is not None
    zero = np.zeros_like(x)
    return Outcomes(kept, dropped, *bounds(kept, zero, dtype), *bounds(dropped, zero, dtype))
