"""Hypotheses about modes: what is done in evaluation, and when a change of the mode has no effect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keeprate.specs.accounts import exact, readable
from keeprate.specs.dropout.hypotheses.alpha import affine
from keeprate.specs.dropout.hypotheses.clues import Clues
from keeprate.specs.dropout.hypotheses.masks import OF_MASKS
from keeprate.specs.dropout.inputs import EVEN, filled
from keeprate.specs.rounding import bounds, representable
from keeprate.suite import NEVER, Account, Hypothesis, Unreadable

EVALUATED = frozenset({"evaluation", "modes", "strides", "shape", "seeding", "inplace"})
INVERTED = EVALUATED | OF_MASKS | {"endpoints", "outcomes", "gradient", "arguments", "concurrency"}
MODES = frozenset({"modes", "seeding", "evaluation", "strides", "shape", "endpoints", "keep_rate"})
TWICE = (True, True, False, False)


def evaluation(clues: Clues, name: str) -> Account:
    """What is done in evaluation, where nothing should be."""
    against = wrong = looked = 0
    for p, x, y in clues.evaluated:
        if y.shape != x.shape:
            raise Unreadable("an output of another shape")
        expected = clues.expected(p, x.shape)
        match name:
            case "drops":
                fits = expected.allows(y) if expected.is_dropped(y).any() else np.zeros(y.shape, bool)
            case "scales":
                low, high = bounds(x * (1 - p), np.zeros_like(x), clues.case.dtype)
                fits = (y >= low) & (y <= high)
            case "bfloat16" | "float16" | "float32":
                fits = (y == representable(x, name)) & (name != clues.case.dtype)
            case "affine":
                a, b = affine(p)
                low, high = bounds(a * x + b, np.array(b), clues.case.dtype)
                fits = (y >= low) & (y <= high) & clues.contract.preserves_moments
            case "divides":
                low, high = bounds(x / (1 - p), np.zeros_like(x), clues.case.dtype)
                fits = (y >= low) & (y <= high)
        against += int(np.count_nonzero(~fits))
        wrong += int(np.count_nonzero(y != x))
        looked += x.size
    seen = f"{wrong:,} of {looked:,} outputs in evaluation are not the input"
    return Account(looked, NEVER if against else 0.0, NEVER if wrong else 0.0, seen, {"dtype": name})


def evaluation_factor(clues: Clues) -> Account:
    """Whether the input is multiplied by one number in evaluation."""
    _, x, y = clues.evaluated[0]
    if y.shape != x.shape:
        raise Unreadable("an output of another shape")
    times = float(np.median(y / x))
    wrong = against = looked = 0
    for _, one, other in clues.evaluated:
        low, high = bounds(one * times, np.zeros_like(one), clues.case.dtype)
        against += int(np.count_nonzero((other < low) | (other > high)))
        wrong += int(np.count_nonzero(other != one))
        looked += one.size
    seen = f"{wrong:,} of {looked:,} outputs in evaluation are not the input, at every p"
    return Account(looked, NEVER if against else 0.0, NEVER if wrong else 0.0, seen, {"times": f"{times:.4g}"})


def _mode(clues: Clues, *wanted: str) -> Account:
    """Whether one function that is switched drops (d) or not (-) as in `wanted`, from either mode on."""
    patterns = readable(lambda: [_switched(clues, (train, not train, train)) for train in (True, False)])()
    seen = f"training, evaluation, training: {_say(patterns[0])} drops; from evaluation on: {_say(patterns[1])}"
    right = patterns == ["d-d", "-d-"] or "?" in "".join(patterns)
    return Account(6, 0.0 if tuple(patterns) == wanted else NEVER, 0.0 if right else NEVER, seen)


def inverted(clues: Clues) -> Account:
    """Whether each mode is taken for the other, whichever the call before had."""
    account = _mode(clues, "-d-", "d-d")
    twice = readable(_switched)(clues, TWICE) if account.accepted else ""
    return account if twice in ("", "--dd") else Account(account.looked_at, NEVER, account.promise)


def late(clues: Clues) -> Account:
    """Whether each call is made in the mode that was asked for in the call before."""
    found = readable(lambda: _switched(clues, TWICE) + _switched(clues, TWICE[::-1]))()
    seen = f"of twice training, twice evaluation, and twice evaluation, twice training, {_say(found)} dropped"
    return exact(found[1:4] == "dd-" and found[5:] == "--d", found != "dd----dd" and "?" not in found, 8, seen)


def never(clues: Clues) -> Account:
    """Whether nothing is dropped in either mode, on new shapes too, for which no earlier output lies in memory."""
    account = _mode(clues, "---", "---")
    if any(one.expected.is_dropped(one.y).any() for calls in clues.in_order for one in calls):
        raise Unreadable("something is dropped on another shape")
    return account


def _say(pattern: str) -> str:
    calls = [f"call {number}" for number, one in enumerate(pattern, 1) if one == "d"]
    return " and ".join(calls) or "no call"


def _switched(clues: Clues, modes: Sequence[bool]) -> str:
    """Which calls of one function drop, in these modes one after another."""
    caller = clues.caller()
    x = filled(clues.contract, clues.case.dtype, clues.shape)
    expected = clues.expected(EVEN, clues.shape)
    call, pattern = caller.switch(EVEN), ""
    for train in modes:
        y = caller.values(call(caller.native(x), train))
        fits = y.shape == x.shape and expected.allows(y).all()
        drops = fits and expected.is_dropped(y).any()
        pattern += "d" if drops else "-" if fits or np.array_equal(y, x) else "?"
    return pattern


HYPOTHESES = (
    Hypothesis(
        "mode_inverted",
        "mode",
        "takes its mode the wrong way round: it drops in evaluation, and not in training",
        inverted,
        INVERTED,
    ),
    Hypothesis("mode_late", "mode", "makes each call in the mode of the call before", late, INVERTED),
    Hypothesis("evaluation_drops", "mode", "drops in evaluation", lambda c: evaluation(c, "drops"), EVALUATED),
    Hypothesis(
        "evaluation_scales", "mode", "multiplies by 1 − p in evaluation", lambda c: evaluation(c, "scales"), EVALUATED
    ),
    Hypothesis(
        "evaluation_divides", "mode", "divides by 1 − p in evaluation", lambda c: evaluation(c, "divides"), EVALUATED
    ),
    Hypothesis(
        "evaluation_affine",
        "mode",
        "applies alpha dropout's scale and shift, a·x + b, in evaluation",
        lambda c: evaluation(c, "affine"),
        EVALUATED,
    ),
    Hypothesis("mode_of_first", "mode", "stays in the mode of its first call", lambda c: _mode(c, "ddd", "---"), MODES),
    Hypothesis(
        "mode_evaluation",
        "mode",
        "never drops again after a call in evaluation",
        lambda c: _mode(c, "d--", "---"),
        MODES,
    ),
    Hypothesis(
        "evaluation_factor", "mode", "multiplies by {times} in evaluation, whatever p is", evaluation_factor, EVALUATED
    ),
    Hypothesis("mode_never", "mode", "never drops, in either mode", never, MODES),
    Hypothesis(
        "evaluation_rounds",
        "mode",
        "rounds its input to {dtype} in evaluation",
        evaluation,
        EVALUATED,
    ),
    Hypothesis(
        "mode_training",
        "mode",
        "ignores its mode: it drops in evaluation too",
        lambda c: _mode(c, "ddd", "ddd"),
        EVALUATED,
    ),
)
OF_EVALUATION = frozenset(one.name for one in HYPOTHESES if one.name.startswith("evaluation"))
