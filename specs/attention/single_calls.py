"""Single calls: scores that differ, evaluation, p = 0 and p = 1, what is refused, and seeds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from keeprate.specs.attention import reference
from keeprate.specs.attention.caller import Caller
from keeprate.specs.attention.encoder import Encoder
from keeprate.specs.attention.place import Place
from keeprate.specs.attention.places import Where, looks, place_of
from keeprate.specs.attention.sample import Book, Given, Reader, Seen, near
from keeprate.specs.masks.sample import Repeats
from keeprate.specs.rounding import Floats
from keeprate.suite import BackendError, Case, Check, Counterexample, failed, passed

LARGE = 1024  # what queries are, for scores whose exponentials float32 doesn't hold


def _random(place: Where, seed: int, caller: Caller) -> tuple[list[Floats], Floats]:
    """What to call with and a cotangent, rounded to the dtype."""
    rng, (shapes, last) = np.random.default_rng(seed), place.shapes(caller.channels)
    *inputs, cotangent = (
        reference.rounded(place.spread * rng.normal(size=shape), place.dtype) for shape in (*shapes, last)
    )
    if isinstance(place, Encoder):
        inputs = [reference.rounded(place.apart(x), place.dtype) for x in inputs]
    return inputs, cotangent


def _large(queries: Floats, keys: Floats, values: Floats) -> list[Floats]:
    """The same values for two scores that are large and not far apart, so that rounding decides nothing."""
    large, few = np.zeros_like(queries), np.zeros_like(keys)
    large[..., 0], few[..., 0] = LARGE, np.where(keys[..., 0] > 0, 1.125, 1)
    return [large, few, values]


def replayed(case: Case, backend: Any, seed: int) -> Iterator[Seen]:
    """After a seed passes that show its masks; after it again one on random numbers, which PyTorch has to repeat."""
    place, p = place_of(case), case.parameters["p"]
    callers = [Caller(backend, look, case.context) for look in looks(place)]
    repeats = [Repeats() for _ in callers]
    for number in range(max(1, case.draws // int(np.prod(place.mask_shape)))):
        masks = []
        for caller, repeated in zip(callers, repeats, strict=True):
            inputs, cotangent = next(iter(caller.place.turns(caller.channels).values()))
            caller.seed(seed + number >> 1)
            book = Book(caller.place, p, 1, repeated)
            masks.append(book.enter(next(caller.passes(inputs, p, cotangent))[0], 1))
            if masks[-1] is None:
                yield book.result()
                break
        else:
            given = _random(place, seed + number, caller)
            caller.seed(seed + number >> 1)
            yield book.result(replayed=_as_pytorch(caller, place, given, p, masks))


def _as_pytorch(caller: Caller, place: Where, given: tuple[list[Floats], Floats], p: float, masks: Any) -> Check:
    got = next(caller.passes(given[0], p, given[1]))
    exact, theirs = (reference.replay(place, dtype, given[0], p, masks, given[1]) for dtype in ("float64", place.dtype))
    whats = "output", *(f"gradient of {name}" for name in place.parts)
    parts = zip(got, exact, theirs, whats, strict=True)
    return sum((near(one, true, other, place.dtype, what) for one, true, other, what in parts), Check(0, 0))


def evaluation(case: Case, backend: Any, seed: int) -> Iterator[Seen]:
    """Outputs in evaluation, at several p, and in training at p = 0 and p = 1; and what these calls write to."""
    place = place_of(case)
    caller = Caller(backend, place, case.context)
    inputs, cotangent = _random(place, seed, caller)
    checks = {"evaluation": Check(0, 0), "endpoints": Check(0, 0), "purity": Check(0, 0)}
    large = _large(*inputs) if isinstance(place, Place) else None
    for law, p, train, some in (
        *(("evaluation", p, False, inputs) for p in (0.0, 0.1, 0.5, 1.0)),
        *([("evaluation", 0.5, False, large)] if large else []),
        ("endpoints", 0.0, True, inputs),
        ("endpoints", 1.0, True, inputs),
        ("purity", 0.5, True, inputs),
    ):
        given = Given(caller, some)
        try:
            out = caller.output(given.native, p, train)
        except BackendError as error:
            checks[law] += failed(1, 1, Counterexample({"first": f"p = {p}: {error}"}))
            continue
        checks["purity"] += given.unwritten()
        if law != "purity":
            same = p if train else 0.0
            true, theirs = (reference.replay(place, d, some, same, None, cotangent)[0] for d in ("float64", case.dtype))
            # A score less the logarithm of a sum is off by roundings of either.
            steps = 4 * LARGE if some is large else 32
            checks[law] += near(out, true, theirs, case.dtype, f"output at p = {p}", steps)
    yield Seen(p=0.0, bits=None, checks={**checks, "dtype": _dtypes(caller)})


def endpoints_of_gradient(case: Case, backend: Any, seed: int) -> Iterator[Seen]:
    """Passes at p = 0 and p = 1."""
    place = place_of(case)
    caller = Caller(backend, place, case.context)
    given = _random(place, seed, caller)
    check = sum((_as_pytorch(caller, place, given, p, None) for p in (0.0, 1.0)), Check(0, 0))
    yield Seen(p=0.0, bits=None, checks={"endpoints": check, "dtype": _dtypes(caller)})


def _dtypes(caller: Caller) -> Check:
    others = sorted(caller.dtypes - {caller.place.dtype})
    told = Counterexample({"first": f"{', '.join(others)} came back, not {caller.place.dtype}"})
    return failed(1, 1, told) if others else passed()


def arguments(case: Case, backend: Any, seed: int) -> Iterator[Seen]:
    """Probabilities that are none, which PyTorch refuses."""
    place = place_of(case)
    caller = Caller(backend, place)
    native, check = caller.given(*_random(place, seed, caller)[0]), Check(0, 0)
    for p in (-0.1, 1.1, float("nan")):
        try:
            caller.output(native, p)
        except BackendError:
            check += passed()
        else:
            check += failed(1, 1, Counterexample({"first": f"p = {p} is taken; PyTorch refuses it"}))
    yield Seen(p=0.0, bits=None, checks={"arguments": check})


def seeding(case: Case, backend: Any, seed: int) -> Iterator[Seen]:
    """What seeds decide, and which calls draw nothing."""
    reader = Reader(case, backend)
    first, second = seed >> 1, (seed >> 1) + 1
    one, two = reader.after(first)
    later = [
        (reader.after(first)[0], True, "the same seed gives another mask"),
        (reader.after(second)[0], False, "another seed gives the same mask"),
        (two, False, "the second call has the first one's mask"),
    ]
    for what, (p, train) in {"a call in evaluation": (0.5, False), "a call at p = 0": (0.0, True)}.items():
        reader.caller.seed(first)
        reader.caller.output(reader.given, p, train)
        again = reader.caller.output(reader.given, reader.p)
        later.append((again, True, f"{what} moves the generator on"))
    seen = [reader.seen([out]) for out in (one, *(out for out, _, _ in later))]
    checks = {"outcomes": sum((each.checks["outcomes"] for each in seen), Check(0, 0))}
    masks = [each.bits for each in seen if each.bits is not None]
    if len(masks) == len(seen):
        alike = [np.array_equal(masks[0].words, mask.words) for mask in masks[1:]]
        wrong = [told for is_alike, (_, same, told) in zip(alike, later, strict=True) if is_alike != same]
        told = Counterexample({"first": wrong[0]}) if wrong else None
        checks["seeding"] = Check(len(later), len(later) - len(wrong), len(wrong), told)
    yield Seen(p=reader.p, bits=None, checks=checks)
