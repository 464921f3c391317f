"""Hypotheses about values: what a kept entry is made into, and a dropped one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from msgspec.structs import replace

from keeprate.specs.dropout.hypotheses.clues import RATES, Clues, Output
from keeprate.specs.dropout.hypotheses.masks import OF_MASKS
from keeprate.specs.rounding import Floats, bounds, representable, ulp
from keeprate.suite import NEVER, Account, Hypothesis, Unreadable

NARROW = ("bfloat16", "float16", "float32")
VALUES = frozenset(
    {"outcomes", "moments", "strides", "shape", "inplace", "modes", "concurrency", "arguments", "gradient"}
)
INPUTS: dict[str, tuple[str, Callable[[Floats], Floats]]] = {
    "size": ("loses the sign of its input", np.abs),
    "negative": ("flips the sign of its input", np.negative),
}
LITTLE = 0.05  # of an entry that should be 0
Pair = tuple[Floats, Floats]  # what a kept element becomes, and a dropped one


def scaled(scale: float, x: Floats) -> Pair:
    """Kept elements times one number, and dropped ones 0."""
    return x * scale, np.zeros_like(x)


def _narrow(value: float, dtype: str) -> float:
    return float(representable(value, dtype))


SCALES: dict[str, Callable[[float, str], float]] = {
    "none": lambda p, _: 1.0,
    "by_p": lambda p, _: 1 / p,
    "twice": lambda p, _: (1 - p) ** -2,
    "by_keep": lambda p, _: 1 - p,
    "integer": lambda p, _: float(int(1 / (1 - p))),
    **{f"guarded{n}": lambda p, _, n=n: 1 / (1 - p + 10.0**-n) for n in range(2, 13)},  # type: ignore[misc]
    **{f"rounded_{d}": lambda p, _, d=d: _narrow(1 / (1 - p), d) for d in NARROW},  # type: ignore[misc]
    **{f"of_{d}": lambda p, _, d=d: 1 / _narrow(1 - _narrow(p, d), d) for d in NARROW},  # type: ignore[misc]
    **{f"p_{d}": lambda p, _, d=d: 1 / (1 - _narrow(p, d)) for d in NARROW},  # type: ignore[misc]
}


OF_NARROW = {"p": "p", "of": "1 − p", "rounded": "the scale"}  # what is rounded, by the parts of names of scales


def tested(clues: Clues, predict: Callable[[Output], Pair], words: str) -> Account:
    """Every element of every output against what is predicted; at a p where PyTorch's own fits all is right.

    Where all is dropped, nothing tells what is kept: such outputs fit no prediction.
    """
    account = _tested(clues, clues.outputs, predict, words)
    if account.accepted and account.given["at"]:  # at some p alone, which may be a matter of the call
        again = _tested(clues, clues.outputs_again, predict, words)
        if again.given["at"] != account.given["at"] or not again.accepted:
            return Account(account.looked_at, NEVER, account.promise)
    return account


def _tested(clues: Clues, outputs: Sequence[Output], predict: Callable[[Output], Pair], words: str) -> Account:
    """The same of these outputs."""
    wrong, against, looked, kept_alone = 0, 0.0, 0, False
    at, right, example = [], [], ""
    for one in outputs:
        kept, dropped = predict(one)
        zero = predict(one._replace(x=np.zeros_like(one.x)))[0]
        ends = [bounds(values, zero, clues.case.dtype) for values in (kept, dropped)]
        as_kept, as_dropped = ((one.y >= low) & (one.y <= high) for low, high in ends)
        fits = as_kept | as_dropped
        kept_alone |= bool((as_kept > as_dropped).any() or np.array_equal(kept, dropped))
        looked += one.y.size
        if one.allowed.all():
            right += [one.p] if not fits.all() else []
            continue
        wrong += int(np.count_nonzero(~one.allowed))
        if not fits.all():
            against = NEVER
            break
        at.append(one.p)
        if not example:
            place = np.unravel_index(int(np.argmin(one.allowed)), one.y.shape)
            digits = digits_of(one.y[place], one.expected.kept[place])
            example = f"at p = {one.p:g} input {one.x[place]:.6g} gave {digits[0]}, PyTorch {digits[1]}"
    where = f" at p = {', '.join(f'{p:g}' for p in sorted(at))}" if right else ""
    seen = f"all {looked:,} outputs are as this predicts: {example}"
    against = against if kept_alone else NEVER
    return Account(looked, against, NEVER if wrong else 0.0, seen, {"at": where, "what": words})


def digits_of(one: float, other: float) -> tuple[str, str]:
    """Two numbers with as many digits as tell them apart."""
    for digits in range(4, 18):
        texts = f"{one:.{digits}g}", f"{other:.{digits}g}"
        if texts[0] != texts[1]:
            break
    return texts


def _drops(clues: Clues) -> None:
    """Refuses wrong outputs none of which is dropped: any scale, or part that is kept, would fit them."""
    outputs = [one for one in clues.outputs if one.p in RATES]
    wrong = [one for one in outputs if not one.allowed.all()]
    if not any(((one.y == 0) & (one.x != 0)).any() for one in wrong or outputs):
        raise Unreadable("nothing is dropped")


def unchanged(clues: Clues) -> Account:
    """Whether each call in training returns its input, so that nothing is dropped and nothing is scaled."""
    if not all((one.y == one.x).all() for one in clues.outputs if one.p in RATES):
        raise Unreadable("at a small p nothing may be dropped by chance")
    return tested(clues, lambda one: (one.x, one.x), "returns its input unchanged in training")


def scale(clues: Clues, name: str) -> Account:
    """Whether kept entries are scaled so."""
    if clues.contract.preserves_moments:
        raise Unreadable("it is no scale alone")
    _drops(clues)
    eps = f"1/(1 − p + 1e-{name.removeprefix('guarded')})" if name.startswith("guarded") else ""
    dtype = name.rpartition("_")[2] if name.startswith(("rounded_", "p_", "of_")) else ""
    kinds = [part for part in OF_NARROW if name.startswith(f"{part}_")]
    words = {
        "none": "doesn't scale kept entries by 1/(1 − p)",
        "by_p": "scales kept entries by 1/p, not by 1/(1 − p)",
        "twice": "scales kept entries by 1/(1 − p) twice",
        "integer": "rounds the scale 1/(1 − p) down to a whole number",
        "by_keep": "multiplies kept entries by 1 − p, and doesn't divide by it",
        eps: f"scales kept entries by {eps}, not by 1/(1 − p)",
        f"rounded_{dtype}": f"rounds the scale 1/(1 − p) to {dtype}",
        f"p_{dtype}": f"rounds p to {dtype} before it scales by 1/(1 − p)",
        f"of_{dtype}": f"rounds 1 − p to {dtype} before it divides by it",
    }[eps or name]
    account = _of_scale(clues, name, words)
    if account.accepted and kinds:
        fits = [part for part in OF_NARROW if part in kinds or _of_scale(clues, f"{part}_{dtype}", words).accepted]
        if len(fits) > 1:  # which can't be told from one another
            which = " or ".join(OF_NARROW[part] for part in fits)
            what = f"rounds {which} to {dtype} when it scales by 1/(1 − p)"
            return replace(account, given={**account.given, "what": what})
    return account


def _of_scale(clues: Clues, name: str, words: str) -> Account:
    return tested(clues, lambda one: scaled(SCALES[name](one.p, clues.case.dtype), one.x), words)


def narrow(clues: Clues, dtype: str) -> Account:
    """Whether inputs, or results, are rounded to a narrower dtype."""
    if clues.contract.preserves_moments or dtype == clues.case.dtype:
        raise Unreadable("not narrower")

    def of_input(one: Output) -> Pair:
        return scaled(1 / (1 - one.p), representable(one.x, dtype))

    def of_result(one: Output) -> Pair:
        return representable(scaled(1 / (1 - one.p), one.x)[0], dtype), np.zeros_like(one.x)

    first = tested(clues, of_input, f"rounds its input to {dtype}")
    return first if first.accepted else tested(clues, of_result, f"rounds its result to {dtype}")


def computed(clues: Clues, dtype: str) -> Account:
    """Whether outputs are a narrower dtype's: numbers of it, and what PyTorch computes in it, to its rounding."""
    if NARROW.index(dtype) >= (*NARROW, "float64").index(clues.case.dtype) or clues.case.dtype == "float16":
        raise Unreadable("not narrower")
    looked = wrong = against = 0
    for one in clues.outputs:
        expected = clues.expected(one.p, one.y.shape, dtype)
        looked += one.y.size
        wrong += int(np.count_nonzero(~one.allowed))
        against += int(np.count_nonzero(~(expected.allows(one.y) & (one.y == representable(one.y, dtype)))))
    seen = f"{wrong:,} of {looked:,} outputs are off by more than rounding allows; all are {dtype}'s, and right in it"
    return Account(looked, NEVER if against else 0.0, NEVER if wrong else 0.0, seen, {"dtype": dtype})


