"""What a ledger holds, or lacks, beside what is judged: what waits, clocks, code, profiles, history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keeprate.reports.reading import Reading, counted, listed, promises


def asides(reading: Reading) -> list[str]:
    """Each in a sentence or two."""
    ledger, said = reading.ledger or {}, []
    if reading.waits:
        more = "" if ledger.get("unasked") else f" {_asked(ledger)}"
        said.append(f"Waiting: nothing was drawn so far of {promises(reading.waits)}.{more}")
    if unasked := ledger.get("unasked"):
        said.append(f"Never asked for, so neither judged nor waiting: {_never_asked(unasked)}.")
    if dates := ledger.get("ahead"):
        said.append(
            f"A clock was wrong: there are runs dated {listed(dates)}, later than today or than runs that came "
            "after them. They are shown in the order in which they were made."
        )
    if code := ledger.get("other_code"):
        said.append(
            f"The backend's code has changed since {code['last']} under one version string: the evidence of "
            f"{counted(code['runs'], 'run')} is that of other code. Another version string would keep them apart."
        )
    for each in ledger.get("profiles", ()):
        if each["profile"] != (mine := reading.data["profile"]):
            said.append(
                f"This is the plan of profile {mine}. The ledger also has {counted(each['runs'], 'run')} with profile "
                f"{each['profile']}, last on {each['last']}. Evidence on what both plans look at counts here; "
                f"keeprate report --profile {each['profile']} shows the other plan."
            )
    if once := ledger.get("once_broken"):
        first, more = once[0], f" and {len(once) - 1:,} more" if len(once) > 1 else ""
        said.append(
            f"Broken when a night ended, on {first['night']}, but not by all evidence: {first['id']}{more}. "
            "In a ledger that was merged from others their nights are history, which doesn't decide."
        )
    if otherwise := ledger.get("counted_otherwise"):
        said.append(f"Evidence of {promises(otherwise)} was counted otherwise before, and is not used.")
    return said


def _never_asked(unasked: Sequence[Mapping[str, Any]]) -> str:
    """Whole operators first, then dtypes of others."""
    parts: dict[str, list[str]] = {}
    for one in sorted(unasked, key=lambda one: not one["whole"]):
        of = f"{listed(one['dtypes'], 9)} of " if one["dtypes"] else "the rest of "
        parts.setdefault("" if one["whole"] else of, []).append(one["op"])
    return "; ".join(what + listed(ops, 20) for what, ops in parts.items())


def _asked(ledger: Mapping[str, Any]) -> str:
    """What a night looks at."""
    if not (asked := ledger.get("asked")):
        return "A night looks at what it is asked for, as far as its budget goes."
    parts = [listed(asked["ops"], 20) if asked["ops"] else "all operators"]
    parts += [f"in {listed(asked['dtypes'], 9)}"] if asked["dtypes"] else []
    return f"This night was asked for {' '.join(parts)}, and for nothing else."
