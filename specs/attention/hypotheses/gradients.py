"""Hypotheses about the backward pass: which noise it multiplies by, where it isn't the output's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keeprate.specs.accounts import exact
from keeprate.specs.attention.hypotheses.clues import Back, Clues
from keeprate.specs.rounding import Floats
from keeprate.suite import ENOUGH, Account, Hypothesis, Tally, Unreadable

Noise = Callable[[Floats, float], Floats]


def _transposed(forward: Floats, p: float) -> Floats:
    if forward.shape[-1] != forward.shape[-2] or not forward[..., 0, 1:].any():
        raise Unreadable("queries and keys are of different number, or a causal mask hides a part")
    return forward.swapaxes(-1, -2)


def _last_query_whole(forward: Floats, p: float) -> Floats:
    noise = forward.copy()
    noise[:, :, -1] = 1
    return noise


NOISES: dict[str, tuple[str, Noise]] = {
    "transposed": ("uses the mask of (key, query) in its backward pass, not that of (query, key)", _transposed),
    "unscaled": ("doesn't scale the gradient", lambda forward, p: (forward != 0) * 1.0),
    "times_p": ("multiplies the gradient by p, not by 1/(1 − p)", lambda forward, p: (forward != 0) * p),
    "last_query": ("doesn't apply the last query's mask in its backward pass", _last_query_whole),
}


def _of_values(clues: Clues) -> list[tuple[Back, Floats]]:
    found = [(one, one.backward) for one in clues.passes if one.backward is not None]
    if not found:
        raise Unreadable("gradients of heads that share keys are added up")
    return found


def noise(clues: Clues, name: str) -> Account:
    """Whether the gradient of values is that for this noise."""
    says, made = NOISES[name]
    found = [(one.forward, backward, made(one.forward, one.p)) for one, backward in _of_values(clues)]
    fits = all(_alike(clues, backward, other) for _, backward, other in found)
    broken = any(not _alike(clues, backward, forward) for forward, backward, _ in found)
    number = sum(backward.size for _, backward, _ in found)
    return exact(
        fits,
        broken,
        number,
        f"so it is for all {number:,} entries of the gradient of {clues.place.parts[-1]}",
        what=says,
    )


def _alike(clues: Clues, one: Floats, other: Floats | float) -> bool:
    """Whether two noises are one, where keys are seen."""
    return bool(clues.near(one, other)[..., clues.place.seen].all())


def drawn_again(clues: Clues) -> Account:
    """Whether the backward pass has a mask of its own."""
    looked_at, alike, against = 0, 0, 0.0
    differs = False
    for one, backward in _of_values(clues):
        if not (clues.near(backward, 1 / (1 - one.p)) | (backward == 0)).all():
            raise Unreadable("the gradient shows no mask")
        agree = ((backward != 0) == (one.forward != 0))[..., clues.place.seen]
        same, chance = int(np.count_nonzero(agree)), one.p**2 + (1 - one.p) ** 2
        tally = Tally(("alike", "unlike"), (same, agree.size - same), (chance, 1 - chance))
        looked_at, alike, against = looked_at + agree.size, alike + same, max(against, tally.log10_e)
        differs |= same < agree.size
    seen = f"the masks of output and gradient agree in {alike:,} of {looked_at:,} entries, as independent ones would"
    return exact(against < ENOUGH, differs, looked_at, seen)


def unmasked(clues: Clues, of: str) -> Account:
    """Whether one gradient leaves the mask out."""
    if of in ("values", "inputs"):
        found = _of_values(clues)
        fits = all(_alike(clues, backward, 1.0) for _, backward in found)
        broken = any(not _alike(clues, backward, one.forward) for one, backward in found)
        return exact(fits, broken, len(found), "it is that of a call without dropout", of=of)
    shown = [one.scores[of] for one in clues.passes]
    fits = all(any(_is_near(one, other) for other in without) for one, without in shown)
    return exact(fits, fits, len(shown), "it is that of a call without dropout", of=of)


def _is_near(one: Floats, other: Floats) -> bool:
    return one.shape == other.shape and bool(np.abs(one - other).max() <= 0.01 * np.abs(other).max())


def _h(name: str, says: str, function: Callable[..., Account]) -> Hypothesis:
    return Hypothesis(name, "gradient", says, function, frozenset({"gradient", "replayed"}))


HYPOTHESES = (
    _h("noise", "{what}", noise),
    _h("unmasked", "doesn't apply the mask to the gradient of {of}", unmasked),
    _h("drawn_again", "draws another mask for its backward pass", drawn_again),
)
PARAMETERS = {"noise": tuple(NOISES), "unmasked": ("values", "queries", "keys")}
