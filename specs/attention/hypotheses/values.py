"""Hypotheses about values: how weights are scaled, normalised and hidden, and what else a call does to them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keeprate.specs.accounts import exact
from keeprate.specs.attention.hypotheses.clues import EVEN, Clues
from keeprate.specs.rounding import Floats, representable
from keeprate.suite import Account, Hypothesis, Unreadable

SCALES: dict[str, tuple[str, Callable[[float], float]]] = {
    "none": ("doesn't scale what it keeps", lambda p: 1.0),
    "p": ("scales what it keeps by 1/p", lambda p: 1 / p),
    "twice": ("scales what it keeps twice, by 1/(1 − p)²", lambda p: (1 - p) ** -2),
    **{
        dtype: (f"computes 1 − p in {dtype}", lambda p, dtype=dtype: 1 / float(representable(1 - p, dtype)))  # type: ignore[misc]
        for dtype in ("bfloat16", "float16")
    },
}
SCORES = {"none": ("doesn't scale scores", 0.0), "channels": ("divides scores by the number of channels", 1.0)}


def scale(clues: Clues, name: str) -> Account:
    """Whether all that is kept is scaled so."""
    says, factor = SCALES[name]
    kept = {p: noise[noise != 0] for p, noise in clues.values.items()}
    fits = all(clues.near(some, factor(p)).all() for p, some in kept.items())
    broken = any(not clues.near(some, 1 / (1 - p)).all() for p, some in kept.items())
    dropped = all((noise[..., clues.place.seen] == 0).any() for noise in clues.values.values())
    number, last = sum(some.size for some in kept.values()), kept[0.3]
    seen = f"at p = 0.3 a kept weight is multiplied by {last[0] if last.size else 0:.6g}, not by {1 / 0.7:.6g}"
    return exact(fits and dropped, broken, number, seen, what=says)


def renormalised(clues: Clues) -> Account:
    """Whether what is left of a row adds up to 1 again."""
    rows = np.array([(noise * clues.place.weights).sum(axis=-1) for noise in clues.values.values()])
    left = rows != 0
    dropped = any((noise[..., clues.place.seen] == 0).any() for noise in clues.values.values())
    fits = dropped and bool(clues.near(rows[left], 1.0).all())
    return exact(fits, fits, int(left.sum()), "the weights of each query add up to 1 after dropping")


def scores_dropped(clues: Clues) -> Account:
    """Whether scores are dropped, to zero, before they are normalised."""
    caller = clues.caller()
    inputs = clues.inputs(caller, 1.0)
    outputs = clues.outputs(caller, inputs, EVEN)
    one, other = next(outputs), next(outputs)
    whole = (one[..., clues.place.seen] > 0).all() and clues.near(one.sum(axis=-1), 1.0).all()
    differ = not clues.near(one, other).all()
    # Scores that are 0 give equal weights.
    steps = np.diff(np.sort(np.where(clues.place.seen, one, np.arange(1, one.shape[-1] + 1)), axis=-1), axis=-1)
    several = clues.place.seen.sum(axis=1) >= 8
    equal = several.any() and ((steps <= clues.slack * one.max()).any(axis=-1)[..., several]).mean() > 0.9
    seen = "no weight is 0 in training, some of each query are equal, all add up to 1, and two calls differ"
    return exact(bool(whole and differ and equal), bool(whole), one.size, seen)


def hidden_afterwards(clues: Clues) -> Account:
    """Whether a causal mask hides weights that were normalised over all keys."""
    keys = _causal(clues)
    noise = clues.noise(0.3)
    kept = noise != 0
    said = np.broadcast_to(1 / clues.place.weights / keys / 0.7, noise.shape)
    fits = clues.near(noise[kept], said[kept]).all()
    broken = not clues.near(noise[kept], 1 / 0.7).all()
    seen = f"query 0, which sees one key, gives it 1/{keys} of the weight that it should"
    return exact(bool(fits), broken, int(kept.sum()), seen)


def leaks(clues: Clues) -> Account:
    """Whether a query sees the key after it."""
    keys = _causal(clues)
    noise = clues.noise(0.3, 4)
    ahead = noise[..., np.eye(clues.place.shape[2], keys, 1, dtype=bool)]
    number = int(np.count_nonzero(ahead))
    far = np.count_nonzero(noise[..., ~clues.place.seen]) - number
    seen = f"the key after a query has a weight in {number:,} of {ahead.size:,} places, where it should be hidden"
    return exact(bool(not far and number), bool(number or far), ahead.size, seen)


def leaks_from(clues: Clues) -> Account:
    """Whether queries see later keys in evaluation, from a query on that isn't the first."""
    keys = _causal(clues)
    caller, found = clues.caller(), []
    size = caller.channels(1, wanted=keys)
    first, other = (np.zeros((number, size)) for number in clues.place.shape[2:])
    for start in range(0, keys, size):  # unit vectors of as many keys as there are channels
        values = np.eye(keys, size, -start)
        inputs = [clues.place.queries_of(first), clues.place.keys_of(other), clues.place.keys_of(values)]
        found.append(next(clues.outputs(caller, inputs, EVEN, False)))
    weights = np.concatenate(found, axis=-1)[..., :keys]
    ahead = ((weights != 0) & ~clues.place.seen).any(axis=(0, 1, 3))
    start = int(ahead.argmax())
    right = clues.near(weights, clues.place.weights * clues.place.seen)[:, :, :start].all()
    fits = start > 0 and bool(right) and bool(ahead[start:-1].all())
    seen = f"in evaluation each query from {start} on has weights of later keys, and none before it has"
    return exact(fits, bool(ahead.any()), weights.size, seen, start=start)


