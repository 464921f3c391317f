"""Each output element is PyTorch's, whatever the dtype, the shape and the layout of the input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keeprate.specs.dropout.compare import compare
from keeprate.specs.dropout.counterexamples import wrong_dtype
from keeprate.specs.dropout.outcome import exactly
from keeprate.suite import Check, Unreadable, failed, law, passed

if TYPE_CHECKING:  # the samples need PyTorch, the laws themselves do not
    from keeprate.specs.dropout.gradients import Gradients
    from keeprate.specs.dropout.observations import Calls
    from keeprate.specs.dropout.sample import Masks


@law(
    promise="Each output is its input kept or dropped, to the dtype's rounding.",
    catches=(
        "a missing or doubled scale",
        "1/p in place of 1/(1 − p)",
        "alpha dropout's constants with p and 1 − p exchanged",
        "constants to a few digits",
        "subnormal inputs that are flushed to zero, where the framework's own product keeps them",
    ),
    blind_to=("how often an element is dropped: see `keep_rate`",),
    source="torch.nn.functional.dropout: outputs are the input scaled by 1/(1 − p), or zero",
)
def outcomes(sample: Masks | Gradients | Calls) -> Check:
    """Compares every element with the two values that PyTorch gives when it is made to keep all and to drop all."""
    return sample.outcomes


def written(sample: Calls) -> Check:
    """Whether each input is, after the call, what the call returned."""
    check = Check(0, 0)
    for one in sample.observations:
        if one.y is not None and one.y.shape == one.after.shape and one.y.size:
            check += compare(one.after, one.x, exactly(one.y), one.what.then(": the input"))
    return check


@law(
    promise="The result doesn't depend on how the input lies in memory.",
    catches=("a kernel that indexes a strided input as if it were flat", "reads outside a broadcast one"),
    blind_to=("the strides of the output, which nobody promises",),
    source="torch.nn.functional.dropout: any strides are taken",
)
def strides(sample: Calls) -> Check:
    """Calls on slices with a step, transposes, transposes made contiguous, stride 0 and negative strides.

    Where the operator writes, what was written is looked at too.
    """
    return sample.outcomes + (written(sample) if sample.contract.writes else Check(0, 0))


@law(
    promise="Every rank that PyTorch takes is taken alike, empty arrays too, and the shape is kept.",
    catches=(
        "an unbatched input read as a batched one",
        "a lost axis of length 1",
        "an arithmetic trap on empty arrays",
        "a mask that one rank shares along an axis",
    ),
    blind_to=("sizes at which kernels change path",),
    source="torch.nn.Dropout1d, Dropout2d, Dropout3d: shapes; torch.nn.Dropout: input can be of any shape",
)
def shape(sample: Calls) -> Check:
    """Compares shape, elements and whole channels on ranks 0 to 5, axes of length 1, one sample and empty arrays."""
    return sample.outcomes + sample.whole + sample.apart


@law(
    promise="Output and gradient have the input's dtype in every mode.",
    catches=("a result promoted to float32 by a Python scalar", "a gradient whose dtype isn't its input's"),
    blind_to=("the dtype in which the mask is drawn",),
    source="torch.nn.functional.dropout: the output has the input's dtype",
)
def dtype(sample: Calls) -> Check:
    """Asks for the dtype of what came back in training, in evaluation, at p = 0 and at p = 1."""
    check = Check(0, 0)
    for observation in sample.observations:
        if observation.y is None:  # that the call raised is for other laws to say
            continue
        if observation.dtype != sample.dtype:
            check += failed(1, 1, wrong_dtype(observation.what, observation.dtype, sample.dtype))
        else:
            check += passed()
    if not check.checked:
        raise Unreadable("no call returned anything")
    return check
