"""What an operator did with one input, beside what PyTorch does with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from keeprate.specs.dropout import counterexamples
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.compare import compare
from keeprate.specs.dropout.contracts import Contract
from keeprate.specs.dropout.counterexamples import Call, raised
from keeprate.specs.dropout.outcome import Mask, Outcomes, exactly
from keeprate.specs.rounding import Floats
from keeprate.suite import BackendError, Check, NotOffered, failed, passed

CERTAIN = 12.0  # digits of the improbability of slices that agree by chance
Relation = Literal["", "same", "other"]


@dataclass(frozen=True, eq=False)
class Observation:
    """One call, and what PyTorch does in its place.

    Args:
        what: the call.
        x: the input that was given, channels first.
        y: the output; None if the call raised.
        raised: what the call raised; None if nothing was. `NotOffered` if the backend says that it has no such call.
        dtype: of the output, as the backend names it.
        after: the input after the call.
        expected: PyTorch's outcomes; None where PyTorch refuses the call, or the law asks for none.
        relation: whether its mask must be the same as that of the last call without a relation, or another one.
        seed: after which it was called, if its mask is judged by itself, and beside those of all other seeds.
        p: the probability of dropping, if it is judged by the mask, whose entries are independent.
    """

    what: Call
    x: Floats
    y: Floats | None
    raised: BackendError | NotOffered | None
    dtype: str
    after: Floats
    expected: Outcomes | None
    relation: Relation = ""
    seed: int | None = None
    p: float | None = None

    @cached_property
    def mask(self) -> Mask | None:
        """Which elements are kept, by the nearer outcome; None if it raised, gave another shape, or can't be read."""
        if self.y is None or self.expected is None or self.y.shape != self.x.shape:
            return None
        return self.expected.nearer(self.y)

    def compared(self) -> Check:
        """The output against PyTorch's outcomes; a call that raised is wrong in every element."""
        assert self.expected is not None
        size = max(1, self.x.size)
        if self.raised is not None:
            return failed(size, size, raised(self.what, self.raised))
        assert self.y is not None
        if not self.x.size and self.y.shape == self.x.shape:  # nothing to compare in an empty array but its shape
            return passed()
        return compare(self.y, self.x, self.expected, self.what)

    def whole(self, contract: Contract) -> Check:
        """Whether each channel was kept or dropped whole; nothing is checked where that can't be told."""
        size = len(contract.mask_shape(self.x.shape))
        if self.y is None or self.expected is None or self.y.shape != self.x.shape or size in (0, self.y.ndim):
            return Check(0, 0)
        if self.expected.are_one:
            return Check(0, 0)
        kept, dropped = self.expected.is_kept(self.y), self.expected.is_dropped(self.y)
        within = tuple(range(size, self.y.ndim))
        torn = (kept & ~dropped).any(axis=within) & (dropped & ~kept).any(axis=within)
        if not torn.any():
            return passed(torn.size)
        at = tuple(int(index) for index in np.argwhere(torn)[0])
        return failed(torn.size, int(torn.sum()), counterexamples.torn(at, self.what))

    def apart(self) -> Check:
        """Whether the mask differs along each axis; nothing is checked where it may be one by chance."""
        if self.mask is None or not self.mask.size or self.expected is None:
            return Check(0, 0)
        check, share = Check(0, 0), self.mask.mean()
        digits = -math.log10(share**2 + (1 - share) ** 2)  # of one pair that agrees by chance
        for axis in range(self.mask.ndim):
            slices = np.moveaxis(self.mask, axis, 0)
            if slices[1:].size * digits >= CERTAIN:
                shared = bool((slices == slices[:1]).all())
                check += failed(1, 1, counterexamples.shared(axis, self.what)) if shared else passed()
        return check


@dataclass(frozen=True, eq=False)
class Calls:
    """The observations of one study, and the contract and dtype that they are about.

    Args:
        equal: elements beside the observations that were exactly PyTorch's.
        remark: what is worth a word, though nothing need be wrong.
    """

    contract: Contract
    dtype: str
    observations: tuple[Observation, ...]
    equal: int = 0
    remark: str | None = None

    @property
    def outcomes(self) -> Check:
        """Whether each element is one of PyTorch's two."""
        equal = Check(self.equal, self.equal, remark=self.remark)
        return sum((one.compared() for one in self.observations), equal)

    @property
    def whole(self) -> Check:
        """Whether each channel is kept or dropped whole."""
        return sum((one.whole(self.contract) for one in self.observations), Check(0, 0))

    @property
    def apart(self) -> Check:
        """Whether no mask is shared along an axis, by operators that drop entries."""
        if self.contract.by_channel:
            return Check(0, 0)
        return sum((one.apart() for one in self.observations), Check(0, 0))

    @property
    def gradient(self) -> Check:
        """The same, where what was observed are gradients."""
        return self.outcomes

    @property
    def purity(self) -> Check | None:
        """Whether each input is what it was; None for operators that write to it."""
        if self.contract.writes:
            return None
        seen = [one for one in self.observations if one.x.size]
        return sum((compare(one.after, one.x, exactly(one.x), one.what.then(": the input")) for one in seen), passed())


def offered(observations: Iterable[Observation]) -> tuple[Observation, ...]:
    """Those of calls that the backend has.

    Raises:
        NotOffered: it has none of them.
    """
    every = tuple(observations)
    there = tuple(one for one in every if not isinstance(one.raised, NotOffered))
    if every and not there:
        raise NotOffered(str(every[0].raised))
    return there


def observe(
    caller: Caller,
    what: Call,
    x: Floats,
    expected: Outcomes | None,
    call: Callable[[Any], Any],
    *,
    native: Any = None,
    strided: bool = False,
    relation: Relation = "",
    seed: int | None = None,
) -> Observation:
    """What `call` does with `native`, or with a fresh array, of `x`; an exception is an observation too."""
    native = caller.native(x, strided=strided) if native is None else native
    try:
        out = call(native)
        y, dtype, refusal = caller.values(out), caller.dtype_of(out), None
    except (BackendError, NotOffered) as error:
        y, dtype, refusal = None, "", error
    return Observation(what, x, y, refusal, dtype, caller.values(native), expected, relation, seed)


def observe_pass(
    caller: Caller,
    what: Call,
    p: float,
    train: bool,
    given: tuple[Floats, Floats],
    expected: tuple[Outcomes, Outcomes],
) -> Iterator[Observation]:
    """Output and gradient of one pass, the gradient alone where it raises; what was given is not looked at again.

    Args:
        given: the input and the cotangent.
        expected: PyTorch's outcomes of the output and of the gradient.
    """
    x, ct = (caller.native(one) for one in given)
    try:
        seen = [(caller.values(one), caller.dtype_of(one)) for one in caller.vjp(x, p, train, ct)]
    except (BackendError, NotOffered) as error:
        yield Observation(what.after("gradient in "), given[0], None, error, "", given[0], expected[1])
        return
    for name, one, (y, dtype), outcomes in zip(("output", "gradient"), given, seen, expected, strict=True):
        yield Observation(what.after(f"{name} in "), one, y, None, dtype, one, outcomes)
