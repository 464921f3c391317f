"""Judges a backend, from a request to its verdict: the one road behind the command line, pytest and `judge`."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from keeprate.harness.errors import NoVerdictError, UsageError
from keeprate.harness.evidence.check import Check
from keeprate.harness.judging.diagnosis import causes_of
from keeprate.harness.judging.durations import by_study
from keeprate.harness.judging.finding import Finding, Status, decide, ended, outcome, unjudged
from keeprate.harness.judging.pictures import pictures
from keeprate.harness.judging.request import ALPHA, Given, Request, ask
from keeprate.harness.judging.together import together
from keeprate.harness.judging.verdict import Verdict
from keeprate.harness.protocol.backend import LACKS, Offer
from keeprate.harness.protocol.description import AdapterCheck
from keeprate.harness.protocol.engine import Result
from keeprate.harness.protocol.runner import Runner
from keeprate.harness.workers.cluster import SCHEME, Cluster
from keeprate.harness.workers.limits import counted, limits
from keeprate.harness.workers.machine import environment
from keeprate.harness.workers.pool import Children, InProcess
from keeprate.harness.workers.resources import Resources

Progress = Callable[[int, int], None]  # called with the cases done and all


class Judged(NamedTuple):
    """A finding beside what the reference does in its place.

    Args:
        breaks: what the reference breaks there; empty if nothing.
        known: why it is known to, or None.
    """

    finding: Finding
    breaks: str
    known: str | None

    @property
    def failure(self) -> str:
        """What takes the verdict away; empty if nothing."""
        return self.breaks if self.known is None else ""


class Docket:
    """Results as they come: a finding is concluded as soon as its last case is in, while the others still run.

    Attributes:
        results: what came so far, by role and by the case's id.
    """

    def __init__(self, given: Given, results: Iterable[Result] = ()) -> None:
        self.given = given
        self.results: dict[str, dict[str, Result]] = {"reference": {}, "backend": {}}
        for result in results:  # those that are there already, of which nothing is concluded unless it is asked for
            self.results[result.role][result.case] = result
        self._missing = {
            text: {("backend", case.id) for case in promise.cases}
            | {("reference", case.id) for case in given.of_reference[text].cases}
            for text, promise in given.promises.items()
        }
        self._concluded: dict[str, Judged] = {}

    def add(self, result: Result) -> None:
        """Takes one result, and concludes the findings that waited for it alone."""
        self.results[result.role][result.case] = result
        place = result.role, result.case
        for text in {*result.evidence, *result.unreadable, *result.not_offered} & self._missing.keys():
            if place in self._missing[text]:
                self._missing[text].remove(place)
                if not self._missing[text]:
                    self.conclude(text)

    def all(self) -> Iterator[Result]:
        """What every case gave so far, the reference's as well."""
        return chain.from_iterable(side.values() for side in self.results.values())

    def conclude(self, text: str) -> Judged:
        """One finding, and what the reference breaks in its place."""
        if text not in self._concluded:
            self._concluded[text] = judged(self.given, text, self.results)
        return self._concluded[text]


def judged(given: Given, text: str, results: Mapping[str, Mapping[str, Result]]) -> Judged:
    """One finding, and what the reference breaks in its place."""
    request, promise, beside = given.request, given.promises[text], given.of_reference[text]
    failure = ""
    if promise.id.op not in given.offer.names:
        finding = unjudged(request.promises[text], "not_implemented", f"{LACKS}{promise.id.op}")
    elif not promise.cases:
        finding = unjudged(request.promises[text], "not_offered", given.lacking(text))
    else:
        finding = decide(promise, results["backend"], request.alpha)
        if beside.cases:
            status, why = outcome(beside, results["reference"], request.alpha)
            failure = "" if status == "kept" else f"{text}: {status}, {why}"
    wrong = finding.evidence.share if isinstance(finding.evidence, Check) else 0.0
    finding = replace(
        finding,
        known=given.known.reason(text, wrong),
        replay=request.replay(text, ended=ended(finding.status, finding.detail)),
    )
    known = given.known_of_reference.reason(text) if beside.cases else None
    return Judged(finding, failure, known)


