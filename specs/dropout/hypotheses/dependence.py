"""The hypothesis that entries depend on one another, at the lag that looks worst."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy

from keeprate.specs.dropout.hypotheses.clues import RATES, Clues
from keeprate.specs.dropout.hypotheses.masks import COUNTED, DEPENDENCE, FEW, LEAST, refuse_own_rates, varied
from keeprate.specs.dropout.outcome import Mask
from keeprate.suite import ENOUGH, Account, Hypothesis, Tally, Unreadable

OWN = 0.008  # covariance of places in early and in late calls, which a lag that is named must exceed


def correlated(clues: Clues, of: str) -> Account:
    """Whether entries some way apart, in one call or two in a row, agree more often: the lag that looks worst.

    Where half is kept a draw's first bit decides, so that draws with other bits in common show at another p alone.
    """
    account = _correlated(clues.masks, of, "")
    if account is None:
        account = _correlated(clues.masks_kept, of, f" at p = {RATES[1]:g}")
    if account is None:
        raise Unreadable("too little to be named")
    return account


def _correlated(masks: Mask, of: str, at: str) -> Account | None:
    """The same of these masks; None where they agree too little more to be named, or no more than by chance."""
    flat = varied(masks).reshape(len(masks), -1).astype(np.float32)
    mean = float(flat.mean())
    each = flat.mean(axis=1, keepdims=True)  # calls that have rates of their own agree by these
    flat -= each
    if len({mask.tobytes() for mask in flat}) < max(8, len(flat)):
        raise Unreadable("too few calls that are apart")
    fit, test = flat[: len(flat) // 2], flat[len(flat) // 2 :]
    refuse_own_rates((test > 0).mean(axis=0), len(test), mean)
    if float((fit.mean(axis=0) * test.mean(axis=0)).mean()) > OWN:
        raise Unreadable("places have rates of their own")
    lag, strength = _worst(fit, of)
    one, other = _lagged(test, lag, of)
    rates = each[len(flat) // 2 :].ravel()
    of_one, of_other = (rates, rates) if of == "call" else (rates[:-1], rates[1:])
    agree = int(np.count_nonzero((one > 0) == (other > 0)))
    apart = float((of_one * of_other + (1 - of_one) * (1 - of_other)).mean())  # of independent entries
    promise = Tally(("alike", "unlike"), (agree, one.size - agree), (apart, 1 - apart)).log10_e
    if promise < ENOUGH or abs(agree / one.size - apart) < LEAST:
        return None
    fitted = min(max(apart + strength / 2, 0.01), 0.99)
    against = Tally(("alike", "unlike"), (agree, one.size - agree), (fitted, 1 - fitted)).log10_e
    words = f"{agree / one.size:.2%} of {one.size:,} pairs are kept or dropped together, {apart:.0%} should"
    far = (
        f"{abs(lag):,} apart"
        if of == "call"
        else f"of two calls in a row, {abs(lag):,} apart"
        if lag
        else "of two calls in a row"
    )
    return Account(one.size, against, promise, words, {"far": far, "at": at})


def _worst(flat: npt.NDArray[np.float32], of: str) -> tuple[int, float]:
    size = 2 * flat.shape[1]
    spectra = scipy.fft.rfft(flat, n=size, axis=1)
    products = np.abs(spectra) ** 2 if of == "call" else spectra[1:] * np.conj(spectra[:-1])
    sums = scipy.fft.irfft(products.sum(axis=0), n=size)
    lags = np.arange(size)
    lags[size // 2 :] -= size
    number = np.maximum(1, (flat.shape[1] - np.abs(lags))) * len(products)
    score = sums / np.sqrt(number)
    score[np.abs(lags) > flat.shape[1] - FEW] = 0
    if of == "call":
        score[lags <= 0] = 0
    at = int(np.argmax(np.abs(score)))
    return int(lags[at]), float(4 * sums[at] / number[at])


def _lagged(
    flat: npt.NDArray[np.float32], lag: int, of: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    one, other = (flat, flat) if of == "call" else (flat[:-1], flat[1:])
    return (one[:, : flat.shape[1] - lag], other[:, lag:]) if lag >= 0 else (one[:, -lag:], other[:, :lag])


HYPOTHESES = (
    Hypothesis(
        "correlated",
        "repetition",
        "makes entries {far} depend on one another{at}",
        correlated,
        DEPENDENCE,
        COUNTED,
        vague=True,
    ),
)
