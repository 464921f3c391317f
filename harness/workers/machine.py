"""What this machine is, and what is installed on it, as far as results may depend on it."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
from pathlib import Path

from keeprate.harness.workers.cgroups import GROUPS, OWN, folders, words


def environment() -> dict[str, str]:
    """Versions that the results may depend on."""
    return {
        "keeprate": importlib.metadata.version("keeprate"),
        "python": platform.python_version(),
        "numpy": importlib.metadata.version("numpy"),
        "scipy": importlib.metadata.version("scipy"),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def described() -> dict[str, str]:
    """What a ledger notes of a run: those versions, and the processor."""
    return {**environment(), "cpu": cpu()}


def cores(own: Path = OWN, groups: Path = GROUPS) -> int:
    """Cores that this process may use: the machine's, or fewer in a container; a part of a core counts as one.

    Args:
        own: lists the control groups of this process.
        groups: where control groups are mounted.
    """
    counts = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1]
    for folder in folders("cpu", own, groups):
        match _quota(folder):
            case [quota, period] if quota.isdigit() and period.isdigit():  # and neither `max` nor -1
                counts.append(max(1, math.ceil(int(quota) / int(period))))
    return min(counts)


def _quota(folder: Path) -> list[str]:
    """Microseconds of all cores together that a control group may use in a period, and that period."""
    return words(folder / "cpu.max") or words(folder / "cpu.cfs_quota_us") + words(folder / "cpu.cfs_period_us")


def cpu() -> str:
    """The processor's name, as far as the system says it."""
    path = Path("/proc/cpuinfo")
    names = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found = [line.partition(":")[2].strip() for line in names if line.startswith("model name")]
    return (found or [platform.processor() or platform.machine()])[0]
