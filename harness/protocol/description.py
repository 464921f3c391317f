"""What a suite says beside its laws: of an adapter, of defects and causes that are known, and of what was drawn."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from keeprate.harness.untrusted_text import clean


class AdapterCheck(msgspec.Struct, frozen=True):
    """One check of an adapter.

    Args:
        what: what it should do, in words.
        wrong: what it does instead; empty if nothing is wrong.
        skipped: why there was nothing to check; empty if there was.
        law: the law that judges the same of the framework; empty if the adapter alone is answerable.
    """

    what: str
    wrong: str
    skipped: str = ""
    law: str = ""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "wrong", clean(self.wrong))  # which may be what foreign code said


@dataclass(frozen=True)
class Defect:
    """A defect that somebody really shipped.

    Args:
        id: a letter for its kind, and a number.
        source: the public thread.
        wrong: what was wrong.
        where: where it showed.
        laws: those that would have caught it.
    """

    id: str
    source: str
    wrong: str
    where: str
    laws: tuple[str, ...]


@dataclass(frozen=True)
class Cause:
    """A known fault, and what it is recognised by.

    Args:
        name: what it is called where it was judged.
        kind: faults of one kind have this in common.
        says: what is wrong, in words.
        defect: a real defect that it stands for, and its public thread; empty for none.
        laws: those that it breaks.
        traits: what it is recognised by, in words of the suite's own.
    """

    name: str
    kind: str
    says: str
    defect: str
    laws: frozenset[str]
    traits: frozenset[str] = frozenset()


class Picture(msgspec.Struct, frozen=True):
    """Some of what was drawn, as rows of two kinds of entries.

    Args:
        title: what is shown, in a line.
        rows: a sign for each entry, 1 or 0; all rows are of one length.
    """

    title: str
    rows: tuple[str, ...]
