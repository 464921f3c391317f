"""All hypotheses, what is drawn to test them, and what an accepted one explains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from keeprate.specs.accounts import names_of, readable
from keeprate.specs.attention.cases import needs_of
from keeprate.specs.attention.encoder import ATTENDED, OPERATOR, OUTPUT
from keeprate.specs.attention.hypotheses import amounts, calls, encoder, gradients, masks, recorded, recurrent, values
from keeprate.specs.attention.network import OPERATORS
from keeprate.specs.attention.plan import LINEARIZED
from keeprate.specs.masks.every import COUNTED, DEPENDENCE
from keeprate.specs.masks.rates import holds_thinned, rates
from keeprate.specs.rounding import DTYPES
from keeprate.specs.transforms import transforms_in
from keeprate.suite import (
    ANY,
    Account,
    Case,
    Finding,
    FindingId,
    Hypothesis,
    Seen,
    Told,
    shape_text,
)

SHAPE = (3, 4, 20, 16)  # as many keys as any head has channels, which show weights one by one
LARGE = (2, 3, 161, 177)  # more than one tile of 128 queries or keys; read off codes, and in parts
SEQUENCE = (6, 8, 16)  # of recurrent layers
TOKENS, TOKEN = (8, 4, 128), (1, 1, 128)  # of an encoder's layer
SQUARE = (2, 4, 24, 24)  # where a backward pass may take queries for keys, a mask is causal, or all is one array
HIDDEN = (1, 2, 161, 161)  # causal, in more than one tile
HUGE = (1, 5, 512, 512)  # more than 2²⁰ entries
LONE = {side: (4, 4, *sides) for side, sides in (("query", masks.ONE_QUERY), ("key", masks.ONE_KEY))}
BESIDE: tuple[dict[str, int], ...] = ({}, {"kv": 2}, {"causal": 1}, {"kv": 1})
WORDS = {
    "thread": "in fresh threads",
    "process": "in several processes",
    "module": "as a layer",
    "grad": "where a gradient is asked for",
    "fused": "compiled with its neighbours",
}
OTHERS = (*OPERATORS, OPERATOR)  # than attention
ELSEWHERE = ("process",)  # contexts in which a case can't look around
IN_LARGE = ("tiles", "effective", "begins", "leaks_from", "wraps")  # hypotheses that are tested there alone


HYPOTHESES = (
    *(
        replace(one, function=readable(one.function))
        for part in (encoder, amounts, masks, values, gradients, calls, recurrent)
        for one in part.HYPOTHESES
        if one.function is not None
    ),
    Hypothesis("rate", "rate", "{what}", None, COUNTED | DEPENDENCE, consequences=DEPENDENCE),
    *recorded.HYPOTHESES,
)
PARAMETERS: dict[str, Iterable[object]] = {
    **amounts.PARAMETERS, **masks.PARAMETERS, **values.PARAMETERS, **gradients.PARAMETERS, **calls.PARAMETERS
}  # fmt: skip


def asked_of(op: str) -> list[Hypothesis]:
    """Hypotheses that make sense of an operator, and need draws."""
    tested = [one for one in HYPOTHESES if one.function is not None]
    if op in OTHERS:
        return [one for one in tested if one.name in (encoder.ASKED if op == OPERATOR else recurrent.ASKED)]
    return [one for one in tested if one.name not in recurrent.OWN | encoder.OWN]


def questions(seen: Sequence[Seen], can: Callable[[Case], bool]) -> Iterator[Case]:
    """For each context the plainest dtype that is broken there: a plain call, and what is broken beside it."""
    for op in dict.fromkeys(one.finding.op for one in seen):
        yield from _questions(op, [one for one in seen if one.finding.op == op], can)


def _questions(op: str, seen: Sequence[Seen], can: Callable[[Case], bool]) -> Iterator[Case]:
    """Those about one operator."""
    places: dict[tuple[str, str], set[Any]] = {}
    for one in seen:
        for case, evidence in one.parts:
            if case.context not in ELSEWHERE and evidence is not None and evidence.strength > 0:
                beside = tuple((name, case.parameters[name]) for name in ("kv", "causal") if name in case.parameters)
                places.setdefault((case.context, case.dtype), set()).add(case.parameters.get("site", beside))
    families, kinds = {one.finding.family for one in seen}, _kinds(seen)
    asked = [one for one in asked_of(op) if (one.laws | one.diluted) & families]
    for context, dtype in sorted(places, key=lambda place: (place[0].count("+"), DTYPES.index(place[1]))):
        if dtype != min((other for where, other in places if where == context), key=DTYPES.index):
            continue
        some = [one for one in asked if context != "eager" or one.kind != "gradient"]
        if op in OPERATORS:
            yield from filter(can, [case_of(dtype, context, SEQUENCE, {}, some, op)])
            continue
        if op == OPERATOR:
            yield from filter(can, _of_encoder(dtype, context, places[context, dtype], some))
            continue
        yield from filter(can, _of_attention(dtype, context, places[context, dtype], some, kinds))


def _kinds(seen: Sequence[Seen]) -> set[str]:
    """Of which kinds the places are where masks depend, each finding's by its strongest part; "" is a plain one."""
    kinds = set()
    for one in seen:
        parts = [(evidence.strength, case) for case, evidence in one.parts if evidence is not None]
        if one.finding.family in DEPENDENCE and parts:
            _, case = max(parts, key=lambda part: part[0])
            kinds.add(_kind(case))
    return kinds


def _kind(case: Case) -> str:
    if "causal" in case.parameters:
        return "causal"
    if prod(case.shape) > prod(LARGE):
        return "huge"
    return "key" if case.shape[-1] == 1 else "query" if case.shape[-2] == 1 else ""


