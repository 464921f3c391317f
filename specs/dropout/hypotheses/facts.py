"""Hypotheses about single calls: in what one way some are wrong, and what these have in common and no others.

The study of an exact law is made once more, and all of its calls are looked at, not the first wrong one alone.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from keeprate.specs.accounts import readable
from keeprate.specs.dropout.compare import compare, same
from keeprate.specs.dropout.hypotheses.alpha import affine
from keeprate.specs.dropout.hypotheses.clues import Clues, standard
from keeprate.specs.dropout.hypotheses.wrong_values import (
    AS_IT_IS,
    GRADIENT,
    IN_PLACES,
    MOVED,
    OF_ARGUMENTS,
    OUTPUT,
    UNSCALED,
    USUAL,
    WRONG,
    evaluates,
    number_of,
    of,
    said,
    with_values,
)
from keeprate.specs.dropout.inputs import filled, ordinary
from keeprate.specs.dropout.observations import Observation
from keeprate.specs.dropout.outcome import exactly, far_off
from keeprate.specs.rounding import bounds, least_normal
from keeprate.suite import NEVER, Account, BackendError, Hypothesis, NotOffered, briefly, shape_text

STUDIES = frozenset(
    {"evaluation", "endpoints", "dtype", "strides", "shape", "inplace", "specials", "pullbacks", "tangents"}
    | {*OF_ARGUMENTS}
    | {f"{name}_of_gradient" for name in ("evaluation", "endpoints", "dtype", "retracing")}
    | {f"wide_{name}_of_gradient" for name in ("masks", "evaluation", "endpoints")}
)
OF_STUDIES = {"evaluation_of_gradient": " in evaluation", "endpoints_of_gradient": " at p = 0 and at p = 1"}
BOTH = "an output and a gradient"
BESIDE = ": the first half"  # in words for memory that no call should write to
SECOND = "on what was returned"  # in words for a call of two
LONG = 8  # axes that are told by their length
IN_ORDER = (("first", "first"), ("second", "second"), ("second", "third"), ("first", "fourth"))  # of `pullbacks`
PLAIN = (
    " in evaluation",
    " in training",
    " where p > 0",
    " where 0 < p < 1",
    " in training where 0 < p < 1",
)  # which a mask is drawn in
NOT_FINITE = " on inputs with NaN or infinities"
MESSAGE = 160  # characters of what an exception says
NEAR = 1e-6  # of 0 or 1: what a rounding of p brings there
LAWS = frozenset(
    {"evaluation", "endpoints", "dtype", "strides", "shape", "inplace", "arguments", "outcomes", "purity", "modes"}
    | {"seeding", "gradient", "constancy", "keep_rate", "positions", "segments", "concurrency", "moments"}
)


def fact(clues: Clues, study: str) -> Account:
    """What is wrong with calls of a study, if it is one thing, and one to three features tell them from the others."""
    from keeprate.specs.dropout.hypotheses import thrice  # here, for a plan and a verdict need no PyTorch

    def judge(observations: Sequence[Observation]) -> list[str]:
        how = [_how(one, study, clues) for one in observations]
        if study == "pullbacks":
            how = [_of_other_pass(number, text, observations, clues) for number, text in enumerate(how)]
        return how

    observations, how = thrice.observed(clues, study, judge)
    wrong = {number for number, text in enumerate(how) if text}
    if not any(not observations[number].x.size for number in wrong):  # where there is nothing, nothing can be wrong
        some = [number for number, one in enumerate(observations) if one.x.size or one.raised is not None]
        observations, how = tuple(observations[number] for number in some), [how[number] for number in some]
        wrong = {number for number, text in enumerate(how) if text}
    ways = {how[number] for number in wrong}
    if len(ways) > 1:  # what belongs to another entry here is merely wrong there, where few elements tell
        ways = {way.replace(MOVED, WRONG).replace(UNSCALED, f"{AS_IT_IS}{IN_PLACES}") for way in ways}
        ways = {way + IN_PLACES * (way + IN_PLACES in ways) for way in ways}
    if len(ways) == 2:
        ways = {way.replace(OUTPUT, BOTH).replace(GRADIENT, BOTH) for way in ways}
    if len(ways) != 1 or len(how) < 2:
        return Account(len(how), NEVER, NEVER if wrong else 0.0)
    (way,) = ways
    some = [*range(len(observations))]
    if GRADIENT in way and OUTPUT not in way:  # outputs needn't be told from gradients
        some = [number for number in some if of(observations[number]) == GRADIENT]
    some = [number for number in some if number in wrong or not observations[number].what.text.endswith(BESIDE)]
    alone = [number for number in some if SECOND not in observations[number].what.text]
    if wrong.intersection(alone):  # what the first of two calls does wrong shows in the second
        some = alone
    elif wrong:  # a copy was returned of what was written to
        return Account(len(how), NEVER, NEVER)
    observations = tuple(observations[number] for number in some)
    wrong = {some.index(number) for number in wrong.intersection(some)}
    where = _told_apart([dict(_features(one, clues)) for one in observations], wrong)
    if where and "where the input is" in way:
        where = where.replace(NOT_FINITE, "")
    no_more = ("", *PLAIN) if way.endswith(WRONG) else ("",) if way.startswith("drops ") else ()  # than the law says
    if way.endswith(" in evaluation") and where in PLAIN:
        where = ""
    elif where == "":  # of all calls: then what the study has in common
        where = next((words for name, words in OF_STUDIES.items() if name in study), "")
        if study == "probabilities":  # whose calls are in training, on one shape
            where = _on_one_shape(clues, way, observations)
    if (
        where is not None and "evaluation" in study and "in evaluation" not in f"{way}{where}"
    ):  # as all calls of the study are
        where = f" in evaluation{where}"
    if where is None or where in no_more:
        return Account(len(how), NEVER, NEVER)
    seen = f"{len(wrong)} of {len(observations)} calls, and no others, in the study of {study.replace('_', ' ')}"
    raised = observations[min(wrong)].raised
    if isinstance(raised, BackendError):
        seen += f"; {_exception(raised)}"
    way = with_values(way, [observations[number] for number in sorted(wrong)])
    given = {"what": f"{way}{where}", "study": study}
    if isinstance(raised, BackendError) and not any(observations[number].x.size for number in wrong):
        given["empty"] = raised.kind
    return Account(len(how), 0.0, NEVER, seen, {**given})


def _how(one: Observation, study: str, clues: Clues) -> str:
    """What is wrong with one call, in words; empty if nothing is."""
    contract, dtype = clues.contract, clues.case.dtype
    what = of(one)
    if isinstance(one.raised, NotOffered):
        return ""
    if one.expected is None and study == "arguments":
        return "" if one.raised is not None else "raises nothing, though PyTorch does,"
    if one.raised is not None:
        kind = one.raised.kind
        if not kind:  # nothing was raised but by us
            return "gives back what can't be read"
        return f"refuses with {kind}" if study == "arguments" else f"raises {kind}"
    assert one.y is not None
    if study in OF_ARGUMENTS and one.p is not None and one.expected is not None:
        kept = one.mask
        if kept is not None and far_off(kept, one.p):
            return (
                "drops nothing"
                if kept.all()
                else "drops everything"
                if one.expected.is_dropped(one.y).all()
                else "drops too many or too few"
            )
    if study == "arguments":
        return ""
    if one.y.shape != one.x.shape:
        return f"returns {what} whose shape is not its input's"
    if study.partition("_")[0] in ("dtype", "probabilities") and one.dtype != dtype:
        return f"returns {what} of {one.dtype} in place of its input's dtype"
    if study.startswith("dtype"):
        return ""
    if one.what.text.endswith(BESIDE) and one.compared().broken:
        return "writes to memory"
    if one.expected is not None and one.y.size and one.compared().broken:
        return f"returns {what} {said(one, clues)}"
    if (contract.writes or study == "inplace") and one.y.size and compare(one.after, one.x, exactly(one.y)).broken:
        return "doesn't write its in-place result to the input"
    if not contract.writes and study in ("evaluation", "endpoints", "strides") and not same(one.after, one.x).all():
        return "writes to its input"
    return ""


def _on_one_shape(clues: Clues, way: str, wrong: Sequence[Observation]) -> str:
    """Words for the shape of all wrong outputs, if they have one and the usual shape's are right; or empty."""
    (shape, *others) = {one.x.shape for one in wrong}
    usual = standard(clues.contract)
    if others or OUTPUT not in way or len(shape) != len(usual):
        return ""
    x = filled(clues.contract, clues.case.dtype, usual)
    y = readable(clues.values)(clues.caller(), x, USUAL)
    return f" on shape {shape_text(shape)}" if clues.expected(USUAL, usual).allows(y).all() else ""


