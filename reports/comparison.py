"""Two verdicts side by side: what changed."""

from __future__ import annotations

from dataclasses import dataclass

from keeprate.reports.groups import WORDS, status_of
from keeprate.reports.reading import Reading

BAD = ("broken", "error")


@dataclass(frozen=True)
class Comparison:
    """What is otherwise than in another document.

    Args:
        other: whom it is compared with.
        lists: titles, and under each the findings as id, status there, status here.
        same: findings whose status is the same in both.
    """

    other: str
    lists: tuple[tuple[str, list[tuple[str, str, str]]], ...]
    same: int

    @property
    def sentence(self) -> str:
        """All of it, counted."""
        parts = [f"{len(ids):,} {title.lower()}" for title, ids in self.lists if ids]
        return f"{', '.join(parts) or 'nothing changed'}; {self.same:,} findings stand as they stood."


def compare(here: Reading, there: Reading) -> Comparison:
    """What changed from `there` to `here`, the worst first."""
    was = {str(finding["id"]): status_of(finding) for finding in there.findings}
    now = {str(finding["id"]): status_of(finding) for finding in here.findings}
    broken, mended, known, otherwise, gone = [], [], [], [], []
    for text in dict.fromkeys((*now, *was)):
        before, after = was.get(text), now.get(text)
        if before == after:
            continue
        row = text, WORDS[before] if before else "not planned", WORDS[after] if after else "not planned"
        if after is None or before is None:
            gone.append(row)
        elif after in BAD and before not in BAD:
            broken.append(row)
        elif before in BAD and after == "kept":
            mended.append(row)
        elif before in BAD and after == "known":  # accepted, and as broken as before
            known.append(row)
        else:
            otherwise.append(row)
    same = sum(was.get(text) == status for text, status in now.items())
    name = f"{there.backend}, {there.data['verdict']}"
    titles = "Newly broken", "Mended", "Now known", "Otherwise", "In one of them alone"
    return Comparison(name, tuple(zip(titles, (broken, mended, known, otherwise, gone), strict=True)), same)
