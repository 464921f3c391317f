"""What a suite is, and how one is found: the typed interface of whoever describes a family of operators.

Public as `keeprate.suite`; docs/new-suite.md goes from nothing to a verdict.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from keeprate.harness.errors import NoVerdictError, UsageError
from keeprate.harness.protocol.case import Case, FindingId, Promise
from keeprate.harness.protocol.description import AdapterCheck, Cause, Defect, Picture
from keeprate.harness.protocol.hypothesis import Hypothesis
from keeprate.harness.protocol.law import Law
from keeprate.harness.protocol.lookup import find, installed
from keeprate.harness.untrusted_text import shown, told

PROFILES = ("smoke", "quick", "gate", "deep")


class Suite:
    """A family of operators to judge: subclass it. The class, or an object of it, is what `--suite` names.

    Attributes:
        name: what the suite is called in messages.
        laws: its laws; one that breaks others comes before them.
        reference: the backend that is judged first, by the same laws; empty for none.
        headline: the law whose draws and detectable departure stand in a verdict's table; empty for none.
        weights: shares of the error budget by law, of those that draw; all laws have the same unless given.
        together: the same of one finding more for each of these laws, over all operators: it sees what all have in
            common and is too small for each. They count in cells (`Tally`), no two findings the same draws in one way.
        attributes: what a backend must have besides `name`.
        functions: what a backend must have that can be called.
        capabilities: names that a backend may have, listed by `keeprate backends`.
        dtypes: those that a backend may name in `dtypes`, the plainest first; empty if its operators have none.
        template: the path of a backend to begin with; FILE.py in it becomes its name.
        defects: real ones that the laws would have caught.
        causes: known faults that a verdict may be compared with.
        hypotheses: faults that may lie behind broken promises; of two that explain as much, the earlier is named.
        forkable: whether a process may be forked once it has loaded the suite and the reference, as workers are on
            Linux; False where that starts threads or a device.

    Arguments of the methods, unless they say otherwise:
        profile, case, law: one of `PROFILES`; one of the plan's; the name of one of the laws.
        backend, seed: an object with what is asked above; 31 bits, from which all draws of the case must follow.
        alpha, context, inner, outer: a probability, the share of the error budget; each how the operator is called.
        findings, places: each a `Finding`; each a `Told`.
        hypothesis, account, seen: one of the hypotheses; its `Account` in a place; a finding there, as `Seen` has it.
    """

    name: str
    laws: Sequence[Law]
    reference: str = ""
    headline: str = ""
    weights: Mapping[str, float] = {}
    together: Mapping[str, float] = {}
    attributes: Sequence[str] = ()
    functions: Sequence[str] = ()
    capabilities: Sequence[str] = ()
    dtypes: Sequence[str] = ()
    template: Path | None = None
    defects: Sequence[Defect] = ()
    causes: Sequence[Cause] = ()
    hypotheses: Sequence[Hypothesis] = ()
    forkable: bool = True

    def plan(self, profile: str) -> Iterable[Case]:
        """Every case of `profile`, one of `PROFILES`, whatever a backend offers; the same whenever it is asked for."""
        raise NotImplementedError

    def sample(self, case: Case, backend: Any, seed: int) -> Iterator[Any]:
        """Seeds the backend, calls it as `case` says, and yields what the laws look at, in parts of bounded memory.

        Raises:
            BackendError: the backend raised where it must answer.
            NotOffered: the backend lacks what the case needs, as only calling it shows.
        """
        raise NotImplementedError

    def forked(self) -> None:
        """Gives the reference random state of its own, in a process that was forked; Python's and NumPy's has been."""

    def refusal(self, backend: Any) -> str:
        """Why an attribute of a backend can't be used, in words; empty if all can. Calls nothing."""
        return ""

    def check(self, backend: Any) -> Iterator[AdapterCheck]:
        """Checks of the adapter alone, whatever the framework does."""
        return iter(())

    def lost(self, backend: Any) -> str:
        """Why the device that a backend computes on can't be used any more, as a small call shows; empty if it can."""
        return ""

    def held(self, backend: Any) -> int:
        """Bytes of its device's memory that a backend has held at once, at most; 0 where it doesn't say."""
        return 0

    def calls(self, backend: Any) -> Mapping[str, Callable[[], str]]:
        """Calls that say what they gave, which follows from a seed that each sets: to be made in two orders."""
        return {}

    def detects(self, case: Case, alpha: float) -> float:
        """The smallest departure from the headline's promise that `case`, as planned, catches at a share `alpha`."""
        return 0.0

    def rank(self, context: str) -> int:
        """How much comes before the operator in a context: 0 for a plain call. Findings are told in this order."""
        return 0

    def within(self, inner: str, outer: str) -> bool:
        """Whether a context adds to another one, so that what is so in `inner` is taken to be so in `outer`."""
        return inner == outer or not self.rank(inner)

    def for_reference(self, case: Case) -> Case:
        """A case in the context in which the reference is judged; for looking at a finding closely."""
        return case

    def recorded(self, case: Case, given: Mapping[str, object]) -> Case:
        """A case as the call of a counterexample was made, for a script that shows it.

        Args:
            case: where it was found.
            given: what the counterexample says of the call.
        """
        return case

    def shrink(self, case: Case, others: Sequence[Case], broken: Callable[[Case], bool]) -> Iterator[Case]:
        """Ever smaller cases that are broken still.

        Args:
            case: one that is broken.
            others: cases of the plan for the same law and operator.
            broken: runs a case.
        """
        return iter(())

    def picture(self, case: Case, backend: Any, seed: int) -> Picture | None:
        """What a case draws first; None if nothing can be shown.

        Raises:
            Unreadable: an exact law is broken, so that nothing could be read.
        """
        return None

    def demonstrate(self, case: Case, law: str, seed: int) -> str:
        """Source of a Python function `show(backend)` that prints how a law fares in a case.

        Raises:
            UsageError: no script can show that.
        """
        raise UsageError(f"suite {self.name} has no scripts that reproduce a fault")

    def likely_causes(self, findings: Sequence[Any]) -> list[tuple[float, Cause]]:
        """Known faults that resemble what the findings show, most alike first, and how alike they are, from 0 to 1."""
        return []

    def accounts(self, seen: Sequence[Any], broken: frozenset[str]) -> Iterable[Any]:
        """How hypotheses fare on the evidence that there is, each as a `Told`.

        Args:
            seen: all findings, each with what its cases gave, as `Seen` has it.
            broken: the ids of those that failed.
        """
        return ()

    def questions(self, seen: Sequence[Any], can: Callable[[Case], bool]) -> Iterable[Case]:
        """Cases to draw for a diagnosis; what each has for `findings` are ids that name a hypothesis for a law.

        Args:
            seen: findings that failed, each with what its cases gave.
            can: whether the backend can be asked a case.
        """
        return ()

    def explains(self, hypothesis: Hypothesis, account: Any, seen: Any) -> bool:
        """Whether a hypothesis, accepted with this account of the same operator, explains a finding."""
        return seen.finding.family in hypothesis.laws

    def where(self, findings: Sequence[Any], places: Sequence[Any]) -> str:
        """How a sentence about a cause goes on: where it is so, from what it explains and where it was tested."""
        return f", in {' and '.join(dict.fromkeys(finding.op for finding in findings))}"

    # What follows is the harness's own.

    @property
    def by_name(self) -> dict[str, Law]:
        """The laws by their names, in the suite's order."""
        return {law.name: law for law in self.laws}

    @property
    def asked(self) -> dict[str, Law | Hypothesis]:
        """What may look at a sample, by name."""
        return {**self.by_name, **{one.name: one for one in self.hypotheses}}

    def weight(self, law: str) -> float:
        """A law's share of the error budget."""
        return self.weights.get(law, 0.0) if self.weights else 1 / len(self.laws)

    def cases(self, profile: str) -> tuple[Case, ...]:
        """The plan of a profile, made once."""
        return _cases(self, profile)

    def promises(self, profile: str) -> Mapping[str, Promise]:
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
            self.cases(profile)
        except Exception as error:  # foreign code may raise anything
            raise NoVerdictError(f"suite {self.name}: its plan of '{profile}' raised {told(error)}") from error
        return _promises(self, profile)