def _of_attention(
    dtype: str, context: str, beside: set[Any], asked: Sequence[Hypothesis], kinds: set[str]
) -> Iterator[Case]:
    """A plain call, what is broken beside it, and where several calls of plain attention are no cost, larger ones.

    Args:
        kinds: of the places where masks depend.
    """
    if context == LINEARIZED:
        yield case_of(dtype, context, SQUARE, {}, [one for one in asked if one.name == "later"])
        return
    small = [one for one in asked if one.name not in IN_LARGE]
    plain = not transforms_in(context) and context != "fused"
    for more in BESIDE:
        if not more or tuple(more.items()) in beside:
            square = more or not plain or "gradient" in {one.kind for one in small}
            alone = [one for one in small if one.name != "shared_axis" or "causal" not in more or kinds == {"causal"}]
            yield case_of(dtype, context, SQUARE if square else SHAPE, more, alone)
    if plain:
        of_masks = ("sharing", "repetition") if context != "grad" else ()
        large = [one for one in asked if one.kind in of_masks or one.name in IN_LARGE]
        hidden = [one for one in large if one.name == "leaks_from" and (("causal", 1),) in beside]
        hidden += [one for one in large if one.name in ("shared_axis", "tiles") and kinds == {"causal"}]
        plain_ones = [one for one in large if one.name != "leaks_from"]
        yield from (case_of(dtype, context, LARGE, {}, plain_ones) for _ in plain_ones[:1])
        sharing = [one for one in asked if one.name == "shared_axis"] * (kinds <= {*LONE})
        yield from (case_of(dtype, context, LONE[kind], {}, sharing) for kind in sorted(kinds) if sharing)
        wraps = [one for one in asked if one.name == "wraps"] * (kinds == {"huge"})
        yield from (case_of(dtype, context, HUGE, {}, wraps) for _ in wraps)
        yield from (case_of(dtype, context, HIDDEN, {"causal": 1}, hidden) for _ in hidden[:1])


def _of_encoder(dtype: str, context: str, sites: set[Any], asked: Sequence[Hypothesis]) -> Iterator[Case]:
    """For each mask that broke; gradients of one token alone, for they add tokens up."""
    for site in sorted({site for site in sites if isinstance(site, int)} or {OUTPUT}):
        plain = [one for one in asked if one.kind != "gradient"]
        yield case_of(dtype, context, TOKENS, {"site": site}, plain, OPERATOR)
        if len(plain) < len(asked) and site in (ATTENDED, OUTPUT):
            backward = [one for one in asked if one.kind == "gradient"]
            yield case_of(dtype, context, TOKEN, {"site": site}, backward, OPERATOR)


def case_of(
    dtype: str,
    context: str,
    shape: tuple[int, ...],
    more: dict[str, int],
    asked: Sequence[Hypothesis],
    op: str = "attention",
) -> Case:
    """A case in which some hypotheses are tested; `more` are parameters of its place."""
    kind = "".join(f"{name}{value}" for name, value in more.items())
    names = [name for one in asked for name in names_of(one, recurrent.PARAMETERS if op in OTHERS else PARAMETERS)]
    ids = (FindingId(op, name, dtype, ANY, shape_text(shape, kind), context) for name in names)
    back = "checkpoint" in context or context == "grad" or any(one.kind == "gradient" for one in asked)
    return Case(
        op, dtype, {**more}, shape, context, "clues", 1 << 20, None, tuple(map(str, ids)),
        needs=(*needs_of(context), *["vjp"] * back, *["linearize"] * (context == LINEARIZED)),
    )  # fmt: skip


def explains(hypothesis: Hypothesis, account: Account, seen: Seen) -> bool:
    """By its law, or its gradient; what counts entries, if it holds once dependent ones are counted as one."""
    finding, given = seen.finding, account.given
    if finding.family == "gradient" and "of" in given:
        return finding.law in {f"gradient:{of}" for of in str(given["of"]).split(" and ")}
    if finding.family == "endpoints" and hypothesis.kind == "gradient":
        return "ends" in given
    if finding.family in hypothesis.laws:
        return True
    return finding.family in hypothesis.diluted and holds_thinned(seen, lambda case: _design(account, case))


def _design(account: Account, case: Case) -> float:
    """How many draws count as one in a case."""
    given = account.given
    if case.op in OTHERS or len(case.shape) != 4:
        return account.design
    if given.get("what") in amounts.PLACES.values():
        return amounts.design(given["what"], case.shape[2], case.dtype)
    axis, size = given.get("axis"), given.get("size", 1)
    return -(-case.shape[axis] // size) if isinstance(axis, int) and isinstance(size, int) else account.design


def where(findings: Sequence[Finding], places: Sequence[Told]) -> str:
    """The operator but for attention, the context if none of what it explains is a plain call, and an unusual dtype."""
    others = dict.fromkeys(finding.op for finding in findings if finding.op != "attention")
    contexts = dict.fromkeys(finding.context for finding in findings)
    dtypes = {finding.dtype for finding in findings} - {ANY}
    inside = f" in {' and '.join(others)}" if others else ""
    inside += f" in {min(dtypes)}" if len(dtypes) == 1 and dtypes != {DTYPES[0]} else ""
    if contexts.keys() & {"eager", "grad"}:
        return inside
    first = min(contexts, key=lambda context: context.count("+"))
    return f"{inside} {WORDS.get(first, f'under {first}')}"


def accounts(seen: Sequence[Seen], broken: frozenset[str]) -> Iterator[Told]:
    """What is told by the evidence that there is."""
    yield from rates(seen, broken)
    yield from recorded.accounts(seen, broken)
