"""Hypotheses about gradients: what each element is of its cotangent and of the output's mask."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import scipy

from keeprate.specs.accounts import readable
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.hypotheses.alpha import affine
from keeprate.specs.dropout.hypotheses.clues import RATES, SMALL, Clues, Pass, standard
from keeprate.specs.dropout.hypotheses.masks import OF_MASKS
from keeprate.specs.dropout.hypotheses.places import last_words, sizes
from keeprate.specs.dropout.inputs import EVEN, cotangent, filled
from keeprate.specs.dropout.outcome import Mask
from keeprate.specs.rounding import Floats, bounds
from keeprate.specs.transforms import ROWS
from keeprate.suite import NEVER, Account, Hypothesis, Tally, Unreadable

FAR = 8  # standard deviations that chance doesn't reach at any distance
MANY = 42  # passes, in which two masks of an entry are alike by chance with probability 2⁻⁴²
LONGER = 5  # than the first axis
SHORT = 4  # elements past which nothing is said
BACKWARD = frozenset({"gradient", "keep_rate", "data", "shape"})  # laws that look at passes


def slope_of(clues: Clues, p: float) -> float:
    """What PyTorch multiplies the cotangent of kept entries by."""
    return affine(p)[0] if clues.contract.preserves_moments else 1 / (1 - p)


Predict = Callable[[Clues, Pass], Floats]
GRADIENTS: dict[str, tuple[str, Predict]] = {
    "zero": ("returns a gradient of 0", lambda c, one: np.zeros_like(one.ct)),
    "ones": ("returns a gradient of 1, whatever gradient it is given", lambda c, one: np.ones_like(one.ct)),
    "cotangent": ("returns the gradient that it is given, with neither mask nor scale", lambda c, one: one.ct),
    "unmasked": ("scales the gradient and forgets the mask", lambda c, one: one.ct * slope_of(c, one.p)),
    "unscaled": ("masks the gradient and doesn't scale it", lambda c, one: one.ct * one.kept),
    "by_p": ("multiplies the gradient by p, not by 1/(1 − p)", lambda c, one: one.ct * one.kept * one.p),
    "by_keep": (
        "multiplies the gradient by 1 − p, and doesn't divide by it",
        lambda c, one: one.ct * one.kept * (1 - one.p),
    ),
    "over_p": ("divides the gradient by p, not by 1 − p", lambda c, one: one.ct * one.kept / one.p),
    "positive": (
        "takes the gradient's mask from which outputs are above 0",
        lambda c, one: one.ct * (one.y > 0) * slope_of(c, one.p),
    ),
    "twice": ("scales the gradient twice", lambda c, one: one.ct * one.kept * slope_of(c, one.p) ** 2),
    "negative": ("flips the sign of the gradient", lambda c, one: -one.ct * one.kept * slope_of(c, one.p)),
    "plain": (
        "scales alpha dropout's gradient by 1/(1 − p), as dropout's",
        lambda c, one: one.ct * one.kept / (1 - one.p),
    ),
    "shifted": (
        "adds alpha dropout's shift b to the gradient",
        lambda c, one: one.ct * one.kept * slope_of(c, one.p) + affine(one.p)[1],
    ),
    "shifted_kept": (
        "adds alpha dropout's shift b to the gradient of what is kept",
        lambda c, one: one.kept * (one.ct * slope_of(c, one.p) + affine(one.p)[1]),
    ),
    "inverse": (
        "masks the gradient with what the output dropped",
        lambda c, one: one.ct * ~one.kept * slope_of(c, one.p),
    ),
    "turned": (
        "masks the gradient with the output's mask turned round",
        lambda c, one: one.ct * np.flip(one.kept) * slope_of(c, one.p),
    ),
}  # fmt: skip
SHIFTED = {"shifted", "shifted_kept"}  # of alpha dropout alone


def fits(g: Floats, predicted: Floats, dtype: str, at_zero: float = 0.0, roundings: int = 1) -> Mask:
    """Where a gradient is what is predicted, but for so many roundings."""
    low, high = bounds(predicted, np.array(at_zero), dtype)
    more = (roundings - 1) * (high - low) / 2
    fits: Mask = (g >= low - more) & (g <= high + more)
    return fits


def follows(clues: Clues, one: Pass) -> Mask:
    """Where the gradient is that of the output's mask; what was found of a pass is kept, for each hypothesis asks."""
    if one not in clues.right:
        clues.right[one] = fits(one.g, one.ct * one.kept * slope_of(clues, one.p), clues.case.dtype)
    return clues.right[one]


