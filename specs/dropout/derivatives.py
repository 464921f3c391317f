"""Studies of derivatives that are had otherwise than in one pass: pullbacks, taken later and again, and tangents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from keeprate.specs.dropout import reference
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.counterexamples import Call, call, mode, plain
from keeprate.specs.dropout.inputs import MODES, cotangent, filled, thousand
from keeprate.specs.dropout.observations import Observation
from keeprate.specs.dropout.outcome import Outcomes, exactly
from keeprate.specs.rounding import Floats, bounds
from keeprate.suite import BackendError

P = 0.3
WORDS = ("first", "second", "third", "fourth")


def pullbacks(caller: Caller) -> Iterator[Observation]:
    """Two passes forward, then both back, in either order; then both again, with another cotangent."""
    x = filled(caller.contract, caller.dtype, thousand(caller.contract))
    expected, cotangents = _outcomes(caller, P, True, x), [cotangent(x.shape, caller.dtype, seed) for seed in (1, 2)]
    slopes = [_slopes(caller, P, True, x, ct) for ct in cotangents]
    for order in ((0, 1), (1, 0)):
        passes = [caller.linearize(caller.native(x), P, train=True) for _ in order]
        outputs = [
            _seen(caller, call(f"output of the {WORDS[number]} of two passes"), x, expected, partial(_had, out))
            for number, (out, _) in enumerate(passes)
        ]
        yield from outputs
        for time, (number, again) in enumerate([(one, 0) for one in order] + [(one, 1) for one in order[::-1]]):
            what = call(f"gradient of the {WORDS[number]} of two passes, the {WORDS[time]} that was asked for")
            back = partial(caller.pulled_back, passes[number][1], caller.native(cotangents[again]))
            yield from _masked(caller, what, outputs[number], cotangents[again], slopes[again], back)


def tangents(caller: Caller) -> Iterator[Observation]:
    """Outputs and tangents of forward-mode differentiation, in every mode."""
    x = filled(caller.contract, caller.dtype, thousand(caller.contract))
    given = cotangent(x.shape, caller.dtype, seed=1)
    for p, train in MODES:
        what = call("{mode} at p = {p}", mode=mode(train), p=plain(p))
        try:
            out, tangent = caller.jvp(caller.native(x), p, train, caller.native(given))
        except BackendError as error:
            if p != 1:  # which may be refused, as `endpoints` says
                yield Observation(what.after("tangent in "), given, None, error, "", given, exactly(given))
            continue
        output = _seen(caller, what.after("output in "), x, _outcomes(caller, p, train, x), partial(_had, out))
        yield output
        slopes = _slopes(caller, p, train, x, given)
        yield from _masked(caller, what.after("tangent in "), output, given, slopes, partial(_had, tangent))


def _had(native: Any) -> Any:
    return native


def _seen(caller: Caller, what: Call, x: Floats, expected: Outcomes, had: Callable[[], Any]) -> Observation:
    """What `had` gives, or raises; the input is not looked at again."""
    try:
        native = had()
        return Observation(what, x, caller.values(native), None, caller.dtype_of(native), x, expected)
    except BackendError as error:
        return Observation(what, x, None, error, "", x, expected)


def _masked(
    caller: Caller, what: Call, output: Observation, ct: Floats, slopes: Outcomes, had: Callable[[], Any]
) -> Iterator[Observation]:
    """The same of a gradient or a tangent, for the mask that its output shows; nothing where it shows none."""
    if (mask := output.mask) is not None:
        yield _seen(caller, what, ct, slopes.select(mask), had)


def _outcomes(caller: Caller, p: float, train: bool, x: Floats) -> Outcomes:
    if train and 0 < p < 1:
        return reference.outcomes(caller.contract, caller.dtype, p, x)
    return exactly(reference.without_mask(caller.contract, caller.dtype, p, x, train=train))


def _slopes(caller: Caller, p: float, train: bool, x: Floats, ct: Floats) -> Outcomes:
    """The derivative at each entry, times `ct`, where it is kept and where it is dropped.

    An entry depends on its own input alone, so that a tangent is what a gradient is.
    """
    of_kept, of_dropped = (
        reference.replay(caller.contract, caller.dtype, p, x, mask, ct, train=train)[1] for mask in (1.0, 0.0)
    )
    assert of_kept is not None and of_dropped is not None
    zero = 0 * of_kept
    return Outcomes(of_kept, of_dropped, *bounds(of_kept, zero, caller.dtype), *bounds(of_dropped, zero, caller.dtype))


STUDIES = pullbacks, tangents
