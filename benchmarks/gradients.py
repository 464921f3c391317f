"""How many gradients a second of CPU are judged: every case of `gate` that goes forward and back, against bare passes.

    python benchmarks/gradients.py [--backend mlx] [--dtype float32] [--contexts grad checkpoint] [--rounds 3]

Everything that a case takes is counted, the reference's outcomes and replays too; imports are not. Bare and judged runs
take turns in one process on one thread, so their ratio is meaningful on a noisy machine.
"""

import argparse
import os
import statistics
import time
from math import prod

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

from keeprate.harness.errors import NotOffered
from keeprate.harness.protocol.backend import load_backend
from keeprate.harness.protocol.engine import Job, run
from keeprate.harness.protocol.suite import load_suite
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.dropout.inputs import indices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="mlx")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--contexts", nargs="+", default=["grad"])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    suite = load_suite("dropout")
    backend = load_backend(arguments.backend, suite)
    for context in arguments.contexts:
        where = "gradients", arguments.dtype, context
        cases = [case for case in suite.cases("gate") if (case.study, case.dtype, case.context) == where]
        measured(suite, backend, cases[:1])  # imports, and what is learned once
        rounds = [measured(suite, backend, cases) for _ in range(arguments.rounds)]
        ratio = statistics.median(judged / bare for _, bare, judged in rounds)
        bare, judged = (statistics.median(one[column] for one in rounds) for column in (1, 2))
        elements = rounds[0][0]
        print(
            f"{context}: {elements:,} gradients, bare {bare:.2f} s, judged {judged:.2f} s, ratio {ratio:.2f}: "
            f"{elements / judged / 1e6:.1f} million a second",
            flush=True,
        )


def measured(suite, backend, cases) -> tuple[int, float, float]:
    """Elements of the cases that the backend offers, and CPU seconds of their bare passes and of judging them."""
    elements, bare, judged = 0, 0.0, 0.0
    for case in cases:
        job = Job("backend", case, 0, dict.fromkeys(case.findings))
        try:
            seconds = cpu(call, backend, case)
        except (AttributeError, NotOffered):
            continue
        bare += seconds
        judged += cpu(run, suite, backend, job)
        elements += passes(case) * prod(case.shape)
    return elements, bare, judged


def passes(case) -> int:
    return -(-case.draws // prod(CONTRACTS[case.op].mask_shape(case.shape)))


def call(backend, case) -> None:
    """The passes that judging makes, and nothing else: each output and gradient is evaluated and forgotten."""
    caller = Caller(backend, CONTRACTS[case.op], case.dtype, case.context)
    x = caller.native(indices(case.shape).astype("float64") + 1)
    for _ in range(passes(case)):
        for one in caller.vjp(x, case.parameters["p"], True, x):
            caller.raw(one)


def cpu(function, *arguments) -> float:
    started = time.process_time()
    function(*arguments)
    return time.process_time() - started


if __name__ == "__main__":
    main()
