"""Hypothesis about alpha dropout's numbers that change with the input: PyTorch's are of p alone.

Those that keep a mean m and a variance v, with dropped entries set to −LIMIT, are
a = √(v / ((1 − p)(p(LIMIT + m)² + v))) and b = m − a((1 − p)m − p·LIMIT); with m = 0 and v = 1 they are PyTorch's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from keeprate.specs.accounts import exact, readable
from keeprate.specs.dropout.hypotheses.alpha import LIMIT, USUAL
from keeprate.specs.dropout.hypotheses.alpha_line import FAR, Numbers, numbers_of
from keeprate.specs.dropout.hypotheses.clues import Clues, Output, standard
from keeprate.specs.dropout.hypotheses.values import VALUES
from keeprate.specs.dropout.inputs import filled
from keeprate.specs.rounding import Floats, representable
from keeprate.suite import Account, Hypothesis, Unreadable

# What the usual input is multiplied by, and moved by: the first comes again.
INPUTS = ((1.0, 0.0), (2.0, 0.0), (1.0, 1.0), (0.5, -0.5), (1.0, 0.0))
NAMES = {"a": "scale a", "b": "shift b", "d": "dropped value"}
Moments = Callable[[Floats], tuple[float, float]]
MOMENTS: dict[str, Moments] = {
    "mean and variance": lambda x: (float(x.mean()), float(x.var())),
    "mean and sample variance": lambda x: (float(x.mean()), float(x.var(ddof=1))),
    "mean": lambda x: (float(x.mean()), 1.0),
    "variance": lambda x: (0.0, float(x.var())),
}


def of_input(clues: Clues) -> Account:
    """Whether kept entries lie on one line, and dropped ones are one value, that are others for other inputs."""
    if not clues.contract.preserves_moments:
        raise Unreadable("it is no alpha dropout")
    outputs = _outputs(clues)
    read = [numbers_of(one, clues.case.dtype) for one in outputs]
    found = [one for one in read if one is not None]
    wrong = not all(one.allowed.all() for one in outputs)
    changing = [number for number in NAMES if _changes(found, number)] if len(found) == len(read) else []
    again = [number for number in changing if _changes(found[:1] + found[-1:], number)]
    if not changing or again:
        return exact(False, wrong, len(outputs), "")
    inputs = [one.x for one in outputs]
    which = next((words for words, moments in MOMENTS.items() if _fits(found, inputs, moments)), "")
    if which:
        what = f"computes alpha dropout's scale and shift for the {which} of each input, not for mean 0 and variance 1"
    else:
        names = [NAMES[number] for number in changing]
        listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
        what = f"changes alpha dropout's {listed} with its input"
    number = changing[0]
    values = ", ".join(f"{getattr(one, number):.4g}".replace("-", "−") for one in found[:-1])
    moments = ", ".join(f"{x.mean():.2g} and {x.var():.2g}".replace("-", "−") for x in inputs[:-1])
    seen = f"at p = {USUAL} the {NAMES[number]} is {values} for inputs of mean and variance {moments}"
    return exact(True, wrong, len(outputs), seen, what=what)


@readable
def _outputs(clues: Clues) -> list[Output]:
    """A call at one p on each of several inputs."""
    from keeprate.specs.dropout import reference  # here, for a plan and a verdict need no PyTorch

    caller, dtype, found = clues.caller(), clues.case.dtype, []
    usual = filled(clues.contract, dtype, standard(clues.contract))
    for times, more in INPUTS:
        x = representable(usual * times + more, dtype)
        y = clues.values(caller, x, USUAL)
        expected = reference.outcomes(clues.contract, dtype, USUAL, x)
        found.append(Output(USUAL, x, y, expected, expected.allows(y)))
    return found


def _changes(found: Sequence[Numbers], number: str) -> bool:
    """Whether a number of some inputs is another than that of the first."""
    first = found[0]
    return any(
        abs(getattr(one, number) - getattr(first, number)) > FAR * max(one.step, first.step) for one in found[1:]
    )


def _fits(found: Sequence[Numbers], inputs: Sequence[Floats], moments: Moments) -> bool:
    """Whether the numbers are those that keep each input's own moments."""
    for one, x in zip(found, inputs, strict=True):
        mean, variance = moments(x)
        a = math.sqrt(variance / ((1 - one.p) * (one.p * (LIMIT + mean) ** 2 + variance)))
        b = mean - a * ((1 - one.p) * mean - one.p * LIMIT)
        wanted = np.array([a, b, b - a * LIMIT])
        if (np.abs(wanted - np.array([one.a, one.b, one.d])) > FAR * one.step).any():
            return False
    return True


HYPOTHESES = (Hypothesis("alpha_of_input", "value", "{what}", of_input, VALUES),)
