"""Decides over all findings under one error budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from keeprate.harness.judging.diagnosis import Cause
from keeprate.harness.judging.finding import Finding
from keeprate.harness.judging.known import no_longer_seen
from keeprate.harness.protocol.case import ANY
from keeprate.harness.protocol.description import Cause as Fault
from keeprate.harness.protocol.law import Law
from keeprate.harness.protocol.suite import Suite

WATCHED = 5  # kept promises, at most, that are worth watching


def verdict_of(statuses: Collection[str], failed: bool, failing: int) -> Literal["conforms", "broken", "none"]:
    """`none` if the reference failed or nothing was judged; `broken` if an unknown deviation was found.

    Args:
        statuses: of all findings.
        failed: whether the reference broke something.
        failing: findings that are broken, or ended in an error, and are not known to.
    """
    if failed or not set(statuses) - {"not_implemented", "not_offered"}:
        return "none"
    return "broken" if failing else "conforms"


@dataclass(frozen=True)
class Unasked:
    """What of an operator no run of a ledger was asked for, and nothing was drawn of.

    Args:
        dtypes: those that no run was asked for; none where it is not the dtypes that are lacking.
        whole: it is all of the operator.
    """

    op: str
    dtypes: tuple[str, ...] = ()
    whole: bool = False

    def to_json(self) -> dict[str, Any]:
        """As it stands in the public JSON."""
        return {"op": self.op, "dtypes": list(self.dtypes), "whole": self.whole}


def told(
    backend: str,
    statuses: Collection[str],
    failing: int,
    *,
    failed: bool,
    unseen: int = 0,
    waiting: int = 0,
    left_out: Collection[str] = (),
    unasked: Collection[Unasked] = (),
) -> str:
    """The verdict in a sentence; the arguments are those of `verdict_of` and of `Decision`."""
    if verdict_of(statuses, failed, failing) == "none":
        return "No verdict: " + ("the reference failed." if failed else "nothing was judged.")
    count = Counter(statuses)
    kept, judged = count["kept"], count["kept"] + count["broken"] + count["error"]
    known = judged - kept - failing
    accepted = f", {known:,} known deviation{'s' if known > 1 else ''} apart" if known else ""
    ended = count["error"]
    errors = f" {ended:,} ended in {'errors' if ended > 1 else 'an error'}." if ended else ""
    early = f" It stopped at the first that broke: {unseen:,} more were not judged." if unseen else ""
    so_far = " so far" if waiting else ""
    wait = f"; {waiting:,} of {judged + waiting:,} wait to be looked at" if waiting else ""
    apart = f" Left out, as asked: {', '.join(left_out)}." if left_out else ""
    which = " asked for" if unasked and not waiting else ""
    return f"{backend} keeps {kept:,} of {judged:,} promises{which}{so_far}{accepted}{wait}.{errors}{early}{apart}"


def never_asked(unasked: Collection[Unasked]) -> str:
    """What no run was asked for, in words: whole operators first, then dtypes of others."""
    parts: dict[str, list[str]] = {}
    for one in sorted(unasked, key=lambda one: not one.whole):
        what = "" if one.whole else f"{_listed(one.dtypes)} of " if one.dtypes else "the rest of "
        parts.setdefault(what, []).append(one.op)
    return "; ".join(what + _listed(ops) for what, ops in parts.items())


def _listed(names: Collection[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


@dataclass(frozen=True)
class Decision:
    """What a run found; iterable over its findings.

    Args:
        backend: name, version, device, and whether it was judged in a process of its own.
        reference: the same of the reference, and what it broke.
        environment: versions that the results may depend on.
        profile, alpha, seed: as asked for; the seed as drawn if none was.
        findings: in the order of the plan.
        suite: what it was judged by, for the words in messages.
        pictures: what broken findings look like, by id, as `keeprate.harness.judging.pictures` makes them.
        run: what differs between two runs of one seed: times, workers, host.
        lasting: whether it is over all that a ledger holds of this version.
        causes: what was found to lie behind what failed, that which explains most first.
        waiting: promises of which a ledger holds nothing so far, by operator and law, as `op/law`.
        unseen: promises that were not looked at to the end, for the run stopped at the first that broke.
        left_out: what the caller asked not to judge, in words.
        unasked: what no run of a ledger was asked for; it doesn't wait, and nothing is said of it but that.
    """

    backend: dict[str, Any]
    reference: dict[str, Any]
    environment: dict[str, str]
    profile: str
    alpha: float
    seed: int
    findings: tuple[Finding, ...]
    suite: Suite
    run: dict[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    lasting: bool = False
    causes: tuple[Cause, ...] = ()
    waiting: Mapping[str, int] = field(default_factory=dict)
    unseen: int = 0
    left_out: tuple[str, ...] = ()
    unasked: tuple[Unasked, ...] = ()

    @property
    def laws(self) -> Mapping[str, Law]:
        """The laws behind the findings, by name."""
        return self.suite.by_name

    @property
    def verdict(self) -> Literal["conforms", "broken", "none"]:
        """`none` if the reference failed or nothing was judged; `broken` if an unknown deviation was found."""
        return verdict_of(self._statuses, bool(self.reference["failures"]), len(self.failing))

    @property
    def _statuses(self) -> list[str]:
        return [finding.status for finding in self.findings]

    @property
    def conforms(self) -> bool:
        """True if every promise that was judged is kept, or its breaking is a known deviation."""
        return self.verdict == "conforms"

    @cached_property
    def families(self) -> dict[str, list[Finding]]:
        """What fails by its law, in the order of telling: causes before what follows from them.

        Plain calls come first, and in them what needs no statistics, in the order of the suite's laws: one that breaks
        others stands before them. An error may only say that there was nothing to read, so what is seen to be wrong
        goes before it. What findings show together comes last.
        """
        order, families = list(self.laws), dict[str, list[Finding]]()

        def precedence(finding: Finding) -> tuple[bool, int, bool, int]:
            seen_to_be_wrong = finding.status == "broken" and finding.effect is None
            rank = self.suite.rank(finding.context)
            return finding.op == ANY, rank, not seen_to_be_wrong, order.index(finding.family)

        for finding in sorted((finding for finding in self.findings if finding.fails), key=precedence):
            families.setdefault(finding.family, []).append(finding)
        return families

    @cached_property
    def explained_by(self) -> dict[str, Cause]:
        """The cause of each finding that has one, by id."""
        return {text: cause for cause in self.causes for text in cause.explains}

    @property
    def failing(self) -> list[Finding]:
        """The same, law by law."""
        return [finding for group in self.families.values() for finding in group]

    @property
    def unexplained(self) -> dict[str, list[Finding]]:
        """What fails and has no cause that was found, law by law."""
        left = {
            law: [finding for finding in group if finding.id not in self.explained_by]
            for law, group in self.families.items()
        }
        return {law: group for law, group in left.items() if group}

    @property
    def leads(self) -> list[Finding]:
        """Of each law that failed the finding that is told in full."""
        return [group[0] for group in self.families.values()]

    @cached_property
    def watched(self) -> list[Finding]:
        """Kept promises with the most evidence against them, if it is much."""
        kept = [(item.effect.part, item) for item in self.findings if item.is_suspect and item.effect]
        return [finding for _, finding in sorted(kept, key=lambda pair: -pair[0])[:WATCHED]]

    @cached_property
    def mended(self) -> list[list[Finding]]:
        """Known deviations that are no longer seen, each with those that hold or break together with it.

        None where not all was looked at: what is left may show them.
        """
        groups = [] if self.unseen else no_longer_seen(self.findings)
        open_ = {*self.waiting, *(f"{one.op}/{law}" for one in self.unasked for law in self.laws)}
        return [group for group in groups if not any(f"{one.op}/{one.family}" in open_ for one in group)]

    @property
    def sentence(self) -> str:
        """The verdict in a sentence."""
        failed, waiting = bool(self.reference["failures"]), sum(self.waiting.values())
        return told(
            self.backend["name"],
            self._statuses,
            len(self.failing),
            failed=failed,
            unseen=self.unseen,
            waiting=waiting,
            left_out=self.left_out,
            unasked=self.unasked,
        )

    @property
    def likely_causes(self) -> list[tuple[float, Fault]]:
        """Known faults that break the same laws, most alike first, and how alike they are; a guess.

        None where a cause was found, and where errors, or calls that raised, are all there is: each says what happened.
        """
        if self.causes:
            return []
        own = [finding for finding in self.findings if finding.known is None and finding.op != ANY]
        return self.suite.likely_causes(own)

    @property
    def exit_code(self) -> int:
        """0 conforms, 1 broken, 3 no verdict."""
        return {"conforms": 0, "broken": 1, "none": 3}[self.verdict]

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)
