"""Hypotheses about the backward pass: which noise it multiplies by, where it isn't the output's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec
import numpy as np

from keeprate.specs.accounts import exact
from keeprate.specs.attention.hypotheses.clues import EVEN
from keeprate.specs.attention.hypotheses.passes import Back, Passes, mask_of, shows, windows
from keeprate.specs.attention.place import Mask
from keeprate.specs.attention.plan import LINEARIZED
from keeprate.specs.rounding import Floats
from keeprate.suite import ENOUGH, NEVER, Account, Hypothesis, Tally, Unreadable

Noise = Callable[[Floats, float], Floats]
# Noise at p = 1/2 where it is wrong: of what is to be kept, and of what is to be dropped.
WAYS = {"doesn't scale": (1.0, 0.0), "doesn't apply the mask": (1.0, 1.0), "uses another mask": (0.0, 2.0)}
BLOCK = 16  # queries and keys of the parts in each of which a mask that is another one shows


def _transposed(forward: Floats, p: float) -> Floats:
    if forward.shape[-1] != forward.shape[-2] or not forward[..., 0, 1:].any():
        raise Unreadable("queries and keys are of different number, or a causal mask hides a part")
    return forward.swapaxes(-1, -2)


def _last_query_whole(forward: Floats, p: float) -> Floats:
    noise = forward.copy()
    noise[:, :, -1] = 1
    return noise


NOISES: dict[str, tuple[str, Noise]] = {
    "transposed": ("uses the mask of (key, query), not of (query, key), for {gradient}", _transposed),
    "unscaled": ("doesn't scale {gradient}", lambda forward, p: (forward != 0) * 1.0),
    "times_p": ("multiplies {gradient} by p, not by 1/(1 − p)", lambda forward, p: (forward != 0) * p),
    "last_query": ("doesn't apply the last query's mask to {gradient}", _last_query_whole),
}


def _dropped(clues: Passes) -> Mapping[str, Sequence[Back]]:
    """Passes, where the output has a mask for the gradients to have."""
    outputs = [one.forward[..., clues.place.seen] for some in clues.backs.values() for one in some]
    if not outputs or not all((out == 0).any() for out in outputs) or not clues.of_weights:
        raise Unreadable("no weights are dropped, or no gradient shows a mask")
    return clues.backs


def _of(names: Collection[str], every: Collection[str]) -> dict[str, int | str]:
    """For the sentence: all gradients, or which of them."""
    if len(names) == len(every) and len(every) != 1:
        return {"gradient": "the gradient"}
    which = " and ".join(names)
    return {"gradient": f"the gradient{'s' * (len(names) > 1)} of {which}", "of": which}


def _where(of: Mapping[str, int | str]) -> str:
    """What `_of` gave, as the end of a sentence."""
    return f"in {'its backward pass' if of.get('of') in (None, 'inputs') else of['gradient']}"


def noise(clues: Passes, name: str) -> Account:
    """Whether gradients, or some and no others, are those for this noise."""
    says, made = NOISES[name]
    return _as_for(clues, made, says)


def unmasked(clues: Passes) -> Account:
    """Whether gradients, or some of them, leave the mask out; at p = 1 as well, or not there."""
    account = _as_for(clues, _whole, "doesn't apply the mask to {gradient}")
    names = str(account.given.get("of", " and ".join(clues.backs))).split(" and ")
    ends = [one for name in names if account.accepted and (one := clues.end(name))]
    if ends and all(shows(clues, one, _whole(one.forward, one.p)) for one in ends):
        return msgspec.structs.replace(account, given={**account.given, "ends": 1})
    return account


def _whole(forward: Floats, p: float) -> Floats:
    return np.ones_like(forward)


def _as_for(clues: Passes, made: Noise, says: str) -> Account:
    every, fits, number = _dropped(clues), True, 0
    wrong: list[str] = []
    for name, passes in every.items():
        if all(shows(clues, one, one.forward) for one in passes):
            continue
        wrong.append(name)
        number += sum(one.shown.size for one in passes)
        fits &= all(shows(clues, one, made(one.forward, one.p)) for one in passes)
    of = _of(wrong, every)
    seen = f"so it is for all {number:,} entries of the gradient{'s' * (len(wrong) > 1)} of {' and '.join(wrong)}"
    return exact(bool(wrong) and fits, bool(wrong), number, seen, what=says.format_map(of), **of)


def drawn_again(clues: Passes) -> Account:
    """Whether the backward pass, or one gradient in it, has a mask of its own."""
    every, looked_at, alike, against = _dropped(clues), 0, 0, 0.0
    own: list[str] = []
    for name, passes in every.items():
        if all(shows(clues, one, one.forward) for one in passes):
            continue
        own.append(name)
        for one in passes:
            kept, neither = mask_of(clues, one)
            if neither.any():
                raise Unreadable("the gradient shows no mask")
            forward = (one.forward != 0)[..., clues.place.seen]
            agree = kept[..., clues.place.seen] == forward
            same, of_kept = int(np.count_nonzero(agree)), float(forward.mean())
            chance = of_kept * (1 - one.p) + (1 - of_kept) * one.p
            tally = Tally(("alike", "unlike"), (same, agree.size - same), (chance, 1 - chance))
            looked_at, alike, against = looked_at + agree.size, alike + same, against + tally.log10_e
    of = _of(own, every)
    seen = f"the masks of output and gradient agree in {alike:,} of {looked_at:,} entries, as independent ones would"
    return exact(bool(own) and against < ENOUGH, bool(own), looked_at, seen, where=_where(of), **of)


def later(clues: Passes) -> Account:
    """Whether a call's gradient is another's, or wrong when it is asked for again, once further calls are made."""
    if clues.context != LINEARIZED:
        raise Unreadable("gradients are asked for at once")
    caller, place, wrong = clues.caller(), clues.place, dict[str, str]()
    turns = place.turns(caller.channels)
    for name, (inputs, cotangent) in turns.items():
        (out, back), (last, _) = (caller.linearized(inputs, EVEN) for _ in range(2))
        read = [place.read(one, EVEN, 1) for one in (out, last)]
        masks = [one[0] for one in read if one is not None and not one[1].any()]
        if len(masks) < len(read):
            raise Unreadable("an output shows no mask")
        first, again = (back(cotangent)[place.parts.index(name)] for _ in range(2))
        if not _is_for(clues, name, first, masks[0]):
            wrong[name] = "uses the last call's mask" if _is_for(clues, name, first, masks[1]) else ""
        elif not _is_for(clues, name, again, masks[0]):
            wrong[name] = "returns another gradient the second time"
    ways, of = {*wrong.values()}, _of(wrong, turns)
    says = f"{''.join(ways)} {_where(of)}, when a call goes back after another one was made"
    seen = f"so it is for each of {len(wrong)} gradients"
    return exact(len(ways) == 1 and "" not in ways, bool(wrong), len(turns), seen, what=says, **of)


def _is_for(clues: Passes, name: str, gradient: Floats, mask: Mask) -> bool:
    shown = clues.place.shown(name, gradient, EVEN, mask)
    return shown is not None and not shown[0].any()


def begins(clues: Passes, axis: str) -> Account:
    """Whether gradients, or some of them, are wrong from a query or key on, and right before it."""
    along, place = ("queries", "keys").index(axis), clues.place
    names = place.parts if place.shared == 1 and not place.causal else ()
    every = {name: _wrong(clues, name) for name in names}
    wrong = {name: where for name, (where, _) in every.items() if where.any()}
    if not wrong:
        raise Unreadable("no gradient is wrong")
    starts = {int(where.any(axis=(0, 1, 3 - along)).argmax()) for where in wrong.values()}
    ways = {every[name][1] for name in wrong}
    start = min(starts)
    aligned = start > 0 and start % BLOCK == 0
    if len(starts) > 1 or len(ways) > 1 or not aligned or not all(_ever(one, along, start) for one in wrong.values()):
        return Account(1, NEVER, NEVER)
    of, number = _of(wrong, every), sum(int(where.sum()) for where in wrong.values())
    says = f"{ways.pop()} {_where(of)} from {('query', 'key')[along]} {start} on"
    seen = (
        f"{number:,} entries are wrong, none before {start}, and some in each {BLOCK} × {BLOCK} of them from there on"
    )
    return exact(True, True, number, seen, what=says, **of)


def _ever(wrong: Mask, along: int, start: int) -> bool:
    """Whether something is wrong in each part from `start` on."""
    part = np.asarray(np.moveaxis(wrong, 2 + along, 2)[:, :, start:].any(axis=(0, 1)))
    # What is left at an end belongs to the part before it: a few entries may all be right by chance.
    rows, columns = (np.arange(0, max(number - BLOCK, 0) + 1, BLOCK) for number in part.shape)
    blocks = np.logical_or.reduceat(np.logical_or.reduceat(part, rows, axis=0), columns, axis=1)
    return bool(blocks.all())


def _wrong(clues: Passes, name: str) -> tuple[Mask, str]:
    """Where a gradient shows another mask than its output's, and in which way."""
    wrong, ways, room = np.zeros(clues.place.shape, dtype=np.bool_), {*WAYS}, 3 * clues.slack
    for window in windows(clues, name, EVEN):
        noise, forward = window.shown, window.forward[(..., *window.part)]
        if name != "values":
            noise = noise - noise.min(axis=-1, keepdims=True)
            alike = (noise <= room).all(axis=-1, keepdims=True)  # no mask, or a few keys are all kept or all dropped
            told = np.where(forward.min(axis=-1, keepdims=True) == forward.max(axis=-1, keepdims=True), 2 * forward, 1)
            noise = np.where(alike, told, noise)
        off = np.abs(noise - 2 * forward) > room
        wrong[(..., *window.part)] = off
        for of_kept in (True, False):
            some = noise[off & (forward == of_kept)]
            here = {way for way, levels in WAYS.items() if (np.abs(some - levels[not of_kept]) <= room).all()}
            ways &= here if some.size else ways
    if wrong.any() and not ways:
        raise Unreadable("the gradient shows no mask, or is wrong in several ways")
    return wrong, next((way for way in WAYS if way in ways), "")


def _h(name: str, says: str, function: Callable[..., Account], *more: str) -> Hypothesis:
    return Hypothesis(name, "gradient", says, function, frozenset({"gradient", "replayed", *more}))


HYPOTHESES = (
    _h("noise", "{what}", noise),
    _h("unmasked", "{what}", unmasked, "endpoints"),
    _h("drawn_again", "draws another mask {where}", drawn_again),
    _h("begins", "{what}", begins),
    _h("later", "{what}", later),
)
PARAMETERS = {"noise": tuple(NOISES), "begins": ("queries", "keys")}
