"""Studies of single passes forward and back: modes in which nothing is drawn, widths, and inputs that are zero."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from keeprate.specs.dropout import reference
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.contracts import Contract
from keeprate.specs.dropout.counterexamples import Call, call, mode, plain
from keeprate.specs.dropout.inputs import (
    EVEN,
    MODES,
    SHAPES,
    cotangent,
    filled,
    indices,
    ordinary,
    probes,
    thousand,
    with_specials,
)
from keeprate.specs.dropout.observations import Observation, observe, observe_pass
from keeprate.specs.dropout.outcome import Mask, Outcomes, exactly, with_selected
from keeprate.specs.rounding import Floats, bounds

# Where kernels change path: hidden sizes of networks, and powers of two, of which blocks and vectors are made.
WIDTHS = (32, 64, 128, 256, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192)
Shape = tuple[int, ...]
Setting = tuple[Floats, Floats, Outcomes, Outcomes]  # input and cotangent, and what PyTorch gives forward and back


def dtype_of_gradient(caller: Caller) -> Iterator[Observation]:
    """Passes in every mode, for the dtype of what comes back."""
    for p, train in MODES:
        yield from _small(caller, p, train)


def evaluation_of_gradient(caller: Caller) -> Iterator[Observation]:
    """Passes in evaluation."""
    for p in (0.0, 0.3, 1.0):
        yield from _small(caller, p, train=False)
        yield from _small(caller, p, train=False, special=True)


def endpoints_of_gradient(caller: Caller) -> Iterator[Observation]:
    """Passes in training at p = 0 and p = 1, where PyTorch draws nothing."""
    for p in (0.0, 1.0):
        yield from _small(caller, p, train=True)
        yield from _small(caller, p, train=True, special=True)
    yield from _small(caller, 0.3, train=True, empty=True)


def wide_masks_of_gradient(caller: Caller) -> Iterator[Observation]:
    """Passes with a mask, on every rank and on shapes where kernels change path."""
    yield from _wide(caller, 0.3, train=True)


def wide_evaluation_of_gradient(caller: Caller) -> Iterator[Observation]:
    """The same in evaluation."""
    yield from _wide(caller, 0.3, train=False)


def wide_endpoints_of_gradient(caller: Caller) -> Iterator[Observation]:
    """The same in training at p = 0 and p = 1."""
    yield from _wide(caller, 0.0, train=True)
    yield from _wide(caller, 1.0, train=True)


def _small(
    caller: Caller, p: float, train: bool, *, special: bool = False, empty: bool = False
) -> Iterator[Observation]:
    """A pass in which PyTorch draws no mask, or whose dtype alone is asked for."""
    x, ct, out, slope = _setting(caller.contract, caller.dtype, p, train, special, empty)
    return observe_pass(
        caller, call("{mode} at p = {p}", mode=mode(train), p=plain(p)), p, train, (x, ct), (out, slope)
    )


@functools.lru_cache(maxsize=512)  # every context asks for the same
def _setting(contract: Contract, dtype: str, p: float, train: bool, special: bool, empty: bool) -> Setting:
    shape = ordinary(contract)
    x = filled(contract, dtype, (0, *shape[1:]) if empty else shape)
    if special:
        x = with_specials(x, every=2)
    ct = cotangent(x.shape, dtype, seed=1)
    out, slope = reference.replay(contract, dtype, p, x, 1.0, ct, train=train)
    assert slope is not None
    return x, ct, with_selected(exactly(out), x) if train and p == 1 else exactly(out), exactly(slope)


def _wide(caller: Caller, p: float, train: bool) -> Iterator[Observation]:
    """Passes on every rank, and where kernels change path; the gradient is that of the output's own mask."""
    contract, dtype = caller.contract, caller.dtype
    setting = _of_probes(contract, dtype, p, train)
    masked = train and 0 < p < 1
    for shape in (*(SHAPES[rank][0] for rank in contract.ranks), *_shapes(contract, dtype, masked=masked)):
        what = call("{mode} at p = {p} on shape {shape}", mode=mode(train), p=plain(p), shape=shape)
        yield from _pass(caller, what, p, train, setting, shape)


def _pass(caller: Caller, what: Call, p: float, train: bool, setting: Setting, shape: Shape) -> Iterator[Observation]:
    """One on an input of probe values."""
    x, ct, out, slope = setting
    which = indices(shape)
    *output, gradient = observe_pass(caller, what, p, train, (x[which], ct[which]), (out, slope))
    mask = None
    for one in output:
        mask, expected = _seen(one.y, out, which)
        yield replace(one, expected=expected)
    if mask is None:
        yield replace(gradient, expected=slope.take(which))
        return
    chosen = np.where(mask, slope.kept[which], slope.dropped[which])
    right = gradient.y is not None and np.array_equal(gradient.y, chosen)
    yield replace(gradient, expected=exactly(chosen) if right else slope.take(which).select(mask))