@functools.cache
def _cases(suite: Suite, profile: str) -> tuple[Case, ...]:
    return tuple(suite.plan(profile))


@functools.cache
def _promises(suite: Suite, profile: str) -> Mapping[str, Promise]:
    cases: dict[str, list[Case]] = {}
    for case in suite.cases(profile):
        for finding in case.findings:
            cases.setdefault(finding, []).append(case)
    ids = {text: FindingId.parse(text) for text in cases}
    count = Counter(id.family for id in ids.values())
    return {
        text: Promise(id, suite.weight(id.family) / count[id.family], tuple(cases[text]), len(cases[text]))
        for text, id in ids.items()
    }


@functools.cache  # it is asked for with each finding
def default_suite() -> str:
    """The name of the suite that is meant where none is named: what keeprate's own distribution says."""
    return installed("keeprate.defaults")["suite"]


@functools.cache
def load_suite(name: str) -> Suite:
    """The suite of a name.

    Args:
        name: an entry point of the group `keeprate.suites`, or a class or object in a module or file.

    Raises:
        UsageError: there is none.
        NoVerdictError: it can't be loaded, or is no suite.
    """
    found = find(name, group="keeprate.suites", kind="suite")
    if isinstance(found, ModuleType):
        found = getattr(found, "suite", found)
    if not isinstance(found, Suite):
        raise NoVerdictError(
            f"suite {name}: {shown(found)} is not a keeprate.suite.Suite; a module or file must define one as `suite`"
        )
    absent = [text for text in ("name", "laws") if not hasattr(found, text)]
    if absent:
        raise NoVerdictError(f"suite {name} lacks {', '.join(absent)}, which every suite must have")
    if not (isinstance(found.laws, Sequence) and found.laws and all(isinstance(item, Law) for item in found.laws)):
        raise NoVerdictError(f"suite {name}: laws = {shown(found.laws)} is not a list of laws, as `law` makes them")
    return found
