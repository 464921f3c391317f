"""Faithful masks drawn by NumPy in place of a backend: what the laws and the verdict make of them.

For calibration: a sample of a case as the suite gives it, with nothing between the generator and the laws.
Deterministic studies have no masks, and so no samples here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from keeprate.harness.evidence.check import passed
from keeprate.harness.evidence.moments import UNIT
from keeprate.harness.protocol.case import Case, FindingId
from keeprate.specs.dropout import reference
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.gradients import Gradients
from keeprate.specs.dropout.inputs import PROBES, SPECIAL, indices, probes
from keeprate.specs.dropout.sample import Masks
from keeprate.specs.dropout.suite import Dropout
from keeprate.specs.dropout.sums import Sums
from keeprate.specs.masks.packed_masks import ALL, WORD, PackedMasks, Words
from keeprate.specs.masks.sample import chunks, sampled
from keeprate.specs.masks.search import searched

DIGITS = 32  # binary digits of the keep probability: exact to 2⁻³²
LATER = 20  # of them that are drawn only in words where the first ones tie, one word in 64


class Simulated(Dropout):
    """The dropout suite with masks from NumPy; no backend is looked at."""

    def sample(self, case: Case, backend: Any, seed: int) -> Iterator[Any]:
        """The samples of a case."""
        return searched(_sample(case, seed), case.asks)


def _sample(case: Case, seed: int) -> Iterator[Any]:
    random = np.random.Generator(np.random.SFC64(seed))  # the fastest that NumPy has
    studies: dict[str, Callable[[Case, np.random.Generator], Iterator[Any]]] = {
        "masks": _masks,
        "unmapped": _masks,
        "processes": _masks,
        "lazy": _masks,
        "after_seeds": _masks,
        "sizes": _sizes,
        "streams": _streams,
        "mixed": _streams,
        "gradients": _gradients,
    }
    return studies[case.study](case, random)


def bernoulli(random: np.random.Generator, q: float, calls: int, shape: tuple[int, ...]) -> PackedMasks:
    """Masks of independent Bernoulli(q) entries: where a uniform number, drawn bit by bit, is below q."""
    bits = PackedMasks.empty(calls, shape)
    threshold = round(q * 2**DIGITS)
    below = bits.words.reshape(-1)
    if threshold == 2**DIGITS:
        below.fill(ALL)
    else:
        equal = np.full_like(below, ALL)  # below, should the digits that follow be so: the first ones may tie
        _compare(random, threshold >> LATER, DIGITS - LATER, below, equal)
        tied = np.flatnonzero(below != equal)
        later = np.zeros(tied.size, dtype=np.uint64)
        _compare(random, threshold & (1 << LATER) - 1, LATER, later)
        below[tied] |= later & equal[tied]
    if bits.entries % WORD:
        bits.words[:, -1] &= np.uint64((1 << bits.entries % WORD) - 1)
    return bits


def _compare(random: np.random.Generator, threshold: int, digits: int, *below: Words) -> None:
    """Draws `digits` binary digits of each entry, from the last to the first, and updates where they are below."""
    for digit in range(digits):
        drawn = random.bit_generator.random_raw(below[0].size)
        for state in below:
            (np.bitwise_or if threshold >> digit & 1 else np.bitwise_and)(state, drawn, out=state)


def _masks(case: Case, random: np.random.Generator) -> Iterator[Masks]:
    p, shape = case.parameters["p"], CONTRACTS[case.op].mask_shape(case.shape)

    def read(calls: int) -> Masks:
        bits = bernoulli(random, 1 - p, calls, shape)
        sums = _sums(case, bits) if case.asks("moments") else None
        checks = {name: passed() for name in ("constancy", "purity", "repeats")}
        return Masks(p, bits, outcomes=passed(bits.draws), sums=sums, **checks)

    yield from sampled(case.draws, prod(shape), read)


def _sizes(case: Case, random: np.random.Generator) -> Iterator[Masks]:
    p, shape = case.parameters["p"], CONTRACTS[case.op].mask_shape(case.shape)
    for calls in chunks(case.draws, prod(shape)):
        bits, beside = (bernoulli(random, 1 - p, calls, one) for one in (shape, (shape[0] // 8, *shape[1:])))
        yield Masks(p, bits, beside=beside, outcomes=passed(), constancy=passed())


def _sums(case: Case, bits: PackedMasks) -> Sums:
    """What outputs would sum to that are PyTorch's own outcomes for these masks."""
    p = case.parameters["p"]
    contract = CONTRACTS[case.op]
    outcomes = reference.table(contract, case.dtype, p, probes(contract, case.dtype))
    front = (slice(None),) * len(bits.shape) + (0,) * (len(case.shape) - len(bits.shape))
    which = indices(case.shape)[front].ravel()
    draws = bits.calls * np.bincount(which, minlength=PROBES).astype(np.int64)
    kept = np.bincount(np.resize(which, (bits.calls, which.size))[bits.unpack().astype(bool)], minlength=PROBES)
    total, squares = (
        sum(
            int(many) * round(one / UNIT) + int(few) * round(other / UNIT)
            for many, few, one, other in zip(kept, draws - kept, yes, no, strict=True)
        )
        for yes, no in (
            (outcomes.kept, outcomes.dropped),
            (outcomes.kept**2, outcomes.dropped**2),
        )
    )
    return Sums(draws, outcomes, total, squares, 0)


def _streams(case: Case, random: np.random.Generator) -> Iterator[Masks]:
    p = case.parameters["p"]
    shape = CONTRACTS[case.op].mask_shape(case.shape)
    calls = 2 * -(-case.draws // prod(shape))
    asked = [id for id in map(FindingId.parse, case.findings) if id.family == "streams"]
    kinds = dict.fromkeys(id.parameter.partition(".")[0] for id in asked)
    pairs = {kind: bernoulli(random, 1 - p, calls, shape) for kind in kinds}
    yield Masks(p, next(iter(pairs.values())), pairs=pairs, outcomes=passed(), constancy=passed())


def _gradients(case: Case, random: np.random.Generator) -> Iterator[Gradients]:
    p = case.parameters["p"]
    contract = CONTRACTS[case.op]
    shape = contract.mask_shape(case.shape)
    values = (*probes(contract, case.dtype), *SPECIAL)
    which: npt.NDArray[np.intp] = np.resize(np.arange(len(values)), prod(shape))
    draws = np.bincount(which, minlength=len(values))
    for _ in range(-(-case.draws // which.size)):
        bits = bernoulli(random, 1 - p, 1, shape)
        kept = np.bincount(which[bits.unpack()[0].view(bool)], minlength=len(values))
        checks = {name: passed() for name in ("outcomes", "gradient", "purity", "repeats")}
        yield Gradients(p, bits, values=values, by_value=(kept, draws), **checks)
