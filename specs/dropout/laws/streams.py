"""What a seed does, and what the data must not do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from keeprate.specs.dropout.counterexamples import no_mask, raised, wrong_mask
from keeprate.specs.dropout.outcome import Mask
from keeprate.specs.masks.rate import KEPT
from keeprate.suite import Check, Tally, failed, law, passed

if TYPE_CHECKING:  # the samples need PyTorch, the laws themselves do not
    from keeprate.specs.dropout.gradients import Gradients
    from keeprate.specs.dropout.observations import Calls, Observation


@law(
    promise="The same seed gives the same masks, another seed others; evaluation and p = 0 draw nothing.",
    catches=(
        "a seed without effect",
        "an adapter whose seed is not what the framework draws from",
        "a cached state that is not renewed by seeding",
        "random numbers used up in evaluation",
        "masks that depend on the data",
        "unseeded processes that begin alike",
        "threads that choose seeds of their own where a mask is large",
    ),
    blind_to=("how seeds are related",),
    source="torch.manual_seed: the same seed gives the same random numbers",
)
def seeding(sample: Calls) -> Check:
    """Seeds, calls and compares masks of 1,024 entries, within a process and between two, and masks of 131,072."""
    check = Check(0, 0)
    reference: Mask | None = None
    for observation in sample.observations:
        what, mask = observation.what, _mask(observation)
        if observation.raised is not None:
            check += failed(1, 1, raised(what, observation.raised))
        elif mask is None:
            check += failed(1, 1, no_mask(what))
        if not observation.relation:  # what the next ones are compared with
            reference, name = mask, what
        elif mask is not None and reference is not None:
            equal = bool(np.array_equal(mask, reference))
            if equal == (observation.relation == "same"):
                check += passed()
            else:
                check += failed(1, 1, wrong_mask(what, "the same mask as" if equal else "another mask than", name))
    return check


def _mask(observation: Observation) -> Mask | None:
    """The mask of one call; None if it raised, or gave another shape."""
    assert observation.expected is not None
    if observation.y is None or observation.y.shape != observation.x.shape:
        return None
    return observation.expected.is_kept(observation.y)


@law(
    promise="Whatever its value, an entry is kept with probability 1 − p: zeros, infinities and NaN too.",
    catches=("a mask taken from the data", "zeros that count as dropped (or kept) in the backward pass"),
    blind_to=("a dependence on other entries' values",),
    source="torch.nn.functional.dropout: the mask is drawn without looking at the data",
)
def data(sample: Gradients) -> Tally:
    """Counts kept and dropped for each input value; where the output can't tell, by the gradient."""
    sample.mask  # noqa: B018 - raises where nothing could be read
    kept, draws = sample.by_value
    labels = tuple(f"input {value:g}" for value in sample.values)
    return Tally(KEPT, np.stack([kept, draws - kept], axis=1), (1 - sample.p, sample.p), labels, departure="rate")
