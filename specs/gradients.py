"""Samples of forward and backward passes: the mask of each pass, replayed through PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.case import Case
from harness.check import Check
from harness.errors import Unreadable
from specs import reference
from specs.bench import Bench
from specs.bits import Bits
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
        if self.bits is None:
            raise Unreadable(self.unreadable)
        return self.bits


def gradients(case: Case, backend: Any, seed: int) -> Iterator[Gradients]:
    """Passes through the operator in training: one sample for each pass."""
    assert case.p is not None
    contract = CONTRACTS[case.op]
    bench = Bench(backend, contract, case.dtype)
    values = (*probes(contract, case.dtype), *SPECIAL)
    which = with_specials(indices(case.shape), SPECIAL_EVERY, range(PROBES, len(values)))
    if contract.by_channel:
        _make_readable(which, contract)
    x = np.array(values)[which]
    ct = cotangent(case.shape, case.dtype, seed=0)
    outputs = reference.outcomes(contract, case.dtype, case.p, x)
    slopes = _slopes(contract, case.dtype, case.p, x, ct)
    native, native_ct = bench.native(x), bench.native(ct)
    bench.seed(seed)
    draws = case.draws
    while draws > 0:
        yield _one(bench, case.p, values, which, native, ct, native_ct, outputs, slopes)
        draws -= int(np.prod(contract.mask_shape(case.shape)))


def _make_readable(which: npt.NDArray[np.uint8], contract: Contract) -> None:
    """Puts an ordinary value in front of each channel, so that its mask can be read there."""
    axis = contract.channel_axis(which.ndim)
    assert axis is not None
    which[(slice(None),) * (axis + 1) + (0,) * (which.ndim - axis - 1)] = 0


def _one(
    bench: Bench,
    p: float,
    values: tuple[float, ...],
    which: npt.NDArray[np.uint8],
    native: Any,
    ct: Floats,
    native_ct: Any,
    outputs: Outcomes,
    slopes: Outcomes,
) -> Gradients:
    contract, dtype = bench.contract, bench.dtype
    x = np.array(values)[which]
    out, gradient = bench.vjp(native, p, True, native_ct)
    y, g = bench.values(out), bench.values(gradient)
    purity = compare(bench.values(native), x, exactly(x))
    outcomes = compare(y, x, outputs)
    if outcomes.broken or g.shape != x.shape:
        reason = "no mask could be read: outcomes is broken here"
        nothing = np.zeros(len(values), dtype=np.int64)
        return Gradients(p, None, outcomes, compare(g, ct, slopes), purity, values, (nothing, nothing), reason)
    kept = outputs.is_kept(y)
    if contract.by_channel:
        mask = _front(kept, contract)
    else:
        unclear = outputs.is_dropped(y) & kept | ~np.isfinite(x)
        mask = np.where(unclear, np.abs(g - slopes.kept) < np.abs(g - slopes.dropped), kept)
    whole = _spread(mask, x.shape)
    _, replayed = reference.replay(contract, dtype, p, x, mask, ct)
    assert replayed is not None
    low, high = bounds(replayed, np.zeros_like(x), dtype)
    bits = Bits.empty(1, mask.shape)
    bits.put(0, mask)
    by_value = (np.bincount(which[whole], minlength=len(values)), np.bincount(which.ravel(), minlength=len(values)))
    return Gradients(
        p,
        bits,
        compare(y, x, outputs.select(whole)),
        compare(g, ct, Outcomes(replayed, replayed, low, high, low, high)),
        purity,
        values,
        by_value,
        "",
    )


def _front(kept: Mask, contract: Contract) -> Mask:
    axis = contract.channel_axis(kept.ndim)
    assert axis is not None
    front: Mask = kept[(slice(None),) * (axis + 1) + (0,) * (kept.ndim - axis - 1)]
    return front


def _spread(mask: Mask, shape: tuple[int, ...]) -> Mask:
    return np.broadcast_to(mask.reshape(mask.shape + (1,) * (len(shape) - mask.ndim)), shape)


def _slopes(contract: Contract, dtype: str, p: float, x: Floats, ct: Floats) -> Outcomes:
    """Both gradients of every element; a gradient is linear in the cotangent, so its outcome at 0 is 0."""
    _, kept = reference.replay(contract, dtype, p, x, 1.0, ct)
    _, dropped = reference.replay(contract, dtype, p, x, 0.0, ct)
    assert kept is not None and dropped is not None
    zero = np.zeros_like(x)
    return Outcomes(kept, dropped, *bounds(kept, zero, dtype), *bounds(dropped, zero, dtype))
