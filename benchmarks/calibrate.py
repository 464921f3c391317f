"""Does the evidence do as it promises? Writes docs/calibration.json, and its table in docs/statistics.md.

    python benchmarks/calibrate.py [--runs 2000] [--power 3000] [--races 100]

For each law that judges by an e-value, on the cells of its `quick` plan at p = 0.3, or where it looks if not there, and
for each parameter of those laws whose cells depend on it:

- `mean e`: E[e] of a kept promise, by exact enumeration of every outcome of small samples; the largest. At most 1.
- `KS`, `p < 0.01`: p-values of faithful masks, one a run, so that they are independent: the Kolmogorov-Smirnov distance
  from uniform with its p-value, and how many are below 0.01. (Of `rank` few values occur, as it counts few squares.)
- `caught`: of samples that are off by what the law calls detectable, in the worst cell and direction, how many break;
  simulated, but of the keep rate exact.

And the race: draws until a keep rate that is off by 0.001 at q = 0.7 is caught at 1e-9, through the engine and its
chunks, over Wald's bound, which no test can beat that never accuses a faithful mask more often than once in 10⁹.
"""

import argparse
import json
import math
import os
import re
import secrets
import statistics
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import numpy as np
from scipy.stats import binom, kstest, multinomial
from stamps import stamp

from keeprate.harness.evidence.kinds import Evidence
from keeprate.harness.evidence.likelihood import RATE_PRIOR, cell_log_e
from keeprate.harness.evidence.moments import UNIT, Moments
from keeprate.harness.evidence.tally import Tally
from keeprate.harness.judging.request import ALPHA
from keeprate.harness.protocol.case import Case, Promise
from keeprate.harness.protocol.engine import Job, run
from keeprate.harness.protocol.lookup import find
from keeprate.harness.protocol.suite import Suite
from keeprate.specs.dropout.contracts import CONTRACTS
from keeprate.specs.masks.sample import Sample, chunks

simulated = find(str(Path(__file__).parents[1] / "tests" / "simulated.py"), group="", kind="module")

WRITTEN = Path(__file__).parents[1] / "docs" / "calibration.json"
PAGE = WRITTEN.with_name("statistics.md")
OP, P = "alpha_dropout", 0.3  # an operator that every law but those of channels looks at
BY_PARAMETER = ("blocks", "spread")  # laws whose parameter says which cells there are
FEWEST = 100  # calls
ENUMERATED = 2000  # outcomes of a small sample, at most
RATE, OFF, SHARE = 0.7, 0.001, 1e-9  # the race


def chosen(suite: Suite) -> dict[str, tuple[Promise, Case]]:
    """By name each law that judges by evidence, with its first promise in `quick` that has a case of OP at P, and that.

    Of a law that doesn't look there, its first promise anywhere.
    """
    found: dict[str, tuple[Promise, Case]] = {}
    plain = {
        text: [case for case in promise.cases if case.context in ("eager", "grad")]
        for text, promise in suite.promises("quick").items()
        if promise.share
    }
    there = {
        text: [case for case in cases if (case.op, case.parameters.get("p")) == (OP, P)]
        for text, cases in plain.items()
    }
    for looks in (there, plain):
        for text, (case, *_) in ((text, cases) for text, cases in looks.items() if cases):
            promise = suite.promises("quick")[text]
            entries = math.prod(CONTRACTS[case.op].mask_shape(case.shape))
            if promise.id.law == "spread:call" and case.draws < FEWEST * entries:
                continue  # too few calls for a chi-square
            name = promise.id.law if promise.id.family in BY_PARAMETER else promise.id.family
            found.setdefault(name, (promise, case))
    return found


def evidence(suite: Suite, looks: dict[str, tuple[Promise, Case]], seed: int) -> dict[str, Evidence]:
    """What each law says of faithful masks."""
    cases = {case.id: case for _, case in looks.values()}
    found: dict[str, Evidence] = {}
    for case in cases.values():
        asked = {str(promise.id): None for promise, one in looks.values() if one.id == case.id}
        found |= run(suite, None, Job("backend", case, seed, asked)).evidence
    return {law: found[str(promise.id)] for law, (promise, _) in looks.items()}


