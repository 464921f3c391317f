"""Whether a verdict depends on how busy the machine is: whole gates under load, which must all say the same.

    python benchmarks/flaky.py [--runs 50] [--backend mlx] [--profile quick] [--ops dropout] [--dtypes float32]

Every core is kept busy, and with --memory all but 4 GiB is taken, while the real command judges a backend: half of the
runs with one seed, whose JSON must agree but for `run`; half with fresh seeds, whose verdicts must. The last line says
how many differed.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

RESERVE = 4 * 2**30  # bytes that are left to the gates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--backend", default="mlx")
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--ops")
    parser.add_argument("--dtypes")
    parser.add_argument("--memory", action="store_true", help="take all memory but 4 GiB as well")
    arguments = parser.parse_args()
    options = ["--backend", arguments.backend, "--profile", arguments.profile]
    for name in ("ops", "dtypes"):
        options += [f"--{name}", getattr(arguments, name)] if getattr(arguments, name) else []
    load = [multiprocessing.Process(target=spin, daemon=True) for _ in psutil.Process().cpu_affinity()]
    taken = take(psutil.virtual_memory().available - RESERVE) if arguments.memory else []
    for process in load:
        process.start()
    try:
        verdicts = [judged(options, ["--seed", "1"] if number % 2 else []) for number in range(arguments.runs)]
    finally:
        for process in load:
            process.terminate()
        del taken
    fresh = {verdict["verdict"] for verdict in verdicts[::2]}
    seeded = {json.dumps(verdict, sort_keys=True) for verdict in verdicts[1::2]}
    words = ", ".join(sorted({verdict["verdict"] for verdict in verdicts}))
    print(f"{len(verdicts)} runs under load: {words}; {len(fresh) - 1} of the fresh seeds' and ", end="")
    print(f"{max(len(seeded) - 1, 0)} of one seed's verdicts differ")
    sys.exit(len(fresh) > 1 or len(seeded) > 1)


def judged(options: list[str], seed: list[str]) -> dict:
    """The verdict of one gate, without what may differ between two runs of one seed."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "v.json"
        command = [str(Path(sys.executable).with_name("keeprate")), "gate", *options, *seed, "--json", str(path)]
        code = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
        verdict = json.loads(path.read_text(encoding="utf-8"))
    del verdict["run"]
    print(f"{verdict['verdict']}, exit code {code}, {time.perf_counter() - started:.0f} s", flush=True)
    return verdict


def spin() -> None:
    """Until whoever started it is gone."""
    parent = os.getppid()
    while os.getppid() == parent:
        sum(range(10**6))


def take(size: int) -> list[np.ndarray]:
    """Memory that is really there: every page is written."""
    return [np.ones(2**27) for _ in range(size // 2**30)]


if __name__ == "__main__":
    main()
