"""What is asked of a backend, checked before anything runs; and, once it is known what it offers, the jobs for that."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Integral
from pathlib import Path

from keeprate.harness.errors import UsageError
from keeprate.harness.judging.known import Known, known_beside, read_known
from keeprate.harness.protocol.backend import LACKS, Offer
from keeprate.harness.protocol.case import ANY, Case, FindingId, Promise, narrowed
from keeprate.harness.protocol.engine import Job
from keeprate.harness.protocol.lookup import similar
from keeprate.harness.protocol.source import locate
from keeprate.harness.protocol.suite import PROFILES, Suite, default_suite, load_suite
from keeprate.harness.workers.resources import USUAL, Resources

ALPHA = 1e-6
KNOWN = "the list of known deviations"  # among the files of a request
SMALLEST = 1e-290  # a 10⁻¹⁵th of it is still a number, and the smallest share is larger


@dataclass(frozen=True)
class Request:
    """What is to be judged, all of it checked; a verdict follows from this, the backend and nothing else.

    Args:
        plan: every promise of the profile, by the id of its finding.
        promises: those of them that were chosen, with the cases that were chosen.
        reference: the backend that is judged first; empty for none.
        known_of_reference: its known deviations.
        dtypes: those that were chosen; empty for all.
        again: the line of Python that runs it again, where the backend is an object; empty for `judge`'s own.
        left_out: what the caller asked not to judge, in words.
        resources: what was granted; no verdict depends on it, but the command that runs a finding again repeats it.
    """

    suite: Suite
    suite_name: str
    backend: str
    profile: str
    alpha: float
    seed: int
    plan: Mapping[str, Promise]
    promises: Mapping[str, Promise]
    known: Known
    reference: str = ""
    known_of_reference: Known = field(default_factory=Known)
    dtypes: tuple[str, ...] = ()
    resources: Resources = USUAL
    again: str = ""
    left_out: tuple[str, ...] = ()

    @property
    def names(self) -> set[str]:
        """Every name of a backend that the plan could use, or a known deviation depends on."""
        cases = [case for promise in self.plan.values() for case in promise.cases]
        conditions = self.known.conditions | self.known_of_reference.conditions
        return {case.op for case in cases} | {name for case in cases for name in case.needs} | conditions

    @property
    def is_whole(self) -> bool:
        """Whether all that the plan has is asked for."""
        return self.promises == self.plan

    def files(self) -> dict[str, Path]:
        """What it was read from, by what each file is; nothing may be written there."""
        sources = {"the suite": locate(self.suite_name, "keeprate.suites"), "the backend": locate(self.backend)}
        files = {what: source.path for what, source in sources.items() if source}
        return files | ({KNOWN: Path(self.known.path)} if self.known.path else {})

    def alone(self) -> Request:
        """The same request, with the reference neither loaded nor judged."""
        return replace(self, reference="")

    def judges_reference(self, case: Case) -> bool:
        """Whether the reference is judged in `case` too: where there is one, and the plan asks for it."""
        return bool(self.reference) and case.reference_draws is not None

    def given(self, offer: Offer, beside: Offer | None = None) -> Given:
        """What of it can be asked of a backend that offers this, beside a reference."""
        return Given(self, offer, beside)

    def among(self, promises: Mapping[str, Promise]) -> Request:
        """The same request about `promises` alone."""
        return replace(self, promises=promises)

    def replay(self, finding: str, *, ended: bool = False) -> str:
        """The command line that runs `finding` again, exactly; of one that ended in an error it says so."""
        pooled = finding in self.plan and len(self.promises[finding].cases) < len(self.plan[finding].cases)
        dtypes = self.dtypes if pooled else ()  # elsewhere the id says which
        if self.again:
            return self.again
        if not self.backend:
            return python_line(self.seed, self.profile, self.alpha, dtypes, self.resources.device)
        return command_line(
            finding if finding in self.plan else "",
            backend=self.backend,
            seed=self.seed,
            profile=self.profile,
            alpha=self.alpha,
            dtypes=",".join(dtypes),
            suite=self.suite_name,
            case_timeout=self.resources.case_timeout,
            memory=self.resources.memory,
            device=self.resources.device,
            ended=ended,
        )


@dataclass(frozen=True)
class Given:
    """A request, and what it was asked of offers: all that can be judged, before anything was run.

    Args:
        beside: what the reference offers; None where it isn't judged.
        drawn: ids of cases that were drawn before, which count whatever the backend offers now.
    """

    request: Request
    offer: Offer
    beside: Offer | None = None
    drawn: Collection[str] = ()

    def among(self, promises: Mapping[str, Promise]) -> Given:
        """The same about `promises` alone."""
        return replace(self, request=self.request.among(promises))

    def whole(self, drawn: Collection[str]) -> Given:
        """The same about all cases that its promises have in the plan, those among them that were `drawn` before."""
        plan = self.request.plan
        return replace(self.among({text: plan[text] for text in self.request.promises}), drawn=drawn)

    def can(self, case: Case) -> bool:
        """Whether the backend can be asked, or was."""
        return case.id in self.drawn or (case.op in self.offer.names and not self._lacks(case))

    def _lacks(self, case: Case) -> list[str]:
        needed = (*case.needs, *([] if case.dtype == ANY else [case.dtype]))
        return [name for name in needed if not self.offer.has(name, case.op)]

    @cached_property
    def known(self) -> Known:
        """The known deviations that count for this backend."""
        return self.request.known.given(self.offer.names)

    @cached_property
    def known_of_reference(self) -> Known:
        """Those that count for this reference."""
        return self.request.known_of_reference.given(self.beside.names if self.beside else ())

    @cached_property
    def promises(self) -> dict[str, Promise]:
        """Those that were chosen, with the cases that the backend can be asked, or was, if there are any."""
        return {text: promise.only(self.can) for text, promise in self.request.promises.items()}

    @cached_property
    def of_reference(self) -> dict[str, Promise]:
        """The same, with the cases among these in which the reference is judged too."""
        return {text: promise.only(self.request.judges_reference) for text, promise in self.promises.items()}

    def lacking(self, finding: str) -> str:
        """What the backend would need to be asked for `finding`, in words."""
        case, name = next((case, name) for case in self.request.promises[finding].cases for name in self._lacks(case))
        return f"{LACKS}{name}" + (f" for {case.op}" if name in self.offer.only else "")

    def jobs(self, findings: Collection[str] | None = None) -> list[Job]:
        """What is to be run for `findings`, all that were chosen unless given.

        The reference's jobs come first, and of each side the longest. Every law looks at a case, chosen or not, so that
        a finding is the same alone and in the full run. No known deviation ends a case.
        """
        wanted = [self.promises[text] for text in (self.promises if findings is None else findings)]
        cases = {case.id: case for promise in wanted for case in promise.cases}
        beside = filter(self.request.judges_reference, cases.values())
        references = [case.replace(draws=case.reference_draws) for case in beside]
        sides = ("reference", references, self.known_of_reference), ("backend", cases.values(), self.known)
        return [
            Job(role, case, self.request.seed, {text: self._threshold(text, known) for text in case.findings})
            for role, side, known in sides
            for case in sorted(side, key=lambda case: -case.draws)
        ]

    def _threshold(self, finding: str, known: Known) -> float | None:
        promise = self.request.plan[finding]
        if not promise.share or len(promise.cases) > 1 or known.reason(finding) is not None:
            return None
        return promise.threshold(self.request.alpha)


def command_line(
    finding: str,
    *,
    backend: str,
    seed: int,
    profile: str,
    alpha: float,
    dtypes: str = "",
    suite: str = "",
    case_timeout: float | None = None,
    memory: str | None = None,
    device: str | None = None,
    ended: bool = False,
) -> str:
    """What a shell takes to run `finding` again, exactly; empty for what several findings show together: the gate."""
    words = ["keeprate", *(["replay", finding] if finding else ["gate"]), "--backend", backend, "--seed", str(seed)]
    words += ["--profile", profile] if profile != "gate" else []
    words += ["--alpha", repr(alpha)] if alpha != ALPHA else []
    words += ["--dtypes", dtypes] if dtypes else []
    words += ["--suite", suite] if suite and suite != default_suite() else []
    words += ["--case-timeout", repr(case_timeout)] if case_timeout is not None else []
    words += ["--memory", memory] if memory is not None else []
    words += ["--device", device] if device is not None else []
    words += ["--was-error"] if ended and finding else []
    return shlex.join(words)


def python_line(seed: int, profile: str, alpha: float, dtypes: tuple[str, ...] = (), device: str | None = None) -> str:
    """The same where the backend is an object."""
    more = f", alpha={alpha!r}" if alpha != ALPHA else ""
    more += f", dtypes={dtypes!r}" if dtypes else ""
    more += f", device={device!r}" if device is not None else ""
    return f"keeprate.judge(backend, seed={seed}, profile={profile!r}{more})"


def choice(text: str) -> tuple[str, ...]:
    """The names in a text that separates them by commas."""
    return tuple(filter(None, (part.strip() for part in text.split(","))))


def is_whole(value: object) -> bool:
    """True for a whole number of Python or NumPy; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _names(wanted: Iterable[str] | None, option: str) -> tuple[str, ...] | None:
    if wanted is None:
        return None
    if isinstance(wanted, str):
        return choice(wanted)
    names = tuple(wanted) if isinstance(wanted, Iterable) else (wanted,)
    if not all(isinstance(name, str) for name in names):
        raise UsageError(f"{option} = {wanted!r} must be a list of strings, or names separated by commas")
    return names


