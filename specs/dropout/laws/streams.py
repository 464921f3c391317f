"""What a seed does, and what the data must not do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from keeprate.specs.dropout.counterexamples import Call, call, no_mask, raised, rarely_kept, wrong_mask
from keeprate.specs.dropout.inputs import EVEN
from keeprate.specs.dropout.outcome import Mask, comes_again, far_off
from keeprate.specs.masks.rate import KEPT
from keeprate.suite import Check, Tally, failed, law, passed

if TYPE_CHECKING:  # the samples need PyTorch, the laws themselves do not
    from keeprate.specs.dropout.gradients import Gradients
    from keeprate.specs.dropout.observations import Calls, Observation

SAME, OTHER = "the same mask as", "another mask than"
EMPTY = "as good as all, or nothing, kept, as"  # by which no two calls are known to share a mask
WORD = 32  # bits of a seed that all generators take


@law(
    promise="The same seed gives the same masks, another seed others; evaluation and p = 0 draw nothing.",
    catches=(
        "a seed without effect",
        "an adapter whose seed is not what the framework draws from",
        "a cached state that is not renewed by seeding",
        "random numbers consumed in evaluation",
        "masks that depend on the data",
        "unseeded processes that start with the same masks",
        "threads that choose seeds of their own where a mask is large",
        "a compiled function that no seed reaches, or any other context",
        "a seed after which all is dropped: 0, or one of 2³² and more",
    ),
    blind_to=("how seeds are related: see `streams`",),
    source="torch.manual_seed: the same seed gives the same random numbers",
)
def seeding(sample: Calls) -> Check:
    """Seeds, calls and compares masks of 1,024 entries, in every context and in two processes, and masks of 131,072.

    The masks after seeds 0, 1, 2³² − 1, 2³², 2⁴⁸ and 2⁶³ − 1 are half kept, and no two of them are the same. Where
    high bits of a seed don't count, as in PyTorch, that is remarked and nothing is broken.
    """
    return related(sample)


def related(sample: Calls) -> Check:
    """Whether each mask is the same as the one that it is compared with, or another one."""
    check = Check(0, 0, remark=sample.remark)
    reference: Observation | None = None
    masks: dict[int, Mask] = {}
    for observation in sample.observations:
        what = observation.what
        if observation.raised is not None:
            check += failed(1, 1, raised(what, observation.raised))
        elif observation.y is None or observation.y.shape != observation.x.shape:
            check += failed(1, 1, no_mask(what))
        elif observation.seed is not None and (mask := observation.mask) is not None:
            check += _of_seed(what, observation.seed, mask, masks)
        if not observation.relation:  # what the next ones are compared with
            reference = observation
        elif reference is not None and (equal := _alike(observation, reference)) is not None:
            if equal == (observation.relation == "same"):
                check += passed()
            else:
                check += failed(1, 1, wrong_mask(what, _beside(observation, equal=equal), reference.what))
    return check


def _beside(one: Observation, *, equal: bool) -> str:
    """How its mask relates to another, in words that go on with the other call."""
    if not equal:
        return OTHER
    return EMPTY if one.mask is not None and comes_again(one.mask, one.mask) is None else SAME


def _alike(one: Observation, other: Observation) -> bool | None:
    """Whether two calls have one mask; None if nothing tells. Where none can be read, outputs of one input tell it."""
    if one.y is None or other.y is None or one.y.shape != one.x.shape or other.y.shape != other.x.shape:
        return None
    mask, reference = one.mask, other.mask
    if mask is not None and reference is not None:
        return bool(np.array_equal(mask, reference))
    if mask is not None or reference is not None:  # that one alone can be read is a departure of its own
        return False
    return bool(np.array_equal(one.y, other.y, equal_nan=True)) if np.array_equal(one.x, other.x) else None


@law(
    promise="A restored random state gives its masks again; copies and forked processes go on independently.",
    catches=(
        "a state that is the generator itself, and moves on with it",
        "numbers drawn ahead that no state holds",
        "a compiled function with a state of its own",
        "a forked process that draws what its parent draws",
    ),
    blind_to=("states of other threads",),
    source="torch.get_rng_state, torch.set_rng_state; torch.utils.data: workers that are forked are seeded apart",
)
def state(sample: Calls) -> Check:
    """Saves the state, draws, puts it back and draws again, in eager calls and across those of a compiled function.

    Masks have 1,024 entries. Where the backend says that it can be forked, those of two forked processes and of their
    parent are compared.
    """
    return related(sample)


def _of_seed(what: Call, seed: int, mask: Mask, masks: dict[int, Mask]) -> Check:
    """Whether the mask of a seed is half kept, and another than those of all seeds before it."""
    check = Check(0, 0)
    if far_off(mask, EVEN):
        check += failed(1, 1, rarely_kept(what, mask.mean(), EVEN))
    for other, earlier in masks.items():
        bits = ((seed ^ other) & -(seed ^ other)).bit_length() - 1  # in which the two agree, from the lowest on
        if not np.array_equal(mask, earlier):
            check += passed()
        elif bits < WORD:
            how = SAME if comes_again(mask, earlier) else EMPTY
            check += failed(1, 1, wrong_mask(what, how, call("after seed {seed}", seed=other)))
        else:
            check += Check(1, 1, remark=f"seeds with the same low {bits} bits give the same mask")
    masks[seed] = mask
    return check


@law(
    promise="Whatever its value, an entry is kept with probability 1 − p: zeros, infinities and NaN too.",
    catches=("a mask taken from the data", "zeros that count as dropped (or kept) in the backward pass"),
    blind_to=("a dependence on other entries' values",),
    source="torch.nn.functional.dropout: the mask is drawn without looking at the data",
)
def data(sample: Gradients) -> Tally:
    """Counts kept and dropped for each input value; where the output can't tell, by the gradient."""
    sample.mask  # noqa: B018 - raises where nothing could be read
    assert sample.by_value is not None
    kept, draws = sample.by_value
    labels = tuple(f"input {value:g}" for value in sample.values)
    return Tally(KEPT, np.stack([kept, draws - kept], axis=1), (1 - sample.p, sample.p), labels, departure="rate")
