"""Whatever a backend does, the run ends in time, says what happened, keeps the rest, and leaves nothing behind."""

import inspect
import itertools
import shutil
import time
from pathlib import Path

import pytest

from keeprate.harness.errors import NoVerdictError
from keeprate.harness.judging.gate import answer, open_children, open_runner
from keeprate.harness.judging.request import ask
from keeprate.harness.protocol.engine import GIVEN_UP
from keeprate.harness.protocol.lookup import find
from keeprate.harness.workers.resources import Resources

HERE = Path(__file__).parent
COIN = str(HERE.parent / "harness" / "coin.py")
BESIDE = str(HERE.parent / "harness" / "coin_beside.py")
DRAWN = str(HERE.parent / "harness" / "coin_drawn.py")
KINDS = ("crashes", "hangs", "memory", "strays", "meddlers")
OWN = {"fault", "meddle"}  # a class with neither is only there to be inherited
HANGS, OTHERS = 3.0, 60.0  # limits in seconds; a worker starts in half of one, but the machine may be busy
SLACK = 60.0  # how soon a hang is noticed is measured by benchmarks/hangs.py; here it only has to end


def faults(*modules):
    for name in modules:
        module = find(str(HERE / f"{name}.py"), group="", kind="module")
        for label, item in vars(module).items():
            own = inspect.isclass(item) and item.__module__ == module.__name__
            if own and (name == "unloadable" or OWN & vars(item).keys()):
                yield pytest.param(f"{HERE / name}.py:{label}", item.says, id=f"{name}:{label}")


def limit_of(backend):
    return HANGS if any(word in backend for word in ("hangs.py", "Hangs")) else OTHERS


def judged(backend, suite=COIN, workers=1):
    """The verdict, and the seconds that each case took."""
    request = ask(backend, suite=suite, profile="quick")
    times = [time.monotonic()]
    with open_runner(request, Resources(workers, case_timeout=limit_of(backend), memory="500M")) as runner:
        verdict = answer(request, runner, lambda done, total: times.append(time.monotonic()))
    return verdict, [later - earlier for earlier, later in itertools.pairwise(times)]


def answered(request, **limits):
    """The verdict of a single worker."""
    with open_runner(request, Resources(workers=1, **limits)) as runner:
        return answer(request, runner)


def reasons(verdict):
    return [finding.detail["reason"] for finding in verdict if finding.status == "error"]


@pytest.mark.parametrize(("backend", "says"), list(faults(*KINDS)))
def test_a_fault_ends_its_own_case_in_time_and_alone(backend, says, left_behind):
    verdict, seconds = judged(backend)
    status = {finding.id: finding.status for finding in verdict}
    assert status == {
        "toss/fair/float32/p0.5/-/eager": "kept",
        "toss/fair/float32/p0.25/-/eager": "error" if says else "kept",
        "toss/lands/float32/-/-/eager": "error" if says else "kept",  # it rests on both cases
        "spin/fair/float32/p0.5/-/eager": "kept",
        "spin/fair/float32/p0.25/-/eager": "kept",
        "spin/lands/float32/-/-/eager": "kept",
    }, [finding.detail for finding in verdict]
    assert verdict.exit_code == (1 if says else 0)
    for finding in verdict:
        if finding.status == "error":
            assert finding.detail["reason"].startswith(says)
            assert finding.id in finding.replay
    assert seconds[1] < limit_of(backend) + SLACK
    assert left_behind() == ([], [])


@pytest.mark.parametrize(("backend", "says"), list(faults("unloadable")))
def test_a_fault_while_loading_gives_no_verdict(backend, says, left_behind):
    started = time.monotonic()
    with pytest.raises(NoVerdictError) as refused:
        judged(backend)
    assert says in str(refused.value)
    assert time.monotonic() - started < limit_of(backend) + SLACK
    assert left_behind() == ([], [])


@pytest.mark.parametrize(("backend", "says"), list(faults("accomplices")))
def test_what_is_shared_with_the_reference_misleads_nobody(backend, says, left_behind):
    whole = ask(backend, profile="quick", ops=["dropout"], dtypes=["float32"])
    laws = ("keep_rate", "shape", "endpoints", "outcomes")
    asked = {
        text: one
        for text, one in whole.promises.items()
        if one.id.context == "eager" and one.id.family in laws and one.id.parameters in ("-", "p0.3")
    }
    verdict = answered(whole.among(asked))
    assert verdict.reference["failures"] == []
    assert {finding.status for finding in verdict} <= {"kept", "error"}
    errors = {finding.detail["reason"] for finding in verdict if finding.status == "error"}
    assert errors == ({says} if says else set())  # what is kept was judged before it began
    assert verdict.verdict == ("broken" if says else "conforms")
    assert left_behind() == ([], [])


