"""Hypotheses about what is recorded of a wrong call: which one it was says what is wrong, as all before it were right.

Nothing more is drawn. A study makes its calls in one order, and an exact law records the first that is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from keeprate.specs.dropout.inputs import SHAPES
from keeprate.suite import NEVER, Account, Case, Check, Evidence, Hypothesis, Seen, Tally, Told, shape_text

OTHER, SAME, HAD = "another mask than", "the same mask as", "a mask that another call had"
OF_MASKS = frozenset({"no_mask_twice", "no_stretch_twice", "reading_order"})  # which wrong outputs show otherwise
FEW = 0.25  # part that is kept, or dropped, below which masks are one by chance
SHORT = 400  # characters of what is seen
STRIDED = {"constancy": "tears channels", "outcomes": "returns wrong outputs", "gradient": "returns wrong gradients"}


class Record(NamedTuple):
    """A fault, and the first wrong call that it leaves.

    Args:
        laws: of one of which it is recorded.
        study: a pattern of the study's name.
        call: a pattern with which the words for the call begin.
        gave: a pattern of what came back; any if empty.
        alone: whether no other call may be wrong.
        vague: as in a hypothesis.
        follow: other laws that it breaks.
        of_data: whether it tells masks of different data apart, which wrong outputs show otherwise.
    """

    name: str
    says: str
    laws: frozenset[str]
    study: str
    call: str = ""
    gave: str = ""
    alone: bool = False
    vague: bool = False
    of_data: bool = False
    follow: frozenset[str] = frozenset()


def _r(
    name: str, says: str, laws: str, study: str, call: str = "", gave: str = "", follow: str = "", **more: bool
) -> Record:
    return Record(name, says, frozenset(laws.split()), study, call, gave, follow=frozenset(follow.split()), **more)


RECORDS = (
    _r("state_lost", "doesn't repeat its masks when a random state is restored", "state", "states",
       "after it was put back$", OTHER),
    _r("state_spent", "draws other masks when a random state is restored a second time", "state", "states",
       "after (it was put back again|another seed)", OTHER),
    _r("state_in_part", "leaves a part of its random state out of the state that it returns", "state", "states",
       "after (a copy|the state|the copy)", OTHER),
    _r("fork_alike", "draws the same mask in a forked process as in its parent or in another fork,", "state", "forked",
       "", SAME),
    _r("process_unlike", "draws different masks after the same seed", "seeding", "between_processes",
       "seed 1", OTHER),
    _r("process_alike", "draws the same first mask in every process where no seed is set", "seeding",
       "between_processes", "no seed", SAME),
    _r("process_again", "draws after one seed what it draws after another",
       "no_stretch_twice streams", "processes"),
    _r("threads_alike", "uses one mask for calls made at the same time", "concurrency", "concurrency", "call ", HAD),
    _r("threads_wrong", "returns wrong outputs for calls made at the same time", "concurrency", "concurrency", "call ",
       "value"),
    _r("thread_unlike", "draws different masks after the same seed", "concurrency", "concurrency",
       "seed 1 again, in a fresh thread", OTHER),
    _r("thread_alike", "draws the same mask after every seed", "concurrency", "concurrency",
       "seed 2, in a fresh thread", SAME),
    _r("evaluation_rewinds", "draws a mask again after a call in evaluation", "modes", "modes",
       "training after evaluation", HAD),
    _r("container_mode", "doesn't follow the mode of its container", "modes", "modes", "in a container, evaluation",
       "value"),
    _r("large_unlike", "draws different masks after the same seed in calls of 131,072 entries, but not of 1,024",
       "seeding", "seeding", "seed 1 (again|once more), on 131,072", OTHER),
    _r("empty_resets", "goes back to the start of its seed in a call on an empty input", "seeding", "seeding",
       "seed 1, then calls in training and on nothing", SAME),
    _r("by_data", "draws another mask for other data after the same seed", "seeding", "seeding", "seed 1, other data",
       OTHER, of_data=True),
    _r("returned_copy", "returns a copy of the array that it wrote to in place", "inplace", "inplace",
       "in place, training, then .* on what was returned", "value"),
    _r("returned_other", "returns a copy of its input in evaluation, not the array itself, in place", "inplace",
       "inplace",
       "in place, evaluation, then .* on what was returned", "value"),
    _r("seed_rate", "keeps too many entries, or too few, after seed {seed}", "seeding", "bounds", "",
       ".*% were kept where .*", alone=True),
    _r("seed_fails", "fails after seed {seed}", "seeding", "bounds", "", "an exception", alone=True),
    _r("seeds_meet", "has fewer streams than seeds: two seeds far apart gave the same mask",
       "no_mask_twice", "after_seeds"),
    _r("shape_lost", "returns an output whose shape is not its input's", "outcomes", "masks|unmapped", "",
       "another shape"),
    _r("torn_alone", "tears channels on inputs whose first axis has length 1", "shape", "shape",
       "training on shape 1x", "a torn channel"),
    _r("rank_shared", "shares one mask along an axis of inputs of rank 4", "shape", "shape",
       f"training on shape {shape_text(SHAPES[4][0])}", "a mask shared along an axis"),
    _r("writes", "writes to its input", "purity", "masks|unmapped",
       follow="outcomes no_mask_twice no_stretch_twice strides moments"),
    _r("writes_backward", "writes to its input while it computes a gradient", "purity", "gradients", "$"),
    _r("writes_cotangent", "writes to the gradient that its backward pass is given", "purity", "gradients",
       "the cotangent"),
    _r("drawn_again", "draws stretches of a thousand entries that it has drawn before", "no_stretch_twice",
       "masks|unmapped|sizes|gradients", vague=True),
)  # fmt: skip
SEEN_LATE = Hypothesis(
    "read_late",
    "repetition",
    "uses one mask for outputs that are read in another order than they were made",
    None,
    frozenset({"reading_order"}),
)


def accounts(seen: Iterable[Seen], broken: frozenset[str]) -> Iterator[Told]:
    """What the evidence of exact laws tells.

    Args:
        seen: all findings that have evidence.
        broken: ids of those that broke.
    """
    every = list(seen)
    failed = [one for one in every if one.finding.id in broken]
    outputs = [one for one in failed if one.finding.family == "outcomes"]
    wrong = {(case.op, case.dtype) for one in outputs for case, _ in one.parts if case.study != "concurrency"}
    late = {one.finding.op for one in failed if one.finding.family == "reading_order"}  # read after others were made
    far_off = {case.op for one in every if one.finding.family == "first_positions" for case, e in one.parts if _rare(e)}
    for one in failed:
        law = one.finding.family
        for case, evidence in one.parts:
            misread = (case.op, case.dtype) in wrong or (case.op in late and law != "reading_order")
            if misread and (law in OF_MASKS or case.study == "concurrency"):
                continue
            if law != "no_mask_twice" or case.op not in far_off:
                yield from _recorded(law, case, evidence, misread=misread)
    yield from _strided(every, broken)


def _rare(evidence: Evidence | None) -> bool:
    """Whether nearly all is kept after seeds, or dropped, so that two masks of few entries are one."""
    if not isinstance(evidence, Tally) or not evidence.n:
        return False
    return bool(evidence.counts.sum(axis=0).min() < FEW * evidence.n)


def _recorded(law: str, case: Case, evidence: Evidence | None, *, misread: bool) -> Iterator[Told]:
    if isinstance(evidence, Tally) and law == "reading_order":
        both, one, none = evidence.counts.sum(axis=0)
        if both and none and not one:
            text = f"{one} of {both + one + none:,} pairs of entries of two outputs differ, 50 % should"
            yield Told("read_late", case.op, case.dtype, case.context, Account(int(both + none), 0.0, NEVER, text))
    if not isinstance(evidence, Check) or not evidence.wrong:
        return
    first = evidence.first
    call, gave = (first.words.get("call", ""), first.gave) if first else ("", "")
    for record in RECORDS:
        where = law in record.laws and re.fullmatch(record.study, case.study) and re.match(record.call, call)
        what = not record.gave or re.fullmatch(record.gave, gave)
        if where and what and not (record.alone and evidence.wrong > 1) and not (record.of_data and misread):
            text = evidence.where or f"{evidence.wrong:,} of {evidence.checked:,} calls"
            seed = first.given.get("seed") if first else None
            given = {"seed": f"{seed:,}"} if isinstance(seed, int) else {}
            account = Account(evidence.checked, 0.0, NEVER, text[:SHORT], {**given})
            yield Told(record.name, case.op, case.dtype, case.context, account)


def _strided(seen: Iterable[Seen], broken: frozenset[str]) -> Iterator[Told]:
    """Exact laws that are broken on inputs that lie in memory in uncommon ways, and on no others of their context."""
    parts: dict[tuple[str, str, str, str], list[tuple[Case, Check]]] = {}
    for one in seen:
        if one.finding.family in STRIDED:
            for case, check in one.parts:
                if isinstance(check, Check) and check.checked:
                    parts.setdefault((one.finding.family, case.op, case.dtype, case.context), []).append((case, check))
    for (law, op, dtype, context), found in parts.items():
        wrong = {case.strides for case, check in found if check.wrong}
        plain = sum(not case.strides for case, _ in found)
        if not wrong or "" in wrong or not plain:
            continue
        elements = sum(check.wrong for _, check in found)
        looked = sum(check.checked for _, check in found)
        text = f"{elements:,} of {looked:,} elements are wrong, and none of {plain} cases on contiguous inputs"
        given = {"layouts": " or ".join(sorted(wrong))}
        yield Told(f"strided_{law}", op, dtype, context, Account(looked, 0.0, NEVER, text, {**given}))


HYPOTHESES = (
    *(Hypothesis(one.name, "record", one.says, None, one.laws | one.follow, vague=one.vague) for one in RECORDS),
    SEEN_LATE,
    *(
        Hypothesis(
            f"strided_{law}",
            "record",
            f"{does} on inputs that lie in memory as {{layouts}}",
            None,
            frozenset([*STRIDED][number:]),  # a gradient is read beside the output, and an output by its channels
        )
        for number, (law, does) in enumerate(STRIDED.items())
    ),
)