def compositions(draws: int, cells: int) -> Iterator[tuple[int, ...]]:
    """Every way in which `draws` fall in `cells`."""
    if cells == 1:
        yield (draws,)
        return
    for first in range(draws + 1):
        for rest in compositions(draws - first, cells - 1):
            yield (first, *rest)


def mean_e(item: Evidence) -> tuple[float, int]:
    """The largest E[e] over small samples of a law's cells, in up to two groups; and the draws of the largest one."""
    if isinstance(item, Moments):
        return mean_tilted(item), 3
    q = item.probabilities[:2]
    largest, most = 0.0, 0
    for draws in range(1, 31):
        if math.comb(draws + len(item.cells) - 1, draws) ** len(q) > ENUMERATED:
            break
        mean = 0.0
        for counts in product(*(compositions(draws, len(item.cells)) for _ in q)):
            e = 10 ** Tally(item.cells, counts, q, departure=item.departure).log10_e
            mean += e * math.prod(multinomial.pmf(one, draws, row) for one, row in zip(counts, q, strict=True))
        largest, most = max(largest, mean), draws
    return largest, most


def mean_tilted(item: Moments) -> float:
    """The same of a sum: three draws of each of two input values, every number of which may be kept."""
    keep, kept, dropped = item.keep[:1], item.kept[:1, :2], item.dropped[:1, :2]
    mean = 0.0
    for counts in product(range(4), repeat=2):
        total = sum(
            many * round(yes / UNIT) + (3 - many) * round(no / UNIT)
            for many, yes, no in zip(counts, kept[0].tolist(), dropped[0].tolist(), strict=True)
        )
        chance = math.prod(math.comb(3, many) * keep[0] ** many * (1 - keep[0]) ** (3 - many) for many in counts)
        mean += float(chance) * 10 ** Moments(keep, kept, dropped, [[3, 3]], [total], [0]).log10_e
    return mean


def departures(item: Tally, size: float) -> Iterator[np.ndarray]:
    """A group's probabilities, off by `size` in each way that the law names."""
    q = item.probabilities[0]
    if item.departure == "correlation":
        slope = q[1] / 2 * np.array([1, -2, 1])
        ways = [q + sign * size * slope for sign in (1, -1)]
    else:
        cells = range(1) if q.size == 2 else {int(q.argmin()), int(q.argmax())}
        ways = []
        for cell, sign in product(cells, (1, -1)):
            off = q * (1 - sign * size / (1 - q[cell]))
            off[cell] = q[cell] + sign * size
            ways.append(off)
    yield from (way for way in ways if way.min() > 0 and way.max() < 1)


def caught(item: Tally, share: float, times: int, random: np.random.Generator) -> tuple[float, float | None]:
    """The departure that is called detectable, and the part of `times` samples with it that break, the least one."""
    size, threshold = item.detectable(share), -math.log10(share)
    if item.counts.shape == (1, 2):
        return size, exactly_caught(item, size, share)
    draws = item.counts.sum(axis=1)
    worst = int(draws.argmin())
    ways = list(departures(alone(item, worst), size))
    if not ways:  # nothing is detectable: no departure of that size leaves probabilities
        return size, None
    least = 1.0
    for way in ways:
        broken = 0
        for _ in range(times):
            counts = random.multinomial(draws, item.probabilities)
            counts[worst] = random.multinomial(draws[worst], way)
            tally = Tally(item.cells, counts, item.probabilities, departure=item.departure)
            broken += tally.log10_e_bound >= threshold and tally.log10_e >= threshold
        least = min(least, broken / times)
    return size, least


def exactly_caught(item: Tally, size: float, share: float) -> float:
    """The same of one group of two cells, exactly: the probability of all counts that break, in the worse direction."""
    rate = item.probabilities[0, 0]
    counts = np.arange(item.n + 1)
    breaks = cell_log_e(counts, np.asarray(item.n), np.asarray(rate), RATE_PRIOR) >= -math.log(share)
    return min(float(binom.pmf(counts[breaks], item.n, rate + sign * size).sum()) for sign in (1, -1))


def alone(item: Tally, group: int) -> Tally:
    """One group of a tally, alone."""
    return Tally(item.cells, item.counts[group], item.probabilities[group], departure=item.departure)