def by_count(clues: Clues, of: str) -> Account:
    """Whether each call, or each row, divides by the part that it happens to keep."""
    if clues.contract.preserves_moments or (clues.contract.by_channel and of == "row"):
        raise Unreadable("it is no scale alone, or a row is kept or dropped whole")
    _drops(clues)

    def predict(one: Output) -> Pair:
        kept = (one.y != 0).mean(axis=None if of == "call" else -1, keepdims=True)
        return scaled(1 / np.maximum(kept, 1e-9), one.x)

    return tested(clues, predict, f"divides kept entries by the part that the {of} happens to keep, not by 1 − p")


def of_other_input(clues: Clues, name: str) -> Account:
    """Whether each element is what another input would have become."""
    if clues.contract.preserves_moments:
        raise Unreadable("it is no scale alone")
    words, change = INPUTS[name]
    return tested(clues, lambda one: scaled(1 / (1 - one.p), change(one.x)), words)


def filled(clues: Clues) -> Account:
    """Whether what isn't kept, by the right scale or none, is one value in each call, and not 0."""
    if clues.contract.preserves_moments:
        raise Unreadable("dropped entries are not 0")
    looked = wrong = against = 0
    values: list[float] = []
    scaled = True
    for one in clues.outputs[: len(RATES)]:
        looked += one.y.size
        wrong += int(np.count_nonzero(~one.allowed))
        for scale in (1 / (1 - one.p), 1.0):
            low, high = bounds(one.x * scale, np.zeros(()), clues.case.dtype)
            left = one.y[(one.y < low) | (one.y > high)]
            if left.size < (one.p + 1) / 2 * one.y.size:
                break
        scaled &= scale != 1
        against += int(not left.size or (left != left[0]).any() or left[0] == 0)
        values += [float(left[0])] if left.size else []
    value = f"{values[0]:.4g}" if len(set(values)) == 1 else "one value for all of a call"
    also = "" if scaled else ", and doesn't scale kept ones"
    seen = f"what is not kept is {', '.join(f'{value:.4g}' for value in values)} at p = {', '.join(map(str, RATES))}"
    return Account(looked, NEVER if against else 0.0, NEVER if wrong else 0.0, seen, {"value": value, "also": also})


