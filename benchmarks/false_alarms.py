"""What a faithful backend suffers: whole plans of simulated masks, and real runs, through all laws and the verdict.

    python benchmarks/false_alarms.py [--plans 1000] [--real 200] [--profile quick] [--workers 2] [--into FILE]

Simulated, every mask is drawn by NumPy with a fresh seed, so each plan is a faithful backend's run without the backend;
its statistical findings are concluded as a gate does. Real runs go through the faithful backends of `tests/mutants` by
turns, beside the reference, each in a worker of its own with a fresh seed. A false alarm is a finding called broken; at
the budget of 1e-6 a run none of which fails is what is expected.

A line of FILE is a run. What is there already of the same profile and plan counts, so an interrupted command goes on
where it ended, and a larger number adds to it; the table at the end is over all of FILE: for each law the runs and
findings, how many broke, the largest log10 e, and how many p-values were below 1 %, of findings alone that expect 100
draws or more in each cell, for p-values of few draws are coarse. (P-values of one run depend on each other, as lags do
that look at the same masks; and those of moments are too large where a backend rounds otherwise than PyTorch, for what
that may hide is allowed for.) A law with `together` behind it is what its findings show over all operators.
"""

import argparse
import functools
import json
import multiprocessing
import os
import secrets
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from stamps import plan_of

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

from keeprate.harness.evidence.kinds import Statistic
from keeprate.harness.evidence.tally import Tally
from keeprate.harness.judging.finding import Finding
from keeprate.harness.judging.gate import Docket, answer, conclude, open_runner
from keeprate.harness.judging.request import Given, Request, ask
from keeprate.harness.judging.verdict import Verdict
from keeprate.harness.protocol.backend import Offer
from keeprate.harness.protocol.case import ANY
from keeprate.harness.protocol.engine import Job, run
from keeprate.harness.protocol.lookup import find
from keeprate.harness.workers.resources import Resources

FINE = 100  # draws that are expected in each cell

mutation = find(str(Path(__file__).parents[1] / "tests" / "mutation.py"), group="", kind="module")
simulated = find(str(Path(__file__).parents[1] / "tests" / "simulated.py"), group="", kind="module")


@functools.cache
def planned(profile: str) -> Given:
    """The statistical promises of a plan, for masks that NumPy draws."""
    suite = simulated.Simulated()
    promises = {text: one for text, one in suite.promises(profile).items() if one.share}
    request = Request(suite, "", "", profile, ask("").alpha, 0, promises, promises, ask("").known)
    return request.given(Offer("simulated", "", "cpu", suite.dtypes, tuple(request.names)))


def simulate(profile: str, seed: int) -> Verdict:
    """The verdict over a whole plan of masks that NumPy drew."""
    docket = Docket(planned(profile))
    for case in {case.id: case for one in docket.given.promises.values() for case in one.cases}.values():
        asked = {text: docket.given.promises[text] for text in case.findings if text in docket.given.promises}
        thresholds = {text: one.threshold(docket.given.request.alpha) for text, one in asked.items()}
        docket.add(run(docket.given.request.suite, None, Job("backend", case, seed, thresholds)))
    return conclude(docket, {}, isolated=False, whole=True)


def really(profile: str, name: str, seed: int) -> Verdict:
    """The verdict over a faithful backend, in a process of its own."""
    request = ask(mutation.address(mutation.faithful()[name]), profile=profile, seed=seed)
    with open_runner(request, Resources(workers=1)) as runner:
        return answer(request, runner)


