"""What judging costs: CPU time of sampling and judging one float32 `dropout` case over the bare calls.

    python benchmarks/overhead.py [--backend mlx] [--rounds 31]

Bare and judged runs take turns in one process on one thread, so their ratio is meaningful on a noisy machine.
Imports, the reference's outcomes and the deterministic laws are left out, as they don't grow with the draws.
"""

import argparse
import math
import os
import statistics
import time

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

from keeprate.harness.protocol.backend import load_backend
from keeprate.harness.protocol.engine import Job, run
from keeprate.harness.protocol.suite import load_suite
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.contracts import CONTRACTS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="mlx")
    parser.add_argument("--rounds", type=int, default=31)
    arguments = parser.parse_args()
    suite = load_suite("dropout")
    backend = load_backend(arguments.backend, suite)
    case = next(
        case
        for case in suite.cases("gate")
        if (case.op, case.dtype, case.parameters.get("p"), case.study) == ("dropout", "float32", 0.3, "masks")
    )
    job = Job("backend", case, 0, dict.fromkeys(case.findings))
    run(suite, backend, job)  # learns the reference's outcomes, and what is computed once for each p
    ratios = []
    for _ in range(arguments.rounds):
        bare = cpu(lambda: call(backend, case))
        judged = cpu(lambda: run(suite, backend, job))
        ratios.append(judged / bare)
        print(f"bare {bare:6.2f} s   judged {judged:6.2f} s   ratio {judged / bare:.3f}", flush=True)
    print(f"{case.id}, {case.draws:,} draws: median ratio {statistics.median(ratios):.3f}")


def call(backend, case) -> None:
    """The calls that judging makes, and nothing else: each output is evaluated and forgotten."""
    caller = Caller(backend, CONTRACTS[case.op], case.dtype)
    from keeprate.specs.dropout.inputs import indices

    x = caller.native(indices(case.shape).astype("float64") + 1)
    for _ in range(-(-case.draws // math.prod(case.shape))):
        caller.raw(caller.call(x, case.parameters["p"]))


def cpu(function) -> float:
    started = time.process_time()
    function()
    return time.process_time() - started


if __name__ == "__main__":
    main()
