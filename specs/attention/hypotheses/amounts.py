"""Hypotheses about what is dropped, and at which rate it is dropped and scaled, where that isn't p."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from keeprate.specs.accounts import exact
from keeprate.specs.attention.hypotheses.clues import CODED, EVEN, SEVERAL, Clues
from keeprate.specs.attention.place import BITS
from keeprate.specs.masks import rates as of_masks
from keeprate.specs.masks.every import COUNTED, DEPENDENCE
from keeprate.suite import ENOUGH, NEVER, Account, Hypothesis, Tally, Unreadable

DIGITS = 4  # of a rate that is told, at most
FORMULAS = {name: formula for name, formula in of_masks.FORMULAS.items() if name not in ("all", "none")}
FORMULAS["exchanged"] = "takes p as the probability of keeping", of_masks.FORMULAS["exchanged"][1]
PLACES = {"values": "elements of v, not weights", "output": "its output, not weights", "both": "its output as well"}


def never(clues: Clues) -> Account:
    """Whether nothing is dropped or scaled at any p, whatever the scores."""
    every = [noise[..., clues.place.seen] for noise in clues.values.values()]
    fits = all(clues.near(noise, 1.0).all() for noise in every)
    if fits:
        caller = clues.caller()
        inputs = clues.inputs(caller, 1.0)
        outputs = clues.outputs(caller, inputs, EVEN)
        one, other, plain = next(outputs), next(outputs), next(clues.outputs(caller, inputs, EVEN, False))
        fits = np.array_equal(one, other) and bool(clues.near(one, plain).all()) and _ends(clues, 1.0)
    number = sum(noise.size for noise in every)
    seen = f"at p = 0.1, 0.3 and 0.9 all {number:,} weights are those of a call without dropout"
    return exact(fits, fits, number, seen)


def constant(clues: Clues) -> Account:
    """Whether weights are dropped and scaled as at one p, whatever p is."""
    every = {p: noise[..., clues.place.seen] for p, noise in clues.values.items()}
    left = every[0.3][every[0.3] != 0]
    scale = float(np.median(left)) if left.size and np.isfinite(left).all() else 1.0
    rates = (round(1 - 1 / max(scale, 1.0), digits) for digits in range(1, DIGITS + 1))
    rate = next((rate for rate in rates if 0 < rate < 1 and clues.near(left, 1 / (1 - rate)).all()), 0.0)
    if not rate or not clues.of_weights:
        return Account(1, NEVER, 0.0)
    scale = 1 / (1 - rate)
    fits = all(bool(clues.near(noise[noise != 0], scale).all()) for noise in every.values())
    counts = [(int(np.count_nonzero(noise)), noise.size) for noise in every.values()]
    fits = fits and all(_rate_is(rate, *count) for count in counts) and _ends(clues, scale)
    number = sum(noise.size for noise in every.values())
    dropped = ", ".join(f"{(noise == 0).mean():.1%} at p = {p}" for p, noise in every.items())
    seen = f"dropped are {dropped}; what is kept is multiplied by {scale:.6g}"
    return exact(fits, fits, number, seen, p=f"{rate:g}")


def _rate_is(rate: float, kept: int, size: int) -> bool:
    return Tally(("kept", "dropped"), (kept, size - kept), (1 - rate, rate)).log10_e < ENOUGH


def _ends(clues: Clues, scale: float) -> bool:
    """Whether at p = 1 all is dropped, or so scaled."""
    noise = clues.noise(1.0)[..., clues.place.seen]
    return bool((noise == 0).all() or clues.near(noise[noise != 0], scale).all())


def effective(clues: Clues, name: str) -> Account:
    """Whether weights are dropped and scaled as at another p, which a formula gives."""
    words, keep = FORMULAS[name]
    dropping = {p: 1 - keep(p) for p in SEVERAL}
    if not all(0 < rate < 1 for rate in dropping.values()) or not clues.of_weights:
        return Account(1, NEVER, 0.0)
    broken = not clues.scaled_by_p
    once = clues.counted(dropping, clues.coded_once)
    if once is None:
        return Account(1, NEVER, NEVER if broken else 0.0)
    if all(abs(rate - p) < math.sqrt(p * (1 - p) / (CODED * once[p][1])) for p, rate in dropping.items()):
        raise Unreadable("it is less than a standard error from p")
    kept = clues.counted(dropping, clues.coded)
    if kept is None:
        return Account(1, NEVER, NEVER if broken else 0.0)
    number = sum(size for _, size in kept.values())
    if not all(_rate_is(dropping[p], *counts) for p, counts in kept.items()):
        return Account(number, NEVER, NEVER if broken else 0.0)
    if all(_rate_is(p, *counts) for p, counts in kept.items()):
        raise Unreadable("what is scaled so is not seen to be dropped so")
    last, end = clues.codes(1.0), 1 - keep(1.0)
    fits = not last[0].any() or (0 <= end < 1 and clues.counted({1.0: end}, {1.0: last}) is not None)
    seen = f"at p = {', '.join(map(str, SEVERAL))} all {number:,} weights are dropped and scaled so"
    return exact(fits, broken, number, seen, what=words)


def elsewhere(clues: Clues, what: str) -> Account:
    """Whether elements of values or of the output are dropped, in place of weights or besides."""
    if clues.place.causal or clues.place.shape[3] < 8:
        raise Unreadable("too few weights add up")
    sums, left = clues.sums, clues.sums[clues.sums != 0]
    apart = not clues.of_weights
    dropped = left.size < sums.size
    if what == "values":
        fits = apart and bool(clues.near(sums, sums[:, :, :1]).all())
        seen = f"for values of 1 all {sums.shape[2]} queries of a head have the same output, in which channels differ"
    elif what == "output":
        fits = apart and dropped and bool(clues.near(left, left.max(initial=0)).all())
        seen = f"for values of 1 {sums.size - left.size:,} of {sums.size:,} outputs are 0, and all others one number"
    else:
        most = sums.max(axis=-1, keepdims=True)
        of_a_query = (sums == 0) | clues.near(sums, most)
        fits = apart and dropped and bool(of_a_query.all()) and not clues.near(most, most.max()).all()
        seen = f"for values of 1 {sums.size - left.size:,} of {sums.size:,} outputs are 0, the others of a query alike"
    return exact(fits, apart, sums.size, seen, what=PLACES[what])


def design(what: object, queries: int, dtype: str) -> int:
    """How many of the entries that are read off codes are one draw."""
    return queries if what == PLACES["values"] else BITS[dtype]


def _h(name: str, says: str, function: Callable[..., Account]) -> Hypothesis:
    laws = COUNTED | DEPENDENCE | {"outcomes", "replayed", "gradient", "endpoints"}
    return Hypothesis(name, "rate", says, function, laws, consequences=DEPENDENCE)


HYPOTHESES = (
    _h("never", "never drops, whatever p is", never),
    _h("constant", "drops as if p were {p}, whatever p is", constant),
    _h("effective", "{what}", effective),
    Hypothesis(
        "elsewhere", "value", "drops {what}", elsewhere, DEPENDENCE | {"outcomes", "replayed", "gradient"}, COUNTED
    ),
)
PARAMETERS = {"effective": tuple(FORMULAS), "elsewhere": tuple(PLACES)}
