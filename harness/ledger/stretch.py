"""Which runs of a version broke a promise: its evidence is added up over all runs, its cause is asked of these alone.

A fault that came on the fourth night is averaged with three nights that hadn't it. Of the same draws e(later) / e(all)
is what the earlier ones say for the promise and against the fault that the later ones show: a ratio of likelihoods.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keeprate.harness.evidence.account import ENOUGH
from keeprate.harness.evidence.kinds import Evidence
from keeprate.harness.judging.finding import Finding, pooled
from keeprate.harness.ledger.held import EVER, Held, Parts
from keeprate.harness.protocol.case import Promise
from keeprate.harness.protocol.engine import Result


@dataclass(frozen=True)
class Stretch:
    """Runs one after another whose evidence together speaks most against a promise.

    Args:
        runs: their rows.
        parts: what each case has shown in them.
        evidence: the same of all cases.
        starts: whether what was drawn before them says that the promise was kept then.
        ends: whether what was drawn after them says that it is kept again.
    """

    runs: tuple[int, ...]
    parts: Parts
    evidence: Evidence
    starts: bool
    ends: bool


def stretch_of(promise: Promise, by_run: Mapping[int, Parts]) -> Stretch | None:
    """The stretch of runs that broke a promise; None where no run has evidence.

    Args:
        by_run: what each run has shown, in the order of runs.
    """
    runs = list(by_run)
    if not runs:
        return None
    upto = [_strength(promise, sums) for sums in _sums([by_run[run] for run in runs])]
    last = upto.index(max(upto))
    backwards = _sums([by_run[run] for run in runs[last::-1]])
    since = [_strength(promise, sums) for sums in backwards]
    length = since.index(max(since))
    first = last - length
    evidence = _pooled(promise, backwards[length])
    assert evidence is not None
    before, after = ([by_run[run] for run in some] for some in (runs[:first], runs[last + 1 :]))
    starts, ends = (any(some) and told_apart(promise, some, backwards[length], len(runs)) for some in (before, after))
    return Stretch(tuple(runs[first : last + 1]), backwards[length], evidence, starts, ends)


def told_apart(promise: Promise, others: Sequence[Parts], broke: Parts, choices: int = 1) -> bool:
    """Whether what `others` have shown speaks for the promise, and against the fault that `broke` shows.

    Where one counterexample decides, they have none: that is all that can be told.

    Args:
        choices: in how many ways both could have been divided: that this way was chosen is paid for.
    """
    evidence = _pooled(promise, broke)
    if evidence is None or evidence.is_exact:
        return evidence is not None
    whole = _strength(promise, _sums([broke, *others])[-1])
    return evidence.strength - whole >= ENOUGH + math.log10(choices)


def broke_in(held: Held, plan: Mapping[str, Promise], findings: Sequence[Finding]) -> tuple[int, int]:
    """The first and the last run that may have had what broke these: by the first of them that tells runs apart.

    Runs are left out where what they drew says that they hadn't it, and nowhere else: what one night found broken the
    next doesn't draw again, and what was drawn in one night alone says nothing of others.
    """
    counted = [one for one in findings if one.id in plan and one.evidence is not None]
    parts = held.by_run([one.id for one in counted])
    for one in sorted(counted, key=lambda finding: finding.effect is None):
        found = stretch_of(plan[one.id], parts.get(one.id, {}))
        if found and (found.starts or found.ends):
            return found.runs[0] if found.starts else EVER[0], found.runs[-1] if found.ends else EVER[1]
    return EVER


def _sums(parts: Sequence[Parts]) -> list[Parts]:
    """Of the first, of the first two, and so on."""
    found: list[Parts] = []
    for one in parts:
        sums = dict(found[-1]) if found else {}
        for case, evidence in one.items():
            sums[case] = sums[case] + evidence if case in sums else evidence
        found.append(sums)
    return found


def _pooled(promise: Promise, parts: Parts) -> Evidence | None:
    text = str(promise.id)
    return pooled(promise, {case: Result("backend", case, {text: one}) for case, one in parts.items()})


def _strength(promise: Promise, parts: Parts) -> float:
    evidence = _pooled(promise, parts)
    return -math.inf if evidence is None else evidence.strength
