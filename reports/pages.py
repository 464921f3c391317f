"""The report: public JSON in, a page of HTML and one of Markdown out. What a ledger or a gate showed is in the JSON."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from keeprate.harness.untrusted_text import for_html, for_markdown
from keeprate.reports import masks, numbers, plots
from keeprate.reports.asides import asides
from keeprate.reports.comparison import compare
from keeprate.reports.groups import MARKS, WORDS, Finding, Group, called, family, place, status_of
from keeprate.reports.reading import Broken, Reading

TEMPLATES = Path(__file__).parent / "templates"
DATE = re.compile(r"\b\d{4}-\d\d-\d\d\b")


def render(data: Mapping[str, Any], against: Mapping[str, Any] | None) -> dict[str, str]:
    """The pages, by file name.

    Args:
        data: public JSON, checked against its schema.
        against: the same of what it is compared with.
    """
    reading = Reading(data)
    ledger = reading.ledger
    names = {
        "reading": reading,
        "asides": asides(reading),
        "data": data,
        "ledger": ledger,
        "version": ledger["versions"][0] if ledger else None,
        "worse": ledger is not None and any(origin["new"] for origin in ledger.get("origins", ())),
        "mended": ledger is not None and _all_mended(ledger.get("mends", ())),
        "comparison": compare(reading, Reading(against)) if against is not None else None,
        "words": WORDS,
        "marks": MARKS,
        "by_operator": _by_operator(reading),
        **_functions(),
    }
    return {
        "index.html": _templates(for_html).get_template("page.html.j2").render(**names, **_shown(reading)),
        "report.md": _templates(for_markdown).get_template("page.md.j2").render(**names).strip() + "\n",
    }


def _templates(shown: Callable[[str], str]) -> Environment:
    """Templates in which every text is `shown`, unless it is marked as fit to stand there."""

    def finalize(value: Any) -> Any:
        foreign = isinstance(value, str) and not isinstance(value, Markup)
        return Markup(shown(value)) if foreign else value  # noqa: S704 - that is what makes it fit

    loader = FileSystemLoader(TEMPLATES)
    return Environment(loader=loader, autoescape=True, finalize=finalize, undefined=StrictUndefined)


def _shown(reading: Reading) -> dict[str, Any]:
    """What only the page of HTML has: plots, and the findings that are told in full."""
    ledger: Mapping[str, Any] = reading.ledger or {"history": {}, "laws": {}, "runs": []}
    broken, watched = reading.broken, reading.watched
    drawn = {
        item["id"]: Markup(plots.finding(item, history))  # noqa: S704 - escaped there
        for item in (*(fault.first for fault in broken), *watched)
        if item["estimate"] is not None and plots.grows(history := ledger["history"].get(item["id"], ()))
    }
    p_values = [item["p_value"] for item in reading.findings if item["p_value"] is not None]
    pictured = {fault.first["id"]: one for fault in broken if (one := _picture(reading, fault)) is not None}
    several = len({point["night"] for points in ledger["laws"].values() for point in points}) > 1
    return {
        "style": Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),  # noqa: S704 - a file of ours
        "run_at": _run_at(os.environ),
        "dates": _dates,
        "rows_of": lambda bits: Markup(masks.rows_of(bits)),  # noqa: S704 - made of digits and words of ours
        "by_op": _by_op(reading),
        "watched": watched,
        "plots": drawn,
        "pictures": {
            text: [(side, Markup(svg)) for side, svg in masks.sides(one)]  # noqa: S704 - made of digits and words of ours
            for text, one in pictured.items()
        },
        "drawn_in": {text: one["case"] for text, one in pictured.items()},
        "earlier": ledger.get("before", {}),
        "nights": Markup(plots.evidence_by_night(ledger["laws"])) if several else None,  # noqa: S704
        "unnamed": max(0, len(ledger["laws"]) - plots.NAMED),
        "qq": Markup(plots.qq(p_values)) if len(p_values) > 1 else None,  # noqa: S704
        "speed": Markup(plots.speed(ledger["runs"][-60:])) if len(ledger["runs"]) > 1 else None,  # noqa: S704
    }


def _all_mended(mends: Sequence[Mapping[str, Any]]) -> bool:
    """Whether something was broken, and all of it was looked at again and is kept."""
    return bool(mends) and not any(one["broken"] or one["unseen"] for one in mends)


def _picture(reading: Reading, fault: Broken) -> Mapping[str, Any] | None:
    """Masks in which a fault shows: of a cause that has rows to show, or of a law other than that of the rate."""
    pictures = reading.data.get("pictures", {})
    if not fault.picture and (fault.cause or family(fault.first) == reading.data.get("headline")):
        return None
    return next((pictures[item["id"]] for item in fault.findings if item["id"] in pictures), None)


def _run_at(environment: Mapping[str, str]) -> str:
    """Where this run of CI can be looked at: of the machine that makes the page, never of a file; empty if nowhere."""
    parts = [environment.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    address = f"{parts[0]}/{parts[1]}/actions/runs/{parts[2]}" if all(parts) else environment.get("CI_JOB_URL", "")
    return address if re.fullmatch(r"https?://[\w.:/%~+-]+", address) else ""


def _dates(text: str) -> Markup:
    """A text whose dates no line breaks apart."""
    return Markup(DATE.sub(r'<span class="date">\g<0></span>', for_html(text)))  # noqa: S704 - that makes it fit


def _by_op(reading: Reading) -> list[tuple[str, list[Group]]]:
    """What is shown of each operator, law by law."""
    return [(op, [group for group in reading.groups.values() if group.op == op]) for op in reading.ops]


def _functions() -> dict[str, Any]:
    """What the templates call."""
    return {
        "called": called,
        "status_of": status_of,
        "family": family,
        "place": place,
        "count": numbers.count,
        "figure": numbers.figure,
        "short": numbers.short,
        "rows": _rows,
        "because": _because,
        "stood": _stood,
        "anchor": _anchor,
    }


def _rows(item: Finding) -> list[list[str]]:
    """A finding as labels and texts."""
    return [*item["rows"], *([["known", item["known"]]] if item["known"] is not None else [])]


def _because(item: Finding) -> str:
    """Why a finding has no numbers, or what was wrong first, in one line."""
    detail = item["detail"] or {}
    first = "; ".join(f"{label} {text}" for label, text in (detail.get("first") or {}).items())
    return str(detail.get("reason") or first)


def _stood(then: Mapping[str, Any]) -> str:
    """Where a finding stood at the end of another version, in words."""
    parts = [WORDS[then["status"]]]
    if then["estimate"] is not None:
        parts.append(f"{numbers.figure(then['estimate'])} seen in {numbers.count(then['n'])} draws")
    if then["log10_e"] is not None:
        parts.append(f"log₁₀ e = {numbers.short(then['log10_e'])}")
    return ", ".join(parts)


def _anchor(text: str) -> str:
    """Where the page shows the findings of the group of a finding."""
    op, law = text.split("/")[:2]
    return Group(op, law.partition(":")[0], ()).anchor


def _by_operator(reading: Reading) -> list[tuple[str, dict[str, int]]]:
    found: dict[str, dict[str, int]] = {}
    for group in reading.groups.values():
        counts = found.setdefault(group.op, dict.fromkeys(WORDS, 0))
        for status, number in group.counts.items():
            counts[status] += number
    return list(found.items())
