"""What holds without a mask: evaluation, the end points, refusals, what is written and what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keeprate.harness.errors import Unreadable
from keeprate.harness.evidence.check import Check, failed, passed
from keeprate.harness.protocol.suite import law
from keeprate.specs.dropout.laws.outcomes import written

if TYPE_CHECKING:  # the samples need PyTorch, the laws themselves do not
    from keeprate.specs.dropout.gradients import Gradients
    from keeprate.specs.dropout.observations import Calls
    from keeprate.specs.dropout.sample import Masks


@law(source="torch.nn.Dropout: during evaluation the module simply computes an identity function")
def evaluation(sample: Calls) -> Check:
    """In evaluation the operator is the identity, and so is its gradient.

    Calls with several p, on zeros, infinities and NaN. Catches an operator that drops or scales in evaluation, p = 1
    tested before the training flag, a gradient of zero in evaluation. Blind to training.
    """
    return sample.outcomes


@law(source="torch.nn.functional.dropout at p = 0 and p = 1: the input, and the input times 0")
def endpoints(sample: Calls) -> Check:
    """In training p = 0 keeps everything and p = 1 drops everything, in output and gradient.

    Calls at both ends, on zeros, infinities and NaN. Catches a division by 1 − p = 0, p = 1 refused or taken as the
    identity, a mask drawn at p = 0 that drops now and then. Blind to every p between.
    """
    return sample.outcomes


@law(source="torch.nn.functional.dropout: dropout probability has to be between 0 and 1")
def arguments(sample: Calls) -> Check:
    """What PyTorch refuses is refused, in training and in evaluation: p outside [0, 1], NaN, impossible ranks.

    Catches a p that is clipped in silence, NaN that passes for a probability, a rank that has no channels. Blind to
    which exception is raised.
    """
    check = Check(0, 0)
    for observation in sample.observations:
        refused = observation.expected is None
        if refused == bool(observation.raised):
            check += passed()
        else:
            gave = observation.raised or "was taken, and gave a result"
            check += failed(call=observation.what, first=gave, PyTorch="refuses it" if refused else "takes it")
    return check


@law(source="torch.nn.functional.dropout, inplace=True: the operation is done in place")
def inplace(sample: Calls) -> Check:
    """The in-place form writes its result to the array that it is given.

    Reads the input after the call, in training, in evaluation, at p = 0 and at p = 1, and compares it with what was
    returned. Catches a copy returned in place of a write, a result that differs from what was written. Blind to other
    views of the same memory.
    """
    return sample.outcomes + written(sample)


@law(source="torch.nn.Module.train, eval: the mode of a module decides each call; torch.compile follows it")
def modes(sample: Calls) -> Check:
    """Each call follows the mode of that moment: training drops, evaluation is the identity, in any order.

    Switches one function, or one layer, from training to evaluation and back, and the other way round. Catches a
    layer that was compiled in training and drops in evaluation, one that never drops again, a mode that is read once.
    Blind to the gradient.
    """
    return sample.outcomes


@law(source="torch.nn.functional.dropout may be called from any thread; its generator is guarded by a lock")
def concurrency(sample: Calls) -> Check:
    """Threads that call at the same time get outputs as they should be, and no mask twice.

    Four threads call together, eight times each. Catches a generator without a lock, masks handed to two threads,
    buffers that threads share. Blind to how masks of different threads are related: see `streams`.
    """
    check = sample.outcomes
    masks: set[bytes] = set()
    for observation in sample.observations:
        assert observation.expected is not None
        if observation.y is not None and observation.y.shape == observation.x.shape:
            mask = observation.expected.is_kept(observation.y).tobytes()
            new = mask not in masks
            check += passed() if new else failed(call=observation.what, first="a mask that another call had")
            masks.add(mask)
    return check


@law(source="torch.nn.functional.dropout, inplace=False: the input is not written to")
def purity(sample: Masks | Gradients | Calls) -> Check:
    """The input of an operator that is not in-place is not written to.

    Compares the input after the calls with what it was: in training and in evaluation, at p = 0 and p = 1, on strided
    inputs. Catches an in-place product inside an operator that returns a new array, zeros written to the input at
    p = 1, a write after the operator has returned. Blind to what is written back before the input is read again.
    """
    if sample.purity is None:
        raise Unreadable("the operator writes to its input by contract")
    return sample.purity
