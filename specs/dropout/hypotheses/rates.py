"""Hypotheses about how often an entry is kept, tested on the evidence that there is: nothing more is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from keeprate.specs.dropout.hypotheses import masks
from keeprate.specs.masks.rates import rates
from keeprate.suite import NEVER, Account, Check, Hypothesis, Seen, Told

SELDOM = 0.05  # of the elements
LAWS = masks.COUNTED | masks.DEPENDENCE  # what counts with the promised rate is broken where that is far off


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
    Hypothesis("rate", "rate", "{what}", None, LAWS),
)
