"""What isolation costs: the same cases in a killable child process over those in this one.

    python benchmarks/isolation.py [--backend mlx] [--profile quick] [--ops dropout] [--dtypes float32] [--rounds 5]

Both take turns in one run, so their ratio is meaningful on a noisy machine; CPU time is that of this process and of the
child together, so that waiting for another's work doesn't count. The first round, in which both learn the reference's
outcomes, is left out. Starting the child is shown apart, for it happens once a run.
"""

import argparse
import os
import statistics
import time

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import psutil

from keeprate.harness.judging.gate import open_runner
from keeprate.harness.judging.request import ask
from keeprate.harness.protocol.backend import load_backend
from keeprate.harness.protocol.engine import run
from keeprate.harness.workers.resources import Resources


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="mlx")
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--ops", type=lambda text: text.split(","))
    parser.add_argument("--dtypes", type=lambda text: text.split(","))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    request = ask(arguments.backend, profile=arguments.profile, ops=arguments.ops, dtypes=arguments.dtypes)
    with open_runner(request, Resources(workers=1)) as runner:
        started = time.perf_counter()
        offer, _ = runner.offers()
        print(f"start of a child {time.perf_counter() - started:6.2f} s")
        sides = {name: load_backend(name, request.suite) for name in (arguments.backend, request.reference)}
        here = {"backend": sides[arguments.backend], "reference": sides[request.reference]}
        todo = request.given(offer).jobs()
        rounds = []
        for number in range(arguments.rounds + 1):
            bare = cost(lambda: [run(request.suite, here[job.role], job) for job in todo])
            isolated = cost(lambda: list(runner.map(todo)))
            ratios = tuple(one / other for one, other in zip(isolated, bare, strict=True))
            if number:
                rounds.append(ratios)
                print(f"here {bare[0]:6.2f} s   isolated {isolated[0]:6.2f} s   ratio {ratios[0]:.3f}", flush=True)
    cpu, wall = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"{len(todo)} cases: median ratio of CPU time {cpu:.3f}, of wall time {wall:.3f}")


def cost(function) -> tuple[float, float]:
    """CPU time of this process and its children, and wall time."""
    before, started = cpu_time(), time.perf_counter()
    function()
    return cpu_time() - before, time.perf_counter() - started


def cpu_time() -> float:
    """Of this process, the children that are there, and those that have ended: a worker may be replaced."""
    process = psutil.Process()
    return sum(sum(one.cpu_times()[:4]) for one in [process, *process.children(recursive=True)])


if __name__ == "__main__":
    main()
