"""What hypotheses look at: fresh calls of an operator in one context, each kind of them made when first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Generic, NamedTuple, TypeVar, cast
from zlib import crc32

import numpy as np

from keeprate.specs.accounts import readable
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.compare import same
from keeprate.specs.dropout.contexts import Context
from keeprate.specs.dropout.contracts import CONTRACTS, Contract
from keeprate.specs.dropout.inputs import EVEN, cotangent, filled, indices, many_thousands, probes, thousand
from keeprate.specs.dropout.outcome import Mask, Outcomes
from keeprate.specs.rounding import Floats
from keeprate.suite import Case, Unreadable

CALLS, MANY = 12, 64  # of the shape that is asked for, and of 1,024 entries, or of any where it matters
POOL = 160  # calls of 1,024 entries, of which it is asked whether masks come again
MOST = 1 << 21  # entries of all calls together, but for two
RATES = (0.1, 0.3, 0.9)  # at which outputs and gradients are looked at
UNEVEN = (0.4567891, 0.1234567, 0.8712345)  # p that are no multiple of any step
OF_OUTPUTS = (*RATES, 0.99, 1e-5)
ORDERS = ((0.2, 0.6, 0.4), (0.6, 0.2, 0.4))  # of p, on a shape that is new
THOUSAND = 1024
SMALL = 1 << 15  # elements of an output of which every value is looked at
Value = TypeVar("Value")


class Output(NamedTuple):
    """An input, what came of it, and both outcomes of PyTorch's; channels first."""

    p: float
    x: Floats
    y: Floats
    expected: Outcomes
    allowed: Mask  # where it is one of both


@dataclass(frozen=True, eq=False)
class Pass:
    """A pass forward and back: input, output, cotangent, gradient, and the mask that the output shows."""

    p: float
    x: Floats
    y: Floats
    ct: Floats
    g: Floats
    kept: Mask


def standard(contract: Contract) -> tuple[int, ...]:
    """A shape that no power of two divides."""
    if contract.granularity == "row":
        return (943, *(3, 2, 2)[: max(contract.ranks) - 1])
    return (23, 41, *(3, 2, 2)[: max(contract.ranks) - 2]) if contract.by_channel else (23, 41, 19)


class MadeOnce(Generic[Value]):
    """A property that is made when first asked for; where it can't be read, each who asks is told so at once."""

    def __init__(self, make: Callable[[Any], Value]) -> None:
        self._make = make

    def __get__(self, clues: Clues, owner: type) -> Value:
        if self._make not in clues.made:
            try:
                clues.made[self._make] = self._make(clues)
            except Unreadable as error:
                clues.made[self._make] = error
        found = clues.made[self._make]
        if isinstance(found, Unreadable):
            raise found
        return cast(Value, found)