def left_over(clues: Clues) -> Account:
    """Whether kept entries are right, and something is left of dropped ones."""
    if clues.contract.preserves_moments:
        raise Unreadable("dropped entries are not 0")
    looked = wrong = against = 0
    most = 0.0
    for one in clues.outputs[: len(RATES)]:
        off = ~one.allowed
        part = np.abs(one.y[off] / one.x[off])
        looked += one.y.size
        wrong += part.size
        against += int(np.count_nonzero(~(part < LITTLE)))
        most = max(most, float(part.max(initial=0.0)))
    seen = f"{wrong:,} of {looked:,} outputs are neither what kept entries become nor 0, but near 0"
    return Account(looked, NEVER if against else 0.0, NEVER if wrong else 0.0, seen, {"most": f"{most:.1e}"})


def noise(clues: Clues) -> Account:
    """Whether nearly every entry is multiplied by a number of its own."""
    if clues.contract.preserves_moments:
        raise Unreadable("it is no factor alone")
    factors = [(one.y / one.x).ravel() for one in clues.outputs[: len(RATES)]]
    of_own = [np.unique(one.astype(np.float32)).size > one.size / 2 for one in factors]
    seen = f"{factors[0].size:,} outputs at p = {clues.outputs[0].p:g} are more than {factors[0].size // 2:,} multiples"
    return Account(len(factors) * factors[0].size, 0.0 if all(of_own) else NEVER, NEVER * any(of_own), seen)


