"""Plots, as SVG that takes its colours from the page, so that it is right in the light and in the dark."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from itertools import count, pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keeprate.harness.untrusted_text import for_html

# Stand-ins, replaced by the page's own colours.
INK, FAINT, GRID, KEPT, BROKEN, SEEN = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
COLOURS = {INK: "ink", FAINT: "faint", GRID: "rule", KEPT: "kept", BROKEN: "broken", SEEN: "seen"}
LINES = {"#070707": "one", "#080808": "two", "#090909": "three", "#0a0a0a": "four", "#0b0b0b": "five"}
SIGNS = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼"}  # of a marker, before its name
NAMED = len(LINES)  # lines that are told by name
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name is a name, with dollar signs too
    "svg.hashsalt": "keeprate",
    "font.size": 9,
    "font.family": "sans-serif",
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
}
POINTS = 300  # of a QQ plot
_number = count(1)


def evidence_by_night(laws: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A line for each law: the most evidence of any of its findings, as a part of what would break it."""
    longest = sorted(laws.values(), key=len, reverse=True)  # in the order of the ledger, which no clock can upset
    nights = list(dict.fromkeys(point["night"] for points in longest for point in points))
    where = {night: number for number, night in enumerate(nights)}
    ranked = sorted(laws, key=lambda law: laws[law][-1]["part"])
    with mpl.rc_context(STYLE):
        figure, axes = _axes(7.2, 2.9)
        styles = dict(zip(reversed(ranked[-NAMED:]), zip(LINES, SIGNS, strict=True), strict=False))
        ends: list[float] = []
        for law in ranked:
            x = [where[point["night"]] for point in laws[law]]
            y = [max(-0.5, point["part"]) for point in laws[law]]
            if law in styles:
                colour, marker = styles[law]
                axes.plot(x, y, color=colour, linewidth=1.6, marker=marker, markersize=4)
                ends.append(y[-1])
            else:
                axes.plot(x, y, color=FAINT, linewidth=0.7, alpha=0.55, marker="o", markersize=2)
        highest = max(1.15, *(point["part"] * 1.1 for points in laws.values() for point in points))
        if highest > 3:
            _far(axes, 1)
        axes.set_ylim(-0.55, highest)
        axes.axhline(1, color=BROKEN, linewidth=1, linestyle=(0, (5, 3)))
        axes.annotate(
            "broken from here on", (0, 1), xytext=(0, 3), textcoords="offset points", color=BROKEN, fontsize=8
        )
        figure.draw_without_rendering()
        heights = axes.transAxes.inverted().transform(axes.transData.transform([(0, end) for end in ends]))[:, 1]
        for height, law in zip(_apart(heights.tolist(), 0.08), ranked[-NAMED:], strict=True):
            at = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": 8, "color": styles[law][0]}
            axes.annotate(f"{SIGNS[styles[law][1]]} {law}", (1, height), xytext=(5, -3), **at)
        ticks = sorted({round(tick) for tick in np.linspace(0, len(nights) - 1, min(6, len(nights)))})
        axes.set_xticks(ticks, _dates([nights[tick] for tick in ticks]))
        axes.set_ylabel("evidence / what breaks it")
        axes.set_xlim(-0.3, max(len(nights) - 0.7, 0.5))
    last = ", ".join(f"{law} {laws[law][-1]['part']:.2f}" for law in reversed(ranked[-NAMED:]))
    return _svg(figure, f"Evidence by night, as a part of what breaks a law. Most at the end: {last}.")


def grows(history: Sequence[Mapping[str, Any]]) -> bool:
    """Whether nights added draws, so that there is a line to show."""
    return len({point["n"] for point in history if point["n"] is not None and point["log10_e"] is not None}) > 1