class Clues:
    """One operator in one dtype, context and shape."""

    def __init__(self, case: Case, backend: Any, seed: int) -> None:
        self.case, self.backend, self._seed = case, backend, seed
        self.contract = CONTRACTS[case.op]
        self.shape = case.shape or standard(self.contract)
        self.context = case.context
        self.made: dict[Callable[[Any], Any], Any] = {}  # what was asked for, or why it can't be read
        self.right: dict[Pass, Mask] = {}  # where gradients are those of the output's mask, of passes that were asked

    def on(self, shape: tuple[int, ...]) -> Clues:
        """The same of another shape."""
        return Clues(self.case.replace(shape=shape), self.backend, self._seed)

    def caller(self, seed: int | None = None, context: str = "") -> Caller:
        """A fresh one, seeded; seeds that are not given follow from the case's."""
        caller = Caller(self.backend, self.contract, self.case.dtype, context or self.context)
        self._seed = (self._seed * 1103515245 + 12345) % 2**31  # Knuth: any will do, as long as each is another
        caller.seed(self._seed if seed is None else seed)
        return caller

    def output(self, caller: Caller, native: Any, p: float) -> Any:
        """What a call gives in this context, off a pass where calls alone don't show it."""
        if caller.context.recomputed or self.context == "grad":
            return caller.vjp(native, p, True, native)[0]
        return caller.call(native, p)

    def values(self, caller: Caller, x: Floats, p: float) -> Floats:
        """The output of a call on a fresh array of x.

        Raises:
            Unreadable: it has another shape.
        """
        y = caller.values(self.output(caller, caller.native(x), p))
        if y.shape != x.shape:
            raise Unreadable("an output of another shape")
        return y

    def kept(self, y: Floats, expected: Outcomes) -> Mask:
        """Which elements are kept: those that are not the dropped outcome, whatever they are scaled by."""
        if y.shape != expected.kept.shape:
            raise Unreadable("an output of another shape")
        if self.contract.preserves_moments and not expected.allows(y).all():
            kept, dropped = np.abs(y - expected.kept), np.abs(y - expected.dropped)
            if (np.minimum(kept, dropped) > np.abs(expected.kept - expected.dropped) / 4).any():
                raise Unreadable("outputs are as far from kept as from dropped")
            nearer: Mask = kept < dropped
            return nearer
        return ~expected.is_dropped(y)

    def expected(self, p: float, shape: tuple[int, ...], dtype: str = "") -> Outcomes:
        """Both outcomes of an input of probe values, computed in the case's dtype or another."""
        from keeprate.specs.dropout import reference  # here, for a plan and a verdict need no PyTorch

        values = probes(self.contract, self.case.dtype)
        return reference.table(self.contract, dtype or self.case.dtype, p, values).take(indices(shape))

    def drawn(self, caller: Caller, number: int, shape: tuple[int, ...], p: float = EVEN) -> Mask:
        """(calls, …) which elements are kept in so many calls."""
        x, expected = filled(self.contract, self.case.dtype, shape), self.expected(p, shape)
        native, masks = caller.native(x), []
        for _ in range(number):
            y = caller.values(self.output(caller, native, p))
            masks.append(self.kept(y, expected))
            if caller.writes:
                native = caller.native(x)
        after = caller.values(native)
        if not caller.writes and after.shape == x.shape and not same(after, x).all():
            raise Unreadable("the input was written to, so that later calls had another")
        return np.array(masks)

    @MadeOnce
    def elements(self) -> Mask:
        """(calls, …) which elements are kept, in calls of the shape that was asked for."""
        number = max(2, min(CALLS, MOST // prod(self.shape)))
        return readable(self.drawn)(self.caller(), number, self.shape)

    @MadeOnce
    def masks(self) -> Mask:
        """(calls, …) the same as masks of the operator's own shape."""
        return self.of_channels(self.elements)

    @MadeOnce
    def masks_kept(self) -> Mask:
        """The same of as many further calls, where seven in ten entries are kept."""
        return self.fresh(len(self.masks), RATES[1])

    @MadeOnce
    def of_values(self) -> bool:
        """Whether other values in the same shape have another mask, where the same values have one mask."""
        from keeprate.specs.dropout import reference  # here, for a plan and a verdict need no PyTorch

        caller, x, masks = self.caller(), filled(self.contract, self.case.dtype, thousand(self.contract)), []
        for values in (x, -x[::-1], x):
            allowed = reference.outcomes(self.contract, self.case.dtype, EVEN, values)
            y = caller.values(readable(self.output)(caller, caller.native(values), EVEN))
            masks.append(self.kept(y, allowed))
        return np.array_equal(masks[0], masks[2]) and not np.array_equal(masks[0], masks[1])

    def of_channels(self, elements: Mask) -> Mask:
        """Masks of elements, one entry a channel."""
        rank = len(self.contract.mask_shape(elements.shape[1:]))
        fronts = elements[(slice(None),) * (rank + 1) + (slice(0, 1),) * (elements.ndim - rank - 1)]
        if (elements != fronts).any():
            raise Unreadable("channels are not kept or dropped whole")
        return fronts.reshape(elements.shape[: rank + 1])

    def fresh(self, number: int, p: float = EVEN) -> Mask:
        """(calls, …) masks of the operator's own shape, of so many further calls."""
        return self.of_channels(readable(self.drawn)(self.caller(), number, self.shape, p))

    @MadeOnce
    def many(self) -> Mask:
        """(160, entries) masks of 1,024 entries of calls one after another: more than a pool of 128 has."""
        masks = readable(self.drawn)(self.caller(), POOL, thousand(self.contract))
        return masks.reshape(POOL, -1)

    @MadeOnce
    def many_like_it(self) -> Mask:
        """(160, entries) the same on the shape that was asked for, its longest axes halved as often as is needed."""
        lengths = list(self.shape)
        while prod(lengths) > THOUSAND:
            lengths[lengths.index(max(lengths))] = max(lengths) // 2
        masks = readable(self.drawn)(self.caller(), POOL, tuple(lengths))
        return self.of_channels(masks).reshape(POOL, -1)

    @MadeOnce
    def many_kept(self) -> Mask:
        """The same where seven in ten entries are kept: masks that are one at 1/2 alone are not one here."""
        masks = readable(self.drawn)(self.caller(), POOL, thousand(self.contract), RATES[1])
        return masks.reshape(POOL, -1)

    @MadeOnce
    def places(self) -> Mask:
        """(calls, …) masks of as many calls as tell one place from another, where the shape is not too large."""
        if prod(self.shape) * MANY > 4 * MOST:
            return self.masks
        return self.fresh(MANY)

    @MadeOnce
    def outputs(self) -> tuple[Output, ...]:
        """Calls at several p."""
        shape = self.shape if prod(self.shape) <= SMALL else standard(self.contract)
        return tuple(self.outputs_on(shape, OF_OUTPUTS))

    @MadeOnce
    def outputs_again(self) -> tuple[Output, ...]:
        """The same of fresh calls, in another order."""
        return tuple(self.outputs_on(self.outputs[0].y.shape, OF_OUTPUTS[::-1]))

    @MadeOnce
    def uneven(self) -> tuple[Output, ...]:
        """Calls on many thousand entries at p that are no multiple of any step."""
        return tuple(self.outputs_on(many_thousands(self.contract), UNEVEN))

    @readable
    def outputs_on(self, shape: tuple[int, ...], rates: tuple[float, ...]) -> list[Output]:
        """A call on this shape at each of these p."""
        caller, x = self.caller(), filled(self.contract, self.case.dtype, shape)
        if self.context == "thread":  # the first call is made in this one
            self.output(caller, caller.native(x), EVEN)
        found = []
        for p in rates:
            y = self.values(caller, x, p)
            expected = self.expected(p, shape)
            found.append(Output(p, x, y, expected, expected.allows(y)))
        return found

    @MadeOnce
    def in_order(self) -> tuple[tuple[Output, ...], ...]:
        """Calls at three p on each of two shapes that nothing was called on before, from another p on."""
        number = crc32(self.case.id.encode()) + self._seed
        standing = standard(self.contract)
        shapes = [(standing[0] + 30 + number % 47 + step, standing[1] + 4, *standing[2:]) for step in (0, 50)]
        return tuple(tuple(self.outputs_on(shape, order)) for shape, order in zip(shapes, ORDERS, strict=True))

    @MadeOnce
    def passes(self) -> tuple[Pass, ...]:
        """Passes forward and back at several p, three at each."""
        shape = self.shape if prod(self.shape) <= MOST else standard(self.contract)
        large, mapped = prod(shape) > SMALL * 4, Context(self.context).mapped
        rates = RATES[1:2] if large else RATES
        return tuple(self.passes_on(shape, rates, 1 if large and not mapped else 3))  # of which a mapped call makes all

    @readable
    def passes_on(self, shape: tuple[int, ...], rates: tuple[float, ...], number: int) -> list[Pass]:
        """So many passes on this shape at each of these p."""
        x, ct = filled(self.contract, self.case.dtype, shape), cotangent(shape, self.case.dtype, seed=2)
        caller, found = self.caller(), []
        given, native_ct = caller.native(x), caller.native(ct)
        for p in rates:
            expected = self.expected(p, shape)
            for _ in range(number):
                given = caller.native(x) if caller.writes else given
                out, slope = derived(caller, given, p, native_ct)
                y, g = caller.values(out), caller.values(slope)
                if not y.shape == g.shape == x.shape:
                    raise Unreadable("an output or gradient of another shape")
                found.append(Pass(p, x, y, ct, g, self.kept(y, expected)))
        return found

    @MadeOnce
    def evaluated(self) -> tuple[tuple[float, Floats, Floats], ...]:
        """p, input and output of calls in evaluation."""
        return tuple(self._evaluated(self.caller()))

    @readable
    def _evaluated(self, caller: Caller) -> list[tuple[float, Floats, Floats]]:
        x = filled(self.contract, self.case.dtype, standard(self.contract))
        return [(p, x, caller.values(caller.call(caller.native(x), p, train=False))) for p in RATES]

    @readable
    def after(self, value: int, number: int = 1, before: Callable[[Caller], Any] | None = None) -> Mask:
        """(calls, entries) the masks of the first calls after a seed, and after something else that is done first."""
        caller = self.caller(value)
        if before is not None:
            before(caller)
        return self.drawn(caller, number, thousand(self.contract)).reshape(number, -1)


def derived(caller: Caller, given: Any, p: float, ct: Any) -> tuple[Any, Any]:
    """Output and derivative, as they are had in the caller's context."""
    match caller.context.name:
        case "jvp":
            return caller.jvp(given, p, True, ct)
        case "linearize":
            out, pullback = caller.linearize(given, p, True)
            return out, caller.pulled_back(pullback, ct)
        case _:
            return caller.vjp(given, p, True, ct)


def clues(case: Case, backend: Any, seed: int) -> Iterator[Clues]:
    """One sample: all that hypotheses may ask for."""
    yield Clues(case, backend, seed)