def _seen(y: Floats | None, outcomes: Outcomes, which: npt.NDArray[np.uint8]) -> tuple[Mask | None, Outcomes]:
    """What was kept, if that can be read, and what each may be: what it is, where that is right as it stands."""
    if y is None or y.shape != which.shape:
        return None, outcomes.take(which)
    mask = y == outcomes.kept[which]
    if mask.all() or (mask | (y == outcomes.dropped[which])).all():
        return mask, exactly(y)
    expected = outcomes.take(which)
    return expected.nearer(y), expected


def _shapes(contract: Contract, dtype: str, *, masked: bool) -> list[Shape]:
    """So many elements in all, in a row or in a channel, and so many channels; in float32 one more and less too."""
    between = (1,) * (max(contract.ranks) - 3)
    batch = (4, 12) if masked else (2, 3)  # of 6 channels none is dropped in one pass of eight; of 48, in 4·10⁻⁸
    one, other = ((*batch, *between, 0), (2, 0, *between, 1)) if contract.by_channel else ((3, 0), (0,))
    pairs = [(one, 0), (other, 0), (one, -1), (one, 1)] if dtype == "float32" else [(one, 0)]
    return [tuple(length or width + step for length in shape) for width in WIDTHS for shape, step in pairs]


@functools.lru_cache(maxsize=64)
def _of_probes(contract: Contract, dtype: str, p: float, train: bool) -> Setting:
    """Of each probe value, in a channel of its own, with a cotangent of its own: what PyTorch makes of both."""
    values = probes(contract, dtype)
    x = np.reshape(values, (len(values),) + (1,) * (max(contract.ranks) - 1))
    ct = cotangent(x.shape, dtype, seed=1)
    pairs = [reference.replay(contract, dtype, p, x, mask, ct, train=train) for mask in (1.0, 0.0)]
    (out, kept), (_, dropped) = ((forward.ravel(), back.ravel()) for forward, back in pairs if back is not None)
    if not train or p in (0, 1):
        return x.ravel(), ct.ravel(), exactly(out), exactly(kept)
    zero = np.zeros_like(kept)
    slope = Outcomes(kept, dropped, *bounds(kept, zero, dtype), *bounds(dropped, zero, dtype))
    return x.ravel(), ct.ravel(), reference.table(contract, dtype, p, values), slope


def retracing_of_gradient(caller: Caller) -> Iterator[Observation]:
    """One function without a gradient, then with; on another shape, and on the first again; then one made anew.

    What is traced for a shape, or without a gradient, must not be taken for another.
    """
    contract, dtype, p = caller.contract, caller.dtype, 0.3
    x, _, out, _ = setting = _of_probes(contract, dtype, p, train=True)
    one = ordinary(contract)
    other = tuple(2 * length for length in one)
    for order in (
        ((one, False), (one, True), (other, True), (other, False), (one, True)),
        ((one, True), (other, False)),
    ):
        done = "first"
        for shape, back in order:
            words = "training at p = {p} on shape {shape}, " + done
            what, which = call(words, p=p, shape=shape), indices(shape)
            done = (
                f"after {'a gradient' if back else 'no gradient'} on {'the first shape' if shape == one else 'another'}"
            )
            if back:
                yield from _pass(caller, what, p, True, setting, shape)
            else:
                yield observe(caller, what, x[which], out.take(which), partial(caller.call, p=p))
        caller.make_anew()


def zeros_of_gradient(caller: Caller) -> Iterator[Observation]:
    """The gradient where the input is 0, for the mask that the same seed gives to another input.

    No output tells there what was kept. Nothing is observed where the masks are others, as `seeding` says.
    """
    contract, dtype = caller.contract, caller.dtype
    x = filled(contract, dtype, thousand(contract))
    ct = cotangent(x.shape, dtype, seed=1)
    holed = with_specials(x, 2, (0.0, -0.0))
    outcomes = [reference.outcomes(contract, dtype, EVEN, values) for values in (x, holed)]
    outputs: list[Floats] = []
    what = call("training where each other input is 0")
    for values, allowed in zip((x, holed), outcomes, strict=True):
        caller.seed(1)
        *output, gradient = observe_pass(caller, what, EVEN, True, (values, ct), (allowed, exactly(ct)))
        if gradient.raised is not None:
            yield gradient
            return
        outputs += [one.y for one in output if one.y is not None]
    if any(y.shape != x.shape for y in outputs):
        return
    mask, again = (allowed.nearer(y) for allowed, y in zip(outcomes, outputs, strict=True))
    if mask is not None and again is not None and np.array_equal(mask[holed != 0], again[holed != 0]):
        _, slope = reference.replay(contract, dtype, EVEN, holed, mask, ct)
        assert slope is not None
        low, high = bounds(slope, np.zeros_like(slope), dtype)
        yield replace(gradient, expected=Outcomes(slope, slope, low, high, low, high))


STUDIES = (
    dtype_of_gradient,
    evaluation_of_gradient,
    endpoints_of_gradient,
    wide_masks_of_gradient,
    wide_evaluation_of_gradient,
    wide_endpoints_of_gradient,
    retracing_of_gradient,
    zeros_of_gradient,
)
