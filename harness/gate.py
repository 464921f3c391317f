"""Judges a backend, from its name to its verdict: the one road behind the command line, pytest and `judge`."""

from __future__ import annotations

import difflib
import importlib.metadata
import os
import platform
import secrets
import shlex
import socket
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.backend import Offer
from harness.case import ANY, Case, FindingId, Promise
from harness.engine import Job, Result
from harness.errors import UsageError
from harness.finding import Finding, decide, outcome, unjudged
from harness.known import Known, read_known
from harness.suite import Suite, load_suite
from harness.verdict import Verdict
from harness.workers import Children, InProcess, Runner

DEFAULT_SUITE = "dropout"
ALPHA = 1e-6


@dataclass(frozen=True)
class Question:
    """What is to be judged, all of it checked; a verdict follows from this, the backend and nothing else.

    Args:
        plan: every promise of the profile, by the id of its finding.
        promises: those of them that were chosen, with the cases that were chosen.
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

    @property
    def names(self) -> set[str]:
        """Every name of a backend that the plan could use."""
        cases = [case for promise in self.promises.values() for case in promise.cases]
        return {case.op for case in cases} | {name for case in cases for name in case.needs}

    def among(self, promises: Mapping[str, Promise]) -> Question:
        """The same question about `promises` alone."""
        return replace(self, promises=promises)

    def replay(self, finding: str) -> str:
        """The command line that runs `finding` again, exactly."""
        if not self.backend:
            return f"keeprate.judge(backend, seed={self.seed}, profile={self.profile!r})"
        words = ["keeprate", "replay", finding, "--backend", self.backend, "--seed", str(self.seed)]
        words += ["--profile", self.profile] if self.profile != "gate" else []
        words += ["--alpha", repr(self.alpha)] if self.alpha != ALPHA else []
        words += ["--suite", self.suite_name] if self.suite_name != DEFAULT_SUITE else []
        return shlex.join(words)


def ask(
    backend: str,
    *,
    profile: str = "gate",
    alpha: float = ALPHA,
    seed: int | None = None,
    ops: Collection[str] | None = None,
    dtypes: Collection[str] | None = None,
    finding: str | None = None,
    known: str | Path | None = None,
    suite: str = DEFAULT_SUITE,
) -> Question:
    """Checks what a person asked for, and draws a fresh seed if none was given.

    Args:
        backend: a name; empty for an object.
        finding: the id of the only finding to judge.
        ops, dtypes: what to judge; None for all.

    Raises:
        UsageError: an option names what doesn't exist, or is out of range.
    """
    if not 0 < alpha < 1:
        raise UsageError(f"alpha = {alpha!r} is not between 0 and 1: it is the chance that a faithful backend fails")
    if seed is not None and not 0 <= seed < 2**63:
        raise UsageError(f"seed = {seed!r} is not a whole number from 0 to 2**63 - 1")
    loaded = load_suite(suite)
    promises = loaded.promises(profile)
    cases = [case for promise in promises.values() for case in promise.cases]
    _exist(ops, "operator", {case.op for case in cases})
    _exist(dtypes, "dtype", {case.dtype for case in cases} - {ANY})
    if finding is not None and finding not in promises:
        FindingId.parse(finding)  # says so if it isn't an id at all
        raise UsageError(f"no finding '{finding}' in the plan of '{profile}'.{_similar(finding, promises)}")
    chosen = {}
    for text, promise in promises.items():
        looks = tuple(case for case in promise.cases if not dtypes or case.dtype in (*dtypes, ANY))
        if looks and (not ops or promise.id.op in ops) and finding in (None, text):
            chosen[text] = replace(promise, cases=looks)
    return Question(
        loaded,
        suite,
        backend,
        profile,
        alpha,
        secrets.randbits(31) if seed is None else seed,
        promises,
        chosen,
        read_known(known) if known else Known(),
    )


def _exist(wanted: Collection[str] | None, kind: str, existing: set[str]) -> None:
    for name in wanted or ():
        if name not in existing:
            raise UsageError(
                f"no {kind} named '{name}'.{_similar(name, existing)} There are: {', '.join(sorted(existing))}"
            )


def _similar(name: str, existing: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, existing, n=1)
    return f" Did you mean {close[0]}?" if close else ""


def _offered(promise: Promise, offer: Offer) -> list[Case]:
    return [
        case
        for case in promise.cases
        if case.op in offer.names and case.dtype in (*offer.dtypes, ANY) and set(case.needs) <= set(offer.names)
    ]


def _lacking(promise: Promise, offer: Offer) -> str:
    needs = {name for case in promise.cases for name in case.needs if name not in offer.names}
    return "the backend has no " + ", ".join(sorted(needs) or sorted({case.dtype for case in promise.cases}))


def jobs(question: Question, offer: Offer, findings: Collection[str] | None = None) -> list[Job]:
    """What is to be run for `findings` (all that were chosen): the reference's jobs first, the longest first in each.

    Every law looks at a case, chosen or not, so that a finding is the same alone and in the full run.
    """
    wanted = question.promises if findings is None else {text: question.promises[text] for text in findings}
    cases = {case.id: case for promise in wanted.values() for case in _offered(promise, offer)}
    references = [case.for_reference() for case in cases.values()] if question.suite.reference else []
    return [
        Job(role, case, question.seed, {text: _threshold(question, text) for text in case.findings})
        for role, side in (("reference", references), ("backend", cases.values()))
        for case in sorted(side, key=lambda case: -case.draws)
    ]


def _threshold(question: Question, finding: str) -> float | None:
    promise = question.plan[finding]
    return promise.threshold(question.alpha) if promise.share and len(promise.cases) == 1 else None


class Docket:
    """Results as they come: a finding is concluded as soon as its last case is in, while the others still run."""

    def __init__(self, question: Question, offer: Offer) -> None:
        self._question, self._offer = question, offer
        self._results: dict[str, dict[str, Result]] = {"reference": {}, "backend": {}}
        roles = ("reference", "backend") if question.suite.reference else ("backend",)
        self._missing = {
            text: {(role, case.id) for role in roles for case in _offered(promise, offer)}
            for text, promise in question.promises.items()
        }
        self._concluded: dict[str, tuple[Finding, str]] = {}

    def add(self, result: Result) -> None:
        """Takes one result, and concludes the findings that waited for it alone."""
        self._results[result.role][result.case] = result
        for text in {*result.evidence, *result.unreadable, *result.not_offered} & self._missing.keys():
            self._missing[text].discard((result.role, result.case))
            if not self._missing[text]:
                self.conclude(text)

    def conclude(self, text: str) -> tuple[Finding, str]:
        """One finding, and what the reference breaks in its place (empty if nothing)."""
        if text not in self._concluded:
            self._concluded[text] = judged(self._question, self._offer, text, self._results)
        return self._concluded[text]


def judged(
    question: Question, offer: Offer, text: str, results: Mapping[str, Mapping[str, Result]]
) -> tuple[Finding, str]:
    """One finding, and what the reference breaks in its place (empty if nothing)."""
    promise = question.promises[text]
    failure = ""
    if promise.id.op not in offer.names:
        finding = unjudged(promise, "not_implemented", f"the backend has no {promise.id.op}")
    elif not (cases := _offered(promise, offer)):
        finding = unjudged(promise, "not_offered", _lacking(promise, offer))
    else:
        looks = replace(promise, cases=tuple(cases))
        finding = decide(looks, results["backend"], question.alpha)
        if question.suite.reference:
            status, why = outcome(looks, results["reference"], question.alpha)
            failure = "" if status == "kept" else f"{text}: {status}, {why}"
    return replace(finding, known=question.known.reason(text), replay=question.replay(text)), failure


def conclude(
    question: Question,
    offers: tuple[Offer, Offer | None],
    docket: Docket,
    run: dict[str, Any],
    *,
    isolated: bool,
) -> Verdict:
    """The verdict that follows from the results of all jobs, in whatever order they came."""
    offer, reference = offers
    pairs = [docket.conclude(text) for text in question.promises]
    failures = [failure for _, failure in pairs if failure]
    return Verdict(
        backend={**_described(offer), "isolated": isolated},
        reference={**_described(reference), "failures": failures},
        environment=_environment(),
        profile=question.profile,
        alpha=question.alpha,
        seed=question.seed,
        findings=tuple(finding for finding, _ in pairs),
        laws=question.suite.laws,
        headline=question.suite.headline,
        run=run,
    )


def _described(offer: Offer | None) -> dict[str, Any]:
    if offer is None:
        return {"name": "", "version": "", "device": ""}
    return {"name": offer.name, "version": offer.version, "device": offer.device}


def no_verdict(question: Question, reason: str) -> Verdict:
    """The verdict of a run that could not begin, because of `reason`."""
    nobody = {"name": question.backend, "version": "", "device": "", "isolated": True}
    reference = {"name": question.suite.reference, "version": "", "device": "", "failures": []}
    return Verdict(
        nobody,
        reference,
        _environment(),
        question.profile,
        question.alpha,
        question.seed,
        (),
        question.suite.laws,
        question.suite.headline,
        {"error": reason},
    )


def _environment() -> dict[str, str]:
    return {
        "keeprate": importlib.metadata.version("keeprate"),
        "python": platform.python_version(),
        "numpy": importlib.metadata.version("numpy"),
        "scipy": importlib.metadata.version("scipy"),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def runner_for(question: Question, workers: int | None) -> Children:
    """Child processes for a backend that has a name; all cores unless `workers` says how many.

    Raises:
        UsageError: `workers` is less than 1.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"workers = {workers} is less than 1")
    count = workers or cores()
    return Children(question.backend, question.suite_name, question.names, count)


