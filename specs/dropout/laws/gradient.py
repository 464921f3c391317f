"""One mask, forward and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keeprate.harness.evidence.check import Check
from keeprate.harness.protocol.suite import law

if TYPE_CHECKING:  # the samples need PyTorch, the laws themselves do not
    from keeprate.specs.dropout.gradients import Gradients


@law(source="torch.nn.functional.dropout: the derivative of the operator for its own mask")
def gradient(sample: Gradients) -> Check:
    """The gradient's mask is the output's mask, with the reference's scale.

    Replays the mask that the output shows through PyTorch, with a random cotangent, on inputs that hold zeros, −0,
    infinities and NaN, and compares every element of the gradient. Catches a mask drawn again in the backward pass, a
    mask read off the output where the input is zero, a backward pass that scales by p or not at all. Blind to how often
    an entry is kept.
    """
    return sample.gradient
