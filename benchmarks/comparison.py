"""The tests that people use today over the same mutants and faithful backends: kills and false alarms.

    python benchmarks/comparison.py [--rounds 1000]

Writes docs/comparison.json and the picture docs/comparison.svg. The rules of today, each in the context in which a
mutant is faulty, though most are only ever run on plain calls (not in other processes, and in checkpoints only those
that look at gradients), with the mask read off as PyTorch's two outcomes tell:

- *three standard errors*: the part kept of 100,000 entries, at p = 0.1, 0.3, 0.5 and 0.9.
- *PyTorch's own*: as in its test/nn/test_dropout.py: at p = 0.2 the mean of 1,000 outputs, and of their gradients, is
  within 0.05 of the input's, and evaluation changes nothing; alpha: mean and deviation of 5,000 within 0.1.
- *chi-square at 1 %*: kept and dropped in 100 slices of 100,000 entries, at p = 0.3.
- *pytest-stochastic*: within 0.01, at its default of one failure in 10⁸, at p = 0.3; of 95,570 entries, as Hoeffding's
  inequality asks, one of the bounds that it has. Its rule alone: the plug-in isn't installed.

What keeprate kills is read from docs/kill-matrix.json. A mutant counts as killed if a rule fails it in most of 15
tries with fresh seeds, as otherwise false alarms would count as kills; an exception counts as killed. A false alarm is
a round that fails a faithful backend's `dropout` or `alpha_dropout`; for keeprate stands what it guarantees of a whole
run over all operators, which false_alarms.py counts.
"""

import argparse
import json
import math
import os
import secrets
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import chi2
from stamps import stamp

from keeprate.harness.errors import BackendError
from keeprate.harness.judging.request import ALPHA as BUDGET
from keeprate.harness.protocol.lookup import find
from keeprate.specs.dropout import reference
from keeprate.specs.dropout.caller import Caller
from keeprate.specs.dropout.contracts import CONTRACTS

ROOT = Path(__file__).parents[1]
MATRIX, WRITTEN, PICTURE = (ROOT / "docs" / name for name in ("kill-matrix.json", "comparison.json", "comparison.svg"))
TRIES = 15
ENTRIES = 100_000
HOEFFDING = math.ceil(math.log(2 / 1e-8) / (2 * 0.01**2))
BY_ELEMENT = ("dropout", "dropout_", "alpha_dropout")
ALPHA = ("alpha_dropout", "feature_alpha_dropout")

mutation = find(str(ROOT / "tests" / "mutation.py"), group="", kind="module")