def _exception(raised: BackendError) -> str:
    """What the exception behind it says, or what we say of what was given back, in a few words."""
    said = briefly(raised.__cause__) if raised.__cause__ else str(raised)
    return textwrap.shorten(said, MESSAGE, placeholder=" …")


def _of_other_pass(number: int, text: str, observations: Sequence[Observation], clues: Clues) -> str:
    """What is wrong with one call: a gradient may have the mask of the other of two passes."""
    one = observations[number]
    if not text.endswith(WRONG) or of(one) != GRADIENT or one.y is None:
        return text
    outputs = [before for before in observations[:number] if of(before) == OUTPUT][-2:]
    other = outputs["of the first of" in one.what.text].mask if len(outputs) == 2 else None
    if other is None:
        return text
    slope = affine(USUAL)[0] if clues.contract.preserves_moments else 1 / (1 - USUAL)
    low, high = bounds(one.x * other * slope, np.zeros(()), clues.case.dtype)
    own = ((one.y >= low) & (one.y <= high)).all()
    return "returns a gradient that has the other pass's mask" if own else text


def _features(one: Observation, clues: Clues) -> Iterator[tuple[str, Any]]:
    """What may tell a call from others, by the words for it."""
    text, given = one.what.text, one.what.given
    yield "on empty inputs", not one.x.size  # first, for of some studies no other call has a p between 0 and 1
    yield "in evaluation", evaluates(one)
    yield "in training", "training" in text or given.get("mode") == "training"
    inner = 0 < number_of(given.get("p", USUAL)) < 1 and ", then training" not in text  # whose own p is another
    yield "in training where 0 < p < 1", given.get("mode", "training" * ("training" in text)) == "training" and inner
    yield from _features_of_passes(text)
    yield "on subnormal inputs", 0 < np.abs(one.x).max(initial=0.0) < least_normal(clues.case.dtype)
    again = "{shape}, after" in text
    yield "on another shape than a function's first", again and one.x.shape != ordinary(clues.contract)
    yield "on scalars", one.x.ndim == 0
    yield NOT_FINITE.strip(), bool((~np.isfinite(one.x)).any())
    yield "on a slice of an array", text.endswith("half of an array")
    yield "before the slice that it is given", text.endswith(BESIDE)
    gaps = "layout" in given and not one.x.flags.c_contiguous  # a transposed vector has none
    if "layout" in given:
        yield f"on inputs that lie in memory as {given['layout']}", gaps or given["layout"] == "remade"
    yield "on inputs that are not contiguous", gaps
    if gaps:  # a backend may copy those before it sees them
        kept = given["layout"] != "reversed"
        yield "on inputs that are neither contiguous nor reversed", kept
        yield "on inputs that only a copy makes flat", kept and not np.may_share_memory(one.x, one.x.reshape(-1))
    if "dtype" in given:
        integer = str(given["dtype"]).startswith(("int", "uint"))
        yield f"on inputs of {given['dtype']}", True
        yield "on inputs of integers", integer
        yield "on inputs of signed integers", str(given["dtype"]).startswith("int")
        yield "on inputs of integers and bools", integer or given["dtype"] == "bool"
        yield "on inputs of integers, bools and complex numbers", True
    yield "on ranks that PyTorch refuses", "rank" in given
    if (kind := given.get("type")) is not None:
        yield f"where p is a {kind}", True
    yield "where p is a NumPy scalar", "type" in given
    if (p := given.get("p", USUAL)) is not None:
        number = number_of(p)
        yield "where p is NaN", math.isnan(number)
        yield "where p is outside 0 to 1", number < 0 or number > 1
        yield "where p is above 1", number > 1
        yield "where p is below 0", number < 0
        yield "where p is just outside 0 to 1", -NEAR < number < 0 or 1 < number < 1 + NEAR
        yield "where p is just above 1", 1 < number < 1 + NEAR
        yield "where p is NaN or outside 0 to 1", not 0 <= number <= 1
        yield "at p = 0", number == 0
        yield "at p = 1", number == 1
        yield "where 0 < p < 1", 0 < number < 1
        yield "where p > 0", number > 0
        yield "where p is so near 1 that the scale overflows", 0.9999 < number < 1
        yield "where p is a Python integer", isinstance(p, int)
    yield "where nothing should be dropped", given.get("mode") == "evaluation" or given.get("p") == 0
    for rank in range(1, 6):  # last, for many a study has inputs of some kind on one shape alone
        yield f"on inputs of rank {rank}", one.x.ndim == rank
    for length in {length for length in one.x.shape if length >= LONG}:
        yield f"on inputs with an axis of {length:,}", True
    yield "on axes of length 1", one.x.ndim > 0 and 1 in one.x.shape


