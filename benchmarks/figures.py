"""Draws the pictures of docs/statistics.md, and prints the figures that its text quotes.

    python benchmarks/figures.py

`looking`: how often a faithful coin has been accused after so many looks, by a p-value below 1 % and by an e-value of
at least 100. `evidence`: how the evidence grows with the draws. `strength`: draws that a departure takes. `p-values`:
those of `make calibrate` against uniform ones, from docs/calibration.json.
"""

import json
import math
import secrets
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import binom

from keeprate.harness.evidence.likelihood import RATE_PRIOR, cell_log_e, draws_to_detect
from keeprate.specs.dropout.aims import AIMS, ALPHA, SHARED, WEIGHTS

ROOT = Path(__file__).parents[1] / "docs"
FOLDER = ROOT / "statistics"
Q = 0.7
LOOKS, EACH, COINS = 200, 10_000, 20_000
ONE_PERCENT = 0.01
COLOURS = ("#2a6f97", "#b5523b", "#6a994e")


def looks(rate: float, coins: int, number: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws so far, and heads so far of each coin at each look: (looks,) and (coins, looks)."""
    random = np.random.default_rng(secrets.randbits(62))
    heads = random.binomial(each, rate, (coins, number)).cumsum(axis=1)
    return each * np.arange(1, number + 1), heads


def log10_e(heads: np.ndarray, draws: np.ndarray) -> np.ndarray:
    return cell_log_e(heads, draws, np.asarray(Q), RATE_PRIOR) / math.log(10)


def figure(title: str, x: str, y: str) -> tuple[plt.Figure, plt.Axes]:
    plt.rcParams.update(
        {"font.family": "sans-serif", "svg.hashsalt": "keeprate", "svg.fonttype": "none", "font.size": 11}
    )
    drawn, axis = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
    axis.set(xlabel=x, ylabel=y)
    axis.set_title(title, loc="left")
    axis.spines[["top", "right"]].set_visible(False)
    return drawn, axis


def save(drawn: plt.Figure, name: str) -> None:
    drawn.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})
    plt.close(drawn)


def looking() -> None:
    draws, heads = looks(Q, COINS, LOOKS, EACH)
    p_values = np.minimum(1, 2 * np.minimum(binom.cdf(heads, draws, Q), binom.sf(heads - 1, draws, Q)))
    evidence = np.stack([log10_e(heads[:, look], draws[look]) for look in range(LOOKS)], axis=1)
    drawn, axis = figure(
        "Whoever looks again and again finds a p-value below 1 %",
        "looks so far, one every 10,000 draws",
        "faithful coins accused, %",
    )
    for accused, name, colour in (
        (p_values < ONE_PERCENT, "a p-value below 1 %", COLOURS[1]),
        (evidence >= -math.log10(ONE_PERCENT), "an e-value of 100 or more", COLOURS[0]),
    ):
        share = np.logical_or.accumulate(accused, axis=1).mean(axis=0)
        axis.plot(np.arange(1, LOOKS + 1), 100 * share, color=colour, label=name)
        print(
            f"of {COINS:,} faithful coins {name} accused {share[0]:.2%} at the first look, {share[-1]:.2%} in {LOOKS}"
        )
    axis.axhline(100 * ONE_PERCENT, color="grey", linestyle=":", linewidth=1)
    axis.legend(frameon=False)
    save(drawn, "looking")


def evidence() -> None:
    drawn, axis = figure("Evidence grows only where a promise is broken", "draws, millions", "log10 e")
    for rate, name, colour in zip(
        (Q, Q - 0.001, Q - 0.002), ("kept", "off by 0.001", "off by 0.002"), COLOURS, strict=True
    ):
        draws, heads = looks(rate, 5, 200, 100_000)
        paths = np.stack([log10_e(heads[:, look], draws[look]) for look in range(len(draws))], axis=1)
        for number, path in enumerate(paths):
            axis.plot(
                draws / 1e6, np.clip(path, -4, 20), color=colour, linewidth=1, label=name if number == 0 else None
            )
    axis.axhline(9, color="grey", linestyle=":", linewidth=1)
    axis.set_ylim(-4, 20)
    axis.annotate("broken from here on", (19.9, 9), (0, 4), textcoords="offset points", ha="right", fontsize=9)
    axis.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 0.2))
    save(drawn, "evidence")


def strength() -> None:
    share = ALPHA * WEIGHTS["keep_rate"] / SHARED
    sizes = np.geomspace(0.0003, 0.02, 12)
    draws = [draws_to_detect((Q, 1 - Q), size, share) for size in sizes]
    drawn, axis = figure(
        "Half the departure takes four times the draws", "departure of the keep rate", "draws, caught in 99 of 100 runs"
    )
    axis.loglog(sizes, draws, color=COLOURS[0])
    for profile, aim in AIMS.items():
        number = draws_to_detect((Q, 1 - Q), aim.departure, share)
        axis.plot([aim.departure], [number], "o", color=COLOURS[1])
        axis.annotate(f"{profile}: {number / 1e6:.3g} M", (aim.departure, number), (8, 4), textcoords="offset points")
        print(f"{profile} draws {number:,} for a departure of {aim.departure}")
    axis.set_ylim(top=2 * draws[0])
    save(drawn, "strength")


def p_values() -> None:
    laws = json.loads((ROOT / "calibration.json").read_text(encoding="utf-8"))["laws"]
    drawn, axis = figure("P-values of faithful masks are uniform, for every law", "uniform", "p-value")
    for law, row in laws.items():
        values = row["p_values"]
        axis.plot((np.arange(len(values)) + 0.5) / len(values), values, linewidth=0.8, label=law)
    axis.plot([0, 1], [0, 1], color="black", linestyle=":", linewidth=1)
    axis.legend(frameon=False, fontsize=6, ncols=3)
    save(drawn, "p-values")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    looking()
    evidence()
    strength()
    p_values()


if __name__ == "__main__":
    main()