def explained(request: Request, finding: Finding, status_of: Callable[[str], Status | None]) -> Finding:
    """`finding`; an error in its place if nothing could be read, and no law that looks at the same cases says why.

    Args:
        status_of: the status of a finding, by id; None for one that nobody asked for, which may say why.
    """
    if finding.status != "unreadable":
        return finding
    beside = {text for case in request.promises[finding.id].cases for text in case.findings} - {finding.id}
    if not {status_of(text) for text in beside}.isdisjoint(("broken", "error", None)):
        return finding
    return finding.unfit(f"{(finding.detail or {}).get('reason')}; yet no other law fails there")


def conclude(docket: Docket, run: dict[str, Any], *, isolated: bool, whole: bool) -> Verdict:
    """The verdict that follows from the results of all jobs, in whatever order they came.

    Args:
        whole: the whole plan was asked for, so that findings are put together as well. What a part shows together is
            another finding for each part: in a ledger these would spend the budget several times.
    """
    given, request = docket.given, docket.given.request
    concluded = [docket.conclude(text) for text in request.promises]
    failures = [one.failure for one in concluded if one.failure]
    statuses = {one.finding.id: one.finding.status for one in concluded}
    findings = tuple(explained(request, one.finding, statuses.get) for one in concluded)
    findings += tuple(together(docket.given, findings)) if whole else ()
    run = {**run, "studies": studies} if (studies := by_study(docket.all(), request.plan)) else run
    return Verdict(
        backend={**_described(given.offer), "isolated": isolated},
        reference={**_described(given.beside), "failures": failures, "known": _known(concluded)},
        environment=environment(),
        profile=request.profile,
        alpha=request.alpha,
        seed=request.seed,
        findings=findings,
        suite=request.suite,
        run={**run, "known": request.known.path} if request.known.path else run,
        left_out=request.left_out,
    )


def _known(concluded: Iterable[Judged]) -> list[str]:
    """The reference's known deviations, of what was asked for, and where they were seen this time."""
    seen: dict[str, list[str]] = {}
    for one in concluded:
        if one.known is not None:
            seen.setdefault(one.known, []).extend(filter(None, [one.breaks]))
    return [
        f"{reason}; " + (f"seen in {len(found):,}, first in {found[0]}" if found else "not seen this time")
        for reason, found in seen.items()
    ]


def _described(offer: Offer | None, name: str = "") -> dict[str, Any]:
    """A side of the verdict; only its name where nothing was loaded."""
    if offer is None:
        return {"name": name, "version": "", "device": ""}
    return {"name": offer.name, "version": offer.version, "device": offer.device}


def no_verdict(request: Request, reason: str) -> Verdict:
    """The verdict of a run that could not begin, because of `reason`."""
    return Verdict(
        backend={**_described(None, request.backend), "isolated": True},
        reference={**_described(None, request.reference), "failures": [], "known": []},
        environment=environment(),
        profile=request.profile,
        alpha=request.alpha,
        seed=request.seed,
        findings=(),
        suite=request.suite,
        run={"error": reason},
    )


def open_children(request: Request, resources: Resources) -> closing[Children]:
    """Child processes of this machine for a backend that has a name, which end with the `with` that this is for.

    Raises:
        UsageError: the workers are less than 1 or out of proportion, or a limit is none.
    """
    count = counted(replace(resources, device=request.resources.device))
    bounds = limits(count, resources)
    alone = request.reference != request.suite.reference
    device = request.resources.device
    return closing(
        Children(request.backend, request.suite_name, request.names, count, bounds, alone=alone, device=device)
    )


def open_runner(request: Request, resources: Resources | None = None) -> closing[Children] | closing[Cluster]:
    """The same, or those of a cluster, as `resources` says, or else the request.

    Raises:
        UsageError: there is no such executor, or no such cluster, or the resources are none.
    """
    resources = resources or request.resources
    if resources.executor == "local":
        return open_children(request, resources)
    if not re.fullmatch(rf"{SCHEME}[^\s/]+:\d+", resources.executor):
        raise UsageError(f"executor '{resources.executor}' is neither local nor dask://HOST:PORT")
    if resources.workers is not None:
        raise UsageError("-n applies to --executor local only: a cluster decides how many workers it has")
    limits(1, resources)  # refused here, and not by each of the cluster's machines
    return closing(Cluster(request.backend, request.suite_name, request.names, resources))


