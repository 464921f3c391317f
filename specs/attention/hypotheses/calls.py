"""Hypotheses about seeds, evaluation, and p at its ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keeprate.specs.accounts import exact
from keeprate.specs.attention.hypotheses.clues import EVEN, Clues
from keeprate.specs.attention.place import Mask
from keeprate.suite import Account, BackendError, Hypothesis, Unreadable

NONE = {"negative": -0.1, "above": 1.1, "nan": float("nan")}  # of these is a probability


def ignored(clues: Clues) -> Account:
    """Whether no seed has an effect."""
    pairs = [(clues.after(seed), clues.after(seed)) for seed in (1, 7, 1000)]
    other = [not np.array_equal(*pair) for pair in pairs]
    return exact(all(other), any(other), 3, "the same seed, set twice, gave two masks, for each of three seeds")


def a_query_ahead(clues: Clues) -> Account:
    """Whether the next seed's mask is this one's, moved by a query."""
    keys = clues.place.shape[3]
    if clues.place.causal:
        raise Unreadable("queries see keys of different number")
    same = [np.array_equal(clues.after(s)[0, keys:], clues.after(s + 1)[0, :-keys]) for s in (5, 90, 1000)]
    seen = "query i + 1 after seed s has the mask of query i after seed s + 1, for each of three s"
    return exact(all(same), any(same), 3, seen)


def draws_in(clues: Clues, mode: str) -> Account:
    """Whether calls draw random numbers where they need none."""
    p, train = (EVEN, False) if mode == "evaluation" else (0.0, True)

    def mask(between: bool) -> Mask:
        caller = clues.caller(6)
        if between:
            next(caller.outputs(caller.given(*clues.inputs(caller)), p, train))
        kept: Mask = clues.noise(EVEN, 1, caller) != 0
        return kept

    plain, after = mask(False), mask(True)
    moved, same = not np.array_equal(plain, after), np.array_equal(plain, mask(False))
    where = "in evaluation" if mode == "evaluation" else "at p = 0"
    return exact(same, same and moved, 2, f"after a seed and a call {where} the first mask is another", where=where)


def dropping(clues: Clues) -> Account:
    """Whether dropout stays on in evaluation."""
    noise = clues.noise(EVEN, 1, train=False)
    shown = noise[..., clues.place.seen]
    fits = 0.05 < (shown == 0).mean() < 0.95 and bool(clues.near(shown[shown != 0], 1 / (1 - EVEN)).all())
    return exact(fits, fits, shown.size, f"{(shown == 0).mean():.0%} of weights are dropped in evaluation at p = 0.5")


def scaling(clues: Clues) -> Account:
    """Whether weights are scaled in evaluation."""
    shown = clues.noise(0.3, 1, train=False)[..., clues.place.seen]
    fits = bool(clues.near(shown, 0.7).all())
    return exact(fits, fits, shown.size, "in evaluation at p = 0.3 all weights are 0.7 times what they should be")


def keeps_at_one(clues: Clues) -> Account:
    """Whether p = 1 keeps all."""
    shown = clues.noise(1.0)[..., clues.place.seen]
    fits = bool((np.isfinite(shown) & (shown != 0)).all())
    return exact(fits, fits, shown.size, f"0 of {shown.size:,} weights are dropped")


def undefined_at_one(clues: Clues) -> Account:
    """Whether p = 1 gives NaN, which 0/0 is."""
    shown = clues.noise(1.0)[..., clues.place.seen]
    fits = bool(np.isnan(shown).all())
    return exact(fits, fits, shown.size, f"{shown.size:,} of {shown.size:,} weights are NaN, not 0")


def takes(clues: Clues, what: str) -> Account:
    """Whether a p that is no probability is taken."""
    caller = clues.caller()
    try:
        next(caller.outputs(caller.given(*clues.inputs(caller)), NONE[what]))
    except BackendError:
        return exact(False, False, 1, "")
    return exact(True, True, 1, "PyTorch refuses it", p=f"{NONE[what]:g}")


def _h(name: str, kind: str, says: str, function: Callable[..., Account], *laws: str) -> Hypothesis:
    return Hypothesis(name, kind, says, function, frozenset(laws))


HYPOTHESES = (
    _h("seed_ignored", "seed", "ignores its seed", ignored, "seeding", "streams", "replayed"),
    _h("seed_query", "seed", "draws after seed s + 1 what it draws a query later after seed s", a_query_ahead,
       "streams", "no_mask_twice", "first_positions", "no_stretch_twice", "all_shifts"),
    _h("draws_in", "seed", "draws random numbers {where}", draws_in, "seeding"),
    _h("dropping", "mode", "still drops in evaluation", dropping, "evaluation", "seeding"),
    _h("scaling", "mode", "scales by 1 − p in evaluation", scaling, "evaluation"),
    _h("keeps_at_one", "mode", "drops nothing at p = 1", keeps_at_one, "endpoints"),
    _h("undefined_at_one", "mode", "returns NaN at p = 1", undefined_at_one, "endpoints"),
    _h("takes", "argument", "takes p = {p}", takes, "arguments"),
)  # fmt: skip
PARAMETERS = {"draws_in": ("evaluation", "zero"), "takes": tuple(NONE)}