def one_scale(clues: Clues) -> Account:
    """Whether each call has one scale, that is not 1/(1 − p) at some p: which of no formula."""
    if clues.contract.preserves_moments:
        raise Unreadable("it is no scale alone")
    wrong = against = looked = 0
    words = ""
    factors = set()
    for one in clues.outputs:
        kept = one.y != 0
        looked += one.y.size
        if one.allowed.all() or not kept.any():
            continue
        factor = float(np.median(one.y[kept] / one.x[kept]))
        low, high = bounds(one.x * factor, np.zeros_like(one.x), clues.case.dtype)
        wrong += int(np.count_nonzero(~one.allowed))
        against += int(np.count_nonzero(kept & ((one.y < low) | (one.y > high)))) + bool(kept.all() and one.p in RATES)
        factors.add(f"{factor:.3g}")
        words = words or f"{digits_of(factor, 1 / (1 - one.p))[0]} at p = {one.p:g}, not by 1/(1 − p)"
    if len(factors) == 1 and wrong > LITTLE * looked:
        if not _whatever(clues, float(next(iter(factors)))):
            raise Unreadable("it has one scale for a shape, and not for all")
        words = f"{factors.pop()} whatever p is, not by 1/(1 − p)"
    seen = f"{wrong:,} of {looked:,} outputs are wrong, and all that are kept at one p have one scale"
    return Account(looked, NEVER if against else 0.0, NEVER if wrong else 0.0, seen, {"factor": words})


def _whatever(clues: Clues, factor: float) -> bool:
    """Whether the scale is this one too on shapes that are new, from whatever p on."""
    some = [one for calls in clues.in_order for one in calls]
    found = [float(np.median(one.y[one.y != 0] / one.x[one.y != 0])) if one.y.any() else 0.0 for one in some]
    return all(abs(one - factor) < LITTLE * factor for one in found)


def nearly(clues: Clues) -> Account:
    """Whether outputs are PyTorch's but for more than rounding: by up to a hundredth, or what a rounding of p makes."""
    off, most, wrong, looked = 0.0, 0.01, 0, 0
    for one in clues.outputs:
        with np.errstate(invalid="ignore", divide="ignore"):
            size = np.maximum(np.abs(one.expected.kept), 1e-30)
            kept, dropped = np.abs(one.y - one.expected.kept), np.abs(one.y - one.expected.dropped)
            zero = (one.expected.dropped == 0) & (dropped < kept)  # of which nothing is near
            each = np.where(zero, np.where(dropped > 0, np.inf, 0.0), np.minimum(kept, dropped) / size)
        far = each[~one.allowed]
        looked += one.y.size
        wrong += far.size
        most = max(most, float(ulp(np.ones(()), clues.case.dtype)) / (1 - one.p))
        off = max(off, float(np.nanmax(far, initial=0.0)), 1.0 * bool(np.isnan(far).any()))
    seen = f"{wrong:,} of {looked:,} outputs are off by more than rounding allows in {clues.case.dtype}"
    against = 0.0 if off < most else NEVER
    return Account(looked, against, NEVER if wrong else 0.0, seen, {"off": f"{off:.1e}"})


HYPOTHESES = (
    Hypothesis("unchanged", "value", "{what}{at}", unchanged, VALUES | OF_MASKS | {"arguments", "endpoints", "state"}),
    Hypothesis("scale", "value", "{what}{at}", scale, VALUES),
    Hypothesis("narrow", "value", "{what}{at}", narrow, VALUES | {"evaluation"}),
    Hypothesis("computed", "value", "computes in {dtype} in place of its input's dtype", computed, VALUES),
    Hypothesis("by_count", "value", "{what}{at}", by_count, VALUES),
    Hypothesis("of_other_input", "value", "{what}{at}", of_other_input, VALUES | OF_MASKS),
    Hypothesis("filled", "value", "sets dropped entries to {value}, not to 0{also}", filled, VALUES | OF_MASKS),
    Hypothesis("left_over", "value", "leaves up to {most} of a dropped entry, not 0", left_over, VALUES),
    Hypothesis("one_scale", "value", "scales kept entries by {factor}", one_scale, VALUES, vague=True),
    Hypothesis("noise", "value", "multiplies entries by noise, not by 0 or one scale", noise, VALUES | OF_MASKS),
    Hypothesis(
        "nearly",
        "value",
        "computes outputs that are off by up to {off}, relatively",
        nearly,
        VALUES,
        vague=True,
    ),
)