def answer(request: Request, runner: Runner, progress: Progress | None = None) -> Verdict:
    """The verdict on everything that `request` asks, calling `progress(done, all)` on the way.

    Raises:
        UsageError: there is no such backend.
        NoVerdictError: the backend or the reference can't be loaded.
    """
    return answer_in_full(request, runner, progress)[0]


def answer_in_full(request: Request, runner: Runner, progress: Progress | None = None) -> tuple[Verdict, Docket]:
    """The same, and what every case gave.

    Raises:
        UsageError: there is no such backend.
        NoVerdictError: the backend or the reference can't be loaded.
    """
    verdict, docket = answer_in_words(request, runner, progress)
    shown = pictures(docket.given, verdict.leads, docket.results["backend"], runner.picture)
    return replace(verdict, pictures=shown), docket


def answer_in_words(request: Request, runner: Runner, progress: Progress | None = None) -> tuple[Verdict, Docket]:
    """The same without the pictures that a page shows, for which more is drawn.

    Raises:
        UsageError: there is no such backend.
        NoVerdictError: the backend or the reference can't be loaded.
    """
    started = time.monotonic()
    given = accepted(request, runner)
    todo, docket = given.jobs(), Docket(given)
    for number, result in enumerate(runner.map(todo), start=1):
        docket.add(result)
        if progress:
            progress(number, len(todo))
    verdict = conclude(docket, run_of(started, runner.count), isolated=runner.isolated, whole=request.is_whole)
    return diagnosed(verdict, given, docket.results["backend"], runner), docket


def diagnosed(verdict: Verdict, given: Given, results: Mapping[str, Result], runner: Runner) -> Verdict:
    """The same verdict with the causes of what failed, for which more is drawn; nothing where all is kept."""
    causes = causes_of(given, verdict.findings, verdict.failing, results, runner.aside, verdict.backend["name"])
    return replace(verdict, causes=causes)


def accepted(request: Request, runner: Runner) -> Given:
    """The request about what the runner's backend offers.

    Raises:
        UsageError: there is no such backend.
        NoVerdictError: the backend or the reference can't be loaded, or its adapter is at fault.
    """
    given = request.given(*runner.offers())
    refuse_faulty(runner.check(), request.backend or given.offer.name)
    return given


def refuse_faulty(looks: Sequence[AdapterCheck], backend: str) -> None:
    """Refuses a backend whose adapter is at fault, so that the framework is not accused of it.

    Raises:
        NoVerdictError: something is wrong that no law judges.
    """
    for look in looks:
        if look.wrong and not look.law:
            raise NoVerdictError(
                f"backend {backend}: its adapter is at fault, not the framework. {look.what}: "
                f"{look.wrong}{'' if look.wrong.endswith('?') else '.'} "
                f"All that is wrong with it: keeprate check {backend}"
            )


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
    ops: Iterable[str] | None = None,
    dtypes: Iterable[str] | None = None,
    known: str | Path | None = None,
    workers: int | None = None,
    device: str | None = None,
) -> Verdict:
    """Judges a backend, by the suite that keeprate comes with.

    Args:
        backend: a name as on the command line (judged in child processes), or an object (judged in this process).
        profile: `smoke`, `quick`, `gate` or `deep`: how small a departure is caught.
        alpha: upper bound on the probability that a conforming backend fails (the family-wise error rate).
        seed: from 0 to 2**63 - 1; a fresh one unless given.
        ops: operators to judge: names, or a text that separates them by commas; all unless given.
        dtypes: dtypes to judge, in the same way; all unless given.
        known: the path of a list of known deviations; the one beside the adapter, if there is one, unless given.
        workers: child processes; unless given, one for each core, or fewer where memory is short; one for a device.
        device: where the backend computes, one of its `devices`; where it does unless given. An object stays there.

    Returns:
        The verdict: `.conforms`, `.to_json()`, iterable over its findings, readable as `str()`.

    Raises:
        UsageError: a name, file or option that doesn't exist or is out of range.
        NoVerdictError: the backend or the reference can't be loaded.
    """
    name = backend if isinstance(backend, str) else ""
    what: dict[str, Any] = {"profile": profile, "alpha": alpha, "seed": seed, "ops": ops, "dtypes": dtypes}
    request = ask(name, **what, known=known, workers=workers, device=device)
    if not name:
        return answer(request, InProcess(backend, request.suite, request.names, device))
    with open_runner(request) as runner:
        return answer(request, runner)
