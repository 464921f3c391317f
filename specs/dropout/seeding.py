"""What a seed decides: the same masks again, in whatever context, and others after every other seed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from keeprate.specs.dropout import reference
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.counterexamples import Call, call
from keeprate.specs.dropout.inputs import BOUNDS, EVEN, NARROW, filled, indices, many_thousands, probes, thousand
from keeprate.specs.dropout.observations import Calls, Observation, Relation, observe, offered
from keeprate.specs.dropout.outcome import Outcomes
from keeprate.specs.foreign import foreign
from keeprate.specs.rounding import Floats
from keeprate.suite import BackendError, Case


def seeding(caller: Caller) -> Iterator[Observation]:
    """The same call after seeding alike, after seeding otherwise, and with calls between that must draw nothing."""
    contract, dtype = caller.contract, caller.dtype
    x, large = (filled(contract, dtype, shape(contract)) for shape in (thousand, many_thousands))
    expected, of_large = reference.outcomes(contract, dtype, EVEN, x), _outcomes(caller, large)
    empty = filled(contract, dtype, (0, *x.shape[1:]))
    drawn, nothing, refused = (EVEN, True, x), (EVEN, True, empty), (1.5, True, x)

    def observed(
        relation: Relation, what: Call, value: int, *before: tuple[float, bool, Floats], on: Floats = x
    ) -> Observation:
        caller.seed(value)
        for p, train, given in before:
            observe(caller, what, given, None, partial(caller.call, p=p, train=train))
        allowed = of_large if on is large else expected if on is x else reference.outcomes(contract, dtype, EVEN, on)
        return observe(caller, what, on, allowed, partial(caller.call, p=EVEN), relation=relation)

    yield observed("", call("after seed 1"), 1)
    yield observed("other", call("seed 2"), 2)
    yield observed("same", call("seed 1 again"), 1)
    yield observed("same", call("seed 1, then a call in evaluation"), 1, (EVEN, False, x))
    yield observed("same", call("seed 1, then a call at p = {p}", p=0), 1, (0.0, True, x))
    yield observed("other", call("seed 1, then a call in training"), 1, drawn)
    yield observed("other", call("seed 1, then calls in training and on nothing"), 1, drawn, nothing)
    what = call("seed 1, then a call in training and one at p = {p}", p=1.5)
    yield observed("other", what, 1, drawn, refused)
    other = -x[::-1]  # in other places too, for a sign alone is read like a wrong scale
    yield observed("same", call("seed 1, other data"), 1, on=other)
    yield observed("", call("after seed 0"), 0)
    yield observed("same", call("seed 0 again"), 0)
    yield observed("", call("after seed 1 and a call"), 1, drawn)
    yield observed("same", call("seed 1 and a call again"), 1, drawn)
    yield observed("", call("after seed 1, on 131,072 entries"), 1, on=large)
    yield observed("same", call("seed 1 again, on 131,072 entries"), 1, on=large)
    yield observed("same", call("seed 1 once more, on 131,072 entries"), 1, on=large)
    yield observed("other", call("seed 2, on 131,072 entries"), 2, on=large)


def reseeding(caller: Caller) -> Iterator[Observation]:
    """Two calls of one function, or of one layer, after each seeding; then of another, made after seeding."""
    yield from _reseeded(caller, partial(caller.call, p=EVEN))


def reseeding_of_gradient(caller: Caller) -> Iterator[Observation]:
    """The same of passes forward and back, by the masks of their outputs."""
    ones = caller.native(filled(caller.contract, caller.dtype, thousand(caller.contract)))
    yield from _reseeded(caller, lambda native: caller.vjp(native, EVEN, True, ones)[0])


def _reseeded(caller: Caller, function: Callable[[Any], Any]) -> Iterator[Observation]:
    x = filled(caller.contract, caller.dtype, thousand(caller.contract))
    expected = reference.outcomes(caller.contract, caller.dtype, EVEN, x)

    def observed(relation: Relation, value: int, words: str, number: int) -> Observation:
        caller.seed(value)
        what = call("call {number} after seed {seed}" + words, number=number, seed=value)
        *_, last = [observe(caller, what, x, expected, function, relation=relation) for _ in range(number)]
        return last

    for number in (1, 2):
        yield observed("", 1, "", number)
        yield observed("other", 2, "", number)
        yield observed("same", 1, " again", number)
        caller.make_anew()
        yield observed("same", 1, " again, of a function made anew", number)


def states(caller: Caller) -> Iterator[Observation]:
    """Calls after a state was put back: at once, later, after another seed, more than once; and of a copy."""
    x = filled(caller.contract, caller.dtype, thousand(caller.contract))
    few = filled(caller.contract, caller.dtype, (3, 1, *x.shape[2:]))  # of a vector of four, or of two words
    expected = reference.outcomes(caller.contract, caller.dtype, EVEN, x)

    def drawn(relation: Relation, words: str, state: Any = None) -> Observation:
        if state is not None:
            caller.set_state(state)
        return observe(caller, call(words), x, expected, partial(caller.call, p=EVEN), relation=relation)

    caller.seed(1)
    saved = caller.get_state()
    copied = foreign("a copy of the state", copy.deepcopy, saved)
    yield drawn("", "after a state was saved")
    yield drawn("same", "after it was put back", saved)
    yield drawn("same", "after it was put back again", saved)
    caller.seed(2)
    yield drawn("same", "after another seed, and the state put back", saved)
    yield drawn("other", "in the call after that")
    yield drawn("same", "after a copy of it was put back", copied)
    for rest in ("", " again"):  # the state of a call later, while copies of the first one are drawn from
        caller.set_state(saved)
        observe(caller, call("between"), few, None, partial(caller.call, p=EVEN))
        later = caller.get_state()
        yield drawn("" if not rest else "same", f"after the state and a small call{rest}")
        caller.set_state(copied)
        observe(caller, call("between"), few, None, partial(caller.call, p=EVEN))
        yield drawn("same", f"after the copy and a small call{rest}")
        yield drawn("same", f"after the state that the small call had left{rest}", later)


def bounds(case: Case, backend: Any, seed: int) -> Iterator[Calls]:
    """The first mask after each seed at which states and words of seeds have their bounds."""
    caller = Caller(backend, CONTRACTS[case.op], case.dtype)
    x = filled(caller.contract, case.dtype, many_thousands(caller.contract))
    expected, seen, refused = _outcomes(caller, x), [], []
    for value in BOUNDS:
        what = call("after seed {seed}", seed=value)
        try:
            if value < NARROW:
                caller.seed(value)
            elif not caller.takes_seed(value):
                refused.append(value)
                continue
        except BackendError as error:
            seen.append(Observation(what, x, None, error, "", x, expected))
        else:
            seen.append(observe(caller, what, x, expected, partial(caller.call, p=EVEN), seed=value))
    remark = f"seeds from {min(refused)} on are refused" if refused else None
    yield Calls(caller.contract, case.dtype, offered(seen), remark=remark)


def _outcomes(caller: Caller, large: Floats) -> Outcomes:
    """Of many entries, by the probe values that they hold."""
    values = probes(caller.contract, caller.dtype)
    return reference.table(caller.contract, caller.dtype, EVEN, values).take(indices(large.shape))


STUDIES = seeding, reseeding, reseeding_of_gradient, states
