"""Whatever a backend does, the run ends in time, says what happened, keeps the rest, and leaves nothing behind."""

import inspect
import itertools
import time
from pathlib import Path

import pytest

from harness.errors import NoVerdictError
from harness.gate import answer, runner_for
from harness.names import find
from harness.question import ask

HERE = Path(__file__).parent
COIN = str(HERE.parent / "harness" / "coin.py")
HANGS, OTHERS = 5.0, 60.0  # limits in seconds; a worker starts in half of one, but the machine may be busy
SLACK = 60.0  # how soon a hang is noticed is measured by benchmarks/hangs.py; here it only has to end


def faults(*modules):
    for name in modules:
        module = find(str(HERE / f"{name}.py"), group="", kind="module")
        for label, item in vars(module).items():
            own = inspect.isclass(item) and item.__module__ == module.__name__
            if own and hasattr(item, "says") and not item.__subclasses__():
                yield pytest.param(f"{HERE / name}.py:{label}", item.says, id=f"{name}:{label}")


def limit_of(backend):
    return HANGS if "hangs.py" in backend or "Hangs" in backend else OTHERS


def judged(backend):
    """The verdict, and the seconds that each case took."""
    question = ask(backend, suite=COIN, profile="quick")
    times = [time.monotonic()]
    runner = runner_for(question, 1, case_timeout=limit_of(backend), memory="500M")
    verdict = answer(question, runner, lambda done, total: times.append(time.monotonic()))
    return verdict, [later - earlier for earlier, later in itertools.pairwise(times)]


@pytest.mark.parametrize(("backend", "says"), list(faults("crashes", "hangs", "memory", "strays", "meddlers")))
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
        if one.id.context == "eager" and one.id.family in laws and one.id.p in ("-", "p0.3")
    }
    verdict = answer(whole.among(asked), runner_for(whole.among(asked), 1))
    assert verdict.reference["failures"] == []
    assert {finding.status for finding in verdict} <= {"kept", "error"}
    errors = {finding.detail["reason"] for finding in verdict if finding.status == "error"}
    assert errors == ({says} if says else set())  # what is kept was judged before it began
    assert verdict.verdict == ("broken" if says else "conforms")
    assert left_behind() == ([], [])


def test_an_adapter_that_meddles_while_it_is_looked_at_is_refused(left_behind):
    question = ask(f"{HERE}/at_once.py:MeddlesAtOnce", profile="quick")
    with pytest.raises(NoVerdictError, match=r"leaves the judge alone: it replaced builtins\.sum"):
        answer(question, runner_for(question, 1))
    assert left_behind() == ([], [])


def test_there_are_at_least_forty_faults():
    assert len(list(faults("crashes", "hangs", "memory", "strays", "meddlers", "unloadable"))) >= 40
