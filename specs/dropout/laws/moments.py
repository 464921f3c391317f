"""Alpha dropout preserves mean and variance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from keeprate.suite import UNIT, Moments, Unreadable, law

if TYPE_CHECKING:  # the samples need PyTorch, the laws themselves do not
    from keeprate.specs.dropout.sample import Masks


@law(
    promise="Alpha dropout preserves the mean (0) and the variance (1) of a standard normal input.",
    catches=(
        "alpha dropout's constants with p and 1 − p exchanged",
        "zero in place of the saturation value",
        "a wrong sign of the shift",
    ),
    blind_to=("errors that cancel over the whole input: see `outcomes`",),
    source="Klambauer et al. 2017, Self-normalizing neural networks; torch.nn.AlphaDropout",
)
def moments(sample: Masks, which: str) -> Moments:
    """Sums the backend's own outputs, or their squares, over an input of 64 normal quantiles."""
    sums = sample.sums
    if sums is None:
        raise Unreadable("no output could be read: outcomes is broken here")
    allowed = sums.outcomes
    kept, dropped = allowed.kept, allowed.dropped
    off = max(
        np.max(farther - nearer)
        for nearer, farther in (
            (kept, allowed.kept_high),
            (allowed.kept_low, kept),
            (dropped, allowed.dropped_high),
            (allowed.dropped_low, dropped),
        )
    )
    if which == "variance":
        off = off * (2 * max(np.max(np.abs(kept)), np.max(np.abs(dropped))) + off)
        kept, dropped = kept**2, dropped**2
    return Moments(
        keep=np.array([1 - sample.p]),
        kept=kept[None],
        dropped=dropped[None],
        draws=sums.draws[None],
        total=(sums.total if which == "mean" else sums.squares,),
        slack=(sums.inexact * int(np.ceil(off / UNIT)),),
    )