def race(case: Case, finding: str, seed: int) -> int:
    """Draws until the engine stops."""

    def off(case: Case, backend: Any, seed: int) -> Iterator[Sample]:
        random = np.random.Generator(np.random.SFC64(seed))
        shape = CONTRACTS[case.op].mask_shape(case.shape)
        for calls in chunks(case.draws, math.prod(shape)):
            yield Sample(1 - RATE, simulated.bernoulli(random, RATE - OFF, calls, shape))

    suite = simulated.Simulated()
    suite.sample = off
    long = case.replace(draws=100_000_000)
    result = run(suite, None, Job("backend", long, seed, {finding: -math.log10(SHARE)}))
    tally = result.evidence[finding]
    assert isinstance(tally, Tally) and tally.log10_e >= -math.log10(SHARE)
    return tally.n


def wald() -> float:
    """Wald 1945: the mean number of draws that a sequential test of power 1 needs at least."""
    off = RATE - OFF
    return -math.log(SHARE) / (off * math.log(off / RATE) + (1 - off) * math.log((1 - off) / (1 - RATE)))


def table(laws: dict[str, dict[str, Any]]) -> list[str]:
    """The table of docs/statistics.md, a line a law."""
    lines = ["| law | mean e | KS distance | its p | below 1 % | largest | off by | caught |", f"|{'---|' * 8}"]
    for law, row in laws.items():
        told = [f"{row['mean_e']:.6f}", f"{row['ks']:.3f}", f"{row['ks_p']:.2g}", f"{row['below_0.01']:.2%}"]
        told += [f"{row['largest_log10_e']:.2f}"]
        power = row.get("caught")
        told += [f"{row['detectable']:.2g}", f"{power:.1%}"] if power is not None else ["-", "-"]
        lines.append(f"| {law} | {' | '.join(told)} |")
    return lines


def write_table(laws: dict[str, dict[str, Any]]) -> None:
    """Puts the table in its place on the page."""
    text = PAGE.read_text(encoding="utf-8")
    text, number = re.subn(r"(?m)^\| law \| mean e \|.*\n(\|.*\n)*", "\n".join(table(laws)) + "\n", text)
    if number != 1:
        raise SystemExit(f"{PAGE.name} has {number} tables of laws")
    PAGE.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--power", type=int, default=3000)
    parser.add_argument("--races", type=int, default=100)
    arguments = parser.parse_args()
    suite = simulated.Simulated()
    looks = chosen(suite)
    runs: list[dict[str, tuple[float, float]]] = []
    for number in range(arguments.runs):
        items = evidence(suite, looks, secrets.randbits(62))
        judged = {law: item for law, item in items.items() if isinstance(item, Tally | Moments)}
        runs.append({law: (item.p_value, item.log10_e) for law, item in judged.items()})
        if (number + 1) % 200 == 0:
            print(f"{number + 1} runs", flush=True)
    random = np.random.default_rng()
    laws = {}
    for law, item in judged.items():
        values = np.array([one[law] for one in runs])
        test = kstest(values[:, 0], "uniform")
        mean, most = mean_e(item)
        row: dict[str, Any] = {
            "finding": str(looks[law][0].id),
            "mean_e": round(mean, 6),
            "enumerated_to": most,
            "ks": round(float(test.statistic), 4),
            "ks_p": float(f"{test.pvalue:.2g}"),
            "below_0.01": float((values[:, 0] < 0.01).mean()),
            "largest_log10_e": round(float(values[:, 1].max()), 2),
            "p_values": sorted(float(f"{one:.3g}") for one in values[:: max(1, len(values) // 200), 0]),
        }
        if isinstance(item, Tally):
            row["detectable"], row["caught"] = caught(item, ALPHA * looks[law][0].share, arguments.power, random)
        laws[law] = row
    print("\n".join(table(laws)))
    promise, case = looks["keep_rate"]
    draws = [race(case, str(promise.id), secrets.randbits(62)) for _ in range(arguments.races)]
    bound = wald()
    median = statistics.median(draws)
    print(f"a keep rate off by {OFF}: median {median:,.0f} draws, {median / bound:.2f} times Wald's {bound:,.0f}")
    summary = {"made": stamp("quick"), "runs": arguments.runs, "power_samples": arguments.power, "laws": laws}
    summary["race"] = {"draws": sorted(draws), "wald": round(bound), "median_over_wald": round(median / bound, 3)}
    WRITTEN.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    write_table(laws)


if __name__ == "__main__":
    main()
