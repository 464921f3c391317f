"""Each output element is PyTorch's, whatever the dtype, the shape and the layout of the input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.check import Check, failed, passed
from harness.errors import Unreadable
from harness.suite import law
from specs.compare import compare

if TYPE_CHECKING:  # the samples need PyTorch, the laws themselves do not
    from specs.calls import Calls, Observation
    from specs.gradients import Gradients
    from specs.sample import Masks


def compared(observation: Observation) -> Check:
    """The output of one call against PyTorch's outcomes; a call that raised is wrong in every element."""
    x, expected = observation.x, observation.expected
    assert expected is not None
    if observation.y is None:
        return failed(max(1, x.size), max(1, x.size), call=observation.what, first=observation.raised)
    if not x.size and observation.y.shape == x.shape:  # nothing to compare in an empty array but its shape
        return passed()
    return compare(observation.y, x, expected, observation.what)


def total(sample: Calls) -> Check:
    """All calls of a study against PyTorch's outcomes."""
    return sum((compared(observation) for observation in sample.observations), passed(sample.equal))


@law(source="torch.nn.functional.dropout: outputs are the input scaled by 1/(1 − p), or zero")
def outcomes(sample: Masks | Gradients) -> Check:
    """Each output is its input kept or dropped, to the dtype's rounding.

    Compares every element with the two values that PyTorch gives when it is made to keep all and to drop all. Catches a
    missing or doubled scale, 1/p in place of 1/(1 − p), alpha dropout's constants with p and 1 − p exchanged, constants
    to a few digits. Blind to how often an element is dropped: see `keep_rate`.
    """
    return sample.outcomes


@law(source="torch.nn.functional.dropout: any strides are taken")
def strides(sample: Calls) -> Check:
    """The result doesn't depend on how the input lies in memory.

    Calls on slices with a step, transposes, transposes made contiguous, stride 0 and negative strides. Catches a kernel
    that indexes a strided input as if it were flat, reads outside a broadcast one. Blind to the output's own strides,
    which are nobody's promise.
    """
    return total(sample)


@law(source="torch.nn.Dropout1d, Dropout2d, Dropout3d: shapes; torch.nn.Dropout: input can be of any shape")
def shape(sample: Calls) -> Check:
    """Every rank that PyTorch takes is taken, empty arrays too, and the shape is kept.

    Compares shape and elements on ranks 0 to 5, axes of length 1 and empty arrays. Catches an unbatched input read as
    a batched one, a lost axis of length 1, an arithmetic trap on empty arrays. Blind to sizes at which kernels change
    path.
    """
    return total(sample)


@law(source="torch.nn.functional.dropout: the output has the input's dtype")
def dtype(sample: Calls) -> Check:
    """Output and gradient have the input's dtype in every mode.

    Asks for the dtype of what came back in training, in evaluation, at p = 0 and at p = 1. Catches a result promoted to
    float32 by a Python scalar, a gradient in another dtype than its input. Blind to the dtype in which the mask is
    drawn.
    """
    check = Check(0, 0)
    for observation in sample.observations:
        if observation.y is None:  # that the call raised is for other laws to say
            continue
        if observation.dtype != sample.dtype:
            check += failed(call=observation.what, first=f"{sample.dtype} came back as {observation.dtype}")
        else:
            check += passed()
    if not check.checked:
        raise Unreadable("no call returned anything")
    return check
