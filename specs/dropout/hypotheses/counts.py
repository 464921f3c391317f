"""Hypotheses about how many entries are dropped: a number that is fixed, places that have a rate of their own."""

from __future__ import annotations

import math

import numpy as np
import scipy

from keeprate.specs.dropout.hypotheses.clues import Clues
from keeprate.specs.dropout.hypotheses.masks import COUNTED, DEPENDENCE, LEAST, OF_MASKS, refuse_own_rates, varied
from keeprate.suite import NEVER, Account, Hypothesis, Tally, Unreadable

SOME = 16  # calls at either end
FAR = 10  # standard deviations, between these


def fixed_number(clues: Clues, of: str) -> Account:
    """Whether the number of drops in each call, or row, is fixed."""
    masks = varied(clues.masks)
    counts = masks.reshape(len(masks), -1).sum(axis=1) if of == "call" else masks.sum(axis=-1).ravel()
    size = masks[0].size if of == "call" else masks.shape[-1]
    if counts.size < 4 or size < 8:  # two large numbers are equal by chance too often
        raise Unreadable("too few")
    off = int(np.count_nonzero(counts != counts[0]))
    each = -math.log10(float(scipy.special.comb(size, int(counts[0]))) / 2.0**size) if size < 1000 else None
    each = math.log10(math.sqrt(math.pi * size / 2)) if each is None else each
    spread = size / 4 / max(float(counts.var()), 1e-9)
    promise = each * (counts.size - 1) if not off else 0.0 if spread < 4 else NEVER
    words = f"{size - int(counts[0]):,} of {size:,} entries are dropped, in each of {counts.size:,}"
    channels = of == "row" and clues.contract.by_channel and clues.contract.granularity != "row"
    entries = "channels" if channels else "entries"
    number = f"{size - int(counts[0]):,} of {size:,} {entries}"
    given: dict[str, int | str] = {"number": number, "of": "sample" if channels else of}
    return Account(counts.size, NEVER if off else 0.0, promise, words, {**given})


def lane(clues: Clues, width: str) -> Account:
    """Whether one place in each so many has a rate of its own; which one is found in half of the calls."""
    masks, number = varied(clues.masks).reshape(len(clues.masks), -1), int(width)
    whole = masks[:, : masks.shape[1] // number * number].reshape(len(masks), -1, number)
    if len({mask.tobytes() for mask in masks}) < max(4, len(masks)) or not whole.shape[1]:
        raise Unreadable("too few calls, or entries, that are apart")
    fit, test = (part.reshape(-1, number) for part in (whole[::2], whole[1::2]))
    share = fit.mean(axis=0)
    place = int(np.argmax(np.abs(share - np.median(share))))
    if abs(share[place] - np.median(share)) < LEAST:
        raise Unreadable("too little to be named")
    mean = float(share.mean())  # a rate that is off everywhere is another fault
    shares = whole[1::2].mean(axis=0)
    refuse_own_rates(shares - shares.mean(axis=0), len(whole[1::2]), mean)  # beside that of the lane
    kept = test.sum(axis=0)
    counts = np.stack([kept, len(test) - kept], axis=1)
    promise = Tally(("kept", "dropped"), counts, (mean, 1 - mean)).log10_e
    predicted = np.full(number, np.delete(share, place).mean())
    predicted[place] = np.clip(share[place], 1 / (4 * len(test)), 1 - 1 / (4 * len(test)))
    against = Tally(("kept", "dropped"), counts, np.stack([predicted, 1 - predicted], axis=1)).log10_e
    often = "drops entry {} of each {} " + ("more" if share[place] < mean else "less") + " often than the others"
    often = {0.0: "always drops entry {} of each {}", 1.0: "never drops entry {} of each {}"}.get(share[place], often)
    words = (
        f"{kept[place] / len(test):.2%} are kept there and {np.delete(kept, place).mean() / len(test):.2%} elsewhere"
    )
    text = f"{words}, at p = 0.5"
    return Account(test.size, against, promise, text, {"what": often.format(place + 1, number)})


def drifts(clues: Clues) -> Account:
    """Whether the rate changes steadily from call to call, from a seed on."""
    kept, size = clues.many.sum(axis=1)[1:], clues.many.shape[1]  # the first alone may have another cause
    first, last = kept[:SOME].mean() / size, kept[-SOME:].mean() / size
    spread = math.sqrt(0.5 / (SOME * size))  # of the difference, at p = 1/2
    steps = np.sort(np.abs(np.diff(kept)))[:-2]  # but for one jump
    steady = steps.mean() <= 2 * math.sqrt(size / 2)  # as of independent draws, of two calls
    off = abs(first - last) > FAR * spread
    seen = (
        f"at p = 0.5 it kept {first:.1%} in {SOME} calls after a seed, and {last:.1%} in the last {SOME} of {len(kept)}"
    )
    against = 0.0 if off and steady else NEVER
    given = {"more": "more" if first > last else "less"}
    return Account(clues.many.size, against, NEVER if off else 0.0, seen, dict(given))


def by_turns(clues: Clues) -> Account:
    """Whether every second call keeps more than the others, by one rate each."""
    kept, size = clues.many.sum(axis=1), clues.many.shape[1]
    halves = kept[::2], kept[1::2]
    shares = [float(half.mean()) / size for half in halves]
    spread = [math.sqrt(max(share * (1 - share), 1 / size) * size) for share in shares]
    off = abs(shares[0] - shares[1]) > FAR * math.sqrt(0.5 / (len(kept) / 2 * size))
    steady = all(float(half.std()) < 2 * one for half, one in zip(halves, spread, strict=True))
    texts = [f"{share:.2g}" for share in shares]
    seen = f"at p = 0.5 calls kept {', '.join(f'{one / size:.1%}' for one in kept[:4])} and so on, {len(kept)} calls"
    against = 0.0 if off and steady and texts[0] != texts[1] else NEVER
    return Account(clues.many.size, against, NEVER if off else 0.0, seen, {"rates": " and ".join(texts)})


HYPOTHESES = (
    Hypothesis("by_turns", "number", "keeps entries with probability {rates} by turns at p = 0.5", by_turns, OF_MASKS),
    Hypothesis(
        "drifts",
        "number",
        "keeps {more} in the first calls after a seed than in later ones",
        drifts,
        OF_MASKS,
    ),
    Hypothesis(
        "fixed_number",
        "number",
        "drops exactly {number} in each {of}, not each on its own",
        fixed_number,
        DEPENDENCE,
        COUNTED,
    ),
    Hypothesis(
        "lane",
        "number",
        "{what}",
        lane,
        COUNTED | {"blocks", "runs", "slices"},
    ),
)
