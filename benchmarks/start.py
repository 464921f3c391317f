"""What a worker's start takes: forked from a process that has loaded what workers have in common, and spawned afresh.

    python benchmarks/start.py [--backend mlx] [--rounds 5]

Both take turns in one run, from the request to what the backend offers, so their ratio is meaningful on a noisy
machine. CPU time is the worker's. The process that is forked starts once a run, which is shown apart. Linux only.
"""

import argparse
import statistics
import time

from keeprate.harness.judging.request import ask
from keeprate.harness.workers.child import Child
from keeprate.harness.workers.launch import ForkServer
from keeprate.harness.workers.limits import limits
from keeprate.harness.workers.monitor import threads
from keeprate.harness.workers.resources import USUAL


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="mlx")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    request = ask(arguments.backend, profile="quick")
    setup = {"backend": request.backend, "suite": request.suite_name, "names": sorted(request.names), "alone": False}
    forks = ForkServer(request.suite_name, alone=False)
    once = started(setup, forks)
    print(f"the first, and what it is forked from  {once[0]:6.3f} s")
    rounds = []
    for _ in range(arguments.rounds):
        rounds.append((*started(setup, None), *started(setup, forks)))
        print("spawned {:6.3f} s, of CPU {:6.3f}   forked {:6.3f} s, of CPU {:6.3f}".format(*rounds[-1]), flush=True)
    forks.close()
    spawned, cpu, forked, cpu_forked = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"medians: {spawned:.2f} s and {forked:.3f} s, 1/{spawned / forked:.0f}; CPU 1/{cpu / cpu_forked:.0f}")


def started(setup: dict, forks: ForkServer | None) -> tuple[float, float]:
    """Seconds until a worker has said what it offers, and CPU seconds that it has taken."""
    child = Child(setup, limits(1, USUAL), forks)
    begin = time.perf_counter()
    child.offers()
    seconds = time.perf_counter() - begin
    cpu = sum(run for _, (run, _) in threads([child._process.pid]))
    child.end()
    return seconds, cpu


if __name__ == "__main__":
    main()
