"""A mask is one: constant over a channel, and the same forward and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keeprate.suite import Check, Unreadable, law

if TYPE_CHECKING:  # the samples need PyTorch, the laws themselves do not
    from keeprate.specs.dropout.gradients import Gradients
    from keeprate.specs.dropout.observations import Calls
    from keeprate.specs.dropout.sample import Masks


@law(
    promise="A mask is constant over a channel: kept or dropped whole.",
    catches=(
        "an element mask in a channel operator",
        "a mask drawn along the wrong axis",
        "channels in front read as channels last",
    ),
    blind_to=("channels or samples that share one mask: see `neighbours`",),
    source="torch.nn.Dropout2d: randomly zero out entire channels, for each sample of the batch on its own",
)
def constancy(sample: Masks) -> Check:
    """Looks at every channel of a call, exactly; of long rows of large calls at one call in eight.

    One torn channel in 1,600,000 is found with probability 0.99 in `gate`, one in 140,000 in `quick`.
    """
    if sample.constancy is None or not sample.constancy.checked:
        raise Unreadable("no mask could be read: outcomes is broken here")
    return sample.constancy


@law(
    promise="The gradient's mask is the output's mask, with the reference's scale.",
    catches=(
        "a mask drawn again in the backward pass",
        "a mask read off the output where the input is zero",
        "a backward pass that scales by p or not at all",
        "a mask that is kept only for the last of several passes, or for one gradient",
    ),
    blind_to=("how often an entry is kept", "second derivatives, which few kernels have"),
    source="torch.nn.functional.dropout: the derivative of the operator for its own mask",
)
def gradient(sample: Gradients | Calls) -> Check:
    """Compares every element of the gradient with what PyTorch gives for the mask that the output shows.

    A pass that departs by more than rounding is replayed through PyTorch before anything counts as wrong. The cotangent
    is random; inputs hold zeros, −0, infinities and NaN. Where an input is 0, and no output tells what was kept, the
    mask is also that of another input after the same seed. Under `linearize` two passes forward come before both
    gradients, in either order, and each is asked for again; under `jvp` it is the tangent of forward mode.
    """
    return sample.gradient
