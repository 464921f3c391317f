"""Hypotheses about seeds: ignored, cut, related, or of no effect somewhere; and draws that begin alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from keeprate.specs.accounts import exact, readable
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.hypotheses.clues import MANY, Clues
from keeprate.specs.dropout.inputs import BOUNDS, EVEN, NARROW, filled, thousand
from keeprate.specs.dropout.outcome import Mask, far_off
from keeprate.specs.dropout.relatives import another_dtype, another_operator
from keeprate.suite import Account, Hypothesis, Unreadable

BITS = (8, 10, 12, 15, 16, 20, 24, 30, 31)
OFTEN = 4  # times that one seed is set
ALIKE = 512  # entries that are never alike by chance
LAWS = frozenset({"seeding", "streams", "no_mask_twice"})


def _same(one: Mask, other: Mask) -> bool:
    return bool(np.array_equal(one, other))


def _check(clues: Clues) -> None:
    """Refuses masks that tell nothing: as where all is kept, whatever the seed."""
    if not 0.05 < clues.after(1).mean() < 0.95:
        raise Unreadable("nearly all is kept, or dropped")


def ignored(clues: Clues) -> Account:
    """Whether no seed has an effect."""
    _check(clues)
    pairs = [(clues.after(seed), clues.after(seed)) for seed in (1, 7, 1000)]
    other = [not _same(*pair) for pair in pairs]
    often = {clues.after(7).tobytes() for _ in range(OFTEN)}
    fits = all(other) and not _same(*readable(_twice)(clues)) and not _resumes(clues) and not _renews(clues)
    fits = fits and len(often) == OFTEN
    return exact(fits, any(other), 3, "the same seed, set twice, gave two masks, for each of three seeds")


def same_again(clues: Clues) -> Account:
    """Whether a seed has no effect where it is the one that was set last, and another one has."""
    _check(clues)
    other = not _same(*readable(_twice)(clues))
    seen = "seed 7, set twice, gave two masks, and after another seed the first of them again, for each of three"
    return exact(other and _renews(clues), other, 3, seen)


def _renews(clues: Clues) -> bool:
    """Whether a seed has the same effect each time that another was set before it."""
    found = ([clues.after(seed) for seed in (5, one, 5, 5, one)] for one in (7, 1000, 123456))
    return all(_same(some[1], some[4]) for some in found) and _same(*readable(_twice)(clues, 5))


def _twice(clues: Clues, *between: int) -> tuple[Mask, Mask]:
    """The first masks of one function, or layer, after one seed twice, and a call after each seed between."""
    caller, shape = clues.caller(7), thousand(clues.contract)
    one = clues.drawn(caller, 1, shape)
    for seed in between:
        caller.seed(seed)
        clues.drawn(caller, 1, shape)
    caller.seed(7)
    return one, clues.drawn(caller, 1, shape)


def _resumes(clues: Clues) -> bool:
    """Whether one seed twice gives the same draws in the end, whatever comes before them."""
    one, other = (clues.after(7, MANY).tobytes() for _ in range(2))
    return one[-ALIKE:] in other or other[-ALIKE:] in one


def made_anew(clues: Clues) -> Account:
    """Whether a function, or layer, that is made anew draws otherwise after one seed."""
    _check(clues)
    other = [not _same(clues.after(seed), clues.after(seed)) for seed in (1, 7, 1000)]
    seen = "after one seed a second function drew another mask than the first did; the first drew its own again"
    return exact(all(other) and _same(*readable(_twice)(clues)), any(other), 3, seen)


def one_seed(clues: Clues) -> Account:
    """Whether all seeds give one mask."""
    _check(clues)
    masks = [clues.after(seed) for seed in (1, 2, 1000, 123456, 2**30 + 5)]
    same = [_same(masks[0], mask) for mask in masks[1:]]
    return exact(all(same), any(same), 5, "five seeds far apart gave the same mask")


def cut(clues: Clues, bits: str) -> Account:
    """Whether only the low bits of a seed count, so many and no fewer."""
    _check(clues)
    number, seeds = int(bits), (3, 77, 200)
    same = [_same(clues.after(seed), clues.after(seed + 2**number)) for seed in seeds]
    fewer = [_same(clues.after(seed), clues.after(seed + 2 ** (number - 1))) for seed in seeds]
    seen = f"seeds s and s + 2^{number} gave the same mask, for each of three s; s and s + 2^{number - 1} did not"
    return exact(all(same) and not any(fewer), any(same), 3, seen, bits=number)


def in_pairs(clues: Clues) -> Account:
    """Whether the lowest bit of a seed is lost."""
    _check(clues)
    even = [_same(clues.after(seed), clues.after(seed + 1)) for seed in (2, 80, 1000)]
    odd = [_same(clues.after(seed), clues.after(seed + 1)) for seed in (3, 81, 1001)]
    return exact(
        all(even) and not any(odd),
        any(even + odd),
        6,
        "seeds 2n and 2n + 1 gave one mask, 2n + 1 and 2n + 2 didn't",
    )


def ahead(clues: Clues) -> Account:
    """Whether the next seed's first call is the second call of this one."""
    _check(clues)
    same = [_same(clues.after(seed, 2)[1], clues.after(seed + 1)[0]) for seed in (5, 90, 1000)]
    return exact(
        all(same), any(same), 3, "call 2 after seed s and call 1 after s + 1 gave the same mask, for each of three s"
    )