def _features_of_passes(text: str) -> Iterator[tuple[str, bool]]:
    """What tells one of several passes from others, in studies in which one call may have an effect on another."""
    yield "where a gradient is asked for", text.startswith(("gradient in", "output in"))
    yield "in a call of a function that was called before", "{shape}, after" in text
    if asked := re.search("gradient of the (first|second) of two passes, the (.*) that was asked for", text):
        yield "for the first of two passes", asked[1] == "first"
        yield "for the second of two passes", asked[1] == "second"
        yield "when a pass goes back again", asked[2] in ("third", "fourth")
        yield "where the first of two passes goes back before the second", asked.groups() in IN_ORDER


def _told_apart(features: list[dict[str, Any]], wrong: set[int]) -> str | None:
    """Words for what all wrong calls have and no other has: one to three things together, or one of two; or None."""
    if len(wrong) == len(features):
        return ""
    names = list(dict.fromkeys(name for one in features for name in one))
    having = {name: {number for number, one in enumerate(features) if one.get(name)} for name in names}
    for name, found in having.items():
        if found == wrong:
            return f" {name}"
    wider = {name: found for name, found in having.items() if found > wrong}  # of no other can they be all
    for number in (2, 3):
        for some in combinations(wider, number):
            if set.intersection(*(wider[name] for name in some)) == wrong:
                return f" {' '.join(some)}"
    narrower = {name: found for name, found in having.items() if found and found < wrong}
    for one, other in combinations(narrower, 2):
        if narrower[one] | narrower[other] == wrong:
            return f" {one} and {other}"
    return None


HYPOTHESES = (Hypothesis("fact", "single calls", "{what}", fact, LAWS),)
