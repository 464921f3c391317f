"""What a seed does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.check import Check, failed, passed
from harness.errors import Unreadable
from harness.suite import law
from specs.outcome import Mask

if TYPE_CHECKING:  # the samples need PyTorch, the laws themselves do not
    from specs.calls import Calls, Observation


@law(source="torch.manual_seed: the same seed gives the same random numbers")
def seeding(sample: Calls) -> Check:
    """The same seed gives the same masks, another seed others; evaluation and p = 0 draw nothing.

    Seeds, calls and compares masks of 1,024 entries. Catches a seed without effect, a cached state that is not renewed
    by seeding, random numbers used up in evaluation, masks that depend on the data. Blind to how seeds are related.
    """
    first, *others = sample.observations
    reference = _mask(first)
    check = Check(0, 0)
    for observation in others:
        wanted, _, what = observation.what.partition(": ")
        equal = bool(np.array_equal(_mask(observation), reference))
        if equal == (wanted == "same"):
            check += passed()
        else:
            gave = "the same mask" if equal else "another mask"
            check += failed(call=what, first=f"{gave} as after seed 1" if equal else f"{gave} than after seed 1")
    return check


def _mask(observation: Observation) -> Mask:
    assert observation.expected is not None
    if observation.y is None or observation.y.shape != observation.x.shape:
        raise Unreadable(observation.raised or "no mask could be read: shape is broken here")
    return observation.expected.is_kept(observation.y)
