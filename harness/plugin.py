"""The gate as plain pytest: one item for each finding, in parallel with pytest-xdist.

Switched on with `-p keeprate.plugin`; without `--backend` it does nothing. Items that share cases are run on one
worker, where the first of them runs the cases of all, in a child process. What the cases gave travels with the first
item's report to the controller, which concludes and writes the JSON.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from keeprate.harness.commands import github
from keeprate.harness.errors import KeeprateError, NoVerdictError, UsageError
from keeprate.harness.files import check_apart, check_writable, write
from keeprate.harness.judging.finding import BAD, Finding, Status
from keeprate.harness.judging.gate import Docket, conclude, diagnosed, explained, no_verdict, refuse_faulty, run_of
from keeprate.harness.judging.pictures import pictures
from keeprate.harness.judging.request import ALPHA, Given, Request, ask, choice
from keeprate.harness.judging.screen import failure_text, verdict_text
from keeprate.harness.judging.verdict import Verdict
from keeprate.harness.protocol.engine import Result
from keeprate.harness.protocol.groups import groups
from keeprate.harness.protocol.suite import PROFILES, default_suite
from keeprate.harness.untrusted_text import for_terminal
from keeprate.harness.workers.limits import limits
from keeprate.harness.workers.pool import Children

SEED = "keeprate_seed"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of `keeprate gate`."""
    group = parser.getgroup("keeprate", "judge a backend (keeprate)")
    group.addoption(
        "--backend", metavar="B", help="the backend: an installed name, package.module[:Object] or file.py[:Object]"
    )
    group.addoption("--profile", default="gate", help=f"the strength, from weakest to strongest: {', '.join(PROFILES)}")
    group.addoption(
        "--alpha", type=float, default=ALPHA, help="upper bound on the probability that a conforming backend fails"
    )
    group.addoption("--seed", type=int, help="seed of the run, to repeat it exactly [a fresh one, printed]")
    group.addoption("--ops", type=choice, help="operators to judge, separated by commas")
    group.addoption("--dtypes", type=choice, help="dtypes to judge, separated by commas")
    group.addoption("--known", metavar="FILE", help="known deviations: one pattern of ids per line, the reason after #")
    group.addoption("--json", type=Path, metavar="FILE", help="write the verdict as JSON")
    group.addoption(
        "--case-timeout",
        type=float,
        metavar="S",
        help="time limit for loading, and for each case, in seconds; a case gets 1 µs more per draw [120]",
    )
    group.addoption("--memory", metavar="SIZE", help="memory limit per worker, as in 4G")
    group.addoption("--device", metavar="D", help="where the backend computes: one of its devices")
    group.addoption("--suite", default=default_suite(), help="the suite of laws")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Registers the gate if a backend is named."""
    option = config.option
    if option.backend is None:
        return
    workerinput = getattr(config, "workerinput", None)  # pytest-xdist sets it in its workers
    try:
        request = ask(
            option.backend,
            profile=option.profile,
            alpha=option.alpha,
            seed=workerinput[SEED] if workerinput else option.seed,
            ops=option.ops,
            dtypes=option.dtypes,
            known=option.known,
            suite=option.suite,
            case_timeout=option.case_timeout,
            memory=option.memory,
            device=option.device,
        )
        if option.json is not None:
            check_writable(option.json)
            check_apart({"--json": option.json}, request.files())
        suite_file = request.files()["the suite"]
        limits(1, request.resources)
    except KeeprateError as error:
        raise pytest.UsageError(str(error)) from None
    gate = Gate(request, suite_file, config) if workerinput else Controller(request, suite_file, config)
    config.pluginmanager.register(gate, "keeprate")
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args = [str(suite_file)]


class Gate:
    """Collects and judges; in the controller and in every worker of pytest-xdist."""

    def __init__(self, request: Request, suite_file: Path, config: pytest.Config) -> None:
        self.request = request
        self.groups = groups(request.promises)
        self._suite_file = suite_file
        self._waiting: defaultdict[str, list[str]] = defaultdict(list)  # items of each group whose cases weren't run
        self._selected: set[str] = set()
        self._fresh: list[Result] = []  # not yet sent
        siblings = getattr(config, "workerinput", {}).get("workercount", 1)
        bounds = limits(siblings, request.resources)  # each has a child, and all share the memory
        device = request.resources.device
        self._runner = Children(request.backend, request.suite_name, request.names, 1, bounds, device=device)

    @cached_property
    def given(self) -> Given:
        """What can be asked; asking for it loads the backend."""
        return self.request.given(*self._runner.offers())

    @cached_property
    def docket(self) -> Docket:
        """What this process has run."""
        return Docket(self.given)

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """The suite's own file stands for its findings."""
        if file_path.resolve() != self._suite_file.resolve():
            return None
        return SuiteFile.from_parent(parent, path=file_path, gate=self)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Notes which items were selected of each group."""
        for item in session.items:
            if isinstance(item, Item):
                self._waiting[self.groups[item.name]].append(item.name)
                self._selected.add(item.name)

    def cheapest_first(self) -> list[str]:
        """The findings, those that are judged together one after another, and single calls before all that draw."""
        suite, promises = self.request.suite, self.request.promises
        cost: dict[str, tuple[int, int]] = {}
        for text, group in self.groups.items():
            draws = sum(case.draws for case in promises[text].cases)
            rank = suite.rank(promises[text].id.context)
            cost[group] = max(cost.get(group, (0, 0)), (draws, rank))
        number = {group: number for number, group in enumerate(cost)}
        return sorted(self.groups, key=lambda text: (cost[self.groups[text]], number[self.groups[text]]))

    def judge(self, item: Item) -> tuple[Finding, str]:
        """The finding of `item`, and what the reference breaks there; runs the cases of its group if need be."""
        if mates := self._waiting.pop(self.groups[item.name], None):
            for result in self._runner.map(self.given.jobs(mates)):
                self.docket.add(result)
                self._fresh.append(result)
        one = self.docket.conclude(item.name)
        return explained(self.request, one.finding, self._status), one.failure

    def _status(self, text: str) -> Status | None:
        """The status of a finding whose cases were run; None for one that was not selected."""
        return self.docket.conclude(text).finding.status if text in self._selected else None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
        """Sends what the cases gave along with the report of the item that ran them."""
        report = yield
        if isinstance(item, Item) and call.when == "call":
            report.keeprate = json.dumps(
                {
                    "finding": item.name,
                    "selected": len(self._selected),
                    "results": [result.to_json() for result in self._fresh],
                }
            )
            self._fresh.clear()
        return report

    def pytest_unconfigure(self) -> None:
        """Ends the child process."""
        self._runner.close()


class Controller(Gate):
    """What only the controller does: the seed, the verdict, where it is written."""

    def __init__(self, request: Request, suite_file: Path, config: pytest.Config) -> None:
        super().__init__(request, suite_file, config)
        self._config = config
        self._started = time.monotonic()
        self._gathered: list[Result] = []
        self._reported: set[str] = set()
        self._chosen = 0  # findings that were selected
        self._lost: dict[str, str] = {}  # findings that pytest could not judge, and why
        self._interrupted = False
        self._verdict: Verdict | None = None
        self._unwritten: list[str] = []

    def pytest_sessionstart(self) -> None:
        """Refuses a backend that can't be loaded, or whose adapter is at fault, before anything is collected."""
        try:
            self.given  # noqa: B018 - asking is what loads it
            refuse_faulty(self._runner.check(), self.request.backend)
        except NoVerdictError as error:
            self._write(no_verdict(self.request, str(error)))
            raise pytest.UsageError("\n".join([str(error), *self._unwritten])) from None
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None

    def pytest_report_header(self) -> str:
        """Names the backend and the seed."""
        request = self.request
        return f"keeprate: judging {request.backend}, profile {request.profile}, seed {request.seed}"

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Hands the seed to a worker."""
        node.workerinput[SEED] = self.request.seed

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Keeps the items that share cases on one worker."""
        from xdist.scheduler import LoadScopeScheduling  # here, for pytest-xdist may be switched off

        by_finding = self.groups

        class ByGroup(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no annotations
            def _split_scope(self, nodeid: str) -> str:
                return by_finding.get(nodeid.partition("::")[2], nodeid)

        return ByGroup(config, log)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gathers what the cases gave."""
        if hasattr(report, "keeprate"):
            data = json.loads(report.keeprate)
            self._reported.add(data["finding"])
            self._chosen = data["selected"]
            self._gathered += [Result.from_json(item) for item in data["results"]]
        elif report.failed and (finding := report.nodeid.partition("::")[2]) in self.request.promises:
            self._reported.add(finding)
            crash = getattr(report.longrepr, "reprcrash", None)
            self._lost[finding] = crash.message if crash else report.longreprtext  # pytest-xdist says who died

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Concludes nothing after Ctrl-C; `-x` ends a parallel run in another way."""
        self._interrupted = not isinstance(excinfo.value, pytest.Session.Interrupted)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Concludes over everything that was reported, and writes the JSON."""
        if not self._reported or self._interrupted:
            return
        chosen = {text: promise for text, promise in self.request.promises.items() if text in self._reported}
        docket = Docket(self.given.among(chosen))
        for result in self._gathered:
            docket.add(result)
        workers = getattr(self._config.option, "numprocesses", None) or 1
        whole = docket.given.request.is_whole
        verdict = conclude(docket, run_of(self._started, workers), isolated=True, whole=whole)
        mine = docket.results["backend"]
        verdict = diagnosed(verdict, docket.given, mine, self._runner)
        shown = pictures(docket.given, verdict.leads, mine, self._runner.picture)
        unseen = self._chosen - len(self._reported) if session.shouldfail or session.shouldstop else 0  # by -x
        findings = tuple(map(self._unless_lost, verdict))
        self._verdict = replace(verdict, pictures=shown, findings=findings, unseen=max(0, unseen))
        self._write(self._verdict)
        self._try(github.add_summary, self._verdict)
        if self._unwritten:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        elif session.exitstatus == pytest.ExitCode.OK and self._verdict.verdict == "broken":
            session.exitstatus = pytest.ExitCode.TESTS_FAILED  # by what findings show together, which is no item

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Prints the verdict, and what couldn't be written."""
        if self._verdict is not None:
            terminalreporter.section(f"keeprate: {self._verdict.verdict}")
            terminalreporter.write(verdict_text(self._verdict, failures=False, cause_last=True))
            for line in github.annotated(self._verdict):
                terminalreporter.write_line(line)
        for refusal in self._unwritten:
            terminalreporter.write_line(f"ERROR: {refusal}", red=True)

    def _unless_lost(self, finding: Finding) -> Finding:
        """`finding`, or an error in its place if the process that was to judge it is gone."""
        return finding.unfit(self._lost[finding.id]) if finding.id in self._lost else finding

    def _write(self, verdict: Verdict) -> None:
        """Writes the JSON, if it is asked for."""
        if self._config.option.json is not None:
            self._try(write, self._config.option.json, verdict.to_json())

    def _try(self, function: Callable[..., None], *arguments: Any) -> None:
        """Calls what writes a file; the end of the run says why where it can't."""
        try:
            function(*arguments)
        except UsageError as error:
            self._unwritten.append(str(error))


class SuiteFile(pytest.File):
    """The suite, as pytest sees it: an item for each finding, those that share cases one after another."""

    def __init__(self, *, gate: Gate, **rest: Any) -> None:
        super().__init__(**rest)
        self._gate = gate

    def collect(self) -> Iterator[Item]:
        """One item for each finding, those first that are judged soonest: for -x."""
        for text in self._gate.cheapest_first():
            yield Item.from_parent(self, name=text, gate=self._gate)


class BrokenPromiseError(Exception):
    """A finding that fails, in words."""


class Item(pytest.Item):
    """One finding."""

    def __init__(self, *, gate: Gate, **rest: Any) -> None:
        super().__init__(**rest)
        self._gate = gate

    def runtest(self) -> None:
        """Passes, fails or is skipped as its finding says."""
        finding, reference = self._gate.judge(self)
        reason = (finding.detail or {}).get("reason", "")
        if reference:
            raise BrokenPromiseError(f"no verdict: the reference itself breaks {reference}")
        if finding.status in ("not_implemented", "not_offered", "unreadable"):
            pytest.skip(f"{finding.status.replace('_', ' ')}{': ' if reason else ''}{reason}")
        if finding.status in BAD:
            if finding.known is not None:
                pytest.xfail(finding.known)
            law = self._gate.request.suite.by_name[finding.family]
            raise BrokenPromiseError(failure_text(finding, [], law))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The words of a broken promise; the whole traceback of anything else."""
        if isinstance(excinfo.value, BrokenPromiseError):
            return for_terminal(str(excinfo.value))
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where the item comes from."""
        return self.path, None, self.name
