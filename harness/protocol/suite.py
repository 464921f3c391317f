"""What a suite is: its plan, its samples and its laws; and how one is found.

A suite is any module or object with three names: `plan(profile)` gives its cases, `sample(case, backend, seed)` calls
the backend and yields samples of bounded memory, `laws` are the functions that look at a sample. It may also have
`reference`, the name of the backend that is judged first; `weights`, the share of the error budget of each law; and
`headline`, the law whose power a verdict's table shows, with `detects(case, alpha)`, the smallest departure from it
that a case as planned would catch at a share `alpha` of the error budget; `check(backend)`, which looks at the adapter
alone; `template`, the path of a backend to begin with; `defects`, real ones that its laws would have caught;
`picture(case, backend, seed)`, lines of text that show what was drawn; and `demonstrate(case, law, seed)`, source
of a Python function `show(backend)` that prints how the law fares there; and `causes`, known faults that a verdict is
compared with.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keeprate.harness.errors import NoVerdictError, UsageError
from keeprate.harness.protocol.case import Case, FindingId, Promise
from keeprate.harness.protocol.law import Law
from keeprate.harness.protocol.lookup import find
from keeprate.harness.untrusted_text import clean, shown, told

PROFILES = ("quick", "gate", "deep")


@dataclass(frozen=True)
class Look:
    """One look at an adapter.

    Args:
        what: what it should do, in words.
        wrong: what it does instead; empty if nothing is wrong.
        skipped: why there was nothing to look at; empty if there was.
        law: the law that judges the same of the framework; empty if the adapter alone is answerable.
    """

    what: str
    wrong: str
    skipped: str = ""
    law: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "wrong", clean(self.wrong))  # which may be what foreign code said


@dataclass(frozen=True)
class Defect:
    """A defect that somebody really shipped.

    Args:
        id: a letter for its kind, and a number.
        source: the public thread.
        wrong: what was wrong.
        where: where it showed.
        laws: those that would have caught it.
    """

    id: str
    source: str
    wrong: str
    where: str
    laws: tuple[str, ...]


@dataclass(frozen=True)
class Cause:
    """A known fault, and what it is recognised by.

    Args:
        name: what it is called where it was judged.
        kind: faults of one kind have this in common.
        says: what is wrong, in words.
        defect: a real defect that it stands for, and its public thread; empty for none.
        traits: as `keeprate.harness.judging.diagnosis` finds them in a verdict over it.
    """

    name: str
    kind: str
    says: str
    defect: str
    traits: frozenset[str]

    @property
    def laws(self) -> set[str]:
        """The laws that it breaks: a trait begins with one, but for those that name a place."""
        return {re.split("[ :]", trait)[0] for trait in self.traits if not trait.startswith("in ")}


@dataclass(frozen=True)
class Suite:
    """A family of operators to judge, whatever it was loaded from."""

    name: str
    reference: str
    headline: str
    weights: Mapping[str, float]
    laws: Mapping[str, Law]
    plan: Callable[[str], Sequence[Case]]
    planned: Callable[[str], Iterable[Case]]  # the same as the suite makes it: the first case may come before the rest
    sample: Callable[[Case, Any, int], Iterator[Any]]
    detects: Callable[[Case, float], float]
    check: Callable[[Any], Iterator[Look]]
    template: Path | None
    defects: Sequence[Defect]
    picture: Callable[[Case, Any, int], list[str]]
    demonstrate: Callable[[Case, str, int], str] | None
    causes: Sequence[Cause]

    def judges_reference(self, case: Case) -> bool:
        """Whether the reference is judged in `case` too: where there is one, and the plan asks for it."""
        return bool(self.reference) and case.reference_draws is not None

    def promises(self, profile: str) -> dict[str, Promise]:
        """Every finding of the whole plan of `profile` by id, with its share of the error budget.

        A law's weight is divided evenly over all findings of the law in the plan, so a share depends neither on what is
        selected nor on what the backend offers.

        Raises:
            UsageError: there is no such profile.
            NoVerdictError: the plan can't be made.
        """
        if profile not in PROFILES:
            raise UsageError(f"profile '{profile}' is not one of {', '.join(PROFILES)}")
        try:
            planned = self.plan(profile)
        except Exception as error:  # foreign code may raise anything
            raise NoVerdictError(f"suite {self.name}: its plan of '{profile}' raised {told(error)}") from error
        cases: dict[str, list[Case]] = {}
        for case in planned:
            for finding in case.findings:
                cases.setdefault(finding, []).append(case)
        ids = {text: FindingId.parse(text) for text in cases}
        count = Counter(id.family for id in ids.values())
        return {
            text: Promise(id, self.weights.get(id.family, 0.0) / count[id.family], tuple(cases[text]))
            for text, id in ids.items()
        }


@functools.cache
def load_suite(name: str) -> Suite:
    """The suite called `name`: an entry point of the group `keeprate.suites`, a module, or a file.

    Raises:
        UsageError: there is none.
        NoVerdictError: it can't be loaded.
    """
    found = find(name, group="keeprate.suites", kind="suite")
    absent = [text for text in ("plan", "sample", "laws") if not hasattr(found, text)]
    if absent:
        raise NoVerdictError(f"suite {name} lacks {', '.join(absent)}, which every suite must have")
    if not (isinstance(found.laws, Sequence) and all(isinstance(item, Law) for item in found.laws)):
        raise NoVerdictError(f"suite {name}: laws = {shown(found.laws)} is not a list of laws, as `law` makes them")
    laws = {item.name: item for item in found.laws}
    weights = getattr(found, "weights", {name: 1 / len(laws) for name in laws})
    label = getattr(found, "name", name)
    reference, headline = getattr(found, "reference", ""), getattr(found, "headline", "")
    detects = getattr(found, "detects", lambda case, alpha: 0.0)
    return Suite(
        label,
        reference,
        headline,
        weights,
        laws,
        _made_once(found.plan),
        found.plan,
        found.sample,
        detects,
        check=getattr(found, "check", lambda backend: iter(())),
        template=getattr(found, "template", None),
        defects=getattr(found, "defects", ()),
        picture=getattr(found, "picture", lambda case, backend, seed: []),
        demonstrate=getattr(found, "demonstrate", None),
        causes=getattr(found, "causes", ()),
    )


def _made_once(plan: Callable[[str], Iterable[Case]]) -> Callable[[str], tuple[Case, ...]]:
    """`plan`, which makes the cases of each profile once: a request needs them all."""

    @functools.cache
    @functools.wraps(plan)
    def made(profile: str) -> tuple[Case, ...]:
        return tuple(plan(profile))

    return made


def groups(promises: Mapping[str, Promise]) -> dict[str, str]:
    """For each finding the name of its group: findings that share a case are judged in one place.

    The name is the id of the group's first case.
    """
    leader: dict[str, str] = {}

    def lead(case: str) -> str:
        while leader.setdefault(case, case) != case:
            case = leader[case]
        return case

    for promise in promises.values():
        first = lead(promise.cases[0].id)
        for case in promise.cases[1:]:
            leader[lead(case.id)] = first
    return {text: lead(promise.cases[0].id) for text, promise in promises.items()}
