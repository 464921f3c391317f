"""Lags and shifts that nobody listed: the first masks of a case name the most suspicious, later ones alone decide."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy  # its FFT is twice as fast as NumPy's in single precision; loaded when it is needed

from keeprate.specs.masks.independence import pair_tally
from keeprate.specs.masks.packed_masks import PackedMasks, Pairs, pairs_between
from keeprate.specs.masks.sample import BERNOULLI, AnySample, Sample
from keeprate.specs.masks.stretches import Stretches
from keeprate.suite import Tally, law

NAMED = 4  # lags, or shifts, that the first masks name; the next ones leave one of them
OVERLAP = 2  # over (pq)²: pairs of entries, at least, that speak for one, 32 at p = 1/2 and more where drops are rare
Shift = tuple[int, int]  # of which succession of masks, and how far
Spectra = npt.NDArray[np.complex64]


@law(
    promise="Entries are uncorrelated at every lag; the lag that looks worst is tested again on other draws.",
    catches=("periods that no fixed lag meets", "a mask that is tiled from a buffer"),
    blind_to=("dependence that no pair of entries shows", "correlations too weak for the first masks to show"),
    source=BERNOULLI,
)
def all_lags(sample: Sample) -> Tally:
    """Finds the largest autocorrelations of the first masks by FFT, then counts pairs at one such lag in later ones."""
    bits = sample.mask
    return pair_tally((0, 0, 0) if sample.lag is None else bits.pairs(sample.lag), sample.p)


@law(
    promise="No mask is a shifted copy of the next; the shift that looks worst is tested again on other draws.",
    catches=("counters that step too little", "streams that overlap", "reuse of the last numbers of a call"),
    blind_to=("calls that don't follow one another: see `no_stretch_twice`", "shifts that change from call to call"),
    source=BERNOULLI,
)
def all_shifts(sample: Sample) -> Tally:
    """Finds the largest correlations of the first masks in a row by FFT, then counts pairs at one in later ones."""
    sample.mask  # noqa: B018 - raises where nothing could be read
    return pair_tally((0, 0, 0) if sample.shift is None else _shifted(sample, sample.shift), sample.p)


def searched(samples: Iterable[AnySample], asks: Callable[[str], bool]) -> Iterator[AnySample]:
    """The samples of a case, each with what those before it make suspicious.

    Their first masks name lags and shifts, the next ones leave one of them.

    Args:
        samples: of one case, in the order in which they are drawn.
        asks: whether a law, by its name, looks at them.
    """
    lags: list[int] = []
    shifts: list[Shift] = []
    seen = Stretches() if asks("no_stretch_twice") else None
    if not (seen or asks("all_lags") or asks("all_shifts")):
        yield from samples
        return
    before: AnySample | None = None
    for number, sample in enumerate(samples):  # what none comes after need not be searched
        if before is not None and number == 1:
            lags, shifts = named_by(before, lags=asks("all_lags"), shifts=asks("all_shifts"))
        elif before is not None and number == 2:
            lags, shifts = _worst_first(before, lags, shifts)
        lag, shift = lags[0] if lags else None, shifts[0] if shifts else None
        yield replace(sample, lag=lag, shift=shift, stretches=seen.look(sample) if seen else None)
        before = sample if number < 2 and sample.bits is not None else None


def _worst_first(sample: Sample, lags: list[int], shifts: list[Shift]) -> tuple[list[int], list[Shift]]:
    def of_lag(lag: int) -> float:
        return _deviation(sample.mask.pairs(lag), sample.p)

    def of_shift(shift: Shift) -> float:
        return _deviation(_shifted(sample, shift), sample.p)

    return sorted(lags, key=of_lag, reverse=True), sorted(shifts, key=of_shift, reverse=True)


def named_by(sample: Sample, *, lags: bool, shifts: bool) -> tuple[list[int], list[Shift]]:
    """The lags and shifts at which masks are most correlated, the worst first; whether they are, others decide."""
    if not (lags or shifts):
        return [], []
    stacks = _stacks(sample)
    length = scipy.fft.next_fast_len(stacks[0].entries + stacks[-1].entries, real=True)
    spectra = [_spectra(bits, sample.p, length) for bits in stacks]
    return (
        _worst_lags(stacks[0], spectra[0], length, sample.p) if lags else [],
        _worst_shifts(stacks, spectra, length, sample.p) if shifts else [],
    )


def _worst_lags(bits: PackedMasks, spectra: Spectra, length: int, p: float) -> list[int]:
    lags = np.arange(1, bits.entries)
    correlation = scipy.fft.irfft((spectra.real**2 + spectra.imag**2).sum(axis=0), n=length)[lags]
    return [int(lags[place]) for _, place in _largest(correlation, bits.calls * (bits.entries - lags), p)]


def _worst_shifts(stacks: Sequence[PackedMasks], spectra: Sequence[Spectra], length: int, p: float) -> list[Shift]:
    found = []
    for which, one in enumerate(stacks):
        left, right, other = spectra[which], spectra[which - 1], stacks[which - 1]
        if one is stacks[-1]:  # which is followed by the next call of the first
            left, right = left[:-1], right[1:]
        shifts = np.arange(1 - one.entries, other.entries)
        correlation = scipy.fft.irfft((left.conj() * right).sum(axis=0), n=length)[shifts]
        pairs = len(left) * (np.minimum(one.entries, other.entries - shifts) - np.maximum(0, -shifts))
        found += [(score, (which, int(shifts[place]))) for score, place in _largest(correlation, pairs, p)]
    return [shift for _, shift in sorted(found, reverse=True)[:NAMED]]


def _spectra(bits: PackedMasks, p: float, length: int) -> Spectra:
    spectra: Spectra = scipy.fft.rfft(bits.unpack() - np.float32(1 - p), n=length, axis=1)
    return spectra


def _largest(correlation: npt.NDArray[Any], pairs: npt.NDArray[Any], p: float) -> list[tuple[float, int]]:
    """The largest sums over so many pairs, in multiples of one pair's standard deviation, and where they stand."""
    enough = pairs >= OVERLAP / (p * (1 - p)) ** 2
    scores = np.where(enough, np.abs(correlation), 0) / np.sqrt(np.maximum(1, pairs))
    first = np.argpartition(scores, max(0, scores.size - NAMED))[-NAMED:]
    return sorted(((float(scores[place]), int(place)) for place in first if enough[place]), reverse=True)


def _deviation(pairs: Pairs, p: float) -> float:
    """How far the pairs are from uncorrelated, in multiples of one pair's standard deviation."""
    both, one, none = pairs
    number, q = max(1, both + one + none), 1 - p
    return float(abs(both - q * (2 * both + one) + number * q * q) / math.sqrt(number))


def _shifted(sample: Sample, shift: Shift) -> Pairs:
    """Pairs of entries of masks in a row; no entry is in two."""
    which, moved = shift
    stacks = _stacks(sample)
    if len(stacks) == 1:
        return sample.mask.call_pairs(moved)
    one, other = stacks[which], stacks[which - 1]
    if which:
        one, other = one.take(slice(0, -1)), other.take(slice(1, None))
    return pairs_between(one, other, moved)


def _stacks(sample: Sample) -> list[PackedMasks]:
    """Masks of one size each; where there are two, calls of both took turns."""
    return [sample.mask] if sample.beside is None else [sample.mask, sample.beside]


laws = (all_lags, all_shifts)
