"""Hypotheses about how often an entry is kept, tested on the evidence that there is; on fresh draws where it says how.

Of a rate that is a multiple of 1/256 by a rule that no formula has, more is drawn at p that tell multiples apart.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np

from keeprate.specs.accounts import readable
from keeprate.specs.dropout.hypotheses import masks
from keeprate.specs.dropout.hypotheses.clues import MOST, UNEVEN, Clues, Output
from keeprate.specs.dropout.hypotheses.values import VALUES
from keeprate.specs.dropout.inputs import filled, many_thousands
from keeprate.specs.masks.rate import KEPT
from keeprate.specs.masks.rates import rates
from keeprate.specs.rounding import Floats
from keeprate.suite import ENOUGH, NEVER, Account, Check, Hypothesis, Seen, Tally, Told, Unreadable

DEFAULT = 0.5  # p of which most frameworks say that it is usual
SELDOM = 0.05  # of the elements
LAWS = masks.OF_MASKS  # what counts with the promised rate is broken where that is far off
STEPS = (16, 100, 128, 255, 256)
BETWEEN = (0.003, 0.994, 0.006, 0.9865, 0.0135, 0.373, 0.457, 0.551, 0.481, 0.523)  # p that are no multiples
ROUNDED: dict[str, Callable[[float], float]] = {"off": round, "down": math.floor, "up": math.ceil}
# Parts of 1 to whose multiples p may be rounded.
PARTS = (2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 127, 128, 200, 255, 256, 1000, 1023, 1024, 10_000)
WIDE, CHANCE = 3, 1e-4  # standard deviations that fit; with what probability any rates are multiples


def stepped(clues: Clues) -> Account:
    """Whether entries are kept with probabilities that are multiples of one step, at each p."""
    if clues.contract.granularity == "row":
        raise Unreadable("a call has few rows")
    shape, kept, promise, left = many_thousands(clues.contract), list[float](), 0.0, list(STEPS)
    number, draws = MOST // math.prod(shape[:2]), 0
    for p in BETWEEN:
        drawn = clues.of_channels(readable(clues.drawn)(clues.caller(), number, shape, p))
        count, draws = int(np.count_nonzero(drawn)), drawn.size
        kept.append(count / draws)
        promise = max(promise, _off(count, draws, 1 - p))
        left = [steps for steps in left if _off(count, draws, round(kept[-1] * steps) / steps) < ENOUGH]
        if not left or (promise < ENOUGH and len(kept) == 2):  # nothing is off where a step shows most
            return Account(len(kept) * draws, NEVER, promise)
    left = [steps for steps in left if _off_together(kept, draws, steps) < ENOUGH]
    if any(steps % left[0] for steps in left):  # of which it can't be told
        return Account(len(kept) * draws, NEVER, promise)
    for steps in left[:1]:
        inner = [q for share in kept if 0 < (q := round(share * steps) / steps) < 1]
        chance = math.prod(min(1.0, 2 * WIDE * steps * math.sqrt(q * (1 - q) / draws)) for q in inner)
        if chance < CHANCE:
            some = ", ".join(
                f"{round(q * steps)}/{steps} at p = {p:g}" for p, q in zip(BETWEEN[:3], kept, strict=False)
            )
            seen = f"at each of {len(BETWEEN)} p it kept a multiple, as {some}, in {draws:,} draws"
            return Account(len(kept) * draws, 0.0, promise, seen, {"steps": steps})
    return Account(len(kept) * draws, NEVER, promise)


def _off_together(kept: Sequence[float], draws: int, steps: int) -> float:
    """Log10 e against multiples of one step, of all rates that are neither 0 nor 1."""
    fitted = [(round(share * draws), round(share * steps) / steps) for share in kept]
    counts = [(count, draws - count) for count, q in fitted if 0 < q < 1]
    probabilities = np.array([(q, 1 - q) for _, q in fitted if 0 < q < 1])
    return Tally(KEPT, counts, probabilities).log10_e if counts else NEVER


def rounded(clues: Clues, way: str) -> Account:
    """Whether each call is one at a multiple of a step near its p, by how often it keeps and by what it makes."""
    if clues.contract.granularity == "row":
        raise Unreadable("a call has few rows")
    outputs = clues.uneven
    wrong, looked = _wrong(outputs)
    if not wrong:
        return Account(looked, NEVER, 0.0)
    for parts in PARTS:
        taken = [ROUNDED[way](p * parts) / parts for p in UNEVEN]
        against = [*itertools.takewhile(ENOUGH.__gt__, map(partial(_off_at, clues), outputs, taken))]
        if len(against) == len(UNEVEN):
            some = ", ".join(f"{p:.6g} for {one.p:g}" for one, p in zip(outputs, taken, strict=True))
            step = f"{1 / parts:g}" if parts % 10 == 0 else f"1/{parts}"
            seen = f"{wrong:,} of {looked:,} outputs are not PyTorch's; all are, with p = {some}"
            return Account(looked, max(against), NEVER, seen, {"way": way, "step": step})
    return Account(looked, NEVER, NEVER)


def _wrong(outputs: Sequence[Output]) -> tuple[int, int]:
    """How many elements are none of PyTorch's, and of how many."""
    return sum(int(np.count_nonzero(~one.allowed)) for one in outputs), sum(one.y.size for one in outputs)


