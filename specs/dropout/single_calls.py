"""Samples of single calls: what an operator did with one input, for the laws that need no statistics.

Each study is a list of calls; each call is an observation beside what PyTorch does. A call that raises is an
observation too, so that one refusal hides nothing else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from keeprate.specs.dropout import derivatives, reference, seeding, single_passes
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.compare import identical
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.counterexamples import Call, call, mode, plain
from keeprate.specs.dropout.inputs import (
    EVEN,
    MODES,
    SHAPES,
    filled,
    laid_out,
    ordinary,
    subnormal,
    thousand,
    with_specials,
)
from keeprate.specs.dropout.observations import Calls, Observation, Relation, observe, offered
from keeprate.specs.dropout.outcome import Outcomes, exactly, with_selected
from keeprate.specs.foreign import Seen, foreign
from keeprate.specs.rounding import Floats
from keeprate.suite import BackendError, Case, NotOffered

RATES = (0.1, 0.3, 0.9)
THREADS, CALLS = 4, 8  # that run at the same time, and how often each calls
LAYOUTS = ("step2", "transposed", "remade", "stride0", "reversed")


def calls(case: Case, backend: Any, seed: int) -> Iterator[Calls]:
    """One sample: every call of the study that the case names."""
    contract = CONTRACTS[case.op]
    caller = Caller(backend, contract, case.dtype, case.context)
    caller.seed(seed)
    yield Calls(contract, case.dtype, offered(STUDIES[case.study](caller)))


def many(case: Case, backend: Any, seed: int) -> Iterator[Calls]:
    """Many calls in training at p = 0 or 1, where a mask that is drawn all the same errs once in 10⁷ or 10⁸ entries."""
    p, caller = case.parameters["p"], Caller(backend, CONTRACTS[case.op], case.dtype)
    caller.seed(seed)
    x = filled(caller.contract, case.dtype, case.shape)
    expected = _unmasked(caller, p, x, train=True)
    exact = np.ascontiguousarray(caller.layout.to_theirs(expected.kept))
    what, native = call("training at p = {p}", p=plain(p)), caller.native(x)
    for _ in range(-(-case.draws // x.size)):
        if caller.contract.writes:
            native = caller.native(x)
        try:
            y = caller.raw(caller.call(native, p))
        except BackendError as error:
            seen = Observation(what, x, None, error, "", x, expected)
        else:
            if exact.dtype != y.dtype:
                exact = exact.astype(y.dtype)
            if identical(y, exact):  # the rule; to look closer takes ten times as long
                yield Calls(caller.contract, case.dtype, (), y.size)
                continue
            seen = Observation(what, x, caller.layout.to_ours(y).astype(np.float64), None, case.dtype, x, expected)
        yield Calls(caller.contract, case.dtype, (seen,))


def _input(caller: Caller) -> Floats:
    return filled(caller.contract, caller.dtype, ordinary(caller.contract))


def _inputs(caller: Caller) -> tuple[Floats, Floats]:
    """An ordinary one, and one that holds zeros, infinities and NaN as well."""
    return _input(caller), with_specials(_input(caller), every=2)


def _masked(caller: Caller, p: float, x: Floats) -> Outcomes:
    return reference.outcomes(caller.contract, caller.dtype, p, x)


def _unmasked(caller: Caller, p: float, x: Floats, *, train: bool) -> Outcomes:
    """What PyTorch gives where it draws no mask."""
    return exactly(reference.without_mask(caller.contract, caller.dtype, p, x, train=train))


def evaluation(caller: Caller) -> Iterator[Observation]:
    """Calls in evaluation, on zeros, infinities and NaN too."""
    for p in (0.0, *RATES, 1.0):
        for x in _inputs(caller):
            what, expected = call("evaluation at p = {p}", p=p), _unmasked(caller, p, x, train=False)
            yield observe(caller, what, x, expected, partial(caller.call, p=p, train=False))


def endpoints(caller: Caller) -> Iterator[Observation]:
    """Calls in training at p = 0 and p = 1, where PyTorch draws nothing."""
    for p in (0.0, 1.0):
        for x in _inputs(caller):
            what, expected = call("training at p = {p}", p=plain(p)), _unmasked(caller, p, x, train=True)
            if p == 1.0:  # a framework that selects drops an infinity to 0
                expected = with_selected(expected, x)
            yield observe(caller, what, x, expected, partial(caller.call, p=p))


def dtype(caller: Caller) -> Iterator[Observation]:
    """Calls in every mode, for the dtype of what comes back."""
    x = _input(caller)
    for p, train in MODES:
        what = call("{mode} at p = {p}", mode=mode(train), p=plain(p))
        yield observe(caller, what, x, None, partial(caller.call, p=p, train=train))


def strides(caller: Caller) -> Iterator[Observation]:
    """Calls on inputs that lie in memory in uncommon ways, in training and in evaluation."""
    for rank in caller.contract.ranks:
        if rank == 0:
            continue
        shape = tuple(length + 4 for length in SHAPES[rank][0])
        for layout in LAYOUTS:
            if layout == "stride0" and caller.contract.writes:
                continue  # PyTorch refuses to write to one place through several elements
            x = laid_out(filled(caller.contract, caller.dtype, shape), layout)
            where = call("on {layout} input of shape {shape}", layout=layout, shape=x.shape)
            yield from _in_each_mode(caller, where, x, strided=True)


def _in_each_mode(caller: Caller, where: Call, x: Floats, *, strided: bool = False) -> Iterator[Observation]:
    """Calls in training, at p = 1 and in evaluation; none at p = 1 where it is refused, as `endpoints` says."""
    observed = partial(observe, caller, x=x, strided=strided)
    yield observed(where.after("training "), expected=_masked(caller, 0.3, x), call=partial(caller.call, p=0.3))
    nothing = _unmasked(caller, 1.0, x, train=True)
    at_one = observed(where.after("training at p = {p} ", p=1), expected=nothing, call=partial(caller.call, p=1.0))
    if at_one.raised is None:
        yield at_one
    yield observed(where.after("evaluation "), expected=exactly(x), call=partial(caller.call, p=0.3, train=False))


def shape(caller: Caller) -> Iterator[Observation]:
    """Calls in every mode on every rank that PyTorch takes, on axes of length 1, on empty arrays."""
    for size in (size for rank in caller.contract.ranks for size in SHAPES[rank]):
        x = filled(caller.contract, caller.dtype, size)
        yield from _in_each_mode(caller, call("on shape {shape}", shape=size), x)


def inplace(caller: Caller) -> Iterator[Observation]:
    """Calls of the in-place form: `y` is the input after the call."""
    written = caller.call if caller.contract.writes else caller.call_inplace
    x = _input(caller)
    for p, train in MODES:
        expected = _masked(caller, p, x) if train else _unmasked(caller, p, x, train=False)
        what = call("in place, {mode} at p = {p}", mode=mode(train), p=plain(p))
        yield observe(caller, what, x, expected, partial(written, p=p, train=train))
    expected = _unmasked(caller, 1.0, x, train=True)
    for train in (True, False):
        what = call("in place, {mode}, then training at p = {p} on what was returned", mode=mode(train), p=1)
        yield observe(caller, what, x, expected, partial(_twice, written, train))
    for train in (True, False):
        expected = _masked(caller, 0.3, x) if train else exactly(x)
        what = call("in place, {mode} at p = {p} on the second half of an array", mode=mode(train), p=0.3)
        yield from _on_a_slice(caller, what, x, expected, partial(written, p=0.3, train=train))


def _twice(call: Callable[..., Any], train: bool, native: Any) -> Any:
    return call(call(native, p=0.3, train=train), p=1.0, train=True)


def _on_a_slice(
    caller: Caller, what: Call, x: Floats, expected: Outcomes, call: Callable[[Any], Any]
) -> Iterator[Observation]:
    """A call on the second half of an array, and what the first half is after it; nothing where none can be sliced."""
    first = x[::-1]
    whole = caller.native(np.concatenate([first, x]))
    try:
        half = foreign("a slice", lambda: whole[len(x) :])
        if not np.array_equal(caller.values(half), x):
            return
    except BackendError:
        return
    seen = observe(caller, what, x, expected, call, native=half)
    yield seen
    if not seen.compared().broken:  # else that is enough
        rest = caller.values(whole)[: len(x)]
        yield Observation(what.then(": the first half"), first, rest, None, seen.dtype, rest, exactly(first))


def specials(caller: Caller) -> Iterator[Observation]:
    """Calls in training on zeros, infinities and NaN, without a gradient; then on subnormal numbers."""
    _, x = _inputs(caller)
    for p in RATES:
        what = call("training at p = {p} on zeros, infinities and NaN", p=p)
        yield observe(caller, what, x, _masked(caller, p, x), partial(caller.call, p=p))
    if not caller.contract.preserves_moments:  # of whose outputs they are too small a part
        yield from _subnormal(caller, 0.3)


def _subnormal(caller: Caller, p: float) -> Iterator[Observation]:
    """A call on ordinary numbers and one on subnormal ones, unless PyTorch or the framework's own product flushes them.

    If all of these come out as 0, and ordinary ones don't, that is no mask.
    """
    shape = thousand(caller.contract)
    x, small = filled(caller.contract, caller.dtype, shape), subnormal(caller.dtype, shape)
    expected, native = _masked(caller, p, small), caller.native(small)
    try:
        doubled = caller.values(foreign("a product", lambda: native * 2))
    except BackendError:
        return
    if not np.array_equal(doubled, 2 * small) or not expected.kept.all():
        return
    what, function = call("training at p = {p}", p=p), partial(caller.call, p=p)
    usual = observe(caller, what, x, _masked(caller, p, x), function)
    yield usual
    seen = observe(caller, what.then(" on subnormal numbers"), small, expected, function, native=native)
    kept, kept_of_small = usual.mask, seen.mask
    if kept is not None and kept.any() and kept_of_small is not None and not kept_of_small.any():
        seen = replace(seen, expected=exactly(expected.kept))
    yield seen


def modes(caller: Caller) -> Iterator[Observation]:
    """One function, or layer, in training and in evaluation by turns, from either on; then a layer in a container."""
    for first in (True, False):
        yield from _by_turns(caller, caller.switch(EVEN), first)
    if caller.context.name == "module":
        with contextlib.suppress(NotOffered):  # not every framework has containers that switch what is in them
            yield from _by_turns(caller, caller.switch(EVEN, reference.contained), True, "in a container, ")


def _by_turns(
    caller: Caller, switched: Callable[[Any, bool], Any], first: bool, where: str = ""
) -> Iterator[Observation]:
    x = filled(caller.contract, caller.dtype, thousand(caller.contract))
    kept_or_dropped = _masked(caller, EVEN, x)
    for number, train in enumerate((first, not first, first)):
        before = {"before": mode(not train)} if number else {}
        words = "{mode} after {before}" if number else "{mode} at first"
        expected = kept_or_dropped if train else exactly(x)
        what = call(where + words, mode=mode(train), **before)
        yield observe(caller, what, x, expected, _in_mode(switched, train))


def _in_mode(call: Callable[[Any, bool], Any], train: bool) -> Callable[[Any], Any]:
    return lambda native: call(native, train)


def concurrency(caller: Caller) -> Iterator[Observation]:
    """Calls in threads that run at the same time; then in fresh threads after seeds."""
    x = filled(caller.contract, caller.dtype, thousand(caller.contract))
    expected = _masked(caller, EVEN, x)

    def observed(what: Call, seen: Seen | BackendError, relation: Relation = "") -> Observation:
        if isinstance(seen, BackendError):
            return Observation(what, x, None, seen, "", x, expected, relation)
        return Observation(what, x, caller.values(seen), None, seen.dtype, x, expected, relation)

    inputs = [[caller.native(x) for _ in range(CALLS)] for _ in range(THREADS)]
    for number, seen in enumerate(caller.at_once(inputs, EVEN)):
        place = {"call": number % CALLS + 1, "thread": number // CALLS + 1, "threads": THREADS}
        yield observed(call("call {call} in thread {thread} of {threads} at once", **place), seen)
    after: tuple[tuple[Relation, str, int], ...] = (
        ("", "after seed 1", 1),
        ("same", "seed 1 again", 1),
        ("other", "seed 2", 2),
    )
    for relation, words, seed in after:
        caller.seed(seed)
        (seen,) = caller.at_once([[caller.native(x)]], EVEN)
        yield observed(call(f"{words}, in a fresh thread"), seen, relation)


OF_VALUES = evaluation, endpoints, specials, strides, shape, inplace, dtype
STUDIES: dict[str, Callable[[Caller], Iterator[Observation]]] = {
    study.__name__: study
    for study in (*OF_VALUES, modes, concurrency, *seeding.STUDIES, *single_passes.STUDIES, *derivatives.STUDIES)
}