def slope(clues: Clues, name: str) -> Account:
    """Whether the gradient is this of the cotangent and the output's mask."""
    words, predict = GRADIENTS[name]
    if name in SHIFTED and not clues.contract.preserves_moments:
        raise Unreadable("it has no shift")
    predicted = ((one, predict(clues, one)) for one in clues.passes)
    return _compared(clues, words, predicted, shifted=name in SHIFTED, roundings=1 + (name == "twice"))


def _compared(
    clues: Clues, words: str, predicted: Iterable[tuple[Pass, Floats]], *, shifted: bool = False, roundings: int = 1
) -> Account:
    """The gradient of each pass beside what is predicted of it, until it is known to be otherwise.

    Args:
        shifted: whether alpha dropout's shift is added in it, and rounded with it.
        roundings: how often what is predicted is scaled, and rounded each time.
    """
    if _right(clues):
        return _of_gradient(words, sum(one.g.size for one in clues.passes), 0, NEVER)
    wrong = looked = 0
    against = False
    for one, values in predicted:
        looked += one.g.size
        wrong += int(np.count_nonzero(~follows(clues, one)))
        at_zero = affine(one.p)[1] if shifted else 0.0
        against = against or not fits(one.g, values, clues.case.dtype, at_zero, roundings).all()
        if wrong and against:
            break
    if wrong and not against and of_wrong_output(clues):
        raise Unreadable("it is that of the output, which is wrong")
    return _of_gradient(words, looked, wrong, NEVER if against else 0.0)


def _right(clues: Clues) -> bool:
    return all(follows(clues, one).all() for one in clues.passes)


def of_wrong_output(clues: Clues) -> bool:
    """Whether outputs are wrong, and each element of the gradient has its output's factor."""
    if clues.contract.preserves_moments:
        return False
    dtype = clues.case.dtype
    return not all(clues.expected(one.p, one.y.shape).allows(one.y).all() for one in clues.passes) and all(
        fits(one.g, one.ct * (one.y / one.x), dtype, roundings=2).all() for one in clues.passes
    )


def _of_gradient(words: str, looked: int, wrong: int, against: float) -> Account:
    seen = f"{wrong:,} of {looked:,} elements of gradients are not PyTorch's, given the mask; all are as this predicts"
    return Account(looked, against, NEVER if wrong else 0.0, seen, {"what": words})


def factor(clues: Clues) -> Account:
    """Whether the gradient is what is right times one number."""
    one = clues.passes[0]
    whole = one.ct * one.kept * slope_of(clues, one.p)
    times = float(np.median(one.g[whole != 0] / whole[whole != 0])) if whole.any() else 1.0
    if not times or not math.isfinite(times):
        raise Unreadable("it is 0, or no number")
    words = f"multiplies the gradient by {times:.4g}, on top of mask and scale"
    predicted = ((one, one.ct * one.kept * (slope_of(clues, one.p) * times)) for one in clues.passes)
    return _compared(clues, words, predicted)


def clipped(clues: Clues) -> Account:
    """Whether the gradient is cut off at some size."""
    most = max(float(np.abs(one.g).max()) for one in clues.passes)
    predicted = ((one, np.clip(one.ct * one.kept * slope_of(clues, one.p), -most, most)) for one in clues.passes)
    return _compared(clues, f"clips the gradient at {most:.4g}", predicted)