def _off_at(clues: Clues, one: Output, p: float) -> float:
    """Log10 e against a call at p in place of its own."""
    expected = clues.expected(p, one.y.shape)
    if not expected.allows(one.y).all():
        return NEVER
    kept = clues.of_channels(~expected.is_dropped(one.y)[np.newaxis])
    return _off(int(np.count_nonzero(kept)), kept.size, 1 - p)


def of_keeping(clues: Clues) -> Account:
    """Whether each call is one at 1 − p, by how often it keeps and by what it makes."""
    wrong, looked = _wrong(clues.outputs)
    if not wrong:
        return Account(looked, NEVER, 0.0)
    against = max(_off_at(clues, one, 1 - one.p) for one in clues.outputs)
    one = clues.outputs[0]
    kept = (~clues.expected(1 - one.p, one.y.shape).is_dropped(one.y)).mean()
    seen = (
        f"{wrong:,} of {looked:,} outputs are not PyTorch's; all are, with 1 − p in place of p: "
        f"at p = {one.p:g} it kept {kept:.3f}"
    )
    return Account(looked, against, NEVER, seen)


def at_zero(clues: Clues) -> Account:
    """Whether a call at p = 0 is one at another p: by a rate of two digits, and by what it makes of its input."""
    if clues.contract.granularity == "row":
        raise Unreadable("a call has few rows")
    shape = many_thousands(clues.contract)
    x, first, second = _at_zero(clues, shape)
    wrong = int(np.count_nonzero(first != x))
    p = DEFAULT if clues.contract.preserves_moments else float(f"{(first == 0).mean():.2g}")
    if not wrong or not 0 < p < 1:
        return Account(first.size, NEVER, NEVER if wrong else 0.0)
    expected = clues.expected(p, shape)
    kept = clues.of_channels(~expected.is_dropped(second)[np.newaxis])
    off = _off(int(np.count_nonzero(kept)), kept.size, 1 - p)
    if not expected.allows(np.stack([first, second])).all():
        off = NEVER
    seen = f"{wrong:,} of {x.size:,} outputs at p = 0 are not the input; all are PyTorch's at p = {p:g}"
    return Account(kept.size, off, NEVER, seen, {"p": f"{p:g}"})


@readable
def _at_zero(clues: Clues, shape: tuple[int, ...]) -> tuple[Floats, Floats, Floats]:
    """An input, and what two calls in training at p = 0 make of it."""
    caller, x = clues.caller(), filled(clues.contract, clues.case.dtype, shape)
    first, second = (caller.values(clues.output(caller, caller.native(x), 0.0)) for _ in range(2))
    if not x.shape == first.shape == second.shape:
        raise Unreadable("an output of another shape")
    return x, first, second


def _off(kept: int, draws: int, q: float) -> float:
    """Log10 e against one probability of keeping."""
    if not 0 < q < 1:
        return 0.0 if kept == q * draws else NEVER
    return Tally(KEPT, (kept, draws - kept), (q, 1 - q)).log10_e


def accounts(seen: Sequence[Seen], broken: frozenset[str]) -> Iterator[Told]:
    """What is told by the evidence that there is."""
    yield from rates(seen, broken)
    yield from _seldom(one for one in seen if one.finding.id in broken and one.finding.family == "endpoints")


def _seldom(seen: Iterable[Seen]) -> Iterator[Told]:
    """Where few of many calls at p = 0 drop, or at p = 1 keep."""
    for one in seen:
        for case, check in one.parts:
            if case.study == "many" and isinstance(check, Check) and 0 < check.wrong < SELDOM * check.checked:
                does, is_so = ("drops", "kept") if case.parameters["p"] == 0 else ("keeps", "dropped")
                each = round(check.checked / check.wrong)
                words = (
                    f"{does} about one entry in {each:,} at p = {case.parameters['p']:g}, where all should be {is_so}"
                )
                text = f"{check.wrong:,} of {check.checked:,} elements are wrong"
                account = Account(check.checked, 0.0, NEVER, text, {"what": words})
                yield Told("seldom", case.op, case.dtype, case.context, account)


HYPOTHESES = (
    Hypothesis("seldom", "rate", "{what}", None, frozenset({"endpoints"})),
    Hypothesis(
        "of_keeping",
        "rate",
        "takes p for the probability of keeping",
        of_keeping,
        LAWS | VALUES | {"endpoints"},
        consequences=masks.DEPENDENCE,
    ),
    Hypothesis("rate", "rate", "{what}", None, LAWS, consequences=masks.DEPENDENCE),
    Hypothesis("at_zero", "rate", "drops at p = 0, as at p = {p}", at_zero, frozenset({"endpoints"})),
    Hypothesis(
        "rounded",
        "rate",
        "rounds p {way} to a multiple of {step}",
        rounded,
        LAWS | VALUES,
        consequences=masks.DEPENDENCE,
    ),
    Hypothesis(
        "stepped",
        "rate",
        "keeps with a probability that is a multiple of 1/{steps}",
        stepped,
        LAWS,
        consequences=masks.DEPENDENCE,
    ),
)