def finding(item: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> str:
    """The evidence against one promise, as nights added draws; a `history` that grows."""
    points = [point for point in history if point["n"] is not None and point["log10_e"] is not None]
    with mpl.rc_context(STYLE):
        figure, axes = _axes(3.4, 1.75)
        axes.plot(
            [point["n"] / 1e6 for point in points],
            [point["log10_e"] for point in points],
            color=BROKEN if item["status"] == "broken" else SEEN,
            marker="o",
            markersize=3,
        )
        axes.axhline(item["threshold_log10_e"], color=BROKEN, linewidth=1, linestyle=(0, (5, 3)))
        axes.set_xlabel("million draws")
        axes.set_ylabel("log₁₀ e")
        axes.locator_params(axis="x", nbins=4)
    end = points[-1]["log10_e"]
    return _svg(
        figure,
        f"Evidence over {len(points)} nights: log10 e at the end {end:.3g}, broken from "
        f"{item['threshold_log10_e']:.3g} on.",
    )


def qq(p_values: Sequence[float]) -> str:
    """Observed p-values against those of a faithful backend."""
    seen = np.sort(np.maximum(np.array(p_values, dtype=float), 1e-300))
    expected = (np.arange(len(seen)) + 0.5) / len(seen)
    chosen = np.unique(np.round(np.geomspace(1, len(seen), min(POINTS, len(seen)))).astype(int)) - 1
    x, y = -np.log10(expected[chosen]), -np.log10(seen[chosen])
    with mpl.rc_context(STYLE):
        figure, axes = _axes(3.6, 3.2)
        end = float(x.max()) * 1.05
        axes.plot([0, end], [0, end], color=FAINT, linewidth=0.8)
        axes.plot(x, y, "o", color=SEEN, markersize=2.6)
        if y.max() > 4 * end:
            _far(axes, end)
        axes.set_xlabel("−log₁₀ p, if all were kept")
        axes.set_ylabel("−log₁₀ p, as seen")
    return _svg(
        figure, f"QQ plot of {len(seen):,} p-values; the smallest is {seen[0]:.2g}, about {expected[0]:.2g} is usual."
    )


def speed(runs: Sequence[Mapping[str, Any]]) -> str:
    """Draws a second, run by run."""
    rates = [run["draws"] / max(run["seconds"], 1e-3) / 1e6 for run in runs]
    with mpl.rc_context(STYLE):
        figure, axes = _axes(3.6, 3.2)
        axes.bar(range(len(runs)), rates, color=SEEN, width=0.7, alpha=0.8)
        axes.set_ylabel("million draws a second")
        ticks = sorted({round(tick) for tick in np.linspace(0, len(runs) - 1, min(3, len(runs)))})
        axes.set_xticks(ticks, _dates([runs[tick]["night"] for tick in ticks]))
        axes.set_xlim(-0.8, max(len(runs) - 0.2, 1.8))
    return _svg(figure, f"Speed of {len(runs)} runs; the last drew {rates[-1]:.3g} million a second.")


def _axes(width: float, height: float, columns: int = 1) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    made = figure.subplots(1, columns)
    for axes in np.atleast_1d(made):
        assert isinstance(axes, Axes)
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.patch.set_alpha(0)
    figure.patch.set_alpha(0)
    return figure, made


def _dates(nights: Sequence[str]) -> list[str]:
    """Dates as labels: the year where it is another than that of the label before."""
    return [
        night if number == 0 or night[:4] != nights[number - 1][:4] else night[5:]
        for number, night in enumerate(nights)
    ]


def _far(axes: Axes, near: float) -> None:
    """Shows what is far off too, and what is nearer than `near` as it is."""
    axes.set_yscale("symlog", linthresh=near)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _apart(heights: Sequence[float], distance: float) -> list[float]:
    """`heights`, each moved up until it is `distance` from those below, in the order given."""
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    found = list(heights)
    for lower, upper in pairwise(order):
        found[upper] = max(found[upper], found[lower] + distance)
    return found


def _svg(figure: Figure, text: str) -> str:
    """The figure as inline SVG, with `text` for those who can't see it."""
    out = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    number = next(_number)
    needed = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", svg))
    svg = re.sub(r' id="([^"]+)"', lambda found: f' id="s{number}{found[1]}"' if found[1] in needed else "", svg)
    svg = re.sub(r"(url\(#|href=\"#)", rf"\g<1>s{number}", svg)
    for colour, name in (COLOURS | LINES).items():
        svg = svg.replace(colour, f"var(--{name})")
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0]
    wide = float(width) * 1.3
    head = (
        f'<svg role="img" viewBox="0 0 {width} {height}" style="max-width:{wide:.0f}px"><title>{for_html(text)}</title>'
    )
    return re.sub(r"\n\s*", "\n", head + svg[svg.index(">", svg.index("<svg")) + 1 :])
