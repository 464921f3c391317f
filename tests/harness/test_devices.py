"""--device: handed to the backend in each worker, before anything else; the reference stays where it is."""

import json
import re
from pathlib import Path

import pytest
import torch

import keeprate
from keeprate.harness.commands.recomputed import recomputed
from keeprate.harness.errors import NoVerdictError, UsageError
from keeprate.harness.judging.gate import answer, open_runner
from keeprate.harness.judging.request import ask
from keeprate.harness.ledger.store import Ledger
from keeprate.harness.protocol.backend import load_backend, offer
from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import load_suite
from keeprate.harness.workers.limits import counted
from keeprate.harness.workers.machine import described
from keeprate.harness.workers.pool import InProcess
from keeprate.harness.workers.resources import Resources

PLACED = str(Path(__file__).with_name("placed.py"))
SUITE = load_suite("dropout")
FINDING = "dropout/evaluation/float32/-/-/eager"
OUTCOMES = "dropout/outcomes/float32/p0.3/64x1024/eager"


def test_a_device_is_used_in_the_worker_stands_in_the_verdict_and_in_the_line_that_repeats_it(keeprate, tmp_path):
    for device, code in (("cpu:0", 0), ("cpu:1", 1)):
        words = "--backend", PLACED, "--profile", "quick", "--seed", 7, "--json", "v.json"
        run = keeprate("replay", OUTCOMES, *words, "--device", device)
        assert run.code == code, run.out + run.err
        data = json.loads((tmp_path / "v.json").read_text())
        assert data["backend"]["device"] == device
        assert data["reference"]["device"] == "cpu"
        (finding,) = data["findings"]
        assert finding["replay"].endswith(f"--device {device}")


def test_the_adapter_is_checked_on_the_device_and_the_next_command_names_it(keeprate):
    run = keeprate("check", PLACED, "--device", "cpu:1")
    assert run.code == 0, run.out + run.err
    assert f"keeprate gate --backend {PLACED} --device cpu:1 --profile quick" in run.out


@pytest.mark.parametrize(
    ("backend", "device", "error", "words"),
    [
        (
            PLACED,
            "cpu:2",
            UsageError,
            "has no device 'cpu:2' here. Did you mean cpu:1? There are: cpu:0, cpu:1, lost, cpu:",
        ),
        (PLACED, "lost", NoVerdictError, "use('lost') raised RuntimeError: no such device any more"),
        ("numpy", "cpu", UsageError, "computes where it does: a device needs its `devices` and `use`"),
        ("torch", "cdua", UsageError, "has no device 'cdua' here"),
    ],
)
def test_a_device_that_is_not_there_is_said_in_one_sentence(backend, device, error, words):
    with pytest.raises(error, match=re.escape(words)):
        load_backend(backend, SUITE, device)


def test_the_reference_stays_on_the_cpu_where_its_module_is_the_backend_too():
    reference = load_backend("torch", SUITE)
    moved = load_backend("torch", SUITE, "cpu", reference)
    assert moved is not reference
    assert moved.devices[0] == "cpu"
    assert load_backend("torch", SUITE) is reference


def test_a_device_has_one_worker_unless_asked_otherwise():
    assert counted(Resources(device="cuda")) == 1
    assert counted(Resources(3, device="cuda")) == 3
    asked = ask(PLACED, profile="quick", device="cpu:1", finding=FINDING)
    assert asked.replay(FINDING).endswith("--device cpu:1")
    assert "--device" not in ask(PLACED, profile="quick", finding=FINDING).replay(FINDING)


@pytest.mark.parametrize("as_object", [False, True])
def test_judge_takes_a_device_too_and_says_so_in_the_line_that_repeats_it(as_object):
    backend = find(PLACED, group="", kind="module") if as_object else PLACED
    options = {"profile": "smoke", "ops": "dropout", "dtypes": "float32", "seed": 7}
    verdict = keeprate.judge(backend, device="cpu:1", **options)
    assert verdict.verdict == "broken"
    assert verdict.backend["device"] == "cpu:1"
    told = "device='cpu:1')" if as_object else "--device cpu:1"
    assert all(finding.replay.endswith(told) for finding in verdict.failing)
    read = recomputed(json.loads(verdict.to_json()))
    assert all(finding["replay"].endswith(told) for finding in read["findings"])
    with pytest.raises(UsageError, match="has no device 'cpu:2' here"):
        keeprate.judge(backend, device="cpu:2", **options)


def test_the_reference_as_an_object_on_a_device_is_another_than_the_reference():
    moved = InProcess(load_backend("torch", SUITE), SUITE, set(), "cpu")
    assert moved._backends["backend"] is not moved._backends["reference"]


EXACT = "evaluation", "endpoints", "arguments", "strides", "shape", "dtype"


def of_exact_laws(device):
    """Findings of single calls of `dropout` in float32, on the only worker of a device."""
    request = ask(PLACED, profile="smoke", device=device, ops="dropout", dtypes="float32", seed=7).alone()
    wanted = {text: one for text, one in request.promises.items() if one.id.law in EXACT and one.id.context == "eager"}
    with open_runner(request.among(wanted)) as runner:
        verdict = answer(request.among(wanted), runner)
    return {finding.law: finding for finding in verdict}


def test_a_device_that_is_lost_after_an_assertion_is_the_fault_of_that_case_alone():
    found = of_exact_laws("cpu:asserts")
    assert {law for law, finding in found.items() if finding.status != "kept"} == {"arguments"}
    assert found["arguments"].status == "error"
    reason = found["arguments"].detail["reason"]
    assert reason.endswith("the worker process lost its device: RuntimeError: device-side assert triggered")


def test_a_case_that_finds_its_device_lost_is_repeated_alone():
    """The device is gone after a hundred calls, whichever case that comes in; none makes so many alone."""
    assert {finding.status for finding in of_exact_laws("cpu:worn").values()} == {"kept"}


def test_a_case_that_holds_too_much_of_its_devices_memory_is_ended_at_the_limit():
    found = of_exact_laws("cpu:full")
    assert {law for law, finding in found.items() if finding.status != "kept"} == {"arguments"}
    assert found["arguments"].detail["reason"].endswith("of its device's memory (--memory)")


def test_evidence_of_two_devices_is_that_of_two_subjects(tmp_path):
    request, subjects = ask(PLACED, profile="smoke"), []
    for device in ("cpu:0", "cpu:1", "cpu:0"):
        offered = offer(load_backend(PLACED, SUITE, device), request.names)
        with Ledger(tmp_path / "n.db", create=True) as ledger:
            subjects.append(ledger.begin(request, (offered, None), described(), kind="gate", workers=1).subjects)
    assert subjects[0] != subjects[1]
    assert subjects[0] == subjects[2]


def test_pytorchs_adapters_name_the_devices_that_are_here():
    for name in ("torch", "torch-compile"):
        devices = load_backend(name, SUITE).devices
        assert devices[0] == "cpu"
        assert ("cuda" in devices) == torch.cuda.is_available()