def answer(question: Question, runner: Runner, progress: Callable[[int, int], None] | None = None) -> Verdict:
    """Runs everything that `question` asks, calling `progress(done, all)` on the way.

    Raises:
        UsageError: there is no such backend.
        NoVerdictError: the backend or the reference can't be loaded.
    """
    started = time.monotonic()
    try:
        offers = runner.offers()
        todo = jobs(question, offers[0])
        docket = Docket(question, offers[0])
        for number, result in enumerate(runner.map(todo), start=1):
            docket.add(result)
            if progress:
                progress(number, len(todo))
    finally:
        runner.close()
    run = run_of(started, runner.count)
    return conclude(question, offers, docket, run, isolated=runner.isolated)


def run_of(started: float, workers: int) -> dict[str, Any]:
    """What differs between two runs of one seed; `started` is what `time.monotonic` said at the beginning."""
    seconds = time.monotonic() - started
    return {
        "seconds": round(seconds, 3),
        "workers": workers,
        "host": socket.gethostname(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds)),
    }


def judge(
    backend: Any,
    *,
    profile: str = "gate",
    alpha: float = ALPHA,
    seed: int | None = None,
    ops: Collection[str] | None = None,
    dtypes: Collection[str] | None = None,
    known: str | Path | None = None,
    workers: int | None = None,
) -> Verdict:
    """Judges a backend against PyTorch.

    Args:
        backend: a name as on the command line (judged in child processes), or an object (judged in this process).
        profile: `quick` or `gate`: how small a departure is caught.
        alpha: the probability, at most, that a backend that keeps every promise fails.
        seed: from 0 to 2**63 - 1; a fresh one unless given.
        ops, dtypes: names of what to judge; all unless given.
        known: the path of a list of known deviations.
        workers: child processes; one for each core unless given.

    Returns:
        The verdict: `.conforms`, `.to_json()`, iterable over its findings, readable as `str()`.

    Raises:
        UsageError: a name, file or option that doesn't exist or is out of range.
        NoVerdictError: the backend or the reference can't be loaded.
    """
    name = backend if isinstance(backend, str) else ""
    question = ask(name, profile=profile, alpha=alpha, seed=seed, ops=ops, dtypes=dtypes, known=known)
    runner = runner_for(question, workers) if name else InProcess(backend, question.suite, question.names)
    return answer(question, runner)