def own_mask(clues: Clues) -> Account:
    """Whether the gradient has a mask that is independent of the output's."""
    agree = looked = wrong = 0
    cells, q, strange, masks = [], [], 0, []
    permuted = True
    for one in clues.passes:
        whole = one.ct * slope_of(clues, one.p)
        kept, dropped = fits(one.g, whole, clues.case.dtype), one.g == 0
        strange += int(np.count_nonzero(~(kept | dropped)))
        wrong += int(np.count_nonzero(~follows(clues, one)))
        front = clues.contract.fronts(one.g.ndim)
        one_mask, other = one.kept[front], kept[front]
        agree = int(np.count_nonzero(one_mask == other))
        masks.append((one_mask.ravel(), other.ravel()))
        permuted &= np.count_nonzero(one_mask) == np.count_nonzero(other)  # in all passes, for it is by chance in some
        looked += one_mask.size
        cells.append((agree, one_mask.size - agree))
        q.append((one.p**2 + (1 - one.p) ** 2, 2 * one.p * (1 - one.p)))
    # Looked for last: it takes longer than all else.
    related = bool(wrong) and not strange and any(itertools.starmap(_related, masks))
    each = 2 if related or permuted else 1  # entries that change places agree in pairs
    log10_e = Tally(("alike", "unlike"), np.array(cells) // each, np.array(q)).log10_e
    total = np.sum(cells, axis=0)
    seen = f"its mask agrees with the output's in {total[0]:,} of {looked:,} entries, as two independent masks would"
    what = "draws a mask of its own for the gradient"
    if related or permuted:
        seen += ", but follows from it: blocks, or entries at some distance, are alike too often"
        what = "uses another mask for the gradient than for the output"
    return Account(looked, NEVER if strange else log10_e, NEVER if wrong else 0.0, seen, {"what": what})


def _related(one: Mask, other: Mask) -> bool:
    """Whether two masks, which agree as two independent ones do, are moved, turned or permuted in blocks, of one draw.

    Blocks then hold as many kept entries in both far too often, or one mask follows the other at some distance.
    """
    share, length = float(one.mean()), one.size
    for size in (2, 4, 8, 16, 32, 64):
        number = length // size
        if number < SHORT:
            break
        kept = [mask[: number * size].reshape(number, size).sum(axis=1) for mask in (one, other)]
        number_kept = np.arange(size + 1)
        chances = scipy.special.comb(size, number_kept) * share**number_kept * (1 - share) ** (size - number_kept)
        same = float((chances**2).sum())
        if np.count_nonzero(kept[0] == kept[1]) > number * same + FAR * math.sqrt(number * same * (1 - same)):
            return True
    first, second = (mask - share for mask in (one, other))
    padded = scipy.fft.next_fast_len(2 * length, real=True)
    spectra = [scipy.fft.rfft(part, padded) for part in (first, second, second[::-1])]
    far = FAR * math.sqrt(length) * share * (1 - share)
    return any(bool((np.abs(scipy.fft.irfft(spectra[0].conj() * two, padded)) > far).any()) for two in spectra[1:])


def of_first_row(clues: Clues) -> Account:
    """Whether, mapped, each row's gradient has the mask of the first row's output."""
    if not clues.caller().context.mapped:
        raise Unreadable("nothing is mapped")
    firsts = (clues.passes[number // ROWS * ROWS] for number in range(len(clues.passes)))
    words = "uses the first row's mask for the gradients of all rows of a mapped call"
    return _compared(clues, words, _masked(clues, zip(clues.passes, firsts, strict=True)))


def of_before(clues: Clues) -> Account:
    """Whether each gradient has the mask of the pass before its own."""
    pairs = zip(clues.passes[1:], clues.passes, strict=False)
    return _compared(clues, "uses the mask of the call before for the gradient", _masked(clues, pairs))


def _masked(clues: Clues, pairs: Iterable[tuple[Pass, Pass]]) -> Iterator[tuple[Pass, Floats]]:
    """The first of each pair of passes, and its gradient if it had the mask of the second."""
    return ((one, one.ct * other.kept * slope_of(clues, one.p)) for one, other in pairs)


def zero_past(clues: Clues) -> Account:
    """Whether the gradient is 0 from some element on, of all or of each channel."""
    passes = clues.passes
    spatial = len(clues.contract.mask_shape(passes[0].g.shape)) if clues.contract.by_channel else 0
    for whole in (True, False):
        first, wrong, against, looked = None, 0, 0, 0
        if not whole and not spatial:
            break
        lead = () if whole else passes[0].g.shape[:spatial]
        wide = math.prod(lead), -1
        flats = [(follows(clues, one).reshape(wide), one.g.reshape(wide)) for one in passes]
        wrong_at = [np.flatnonzero(~right.all(axis=0)) for right, _ in flats]
        first = min((int(at[0]) for at in wrong_at if at.size), default=None)
        if first is None or first == 0:
            continue
        for right, g in flats:
            looked += g.size
            wrong += int(np.count_nonzero(~right))
            against += int(np.count_nonzero(g[:, first:])) + int(np.count_nonzero(~right[:, :first]))
        if not against and flats[0][1].shape[1] - first >= SHORT:
            size = flats[0][1].shape[1]
            longer = whole and not _zero_there_too(clues, passes[0].g.shape, first)
            where = f"for the last {size - first:,} of {size:,} elements" if longer else f"from element {first:,} on"
            words = f"returns a gradient of 0 {where}" + ("" if whole else " of a channel")
            return _of_gradient(words, looked, wrong, 0.0)
    raise Unreadable("it is not zero from some place on")


def _zero_there_too(clues: Clues, shape: tuple[int, ...], first: int) -> bool:
    """Whether it is so from the same element on where the first axis is longer."""
    passes = clues.passes_on((shape[0] + LONGER, *shape[1:]), (EVEN,), 3)
    return not any(
        one.g.reshape(-1)[first:].any() or not follows(clues, one).reshape(-1)[:first].all() for one in passes
    )


def other_past(clues: Clues) -> Account:
    """Whether the gradient has the output's mask up to an entry, and another from there on."""
    shape = clues.shape if math.prod(clues.shape) <= SMALL else standard(clues.contract)
    size, number = (math.prod(shape), 0) if _right(clues) else _other_at_end(clues, shape)
    if not number or number == size:
        return Account(size * MANY, NEVER, NEVER if number else 0.0)
    others = [*sizes(clues, shape), (4 * shape[0], *shape[1:])]
    where = last_words((size, number), [_other_at_end(clues, other) for other in others], "a call")
    first = f"the first {size - number:,} entries" if size - number > 1 else "the first entry"
    seen = f"in {MANY} passes {first} had the output's mask, and none of {number:,} others"
    return Account(size * MANY, 0.0, NEVER, seen, {"where": where})


def _other_at_end(clues: Clues, shape: tuple[int, ...]) -> tuple[int, int | None]:
    """How many entries a pass has, and how many at its end have another mask in the gradient; None if others have."""
    masks = [(one.kept, fits(one.g, one.ct * slope_of(clues, one.p), clues.case.dtype), one.g == 0)
             for one in clues.passes_on(shape, (EVEN,), MANY)]  # fmt: skip
    if not all((kept | dropped).all() for _, kept, dropped in masks):
        raise Unreadable("it is no mask and scale")
    fronts = clues.contract.fronts(masks[0][0].ndim)
    unlike = np.zeros(clues.contract.mask_shape(shape), bool).ravel()
    for mine, its, _ in masks:
        unlike |= (np.asarray(mine) != np.asarray(its))[fronts].ravel()
    last = int(unlike[::-1].argmin()) if not unlike.all() else unlike.size
    return unlike.size, last if unlike.sum() == last else None


def at_zeros(clues: Clues) -> Iterator[tuple[Pass, Mask]]:
    """Passes on inputs with zeros, and where these are."""
    shape = (40, 30) if not clues.contract.by_channel else (40, 30, *(1,) * (max(clues.contract.ranks) - 2))
    x, ct = filled(clues.contract, clues.case.dtype, shape).copy(), cotangent(shape, clues.case.dtype, seed=2)
    zeros = np.zeros(x.shape, bool)
    zeros.reshape(-1)[3::7] = True
    x[zeros] = 0
    caller: Caller = clues.caller()
    for p in RATES:
        for _ in range(4):
            y, g = map(caller.values, caller.vjp(caller.native(x), p, True, caller.native(ct)))
            kept = clues.kept(y, clues.expected(p, shape)) if not clues.contract.preserves_moments else np.abs(g) > 0
            yield Pass(p, x, y, ct, g, kept), zeros


def read_off(clues: Clues) -> Account:
    """Whether the gradient takes for kept what is not zero in the output."""
    if clues.contract.preserves_moments:
        raise Unreadable("a dropped entry is not zero")
    wrong = against = looked = 0
    dropped = False  # everything: which is another fault
    for one, zeros in readable(lambda: list(at_zeros(clues)))():
        against += int(np.count_nonzero((one.g != 0) != (one.y != 0)))  # by whatever it is scaled
        against += int(np.count_nonzero(one.g * one.ct < 0))
        looked += int(np.count_nonzero(zeros))
        wrong += int(np.count_nonzero(one.g[zeros] == 0))
        dropped |= not one.g.any()
    seen = f"where the input is 0, so are {wrong:,} of {looked:,} elements of the gradient; elsewhere only dropped ones"
    promise = NEVER if wrong == looked and not dropped else 0.0
    return Account(looked, NEVER if against else 0.0, promise, seen)


HYPOTHESES = (
    Hypothesis("slope", "gradient", "{what}", slope, BACKWARD),
    Hypothesis("gradient_factor", "gradient", "{what}", factor, BACKWARD),
    Hypothesis("gradient_clipped", "gradient", "{what}", clipped, BACKWARD),
    Hypothesis("of_first_row", "gradient", "{what}", of_first_row, BACKWARD),
    Hypothesis("of_before", "gradient", "{what}", of_before, BACKWARD),
    Hypothesis("zero_past", "gradient", "{what}", zero_past, BACKWARD),
    Hypothesis("own_mask", "gradient", "{what}", own_mask, BACKWARD),
    Hypothesis(
        "other_past", "gradient", "gives {where} another mask in the gradient than in the output", other_past, BACKWARD
    ),
    Hypothesis(
        "read_off", "gradient", "takes the gradient's mask from which outputs are not 0", read_off, BACKWARD | OF_MASKS
    ),
)