def exclusive_or(clues: Clues) -> Account:
    """Whether a call's number changes bits of the seed: call 2 after seed s is call 1 after s xor 1."""
    _check(clues)
    same = [_same(clues.after(seed, 2)[1], clues.after(seed ^ 1)[0]) for seed in (5, 90, 1000)]
    return exact(
        all(same), any(same), 3, "call 2 after seed s and call 1 after s xor 1 gave the same mask, for each of three s"
    )


def a_row_ahead(clues: Clues) -> Account:
    """Whether the next seed's mask is this one's, moved by a row."""
    _check(clues)
    row = thousand(clues.contract)[1]
    same = [_same(clues.after(s)[0, row:], clues.after(s + 1)[0, :-row]) for s in (5, 90, 1000)]
    return exact(all(same), any(same), 3, "row r + 1 after seed s is row r after seed s + 1, for each of three s")


def zero(clues: Clues, how: str) -> Account:
    """Whether seed 0 is taken for none, or stops the generator."""
    if how == "none":
        masks = [[clues.after(seed).tobytes() for _ in range(3)] for seed in (0, 1)]
        of_zero, of_one = (len(set(some)) for some in masks)
        return exact(
            of_zero == 3 and of_one == 1, of_zero > 1, 3, "seed 0, set three times, gave three masks; seed 1 one"
        )
    mask, usual, again = clues.after(0), clues.after(1), clues.after(0)
    stuck = bool(mask.all() or not mask.any()) and _same(mask, again)
    seen = f"after seed 0 {'all' if mask.all() else 'none'} of {mask.size:,} entries are kept"
    return exact(0.1 < usual.mean() < 0.9, stuck, mask.size, seen, how="keeps" if mask.all() else "drops")


def at_bounds(clues: Clues) -> Account:
    """What is wrong after seeds at which states and words of seeds have their bounds."""
    seen: dict[int, Mask] = {}
    wrong = []
    for value in BOUNDS:
        if value >= NARROW and not clues.caller().takes_seed(value):
            continue
        try:
            mask = clues.after(value)
            again = clues.after(value) if far_off(mask, EVEN) else mask
        except Unreadable as error:
            wrong.append(f"fails after seed {value:,}: {error}")
            continue
        bits = [(value ^ other) & -(value ^ other) for other in seen]
        same = [o for o, bit in zip(seen, bits, strict=True) if bit < 1 << 32 and _same(seen[o], mask)]
        if not _same(mask, again):
            raise Unreadable("one seed, set twice, gave two masks")
        if far_off(mask, EVEN):
            wrong.append(f"keeps {mask.mean():.0%} of entries after seed {value:,} at p = 0.5")
        elif same:
            wrong.append(f"draws the same mask after seeds {same[0]:,} and {value:,}")
        seen[value] = mask
    given = {"what": wrong[0]} if len(wrong) == 1 else {"what": ""}
    return exact(len(wrong) == 1, bool(wrong), len(BOUNDS), f"so it was after one of {len(BOUNDS)} seeds", **given)


def second_call(clues: Clues) -> Account:
    """Whether seeding reaches the first call alone."""
    _check(clues)
    one, other = clues.after(3, 2), clues.after(3, 2)
    second = not _same(one[1], other[1])
    return exact(
        _same(one[0], other[0]),
        second,
        2,
        "after one seed, set twice, the first masks are the same and the second ones differ",
    )


def not_renewed(clues: Clues) -> Account:
    """Whether what was drawn before a seed goes on after it, for a while."""
    _check(clues)

    def drawn_before(number: int) -> Mask:
        caller = clues.caller(9)
        clues.drawn(caller, number, thousand(clues.contract))
        caller.seed(4)
        return clues.drawn(caller, 1, thousand(clues.contract)).ravel()

    one, other = readable(drawn_before)(1), readable(drawn_before)(3)
    again = _same(readable(drawn_before)(1), one) or _resumes(clues)
    broken = not _same(one, other)
    return exact(again, broken, one.size, "the first mask after a seed depends on how many were drawn before it")