def _accepted(backend: str, known: str | Path | None) -> Known:
    if known is not None:
        return read_known(known)
    return known_beside(backend) if backend else Known()


def ask(
    backend: str,
    *,
    profile: str = "gate",
    alpha: float = ALPHA,
    seed: int | None = None,
    ops: Iterable[str] | None = None,
    dtypes: Iterable[str] | None = None,
    finding: str | None = None,
    known: str | Path | None = None,
    suite: str | Suite | None = None,
    workers: int | None = None,
    executor: str = "local",
    case_timeout: float | None = None,
    memory: str | None = None,
    device: str | None = None,
) -> Request:
    """Checks what a person asked for, and draws a fresh seed if none was given.

    Args:
        backend: a name; empty for an object.
        finding: the id of the only finding to judge.
        ops, dtypes: what to judge, as names or as a text that separates them by commas; None for all.
        known: the path of a list of known deviations; None for the one beside the adapter.
        suite: what to judge by, a name; or an object, where no command is to repeat it; None for keeprate's own.
        workers, executor, case_timeout, memory, device: what the run is granted, as in `Resources`.

    Raises:
        UsageError: an option names what doesn't exist, or is out of range.
    """
    if not isinstance(alpha, int | float):
        raise UsageError(f"alpha = {alpha!r} is not a number between 0 and 1")
    if 0 < alpha < SMALLEST:
        raise UsageError(
            f"alpha = {alpha!r} is below {SMALLEST}: smaller values underflow when they are divided among findings"
        )
    if not 0 < alpha < 1:
        raise UsageError(
            f"alpha = {alpha!r} is not between 0 and 1: it bounds the probability that a conforming backend fails"
        )
    if seed is not None and not (is_whole(seed) and 0 <= seed < 2**63):
        raise UsageError(f"seed = {seed!r} is not a whole number from 0 to 2**63 - 1")
    ops, dtypes = _names(ops, "ops"), _names(dtypes, "dtypes")
    suite = default_suite() if suite is None else suite
    loaded = load_suite(suite) if isinstance(suite, str) else suite
    promises = loaded.promises(profile)
    cases = [case for promise in promises.values() for case in promise.cases]
    _exist(ops, "ops", "operator", {case.op for case in cases})
    _exist(dtypes, "dtypes", "dtype", {case.dtype for case in cases} - {ANY})
    if finding is not None and finding not in promises:
        try:
            FindingId.parse(finding)  # says so if it isn't an id at all
        except UsageError as error:
            raise UsageError(f"{error}, as in {next(iter(promises))}") from None
        raise UsageError(f"no finding '{finding}' in the plan of '{profile}'.{_elsewhere(finding, loaded, promises)}")
    chosen = narrowed(promises, ops or (), dtypes or ())
    if finding is not None:
        chosen = {text: promise for text, promise in chosen.items() if text == finding}
    if finding is not None and not chosen:
        raise UsageError(f"finding '{finding}' was not judged in these dtypes: {', '.join(dtypes or ())}")
    return Request(
        loaded,
        suite if isinstance(suite, str) else suite.name,
        backend,
        profile,
        alpha,
        secrets.randbits(31) if seed is None else int(seed),
        promises,
        chosen,
        _accepted(backend, known),
        loaded.reference,
        known_beside(loaded.reference) if loaded.reference else Known(),
        dtypes or (),
        Resources(workers, executor, case_timeout, memory, device),
    )


def _elsewhere(finding: str, suite: Suite, promises: Collection[str]) -> str:
    """The strongest profile that has a finding which this one lacks, or which of its own is most like it."""
    for profile in reversed(PROFILES):
        if finding in suite.promises(profile):
            return f" --profile {profile} has it"
    return similar(finding, promises)


def _exist(wanted: Collection[str] | None, option: str, kind: str, existing: set[str]) -> None:
    if wanted is not None and not wanted:
        raise UsageError(f"{option} names no {kind}; leave it out to judge all")
    for name in wanted or ():
        if name not in existing:
            raise UsageError(
                f"no {kind} named '{name}'.{similar(name, existing)} There are: {', '.join(sorted(existing))}"
            )
