"""Every law of the suite; one that breaks others comes before them."""

from dataclasses import replace

from keeprate.specs.dropout.laws import modes, moments, one_mask, outcomes, streams
from keeprate.specs.masks.every import LAWS as OF_MASKS

READABLE = ("outcomes", "constancy", "purity", "gradient")  # where one is broken, there may be no mask
LAWS = (
    outcomes.outcomes,
    one_mask.constancy,
    *(replace(law, rests_on=READABLE) for law in OF_MASKS),
    replace(streams.data, rests_on=READABLE),
    moments.moments,
    one_mask.gradient,
    modes.evaluation,
    modes.endpoints,
    modes.arguments,
    modes.inplace,
    modes.purity,
    modes.modes,
    modes.concurrency,
    outcomes.dtype,
    outcomes.shape,
    outcomes.strides,
    streams.seeding,
    streams.state,
)
