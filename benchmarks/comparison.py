"""The tests that frameworks have today over the same mutants and faithful backends: kills and false alarms.

    python benchmarks/comparison.py [--rounds 1000] [--workers 2]

Writes docs/comparison.json and the picture docs/comparison.svg. The tests are those of `peers.py`, each in the context
in which a mutant is faulty, though most are only ever run on plain calls (not in other processes, and in checkpoints
only those that look at gradients), with the mask read off as PyTorch's two outcomes tell.

What keeprate kills is read from docs/kill-matrix.json. A mutant counts as killed if a test fails it in most of 15
tries with fresh seeds, as otherwise false alarms would count as kills; an exception counts as killed. A false alarm is
a round that fails a faithful backend, in `dropout`, `dropout1d` and `alpha_dropout` by turns; for keeprate stands what
it guarantees of a whole run over all operators, which false_alarms.py counts.
"""

import argparse
import json
import multiprocessing
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from peers import TESTS, Subject
from stamps import stamp

from keeprate.harness.judging.request import ALPHA as BUDGET
from keeprate.harness.protocol.lookup import find
from keeprate.specs.dropout.contexts import DERIVED
from keeprate.suite import BackendError, NotOffered

ROOT = Path(__file__).parents[1]
MATRIX, WRITTEN, PICTURE = (ROOT / "docs" / name for name in ("kill-matrix.json", "comparison.json", "comparison.svg"))
TRIES = 15
ALARMED = ("dropout", "dropout1d", "alpha_dropout")
OF_GRADIENTS = ("PyTorch", "FlashAttention")

mutation = find(str(ROOT / "tests" / "mutation.py"), group="", kind="module")


def passes(test: str, backend: Any, op: str, dtype: str, context: str) -> bool:
    """Whether the test lets the backend pass; an exception on legal input never does."""
    try:
        return bool(TESTS[test](Subject(backend(), op, dtype, context)))
    except (BackendError, NotOffered):
        return False


def kills(test: str, name: str) -> bool:
    """Whether the test fails a mutant in most tries."""
    mutant = dict(mutation.mutants())[name]
    places = [one for one in mutation.places_of(mutant) if one not in ("process", "eager", *DERIVED)]
    context = places[0] if places else "eager"
    if "checkpoint" in context and test not in OF_GRADIENTS:
        context = "eager"
    dtype = "float32" if len(mutant.dtypes) == 4 else mutant.dtypes[0]
    ends = Counter[bool]()
    while max(ends.values(), default=0) <= TRIES // 2:  # until most of all tries have ended one way
        ends[passes(test, mutant, mutant.ops[0], dtype, context)] += 1
    return ends[False] > ends[True]


def alarms(test: str, op: str, rounds: int) -> int:
    """How many of some rounds of an operator fail a faithful backend."""
    backends = islice(cycle(mutation.faithful().values()), rounds)
    return sum(not passes(test, backend, op, backend.dtypes[0], "eager") for backend in backends)


def draw(kills: dict[str, int], false: dict[str, float], mutants: int) -> None:
    """The picture: kills to the right, false alarms to the left."""
    names = list(kills)[::-1]
    plt.rcParams.update(
        {"font.family": "sans-serif", "svg.hashsalt": "keeprate", "svg.fonttype": "none", "font.size": 11}
    )
    figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, width_ratios=(3, 2), layout="constrained")
    for axis, values, colour, unit in (
        (axes[0], [kills[name] for name in names], "#2a6f97", "mutants killed"),
        (axes[1], [100 * false[name] for name in names], "#b5523b", "conforming backends failed, %"),
    ):
        bars = axis.barh(names, values, color=colour)
        labels = [f"{value:.3g}" for value in values]
        if axis is axes[1]:  # keeprate's are not counted here: what it guarantees
            labels = [
                f"≤ {100 * BUDGET:g}" if name.startswith("keeprate") else label
                for name, label in zip(names, labels, strict=True)
            ]
        axis.bar_label(bars, labels, padding=3)
        axis.set_xlabel(unit)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.15)
    axes[0].set_xlim(0, mutants * 1.1)
    axes[0].axvline(mutants, color="grey", linestyle=":", linewidth=1)
    best = max(value for name, value in kills.items() if not name.startswith("keeprate"))
    figure.suptitle(
        f"Each of today's tests misses at least {mutants - best} of {mutants} faulty backends", x=0.01, ha="left"
    )
    figure.savefig(PICTURE, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1000, help="of each operator")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    rows = json.loads(MATRIX.read_text(encoding="utf-8"))
    by_keeprate = {
        profile: [name for name, row in rows.items() if row[profile]["marks"]] for profile in ("quick", "gate")
    }
    found: dict[str, list[str]] = {}
    false: dict[str, dict[str, int]] = {}
    with ProcessPoolExecutor(arguments.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for test in TESTS:
            ended = list(pool.map(partial(kills, test), rows, chunksize=8))
            found[test] = [name for name, one in zip(rows, ended, strict=True) if one]
            failed = pool.map(partial(alarms, test), ALARMED, [arguments.rounds] * len(ALARMED))
            false[test] = dict(zip(ALARMED, failed, strict=True))
            print(f"{test}: {len(found[test])} killed; false alarms {false[test]}", flush=True)
    found |= {f"keeprate {profile}": names for profile, names in by_keeprate.items()}
    rounds = arguments.rounds * len(ALARMED)
    print(f"{'test':<24}{'mutants killed':>16}{'false alarms':>16}")
    for test, names in found.items():
        told = f"{sum(false[test].values())} of {rounds}" if test in false else f"at most {BUDGET:g}"
        print(f"{test:<24}{len(names):>9} of {len(rows)}{told:>16}")
    summary = {
        "made": stamp("gate"),
        "mutants": len(rows),
        "rounds": arguments.rounds,  # of each operator
        "killed": found,
        "false_alarms": false,
    }
    WRITTEN.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    rates = {test: sum(false.get(test, {}).values()) / rounds for test in found}
    draw({test: len(names) for test, names in found.items()}, rates, len(rows))


if __name__ == "__main__":
    main()
