"""All hypotheses, what is drawn to test them, and what an accepted one explains."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from math import prod

from keeprate.specs.accounts import names_of
from keeprate.specs.dropout.contexts import Context, plainness
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.hypotheses import (
    alpha,
    alpha_inputs,
    alpha_line,
    counts,
    dependence,
    earlier,
    ends,
    expanded,
    facts,
    first_grid,
    gradient_scale,
    gradients,
    groups,
    idle,
    mapped,
    masks,
    memory,
    modes,
    never_all,
    overwritten,
    places,
    rates,
    recorded,
    runs,
    seeds,
    specials,
    unwritten,
    values,
)
from keeprate.specs.dropout.hypotheses.clues import standard
from keeprate.specs.dropout.hypotheses.ranks import of_rank
from keeprate.specs.masks.rates import holds_thinned
from keeprate.specs.rounding import DTYPES
from keeprate.suite import ANY, Account, Case, Check, Evidence, Finding, FindingId, Hypothesis, Seen, Told, shape_text

OF_RANKS = {  # by which they may be limited
    *("shared_call", "shared_axis", "shared_rows", "shared_groups", "by_element", "by_axis"),
    *("unchanged", "scale", "alpha", "limit", "alpha_line"),
}
HYPOTHESES = tuple(
    replace(one, function=of_rank(one.function)) if one.name in OF_RANKS and one.function else one
    for part in (
        overwritten,
        unwritten,
        idle,
        mapped,
        masks,
        groups,
        runs,
        dependence,
        ends,
        expanded,
        first_grid,
        places,
        counts,
        never_all,
        earlier,
        values,
        alpha,
        alpha_inputs,
        alpha_line,
        gradients,
        gradient_scale,
        specials,
        memory,
        modes,
        rates,
        seeds,
        facts,
        recorded,
    )
    for one in part.HYPOTHESES
)
PARAMETERS: dict[str, Iterable[object]] = {
    "shared_axis": range(5),
    "shared_rows": ("rows", "entries"),
    "shared_groups": (64, 32, 16, 8, 4, 3, 2),
    "period": ("call", "calls"),
    "fixed_number": ("row", "call"),
    "copied_tail": (1024, 256, 64, 32, 16),
    "lane": (64, 32, 16, 8, 4),
    "twins": ("call", "calls"),
    "by_sign": ("negative", "positive"),
    "correlated": ("call", "calls"),
    "evaluation_rounds": values.NARROW,
    "rounded": rates.ROUNDED,
    "scale": values.SCALES,
    "alpha": alpha.ALPHAS,
    "of_other_input": values.INPUTS,
    "narrow": values.NARROW,
    "computed": values.NARROW,
    "by_count": ("call", "row"),
    "earlier_p": earlier.WORDS,
    "slope": gradients.GRADIENTS,
    **seeds.PARAMETERS,
}
OF_A_SHAPE = {"sharing", "repetition", "number", "gradient", "unchanged"}  # kinds, and one, that may be of one shape
LARGEST = (1 << 22) + 6  # elements of a shape that is drawn again; no step of two's powers meets its end
BACKWARD = ("vjp", "jvp", "linearize")  # what gives a gradient
ELSEWHERE = ("process",)  # contexts in which a case can't look around
WORDS = {
    "fused": "compiled together with its neighbours",
    "inplace": "in place",
    "thread": "in fresh threads",
    "grad": "where a gradient is asked for",
    "linearize": "where backward passes run later",
    "jvp": "in forward-mode differentiation",
    "process": "in several processes",
}
OF_ONE_WAY = {  # of calling
    **dict.fromkeys(modes.OF_EVALUATION, "in evaluation"),
    "at_zero": r"at p = 0\b(?!\.)",
    **dict.fromkeys(("seed_ignored", "seed_one", "not_renewed"), "in a fresh thread"),
}
OF_CALLS = {
    "gradient",
    "seeding",
    "inplace",
    "concurrency",
}  # laws that it explains where the first wrong call is such a one
Place = tuple[str, str, str]  # operator, dtype and context


def questions(seen: Sequence[Seen], can: Callable[[Case], bool]) -> Iterator[Case]:
    """For each operator every dtype in which plain calls are broken, and every context, in its plainest dtype."""
    clearest = [(one, case) for one in seen if (case := _clearest(one)).context not in ELSEWHERE]
    places: dict[Place, list[tuple[Seen, Case]]] = {}
    for one, case in clearest:
        places.setdefault((case.op, case.dtype, case.context), []).append((one, case))
    for (op, dtype, context), found in sorted(places.items(), key=lambda item: plainness(item[0][2])):
        others = [each for each in places if each[0] == op]
        plainest = min(plainness(each[2]) for each in others)
        first = min(DTYPES.index(each[1]) for each in others if each[2] == context)
        if plainness(context) == plainest or DTYPES.index(dtype) == first:
            yield from filter(can, _cases(op, dtype, context, found))


def _clearest(one: Seen) -> Case:
    def weight(part: tuple[Case, Evidence | None]) -> float:
        evidence = part[1]
        return -math.inf if evidence is None else evidence.strength

    return max(one.parts, key=weight)[0]


def _cases(op: str, dtype: str, context: str, found: Sequence[tuple[Seen, Case]]) -> Iterator[Case]:
    broken = {one.finding.family for one, _ in found}
    asked = [one for one in HYPOTHESES if one.function is not None and one.laws & broken and one.name != "fact"]
    backward = [one for one in asked if one.kind == "gradient"]
    plain = [one for one in asked if one.kind != "gradient"]
    usual = standard(CONTRACTS[op])
    parts = [
        (case, evidence)
        for one, _ in found
        for case, evidence in one.parts
        if (case.dtype, case.context) == (dtype, context) and evidence is not None and evidence.strength > 0
    ]
    strongest: dict[tuple[int, ...], float] = {}
    for case, evidence in parts:
        if case.shape and prod(case.shape[1:]) <= LARGEST and not case.strides:
            shape = min(case.shape[0], LARGEST // max(1, prod(case.shape[1:]))), *case.shape[1:]  # the front of it
            strongest[shape] = max(strongest.get(shape, 0.0), evidence.strength)
    others = sorted(strongest, key=lambda shape: -strongest[shape])[:2]
    for shape in (usual, *others):
        for study, hypotheses in (("clues", plain), ("clues_of_gradient", backward)):
            some = [one for one in hypotheses if shape == usual or {one.kind, one.name} & OF_A_SHAPE]
            if some:
                yield _case(
                    op, dtype, context, study, shape, [name for one in some for name in names_of(one, PARAMETERS)]
                )
    studies = dict.fromkeys(case.study for case, _ in parts if case.study in facts.STUDIES)
    for study in studies:
        yield _case(op, dtype, context, f"clues_of_{study}", (), [f"fact:{study}"])


def _case(op: str, dtype: str, context: str, study: str, shape: tuple[int, ...], names: Sequence[str]) -> Case:
    contract, how = CONTRACTS[op], Context(context)
    ids = (FindingId(op, name, dtype, ANY, shape_text(shape) if shape else ANY, context) for name in names)
    back = study.endswith("_of_gradient") or context == "grad" or how.recomputed
    inplace = [contract.inplace] if (how.inplace or study == "clues_of_inplace") and not contract.writes else []
    return Case(
        op, dtype, {}, shape, context, study, 1 << 20, None, tuple(map(str, ids)),
        needs=(*how.needs, *inplace, *["vjp"] * back),
    )  # fmt: skip


def explains(hypothesis: Hypothesis, account: Account, seen: Seen) -> bool:
    """By its law; what counts entries, if it holds once those that depend on one another are counted as one."""
    finding, study = seen.finding, str(account.given.get("study", ""))
    if study:  # of single calls: what is seen in them, and of the law that is named like them
        of_study = study.partition("_of_")[0] == finding.family or any(case.study == study for case, _ in seen.parts)
        strided = study == "strides" and finding.family in recorded.STRIDED and _strided(seen)
        return of_study or strided or _empty_alone(seen, account.given.get("empty"))
    if "layouts" in account.given:  # what is wrong in other ways there follows, and elsewhere doesn't
        layouts = str(account.given["layouts"]).split(" or ")
        return finding.family in hypothesis.laws and _strided(seen, layouts)
    if any(
        case.study == "arguments" and evidence is not None and evidence.strength > 0 for case, evidence in seen.parts
    ):
        return False  # what is to be refused, and isn't, follows from nothing else
    if hypothesis.kind == "gradient" and not any({*BACKWARD} & {*case.needs} for case, _ in seen.parts):
        return False  # no gradient was asked for there
    if finding.family in hypothesis.laws:
        return True
    if finding.family in OF_CALLS and hypothesis.name in OF_ONE_WAY:
        return _first_wrong(seen, OF_ONE_WAY[hypothesis.name])
    if finding.family not in hypothesis.diluted:
        return False
    axis = account.given.get("axis")

    def design(case: Case) -> float:
        match axis:
            case int() if axis < len(case.shape):
                return case.shape[axis]
            case "rows" if case.shape:
                return prod(case.shape[:-1])
            case "entries" if case.shape:
                return case.shape[-1]
        return account.design

    return holds_thinned(seen, design)


def _empty_alone(seen: Seen, kind: object) -> bool:
    """Whether this exception, on one element at most, is all that is wrong: an empty array counts as one."""
    wrong = [check for _, check in seen.parts if isinstance(check, Check) and check.wrong]
    first = [check.first for check in wrong if check.wrong == 1 and check.first]
    return bool(kind and wrong) and len(first) == len(wrong) and all(one.output == kind for one in first)


def _first_wrong(seen: Seen, words: str) -> bool:
    """Whether the first call that is wrong, in each study, has these words."""
    wrong = [check for _, check in seen.parts if isinstance(check, Check) and check.wrong]
    return bool(wrong) and all(check.first and re.search(words, check.first.words.get("call", "")) for check in wrong)


def _strided(seen: Seen, layouts: Sequence[str] = memory.LAYOUTS) -> bool:
    """Whether all that is wrong lies in memory in one of these ways."""
    wrong = [case for case, evidence in seen.parts if evidence is not None and evidence.strength > 0]
    return bool(wrong) and all(case.strides in layouts for case in wrong)


def where(findings: Sequence[Finding], places: Sequence[Told]) -> str:
    """Contexts, if none is a plain call; the dtype, if it is one that is not the usual; operators."""
    contexts = dict.fromkeys(finding.context for finding in findings)
    simplest = min(map(plainness, contexts))
    backward = {finding.family for finding in findings} <= gradients.BACKWARD
    plain = "eager" in contexts or (backward and "grad" in contexts)
    named = [] if plain else [one for one in contexts if plainness(one) == simplest]
    dtypes = {finding.dtype for finding in findings} - {ANY}
    narrow = f" in {min(dtypes)}" if len(dtypes) == 1 and dtypes != {DTYPES[0]} else ""
    usual = {standard(CONTRACTS[at.op]) for at in places} | {()}
    some = [] if any(at.shape in usual for at in places) else places
    told = max(some, key=lambda at: at.account.promise, default=None)  # whose account is told
    on = f" on shape {shape_text(told.shape)}" if told else _on_rank(places)
    how = "".join(f" {WORDS.get(one, f'under {one}')}" for one in named[:1])
    ops = [*dict.fromkeys(finding.op for finding in findings)]
    listed = f"{', '.join(ops[:-1])} and {ops[-1]}" if len(ops) > 1 else ops[0]
    return f"{narrow}{how}{on}, in {listed}"


def _on_rank(places: Sequence[Told]) -> str:
    """Words for the one rank that it is true of; empty where it is of others too."""
    ranks = {at.account.given.get("rank") for at in places}
    return f" on inputs of rank {ranks.pop()}" if len(ranks) == 1 and None not in ranks else ""


def accounts(seen: Sequence[Seen], broken: frozenset[str]) -> Iterator[Told]:
    """What is told by the evidence that there is."""
    yield from rates.accounts(seen, broken)
    yield from recorded.accounts(seen, broken)