@pytest.mark.parametrize(("backend", "says"), list(faults("everywhere")))
def test_what_fails_in_every_case_is_given_up_and_the_verdict_says_so(backend, says, left_behind):
    verdict, _ = judged(backend, suite=BESIDE)
    assert verdict.reference["failures"] == []
    assert {finding.status for finding in verdict} == {"error"}
    early = [finding.detail["reason"] for finding in verdict if finding.detail.get("kind") == GIVEN_UP]
    assert early == [reason for reason in reasons(verdict) if reason.startswith("given up")]
    if "Hangs" in backend:  # of four cases three are waited for
        assert set(early) == {f"given up: every case so far ended the same way; the last one: {says}"}
        assert "given up: every case so far ended the same way" in " ".join(str(verdict).split())
    assert set(reasons(verdict)) - set(early) == {says}
    assert left_behind() == ([], [])


@pytest.mark.parametrize(("backend", "says"), list(faults("beside")))
def test_the_reference_is_judged_without_a_backend_that_spoils_its_cases(backend, says, left_behind):
    verdict, _ = judged(backend, suite=BESIDE)
    assert verdict.reference["failures"] == []
    assert {finding.status for finding in verdict} == ({"error"} if says else {"kept"})
    assert set(reasons(verdict)) == ({says} if says else set())
    assert left_behind() == ([], [])


def test_a_backend_that_one_process_can_load_is_judged_in_one(left_behind):
    verdict, _ = judged(f"{HERE}/once.py:TakesALock", workers=2)
    assert verdict.verdict == "conforms", reasons(verdict)
    assert left_behind()[0] == []


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("LeavesItsLock", "couldn't load the backend again: backend {name} can't be loaded: FileExistsError"),
        ("RemovesItself", "couldn't load the backend again: no backend file"),
    ],
)
def test_a_backend_that_can_not_be_loaded_again_loses_only_what_is_still_to_do(label, says, left_behind, tmp_path):
    for file in ("fair.py", "once.py"):
        shutil.copy(HERE / file, tmp_path)
    name = f"once.py:{label}"
    verdict, _ = judged(name)
    status = {finding.id: finding.status for finding in verdict if finding.law == "fair"}
    assert status == {
        "toss/fair/float32/p0.5/-/eager": "kept",
        "toss/fair/float32/p0.25/-/eager": "error",
        "spin/fair/float32/p0.5/-/eager": "error",
        "spin/fair/float32/p0.25/-/eager": "error",
    }
    first, *rest = dict.fromkeys(reasons(verdict))
    assert first == "the worker process was ended by SIGABRT"
    assert all(reason.startswith(says.format(name=name)) for reason in rest)
    assert verdict.exit_code == 1
    assert left_behind()[0] == []


@pytest.mark.parametrize(("backend", "says"), list(faults("elsewhere")))
def test_a_fault_in_another_process_is_an_error_of_its_own_operator(backend, says, left_behind):
    whole = ask(backend, profile="quick", ops=["dropout", "dropout1d"], dtypes=["float32"])
    asked = {
        text: one for text, one in whole.promises.items() if one.id.context == "process" and one.id.family != "state"
    }
    assert {(one.id.op, one.id.family) for one in asked.values()} >= {
        (op, law) for op in ("dropout", "dropout1d") for law in ("streams", "seeding")
    }
    verdict = answered(whole.among(asked), case_timeout=5)
    assert verdict.reference["failures"] == []
    for finding in verdict:
        assert finding.status == ("error" if finding.op == "dropout1d" else "kept"), finding.detail
    assert any(reason.startswith(says) for reason in reasons(verdict)), reasons(verdict)
    assert left_behind() == ([], [])


def test_an_adapter_that_meddles_while_it_is_looked_at_is_refused(left_behind):
    request = ask(f"{HERE}/at_once.py:MeddlesAtOnce", profile="quick")
    with pytest.raises(NoVerdictError, match=r"leaves the judge alone: it replaced builtins\.sum"):
        answered(request)
    assert left_behind() == ([], [])


@pytest.mark.parametrize("label", ["AnswersAtOnce", "AnswersNumbersAtOnce"])
def test_an_adapter_that_answers_while_it_is_looked_at_is_refused(label, left_behind):
    request = ask(f"{HERE}/at_once.py:{label}", profile="quick")
    with pytest.raises(NoVerdictError, match="can't be checked: the worker process sent a malformed reply"):
        answered(request)
    assert left_behind() == ([], [])


def test_what_is_written_to_the_pipe_is_no_picture(left_behind):
    request = ask(f"{HERE}/meddlers.py:WritesJsonToThePipe", suite=DRAWN, profile="quick")
    with open_children(request, Resources(workers=1)) as runner:
        job = next(job for job in request.given(*runner.offers()).jobs() if job.case.parameters["p"] == 0.25)
        assert runner.picture(job) is None
        assert runner.run(job.replace(case=job.case.replace(parameters={"p": 0.5}))).error == ""
    assert left_behind() == ([], [])


def test_there_are_at_least_forty_faults():
    assert len(list(faults(*KINDS, "unloadable"))) >= 40
