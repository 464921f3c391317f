"""One mask, forward and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keeprate.suite import Check, law

if TYPE_CHECKING:  # the samples need PyTorch, the laws themselves do not
    from keeprate.specs.dropout.gradients import Gradients


@law(
    promise="The gradient's mask is the output's mask, with the reference's scale.",
    catches=(
        "a mask drawn again in the backward pass",
        "a mask read off the output where the input is zero",
        "a backward pass that scales by p or not at all",
    ),
    blind_to=("how often an entry is kept",),
    source="torch.nn.functional.dropout: the derivative of the operator for its own mask",
)
def gradient(sample: Gradients) -> Check:
    """Replays the mask that the output shows through PyTorch, and compares every element of the gradient.

    The cotangent is random; inputs hold zeros, −0, infinities and NaN.
    """
    return sample.gradient
