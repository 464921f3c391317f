"""What the control groups of this process leave of the machine: a container may use less than there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

OWN = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")


def folders(controller: str, own: Path = OWN, groups: Path = GROUPS) -> Iterator[Path]:
    """The folders of all control groups that this process is in, each before those above it.

    A group has at most what those above it have; in a container its own stands where the root would.

    Args:
        controller: `memory` or `cpu`, as version 1 names the hierarchy; version 2 has one for all.
        own: lists the control groups of this process, as lines of `number:controllers:/path`.
        groups: where control groups are mounted.
    """
    for line in own.read_text(encoding="utf-8").splitlines() if own.is_file() else ():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        group = (groups / controller if controllers else groups) / path.lstrip("/")
        yield from (group, *group.parents)


def words(path: Path) -> list[str]:
    """What a file of a control group says; nothing if there is none."""
    return path.read_text(encoding="utf-8").split() if path.is_file() else []
