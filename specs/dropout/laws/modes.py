"""What holds without a mask: evaluation, the end points, refusals, what is written and what is not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from keeprate.specs.dropout.counterexamples import raised, rarely_kept, taken, wrong_mask
from keeprate.specs.dropout.laws.outcomes import written
from keeprate.specs.dropout.laws.streams import related
from keeprate.specs.dropout.outcome import comes_again, far_off
from keeprate.suite import Check, Unreadable, failed, law, passed

if TYPE_CHECKING:  # the samples need PyTorch, the laws themselves do not
    from keeprate.specs.dropout.gradients import Gradients
    from keeprate.specs.dropout.observations import Calls, Observation
    from keeprate.specs.dropout.sample import Masks


@law(
    promise="In evaluation the operator is the identity, and so is its gradient.",
    catches=(
        "an operator that drops or scales in evaluation",
        "p = 1 tested before the training flag",
        "a gradient of zero in evaluation",
    ),
    blind_to=("training",),
    source="torch.nn.Dropout: during evaluation the module simply computes an identity function",
)
def evaluation(sample: Calls) -> Check:
    """Calls with several p, on zeros, infinities and NaN."""
    return sample.outcomes


@law(
    promise="In training p = 0 keeps everything and p = 1 drops everything, in output and gradient.",
    catches=(
        "a division by 1 − p = 0",
        "p = 1 refused or taken as the identity",
        "a mask drawn at p = 0 that drops now and then",
    ),
    blind_to=("every p between",),
    source="torch.nn.functional.dropout at p = 0 and p = 1: the input, and the input times 0",
)
def endpoints(sample: Calls) -> Check:
    """Calls at both ends, on zeros, infinities and NaN."""
    return sample.outcomes


@law(
    promise="What PyTorch refuses is refused: p, ranks and dtypes; p is p, in whatever type it is given.",
    catches=(
        "a p that is clipped silently",
        "NaN accepted as a probability",
        "a rank that has no channels",
        "integers that are scaled and rounded down",
        "a p in half precision that is compared as 0",
    ),
    blind_to=("which exception is raised",),
    source="torch.nn.functional.dropout: dropout probability has to be between 0 and 1",
)
def arguments(sample: Calls) -> Check:
    """Calls with each of them, and with some beside them that PyTorch takes; other dtypes once."""
    check = Check(0, 0, remark=sample.remark)
    for observation in sample.observations:
        refused = observation.expected is None
        if observation.p is not None:
            check += _rate(observation, observation.p)
        elif refused == (observation.raised is not None):
            check += passed()
        elif observation.raised is None:
            check += failed(1, 1, taken(observation.what))
        else:
            check += failed(1, 1, raised(observation.what, observation.raised, "takes it"))
    return check


def _rate(observation: Observation, p: float) -> Check:
    """Whether entries are kept about as often as they are to be; no mask is for `outcomes` to say."""
    mask = observation.mask
    if mask is None:
        return Check(0, 0)
    return failed(1, 1, rarely_kept(observation.what, mask.mean(), p)) if far_off(mask, p) else passed()


@law(
    promise="The in-place form writes its result to the array that it is given.",
    catches=(
        "a copy returned in place of a write",
        "a result that differs from what was written",
        "a write that goes to the start of the memory that a slice is of",
    ),
    blind_to=("other views of the same memory, but for the array that a slice is of",),
    source="torch.nn.functional.dropout, inplace=True: the operation is done in place",
)
def inplace(sample: Calls) -> Check:
    """Compares the input after the call with what was returned: in training, in evaluation, at p = 0 and p = 1.

    Where arrays can be sliced, it calls on the second half of one too, and looks at the first half after that.
    """
    return sample.outcomes + written(sample)


@law(
    promise="Each call follows the mode of that moment: training drops anew, evaluation is the identity, in any order.",
    catches=(
        "a layer that was compiled in training and drops in evaluation",
        "a layer that never drops again",
        "a mode that is read only once",
        "a generator that evaluation puts back",
        "a layer that its container doesn't switch",
    ),
    blind_to=("the gradient",),
    source="torch.nn.Module.train, eval: the mode of a module decides each call; torch.compile follows it",
)
def modes(sample: Calls) -> Check:
    """Switches one function, or one layer, from training to evaluation and back, and the other way round.

    A layer of PyTorch's is switched as a part of `torch.nn.Sequential` too, which calls its `train`.
    """
    training = [one for one in sample.observations if one.expected and not one.expected.are_one]
    return _none_twice(training, sample.outcomes)


@law(
    promise="Threads that call at the same time get correct outputs, and no mask twice; a seed holds in all threads.",
    catches=(
        "a generator without a lock",
        "masks handed to two threads",
        "buffers that threads share",
        "a thread whose generator the system seeds, whatever the caller's seed",
    ),
    blind_to=("how masks of different threads are related: see `streams`",),
    source="torch.nn.functional.dropout may be called from any thread; its generator is guarded by a lock",
)
def concurrency(sample: Calls) -> Check:
    """Four threads call together, eight times each; then fresh ones, one after a seed, again and after another seed."""
    at_once = [one for one in sample.observations if "threads" in one.what.given]
    seeded = sample.observations[len(at_once) :]
    return _none_twice(at_once, sample.outcomes) + related(replace(sample, observations=seeded))


def _none_twice(observations: Iterable[Observation], check: Check) -> Check:
    """The check, and whether each call has a mask that none before it had."""
    masks: set[bytes] = set()
    for observation in observations:
        if observation.mask is not None:
            mask = observation.mask
            had = "a mask that another call had" if comes_again(mask, mask) else "as good as all, or nothing, kept"
            new = mask.tobytes() not in masks
            check += passed() if new else failed(1, 1, wrong_mask(observation.what, had))
            masks.add(mask.tobytes())
    return check


@law(
    promise="The input of an operator that is not in-place is not written to.",
    catches=(
        "an in-place product inside an operator that returns a new array",
        "zeros written to the input at p = 1",
        "a write after the operator has returned",
    ),
    blind_to=("a write that is undone before the input is read again",),
    source="torch.nn.functional.dropout, inplace=False: the input is not written to",
)
def purity(sample: Masks | Gradients | Calls) -> Check:
    """Compares the input after the calls with what it was: in both modes, at p = 0 and p = 1, on strided inputs."""
    if sample.purity is None:
        raise Unreadable("the operator writes to its input by contract")
    return sample.purity
