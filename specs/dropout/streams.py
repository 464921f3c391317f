"""Samples of calls after related seeds, and in other processes: whether their masks are related too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from keeprate.specs.dropout import reference
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.counterexamples import call
from keeprate.specs.dropout.inputs import filled, thousand
from keeprate.specs.dropout.observations import Calls, Observation, Relation
from keeprate.specs.dropout.relatives import another_dtype, another_operator
from keeprate.specs.dropout.sample import Backward, Masks, Reader
from keeprate.specs.foreign import Seen
from keeprate.specs.masks.packed_masks import PackedMasks
from keeprate.specs.masks.sample import CHUNK, chunks
from keeprate.specs.masks.seeded import HIGH, KINDS, anywhere, side_by_side
from keeprate.specs.other_processes import by_turns, two, two_unseeded
from keeprate.suite import Case

SEEDED = 512  # seeds after which small calls are made before the laws look
UNSEEDED = 0.5  # the p of calls without a seed


def streams(case: Case, backend: Any, seed: int) -> Iterator[Masks]:
    """Seeds, calls twice, and goes on to the next seed; `case.draws` counts the entries of the first calls."""
    reader = Reader(Caller(backend, CONTRACTS[case.op], case.dtype), case)
    seeds = -(-case.draws // reader.entries)
    high = reader.caller.takes_seed(HIGH)
    each = max(1, CHUNK // (4 * reader.entries))
    base = seed >> 1  # s + 1, s + 2, … stay below 2**31
    while seeds > 0:
        outputs = []
        for _ in range(min(each, seeds)):
            for value in (base, base + 1):
                reader.caller.seed(value)
                outputs += [reader.call(), reader.call()]
            if high:
                reader.caller.seed(base + HIGH)
                outputs.append(reader.call())
            base += 3  # an odd step, for a seed could be cut to its upper bits
        yield _paired(reader.read(len(outputs), outputs), 5 if high else 4)
        seeds -= each


def _paired(masks: Masks, width: int) -> Masks:
    """`masks`, `width` after each seed, with pairs of them."""
    if masks.bits is None:
        return masks
    lacking = {} if width > max(KINDS["high"]) else {"high": "the backend takes no seed of 2**31 or more"}
    return replace(masks, pairs={**lacking, **side_by_side(masks.bits, width)})


def mixed(case: Case, backend: Any, seed: int) -> Iterator[Masks]:
    """Seeds, calls, and calls something else: each first mask beside one of every other kind of call.

    The kinds: `shape`, `dtype` and `op` another of these, `grad` a pass forward and back; in a context with a layer or
    a transform `twin`, a second layer or function.
    """
    others = dict(_others(case, backend))
    readers = {"": Reader(Caller(backend, CONTRACTS[case.op], case.dtype, case.context), case)}
    readers |= {kind: one for kind, one in others.items() if isinstance(one, Reader)}
    outputs: dict[str, list[Any]] = {kind: [] for kind in readers}
    for number in range(-(-case.draws // readers[""].entries)):
        readers[""].caller.seed((seed >> 1) + 3 * number)
        for kind, reader in readers.items():
            outputs[kind].append(reader.call())
    masks = {kind: reader.read(len(outputs[kind]), outputs[kind]) for kind, reader in readers.items()}
    if "op" in masks and masks["op"].bits is None:  # whose own cases say what is wrong with it
        others["op"] = f"no mask of {readers['op'].caller.contract.name} could be read"
    every = _together([one for kind, one in masks.items() if kind != "op"])
    if every.bits is None:
        yield every
        return
    first = masks.pop("").mask
    pairs = {kind: one if isinstance(one, str) else _by_turns(first, masks[kind].mask) for kind, one in others.items()}
    yield replace(every, pairs=pairs)


def sizes(case: Case, backend: Any, seed: int) -> Iterator[Masks]:
    """Calls by turns on the case's shape and on a smaller one: each first mask beside that of the call after it."""
    smaller = case.replace(shape=(max(1, case.shape[0] // 8), *case.shape[1:]))
    readers = [Reader(Caller(backend, CONTRACTS[case.op], case.dtype), one) for one in (case, smaller)]
    readers[0].caller.seed(seed)
    for calls in chunks(case.draws, readers[0].entries):
        outputs = [[reader.caller.seen(reader.call()) for reader in readers] for _ in range(calls)]
        masks = [reader.read(calls, some) for reader, some in zip(readers, zip(*outputs, strict=True), strict=True)]
        yield replace(_together(masks), beside=masks[1].bits)


def _others(case: Case, backend: Any) -> Iterator[tuple[str, Reader | str]]:
    """By kind what makes the other calls, or what the backend lacks for them."""
    contract = CONTRACTS[case.op]
    if case.context != "eager":
        yield "twin", Reader(Caller(backend, contract, case.dtype, case.context), case)
        return
    batch, width, *spatial = case.shape
    shaped = case.replace(shape=(batch // 2, width * 2, *spatial))
    yield "shape", Reader(Caller(backend, contract, case.dtype), shaped)
    dtype = another_dtype(backend, contract, case.dtype)
    if dtype is None:
        yield "dtype", "the backend has one dtype alone"
    else:
        yield "dtype", Reader(Caller(backend, contract, dtype), case.replace(dtype=dtype))
    other = another_operator(backend, contract, case.dtype)
    if other is None:
        yield "op", f"the backend has no other operator that drops {contract.granularity}s"
    else:
        rank = max(other.ranks) if other.by_channel else len(case.shape)
        shape = (batch, width, *(1,) * (rank - 3), *spatial[-1:])
        yield "op", Reader(Caller(backend, other, case.dtype), case.replace(op=other.name, shape=shape))
    has_vjp = callable(getattr(backend, "vjp", None))
    yield "grad", Backward(Caller(backend, contract, case.dtype), case) if has_vjp else "the backend has no vjp"


def _together(masks: list[Masks]) -> Masks:
    """What the exact laws say of all of them; the masks of the first, if all could be read."""
    first, *others = masks
    lost = [one.unreadable for one in masks if one.unreadable]
    checks = [one.constancy for one in masks if one.constancy is not None]
    return replace(
        first,
        bits=None if lost else first.bits,
        unreadable=lost[0] if lost else "",
        outcomes=sum((one.outcomes for one in others), first.outcomes),
        constancy=sum(checks[1:], checks[0]) if checks else None,
    )


def _by_turns(one: PackedMasks, other: PackedMasks) -> PackedMasks:
    """Pairs of masks, each as one row of entries."""
    both = np.stack([one.words, other.words], axis=1)
    return PackedMasks(both.reshape(-1, both.shape[-1]), one.shape)


def after_seeds(case: Case, backend: Any, seed: int) -> Iterator[Masks]:
    """The first call after each of many seeds, anywhere among those of 31 bits."""
    reader = Reader(Caller(backend, CONTRACTS[case.op], case.dtype), case)
    values = anywhere(seed, -(-case.draws // reader.entries))
    for some in np.array_split(values, -(-len(values) // SEEDED)):
        outputs = []
        for value in some.tolist():
            reader.caller.seed(value)
            outputs.append(reader.call())
        yield reader.read(len(outputs), outputs)


def processes(case: Case, backend: Any, seed: int) -> Iterator[Masks]:
    """Calls after neighbouring seeds in two other processes: the masks of one and of the other by turns.

    Raises:
        NotOffered: the backend is an object that only this process has.
    """
    reader = Reader(Caller(backend, CONTRACTS[case.op], case.dtype, case.context), case)
    for outputs in by_turns("dropout", backend, case, reader.entries, seed):
        yield reader.read(len(outputs), outputs)


def between_processes(case: Case, backend: Any, seed: int) -> Iterator[Calls]:
    """The same seed and two others in two processes, and the first masks of both, which nobody had seeded."""
    contract = CONTRACTS[case.op]
    caller = Caller(backend, contract, case.dtype, case.context)
    x = filled(contract, case.dtype, thousand(contract))
    small = case.replace(parameters={"p": UNSEEDED}, shape=x.shape)
    expected = reference.outcomes(contract, case.dtype, UNSEEDED, x)
    unseeded = [process.unseeded(small) for process in two_unseeded("dropout", backend)]
    one, other = two("dropout", backend)

    def observed(relation: Relation, what: str, seen: Seen) -> Observation:
        return Observation(call(what), x, caller.values(seen), None, seen.dtype, x, expected, relation)

    seen = (
        observed("", "after seed 1 in a process", one.calls(small, 1, 1)[0]),
        observed("same", "seed 1 in another process", other.calls(small, 1, 1)[0]),
        observed("other", "seed 2 in another process", other.calls(small, 2, 1)[0]),
        observed("", "without a seed in a fresh process", unseeded[0]),
        observed("other", "no seed in another fresh process", unseeded[1]),
    )
    yield Calls(contract, case.dtype, seen)
