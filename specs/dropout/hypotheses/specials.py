"""Hypothesis about gradients where the input is not finite, while they are right where it is."""

from __future__ import annotations

import numpy as np

from keeprate.specs.accounts import exact, readable
from keeprate.specs.dropout.hypotheses.alpha import affine
from keeprate.specs.dropout.hypotheses.clues import Clues, derived, standard
from keeprate.specs.dropout.inputs import EVEN, cotangent, filled
from keeprate.specs.dropout.outcome import Mask
from keeprate.specs.rounding import Floats, bounds, largest_of
from keeprate.suite import Account, Hypothesis, Unreadable

EVERY = 7  # of so many elements one is not finite
WRONG = {(True, True): "not finite", (True, False): "infinite", (False, True): "NaN"}
CLAMPED = "returns the largest finite number for a kept infinity, and "


def of_specials(clues: Clues) -> Account:
    """Whether gradients are 0, or NaN, at infinities or at NaN, and follow the output's mask at all finite inputs."""
    x = _input(clues)
    ct = cotangent(x.shape, clues.case.dtype, seed=2)
    y, g = _pass(clues, x, ct)
    if not y.shape == g.shape == x.shape:
        raise Unreadable("an output or gradient of another shape")
    slope = affine(EVEN)[0] if clues.contract.preserves_moments else 1 / (1 - EVEN)
    whole, zero = (bounds(values, np.zeros(()), clues.case.dtype) for values in (ct * slope, 0 * ct))
    if_kept, if_dropped = ((g >= low) & (g <= high) for low, high in (whole, zero))
    finite, infinite = np.isfinite(x), np.isinf(x)
    kept = _kept(clues, x, y)
    right = np.where(kept, if_kept, if_dropped)
    if not clues.contract.by_channel:  # what came of NaN doesn't say whether it was kept
        right |= np.isnan(x) & (if_kept | if_dropped)
    wrong = ~right
    alike = (g[wrong] == 0).all() or np.isnan(g[wrong]).all()
    if not wrong.any() or wrong[finite].any() or not alike:
        return exact(False, bool(wrong.any()), x.size, "")
    where = WRONG[bool(wrong[infinite].any()), bool(wrong[np.isnan(x)].any())]
    clamped = bool((np.abs(y[infinite & kept]) == largest_of(clues.case.dtype)).all()) and where != "NaN"
    value = "NaN" if np.isnan(g[wrong]).any() else "0"
    what = f"{CLAMPED if clamped else 'returns '}a gradient of {value} where its input is {where}"
    others = int(finite.sum())
    seen = f"{int(wrong.sum()):,} of {x.size - others:,} elements of a gradient are wrong there, and of others none"
    return exact(True, True, x.size, seen, what=what)


def _input(clues: Clues) -> Floats:
    """An input with infinities and NaN, none of them the first of a channel."""
    usual = filled(clues.contract, clues.case.dtype, standard(clues.contract))
    x = usual.copy()
    places = x.reshape(-1)[EVERY - 1 :: EVERY]
    places[:] = np.resize((np.inf, -np.inf, np.nan), places.shape)
    if clues.contract.by_channel:
        fronts = clues.contract.fronts(x.ndim)
        x[fronts] = usual[fronts]
    return x


@readable
def _pass(clues: Clues, x: Floats, ct: Floats) -> tuple[Floats, Floats]:
    """Output and gradient."""
    caller = clues.caller()
    y, g = (caller.values(one) for one in derived(caller, caller.native(x), EVEN, caller.native(ct)))
    return y, g


def _kept(clues: Clues, x: Floats, y: Floats) -> Mask:
    """Which elements are kept: by the channel's first, or an infinity by what came of it."""
    expected = clues.expected(EVEN, x.shape)
    if clues.contract.by_channel:
        axes = len(clues.contract.mask_shape(x.shape))
        front = (slice(None),) * axes + (slice(0, 1),) * (x.ndim - axes)
        return np.broadcast_to(clues.kept(np.where(np.isfinite(x), y, expected.kept), expected)[front], x.shape)
    usual = clues.kept(np.where(np.isfinite(x), y, expected.kept), expected)
    return np.where(np.isfinite(x), usual, np.abs(y) >= largest_of(clues.case.dtype))


HYPOTHESES = (Hypothesis("of_specials", "gradient", "{what}", of_specials, frozenset({"gradient"})),)
