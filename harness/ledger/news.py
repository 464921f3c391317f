"""What is otherwise than in the night before, or in the last of the version before: newly broken, and mended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keeprate.harness.judging.decision import Decision
from keeprate.harness.judging.finding import BAD
from keeprate.harness.judging.text import TOGETHER, plural
from keeprate.harness.ledger.held import Held
from keeprate.harness.ledger.since import Base, Night
from keeprate.harness.ledger.store import Ledger
from keeprate.harness.protocol.case import ANY, FindingId

TOLD = 5  # faults that are mended, at most, that are told one by one


def changes(verdict: Decision, base: Base | None) -> list[dict[str, Any]]:
    """What is otherwise than in the night that `verdict` is compared with; of what wasn't noted then, what is wrong."""
    if base is None:
        return []
    fine = ("kept", "not_offered", "not_implemented")
    return [
        {"id": item.id, "before": before, "now": item.status}
        for item in verdict
        if item.status != "not_implemented" and (before := base.stood.get(item.id)) != item.status
        if before is not None or item.status not in fine
    ]


def mends(ledger: Ledger, latest: Night, verdict: Decision, base: Base | None) -> list[dict[str, Any]]:
    """What was broken and is kept now, by the cause that was found then, or by law and operator where none was."""
    if base is None:
        return []
    now = {item.id: item.status for item in verdict}
    left = {text for text, status in base.stood.items() if status in BAD}
    groups: dict[tuple[str, str], set[str]] = {}
    for cause in Held(ledger, base.subject, latest.counted).causes():
        if mine := left.intersection(cause.explains):
            groups[cause.id, cause.sentence.rstrip(".")] = mine
            left -= mine
    for text in sorted(left):
        id = FindingId.parse(text)
        groups.setdefault((id.family, f"{id.family}, in {id.op if id.op != ANY else TOGETHER}"), set()).add(text)
    found = []
    for (of, words), mine in groups.items():
        kept = sum(now.get(text) == "kept" for text in mine)
        still = sum(now.get(text) in BAD for text in mine)
        if kept:
            found.append(
                {"of": of, "says": words, "mended": kept, "broken": still, "unseen": sum(t not in now for t in mine)}
            )
    return found


def news(
    latest: Night,
    base: Base | None,
    verdict: Decision,
    origins: Sequence[Mapping[str, Any]],
    mends: Sequence[Mapping[str, Any]],
) -> str:
    """What is new, counted by faults: what follows from one that was there before is no news; and what is mended."""
    if base is None:
        return "The first night in this ledger: there is nothing to compare it with."
    date = latest.dated(base.night)
    if base.same:
        whom = f"the night before, {date}"
    else:
        whom = f"{base.version or 'the version before'}, judged over {plural(base.nights, 'night')} until {date}"
    now = {item.id for item in verdict}
    named = {cause.id for cause in verdict.causes}
    causes = Counter(
        one["told"] or one["kept_by"] != one["version"] for one in origins if one["new"] and one["of"] in named
    )
    laws = sum(one["new"] for one in origins if one["of"] not in named)
    follows = sum(base.stood.get(item.id, "kept") not in BAD for item in verdict if item.fails)
    follows -= sum(one["findings"] for one in origins if one["new"])
    unseen = sum(status in BAD and text not in now for text, status in base.stood.items())
    parts = [
        f"{plural(causes[True], 'new cause')}" if causes[True] else "",
        f"{plural(causes[False], 'cause')} perhaps new" if causes[False] else "",
        f"{plural(laws, 'law')} newly broken without a known cause" if laws else "",
        f"{plural(follows, 'more finding')} of what was broken before" if follows > 0 else "",
        f"{plural(unseen, 'promise')} broken then and not looked at yet" if unseen else "",
    ]
    said = [text for text in parts if text]
    if said or not mends:
        said = [f"Compared with {whom}: {', '.join(said) or 'nothing is new'}."]
    else:
        said = [f"Compared with {whom}, nothing is newly broken."]
    return " ".join([*said, *_mended(mends)])


def _mended(mends: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What is mended, and what of it isn't: a sentence for each of the first."""
    for one in mends[:TOLD]:
        rest = [f"{one['broken']:,} still broken"] if one["broken"] else []
        rest += [f"{one['unseen']:,} not looked at yet"] if one["unseen"] else []
        word = "Mended in part" if rest else "Mended"
        counted = ", ".join([plural(one["mended"], "promise"), *rest])
        yield f"{word}: {one['says']} ({counted})."
    if len(mends) > TOLD:
        yield f"And {len(mends) - TOLD} more mended."