def judge(kind: str, profile: str, name: str, seed: int) -> dict[str, Any]:
    """A line of FILE."""
    started = time.process_time(), time.monotonic()
    verdict = simulate(profile, seed) if kind == "plan" else really(profile, name, seed)
    laws: dict[str, dict[str, Any]] = {}
    for finding in verdict:
        if isinstance(finding.evidence, Statistic):
            law = laws.setdefault(
                law_of(finding), {"findings": 0, "broken": 0, "log10_e": -99.0, "fine": 0, "below": 0}
            )
            law["findings"] += 1
            law["broken"] += finding.status != "kept"
            law["log10_e"] = round(max(law["log10_e"], finding.evidence.log10_e), 3)
            if is_fine(finding.evidence):
                law["fine"] += 1
                law["below"] += finding.evidence.p_value < 0.01
    return {
        "kind": kind,
        "plan": plan_of(profile),
        "backend": name,
        "seed": seed,
        "verdict": verdict.verdict,
        "broken": [finding.id for finding in verdict if finding.status not in ("kept", "not_offered")],
        "cpu": round(time.process_time() - started[0], 1),
        "seconds": round(time.monotonic() - started[1], 1),
        "laws": laws,
    }


def law_of(finding: Finding) -> str:
    return f"{finding.family} together" if finding.op == ANY else finding.family


def is_fine(evidence: Statistic) -> bool:
    """Whether its p-value can take so many values that it may be uniform."""
    if not isinstance(evidence, Tally):
        return True
    return bool((evidence.counts.sum(axis=1, keepdims=True) * evidence.probabilities).min() >= FINE)


def table(rows: Iterable[dict[str, Any]]) -> list[str]:
    """What came of runs of one kind, law by law."""
    laws: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        for law, found in row["laws"].items():
            laws.setdefault(law, []).append(found)
    lines = [f"{'law':<28}{'runs':>6}{'findings':>11}{'broken':>8}{'max log10 e':>13}{'p < 0.01':>10}"]
    for law, found in laws.items():
        findings, broken, fine, below = (
            sum(one[key] for one in found) for key in ("findings", "broken", "fine", "below")
        )
        largest, share = max(one["log10_e"] for one in found), f"{below / fine:.2%}" if fine else "-"
        lines.append(f"{law:<28}{len(found):>6}{findings:>11,}{broken:>8}{largest:>13.2f}{share:>10}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plans", type=int, default=0)
    parser.add_argument("--real", type=int, metavar="RUNS", default=0)
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--into", type=Path, default=Path("false-alarms.jsonl"))
    arguments = parser.parse_args()
    plan, names = plan_of(arguments.profile), list(mutation.faithful())

    def there(kind: str) -> list[dict[str, Any]]:
        text = arguments.into.read_text(encoding="utf-8") if arguments.into.exists() else ""
        rows = [json.loads(line) for line in text.splitlines() if line.endswith("}")]  # an interrupt may cut the last
        return [row for row in rows if (row["kind"], row["plan"]) == (kind, plan)]

    todo = [("plan", "simulated")] * (arguments.plans - len(there("plan")))
    todo += [("real", names[number % len(names)]) for number in range(len(there("real")), arguments.real)]
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(arguments.workers, mp_context=context) as pool,
        arguments.into.open("a", encoding="utf-8", buffering=1) as file,
    ):
        futures = [pool.submit(judge, kind, arguments.profile, name, secrets.randbits(62)) for kind, name in todo]
        for number, future in enumerate(as_completed(futures), start=1):
            row = future.result()
            file.write(json.dumps(row) + "\n")
            if row["verdict"] != "conforms" or row["kind"] == "real" or number % 50 == 0:
                said = f"{row['verdict']} {' '.join(row['broken'][:3])}"
                print(f"{number:5d} of {len(todo)}  {row['backend']} seed {row['seed']}: {said}", flush=True)
    for kind in ("plan", "real"):
        if rows := there(kind):
            print("\n".join(table(rows)))
            failed = sum(row["verdict"] != "conforms" for row in rows)
            minutes = sum(row["seconds"] for row in rows) / 60
            what = {"plan": "simulated plans", "real": "real runs"}[kind]
            print(f"{failed} of {len(rows)} {what} failed; {minutes:.0f} minutes of one worker; {plan}\n")


if __name__ == "__main__":
    main()