def _causal(clues: Clues) -> int:
    if not clues.place.causal:
        raise Unreadable("nothing is hidden")
    return clues.place.shape[3]


def score_scale(clues: Clues, name: str) -> Account:
    """Whether scores are scaled otherwise, told in evaluation, where nothing is dropped."""
    says, power = SCORES[name]
    caller = clues.caller()
    queries, keys, values = clues.inputs(caller, 1.0)
    out = next(clues.outputs(caller, (queries, keys, values), 0.0, False))
    scores = queries @ np.repeat(keys, clues.place.shared, axis=1).swapaxes(-1, -2)
    theirs, ours = (_softmax(scores * queries.shape[-1] ** -power, clues.place.seen) for power in (power, 0.5))
    fits, broken = (np.abs(out - weights).max() <= 0.02 for weights in (theirs, ours))
    return exact(bool(fits), not broken, out.size, "so it is for all weights in evaluation", what=says)


def overflows(clues: Clues) -> Account:
    """Whether large scores alone, in evaluation, give what is no number."""
    caller, outs = clues.caller(), []
    for of in (1.0, 1024.0):
        queries, keys, values = clues.inputs(caller)
        queries[..., 0], keys[..., 0] = of, 1
        outs.append(next(clues.outputs(caller, (queries, keys, values), EVEN, False)))
    some, large = (np.isfinite(out) for out in outs)
    number = int(np.count_nonzero(~large))
    return exact(bool(some.all()) and number > 0, number > 0, large.size, f"{number:,} weights of {large.size:,} are")


def _softmax(scores: Floats, seen: object) -> Floats:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True)) * seen
    weights: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return weights


def depends_on_scores(clues: Clues) -> Account:
    """Whether queries and keys decide the mask, after one seed."""
    kept = []
    for of in (0.0, 0.0, 1.0):
        caller = clues.caller(7)
        kept.append(next(clues.outputs(caller, clues.inputs(caller, of), EVEN)) != 0)
    unlike = int(np.count_nonzero(kept[0] != kept[2]))
    same = bool((kept[0] == kept[1]).all())
    seen = f"after one seed {unlike:,} of {kept[0].size:,} entries differ when queries and keys do"
    return exact(same, same and unlike > 0, kept[0].size, seen)


def promotes(clues: Clues) -> Account:
    """Whether what comes back has another dtype."""
    caller = clues.caller()
    next(clues.outputs(caller, clues.inputs(caller), EVEN))
    others = sorted(caller.dtypes - {clues.place.dtype})
    seen = f"{', '.join(others)} came back where {clues.place.dtype} was given"
    return exact(bool(others), bool(others), 1, seen, dtype=" and ".join(others))


def writes(clues: Clues) -> Account:
    """Whether an argument is written to."""
    caller, names = clues.caller(), clues.place.parts
    inputs = clues.inputs(caller, 1.0)
    given = caller.given(*inputs)
    before = [caller.values(one).copy() for one in given]
    next(caller.outputs(given, EVEN))
    written = [
        name
        for name, one, old in zip(names, given, before, strict=False)
        if not np.array_equal(caller.values(one), old)
    ]
    seen = f"{' and '.join(written)} have other values after the call than before"
    return exact(bool(written), bool(written), len(names), seen, what=" and ".join(written))


def _h(name: str, says: str, function: Callable[..., Account], *laws: str) -> Hypothesis:
    return Hypothesis(name, "value", says, function, frozenset(laws))


HYPOTHESES = (
    _h("scale", "{what}", scale, "outcomes"),
    _h("renormalised", "normalises weights again after dropping", renormalised, "outcomes"),
    _h("scores_dropped", "drops scores, not weights", scores_dropped, "outcomes", "replayed", "endpoints", "gradient"),
    _h("hidden_afterwards", "applies the causal mask after normalising weights over all keys", hidden_afterwards,
       "outcomes", "evaluation", "endpoints", "replayed"),
    _h("leaks", "lets a query see the key after it under a causal mask", leaks, "outcomes", "evaluation", "endpoints",
       "replayed"),
    _h("leaks_from", "lets queries from {start} on see later keys under a causal mask", leaks_from, "outcomes",
       "evaluation", "endpoints", "replayed"),
    _h("score_scale", "{what}", score_scale, "evaluation", "endpoints", "replayed"),
    _h("overflows", "returns NaN where scores are large", overflows, "evaluation"),
    _h("depends_on_scores", "draws a mask that depends on queries and keys", depends_on_scores, "replayed"),
    _h("promotes", "returns {dtype}", promotes, "dtype"),
    _h("writes", "writes to its {what}", writes, "purity", "outcomes"),
)  # fmt: skip
PARAMETERS = {"scale": tuple(SCALES), "score_scale": tuple(SCORES)}
