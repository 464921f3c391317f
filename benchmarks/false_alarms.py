"""What a faithful backend suffers: whole plans of simulated masks, or real runs, through all laws and the verdict.

    python benchmarks/false_alarms.py [--plans 500] [--profile quick] [--workers 2]
    python benchmarks/false_alarms.py --real 100 [--profile quick] [--workers 2]

Simulated, every mask is drawn by NumPy with a fresh seed, so each plan is a faithful backend's run without the backend.
Real runs go through the faithful backends of `tests/mutants` by turns, each in a worker of its own with a fresh seed. A
false alarm is a finding called broken; at the budget of 1e-6 a run none of which fails is what is expected. Of real
runs the p-values are compared with uniform ones as well, law by law: Kolmogorov-Smirnov, and how many are below 1 %; of
findings alone that expect 100 draws or more in each cell, for p-values of few draws are coarse. P-values of one run
depend on each other, as lags do that look at the same masks, so the test's own p is smaller than by right; and those of
moments are too large where a backend rounds otherwise than PyTorch, for what that may hide is allowed for. The last
line says how many failed; of simulated ones also the largest evidence that any faithful mask gave.
"""

import argparse
import functools
import multiprocessing
import os
import secrets
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

from scipy.stats import kstest

import keeprate
from keeprate.harness.evidence.check import Check
from keeprate.harness.evidence.moments import Moments
from keeprate.harness.evidence.tally import Tally
from keeprate.harness.judging.finding import weigh
from keeprate.harness.judging.request import ALPHA
from keeprate.harness.protocol.case import Promise
from keeprate.harness.protocol.engine import Job, run
from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import Suite

FINE = 100  # draws that are expected in each cell

mutation = find(str(Path(__file__).parents[1] / "tests" / "mutation.py"), group="", kind="module")
simulated = find(str(Path(__file__).parents[1] / "tests" / "simulated.py"), group="", kind="module")


@functools.cache
def planned(profile: str) -> tuple[Suite, dict[str, Promise]]:
    """The suite with simulated masks, and its promises that are statistical."""
    suite = simulated.Simulated()
    return suite, {text: promise for text, promise in suite.promises(profile).items() if promise.share}


def judge(profile: str, seed: int) -> tuple[int, int, float]:
    """Findings that were judged, those that were broken, and the largest log10 e over its threshold."""
    suite, promises = planned(profile)
    cases = {case.id: case for promise in promises.values() for case in promise.cases}
    results = {}
    for case in cases.values():
        asked = {text: promises[text].threshold(ALPHA) for text in case.findings if text in promises}
        results[case.id] = run(suite, None, Job("backend", case, seed, asked))
    broken, largest = 0, 3.0
    for promise in promises.values():
        status, why, evidence = weigh(promise, results, ALPHA)
        if status != "kept":
            broken += 1
            print(f"seed {seed}: {promise.id} is {status} {why}", flush=True)
        if not isinstance(evidence, Check) and evidence.log10_e_bound > largest:  # else it can't be the largest
            largest = max(largest, evidence.log10_e)
    return len(promises), broken, largest


def real(profile: str, runs: int, workers: int) -> None:
    """Judges the faithful backends by turns, `workers` at a time."""
    p_values: dict[str, list[float]] = {}
    names = list(islice(cycle(map(mutation.address, mutation.faithful().values())), runs))
    failed = 0
    with ThreadPoolExecutor(workers) as pool:
        verdicts = pool.map(lambda name: keeprate.judge(name, profile=profile, workers=1), names)
        for number, (name, verdict) in enumerate(zip(names, verdicts, strict=True), start=1):
            failed += not verdict.conforms
            for finding in verdict:
                if finding.evidence is not None and is_fine(finding.evidence):
                    p_values.setdefault(finding.family, []).append(finding.evidence.p_value)
            print(f"{number:4d} {Path(name).name} seed {verdict.seed}: {verdict.verdict}", flush=True)
    print(f"{'law':<20}{'p-values':>10}{'KS':>10}{'its p':>10}{'p < 0.01':>10}")
    for law, values in p_values.items():
        test = kstest(values, "uniform")
        below = sum(value < 0.01 for value in values) / len(values)
        print(f"{law:<20}{len(values):>10,}{test.statistic:>10.4f}{test.pvalue:>10.2g}{below:>10.2%}")
    print(f"{failed} of {runs} real runs failed")


def is_fine(evidence: Tally | Moments) -> bool:
    """Whether its p-value can take so many values that it may be uniform."""
    if isinstance(evidence, Moments):
        return True
    return bool((evidence.counts.sum(axis=1, keepdims=True) * evidence.probabilities).min() >= FINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plans", type=int, default=500)
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--real", type=int, metavar="RUNS", default=0)
    arguments = parser.parse_args()
    if arguments.real:
        real(arguments.profile, arguments.real, arguments.workers)
        return
    started = time.monotonic()
    seeds = [secrets.randbits(62) for _ in range(arguments.plans)]
    findings = broken = failed = 0
    largest = 3.0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.workers, mp_context=context) as pool:
        for number, result in enumerate(pool.map(judge, [arguments.profile] * len(seeds), seeds), start=1):
            findings, broken, largest = findings + result[0], broken + result[1], max(largest, result[2])
            failed += result[1] > 0
            if number % 50 == 0 or number == len(seeds):
                print(f"{number} plans, {findings:,} findings, {time.monotonic() - started:.0f} s", flush=True)
    print(
        f"{failed} of {len(seeds)} plans failed; {broken} findings broken; largest log10 e {largest:.2f} (3 if below)"
    )


if __name__ == "__main__":
    main()