def draws_in(clues: Clues, mode: str) -> Account:
    """Whether calls draw random numbers where they need none."""
    x = filled(clues.contract, clues.case.dtype, thousand(clues.contract))

    def before(caller: Caller) -> None:
        p, train = (0.5, False) if mode == "evaluation" else (0.0, True)
        caller.values(caller.call(caller.native(x), p, train))

    plain, after, second = clues.after(6)[0], clues.after(6, 1, before)[0], clues.after(6, 2)[1]
    moved, same = not _same(plain, after), _same(clues.after(6)[0], plain)
    where = "a call in evaluation" if mode == "evaluation" else "a call at p = 0"
    says = "that of the second call" if _same(after, second) else "another mask"
    given = {"where": "in evaluation" if mode == "evaluation" else "at p = 0, where all is kept"}
    return exact(same and (after.mean() < 0.9), moved, 2, f"after a seed and {where} the first mask is {says}", **given)


def begins_alike(clues: Clues, kind: str) -> Account:
    """Whether a second kind of call begins with the same draws as the first, after one seed."""
    _check(clues)
    shape = thousand(clues.contract)

    def both(seed: int) -> tuple[Mask, Mask]:
        caller = clues.caller(seed)
        one = clues.drawn(caller, 1, shape)
        return clues.of_channels(one).ravel(), _other(clues, caller, kind).ravel()

    pairs = [readable(both)(seed) for seed in (11, 12, 13)]
    same = [_same(one[: other.size], other[: one.size]) for one, other in pairs]
    seen = f"after one seed the first mask of either kind is the same, in {sum(same)} of 3 seeds"
    names = {"shape": "each shape", "dtype": "each dtype", "op": "each operator", "grad": "calls with a gradient"}
    given = {"each": names.get(kind, "each layer or compiled function")}
    return exact(all(same), any(same), 3, seen, **given)


def _other(clues: Clues, caller: Caller, kind: str) -> Mask:
    """The mask of the second kind of call; nothing is seeded."""
    case, shape = clues.case, thousand(clues.contract)
    contract, dtype, context = clues.contract, case.dtype, case.context
    match kind:
        case "shape":
            shape = (shape[0] // 2, shape[1] * 2, *shape[2:])
        case "dtype":
            other_dtype = another_dtype(clues.backend, contract, dtype)
            if other_dtype is None:
                raise Unreadable("no other dtype")
            dtype = other_dtype
        case "grad":
            if not callable(getattr(clues.backend, "vjp", None)):
                raise Unreadable("no gradients")
            context = "grad"
        case "op":
            other_contract = another_operator(clues.backend, contract, dtype)
            if other_contract is None:
                raise Unreadable("no other operator")
            contract = other_contract
            shape = thousand(contract)
    other = Clues(case.replace(op=contract.name, dtype=dtype, context=context), clues.backend, 0)
    fresh = Caller(clues.backend, contract, dtype, context)
    return other.of_channels(other.drawn(fresh, 1, shape))


def _h(name: str, says: str, function: Callable[..., Account], *laws: str) -> Hypothesis:
    return Hypothesis(name, "seed", says, function, LAWS | {*laws})


HYPOTHESES = (
    _h("seed_one", "draws the same mask after every seed, or its adapter doesn't pass the seed on", one_seed),
    _h("seed_ignored", "ignores its seed", ignored),
    _h("same_again", "isn't reset by a seed that is the one it has already", same_again),
    _h("made_anew", "draws another mask after the same seed once its function is made anew", made_anew),
    _h("seed_cut", "reads only the low {bits} bits of a seed", cut),
    _h("seed_pairs", "loses the lowest bit of a seed", in_pairs),
    _h("seed_ahead", "draws after seed s + 1 what it draws a call later after seed s", ahead, "calls"),
    _h("seed_xor", "draws after seed s xor 1 what it draws a call later after seed s", exclusive_or, "calls"),
    _h("seed_row", "draws after seed s + 1 what it draws a row later after seed s", a_row_ahead, "neighbours", "calls"),
    _h("seed_second", "applies a seed to the first call only", second_call),
    _h("seed_zero", "treats seed 0 as no seed", partial(zero, how="none")),
    _h("seed_stuck", "{how} everything after seed 0", partial(zero, how="stuck")),
    _h("seed_bounds", "{what}", at_bounds),
    _h("begins_alike", "begins with the same draws for {each}, after one seed", begins_alike),
    _h("not_renewed", "isn't reset by a seed: the masks after it depend on what was drawn before", not_renewed),
    _h("draws_in", "draws random numbers {where}", draws_in),
)
PARAMETERS: dict[str, Iterable[Any]] = {
    "seed_cut": BITS,
    "begins_alike": ("twin", "shape", "dtype", "op", "grad"),
    "draws_in": ("evaluation", "zero"),
}
