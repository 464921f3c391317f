"""Ever smaller cases in which a fault still shows: the plainest context, layout, dtype and p, the smallest shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from keeprate.specs.dropout.contexts import plainness
from keeprate.specs.rounding import DTYPES
from keeprate.suite import Case

Plainness = tuple[float, str]  # the smaller the number, the plainer; the text tells apart what is equally plain
CALLS = 5000  # of a small shape, at most: what a person waits for
ORDINARY = ("masks", "gradients")  # studies of calls that are all alike, of one p and one shape


def shrink(case: Case, others: Sequence[Case], broken: Callable[[Case], bool]) -> Iterator[Case]:
    """Cases that are ever smaller and `broken` still; `others` are those of the plan for the same law and operator."""
    for part in PARTS:
        smaller = next(filter(broken, _plainer(case, others, part)), None)
        if smaller is not None:
            case = smaller
            yield case
    for axis in range(len(case.shape)):
        while case.shape[axis] > 1:
            lengths = dict.fromkeys((1, case.shape[axis] // 2))
            smaller = next(filter(broken, (_cut(case, axis, length) for length in lengths)), None)
            if smaller is None:
                break
            case = smaller
            yield case


def for_reference(case: Case) -> Case:
    """The same for the reference, which is judged in `eager` and `grad` alone."""
    return case.replace(context="grad" if "vjp" in case.needs else "eager")


def as_recorded(case: Case, given: Mapping[str, object]) -> Case:
    """The same case with the p and the shape that a call had, where these drop some entries."""
    p, shape = given.get("p"), given.get("shape")
    if isinstance(p, int | float) and 0 < p < 1:
        case = case.replace(parameters={**case.parameters, "p": float(p)})
    return case.replace(shape=shape) if isinstance(shape, tuple) and shape and all(shape) else case


def _context(case: Case) -> Plainness:
    rank = plainness(case.context)
    return rank, case.context if rank > 1 else ""


def _strides(case: Case) -> Plainness:
    return bool(case.strides), case.strides


def _dtype(case: Case) -> Plainness:
    return DTYPES.index(case.dtype) if case.dtype in DTYPES else 0, ""


def _rate(case: Case) -> Plainness:
    return abs(case.parameters.get("p", 0.5) - 0.5), ""


PARTS = (_context, _strides, _dtype, _rate)


def _plainer(case: Case, others: Sequence[Case], part: Callable[[Case], Plainness]) -> list[Case]:
    """Cases that are plainer in one part and the same in all others, the plainest first; one for each value."""
    rest = [one for one in PARTS if one is not part]
    plainer: dict[Plainness, Case] = {}
    for other in others:
        if part(other)[0] < part(case)[0] and _asks_alike(case, other) and all(one(other) == one(case) for one in rest):
            plainer.setdefault(part(other), other)
    return [plainer[key] for key in sorted(plainer)]


def _asks_alike(case: Case, other: Case) -> bool:
    """Whether a law asks the same in both: not where one draws masks at a p, and the other makes special calls."""
    return other.study in (case.study, *ORDINARY) or not (case.parameters or other.parameters)


def _cut(case: Case, axis: int, length: int) -> Case:
    shape = (*case.shape[:axis], length, *case.shape[axis + 1 :])
    return case.replace(shape=shape, draws=min(case.draws, CALLS * math.prod(shape)))