class Subject:
    """An operator of a backend, in the context in which the backend is faulty."""

    def __init__(self, backend: Any, op: str, dtype: str, context: str) -> None:
        self.op, self.dtype = op, dtype
        self.caller = Caller(backend, CONTRACTS[op], dtype, context)
        self.caller.seed(secrets.randbits(31))

    def shape(self, entries: int) -> tuple[int, ...]:
        """A shape with so many mask entries."""
        if self.op in BY_ELEMENT:
            return (entries,)
        return (entries // 100, 100) + (1,) * (max(CONTRACTS[self.op].ranks) - 3) + (2,)

    def outputs(self, x: np.ndarray, p: float, *, train: bool = True) -> np.ndarray:
        if self.caller.context.name == "grad" and train:  # faulty where a gradient is asked for
            return self.gradients(x, p)[0]
        return self.caller.values(self.caller.call(self.caller.native(x), p, train))

    def gradients(self, x: np.ndarray, p: float) -> tuple[np.ndarray, np.ndarray]:
        native = self.caller.native(x)
        out, gradient = self.caller.vjp(native, p, True, self.caller.native(x))
        return self.caller.values(out), self.caller.values(gradient)

    def mask(self, entries: int, p: float) -> np.ndarray:
        """What was kept: the outputs that are nearer to PyTorch's kept outcome than to its dropped one."""
        value = 0.5
        table = reference.table(CONTRACTS[self.op], self.dtype, p, (value,))
        y = self.outputs(np.full(self.shape(entries), value), p).reshape(entries, -1)[:, 0]
        return np.asarray(abs(y - table.kept[0]) < abs(y - table.dropped[0]))


def three_errors(subject: Subject) -> bool:
    for p in (0.1, 0.3, 0.5, 0.9):
        kept = subject.mask(ENTRIES, p).mean()
        if not abs(kept - (1 - p)) < 3 * math.sqrt(p * (1 - p) / ENTRIES):
            return False
    return True


def pytorchs_own(subject: Subject) -> bool:
    if subject.op in ALPHA:
        x = np.random.default_rng().standard_normal(subject.shape(5000)).astype(np.float32).astype(np.float64)
        for p in (0.2, 0.5, 0.8):
            y = subject.outputs(x, p)
            if not (abs(y.mean() - x.mean()) < 0.1 and abs(y.std() - x.std()) < 0.1):
                return False
        return True
    p = 0.2
    x = np.full(subject.shape(1000), 1 - p)
    y, gradient = subject.gradients(x, p)
    if not (y.shape == x.shape and abs(y.mean() - (1 - p)) < 0.05 and abs(gradient.mean() - (1 - p)) < 0.05):
        return False
    return bool(np.allclose(subject.outputs(x, p, train=False), x, rtol=2e-3))


def chi_square(subject: Subject) -> bool:
    p, slices = 0.3, 100
    kept = subject.mask(ENTRIES, p).reshape(slices, -1).sum(axis=1)
    each = ENTRIES // slices
    statistic = ((kept - each * (1 - p)) ** 2).sum() / (each * p * (1 - p))
    return bool(chi2.sf(statistic, slices) >= 0.01)


def hoeffding(subject: Subject) -> bool:
    p = 0.3
    kept = subject.mask(-(-HOEFFDING // 100) * 100, p).mean()
    return bool(abs(kept - (1 - p)) < 0.01)


RULES: dict[str, Callable[[Subject], bool]] = {
    "three standard errors": three_errors,
    "PyTorch's own": pytorchs_own,
    "chi-square at 1 %": chi_square,
    "pytest-stochastic": hoeffding,
}


def passes(rule: Callable[[Subject], bool], backend: Any, op: str, dtype: str, context: str) -> bool:
    """Whether the rule lets the backend pass; an exception on legal input never does."""
    try:
        return rule(Subject(backend(), op, dtype, context))
    except BackendError:
        return False


def killed() -> dict[str, list[str]]:
    """The mutants that each rule fails in most tries."""
    found: dict[str, list[str]] = {name: [] for name in RULES}
    for name, mutant in mutation.mutants():
        op = mutant.ops[0]
        places = [place for place in mutation.places_of(mutant) if place not in ("process", "eager")]
        context = places[0] if places else "eager"
        dtype = "float32" if len(mutant.dtypes) == 4 else mutant.dtypes[0]
        for rule, function in RULES.items():
            where = "eager" if context == "checkpoint" and function is not pytorchs_own else context
            failed = sum(not passes(function, mutant, op, dtype, where) for _ in range(TRIES))
            if failed > TRIES // 2:
                found[rule].append(name)
    return found


def alarms(rounds: int) -> dict[str, int]:
    """How many rounds each rule fails a faithful backend."""
    backends = [*mutation.faithful().values()]
    return {
        rule: sum(
            not passes(function, backend, op, backend.dtypes[0], "eager")
            for (backend, op) in islice(cycle((b, op) for b in backends for op in ("dropout", "alpha_dropout")), rounds)
        )
        for rule, function in RULES.items()
    }


def draw(kills: dict[str, int], false: dict[str, float], mutants: int) -> None:
    """The picture: kills to the right, false alarms to the left."""
    names = list(kills)[::-1]
    plt.rcParams.update(
        {"font.family": "sans-serif", "svg.hashsalt": "keeprate", "svg.fonttype": "none", "font.size": 11}
    )
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, width_ratios=(3, 2), layout="constrained")
    for axis, values, colour, unit in (
        (axes[0], [kills[name] for name in names], "#2a6f97", "mutants killed"),
        (axes[1], [100 * false[name] for name in names], "#b5523b", "faithful backends failed, %"),
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
    parser.add_argument("--rounds", type=int, default=1000)
    arguments = parser.parse_args()
    rows = json.loads(MATRIX.read_text(encoding="utf-8"))
    by_keeprate = {
        profile: [name for name, row in rows.items() if row[profile]["marks"]] for profile in ("quick", "gate")
    }
    found = killed() | {f"keeprate {profile}": names for profile, names in by_keeprate.items()}
    false = alarms(arguments.rounds)
    print(f"{'rule':<24}{'mutants killed':>16}{'false alarms':>16}")
    for rule, names in found.items():
        told = f"{false[rule]} of {arguments.rounds}" if rule in false else f"at most {BUDGET:g}"
        print(f"{rule:<24}{len(names):>9} of {len(rows)}{told:>16}")
    summary = {
        "made": stamp("gate"),
        "mutants": len(rows),
        "rounds": arguments.rounds,
        "killed": found,
        "false_alarms": false,
    }
    WRITTEN.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    rates = {rule: false.get(rule, 0) / arguments.rounds for rule in found}
    draw({rule: len(names) for rule, names in found.items()}, rates, len(rows))


if __name__ == "__main__":
    main()
