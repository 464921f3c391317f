"""What there is of memory and of cores: the machine's, or what a container leaves of them."""

import os

import psutil
import pytest

from keeprate.harness.workers import limits as bounds
from keeprate.harness.workers.limits import SHARE, counted, limits, total_memory
from keeprate.harness.workers.machine import cores
from keeprate.harness.workers.resources import USUAL, Resources

MACHINE = psutil.virtual_memory().total
CORES = 64  # of a host that has many


@pytest.fixture
def group(tmp_path):
    """A place with the files of control groups, as arguments of what reads them."""

    def made(own, files):
        (tmp_path / "cgroup").write_text(own)
        for name, text in files.items():
            (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "groups" / name).write_text(text)
        return tmp_path / "cgroup", tmp_path / "groups"

    return made


@pytest.mark.parametrize(
    ("own", "files", "size"),
    [
        ("0::/\n", {"memory.max": "536870912\n"}, 2**29),
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": "536870912\n", "memory.max": "max\n"}, 2**29),
        ("0::/a/b\n", {"a/b/memory.max": "268435456\n", "a/memory.max": "536870912\n"}, 2**28),
        ("3:cpu:/a\n4:memory:/a\n0::/\n", {"memory/a/memory.limit_in_bytes": "536870912\n"}, 2**29),
        ("4:memory:/of/the/host\n", {"memory/memory.limit_in_bytes": "536870912\n"}, 2**29),
        ("4:memory:/a\n", {"memory/a/memory.limit_in_bytes": "9223372036854771712\n"}, MACHINE),
        ("0::/\n", {"memory.max": "max\n"}, MACHINE),
        ("0::/\n", {}, MACHINE),
        ("", {"memory.max": "536870912\n"}, MACHINE),
    ],
)
def test_memory_is_the_least_that_a_control_group_leaves(group, own, files, size):
    assert total_memory(*group(own, files)) == size


@pytest.mark.parametrize(
    ("own", "files", "count"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 1),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "800000 100000\n", "a/cpu.max": "300000 100000\n"}, 3),
        (
            "3:cpu,cpuacct:/a\n4:memory:/b\n0::/\n",
            {"cpu/a/cpu.cfs_quota_us": "400000\n", "cpu/a/cpu.cfs_period_us": "100000\n"},
            4,
        ),
        ("3:cpu:/of/the/host\n", {"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "50000\n"}, 1),
        ("3:cpu:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, CORES),
        ("3:cpuset:/a\n", {"cpu/a/cpu.cfs_quota_us": "50000\n", "cpu/a/cpu.cfs_period_us": "50000\n"}, CORES),
        ("0::/\n", {"cpu.max": "12800000 100000\n"}, CORES),
        ("0::/\n", {"cpu.max": "max 100000\n"}, CORES),
        ("0::/\n", {}, CORES),
        ("", {"cpu.max": "100000 100000\n"}, CORES),
    ],
)
def test_cores_are_the_fewest_that_a_control_group_leaves(group, monkeypatch, own, files, count):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(CORES)), raising=False)
    assert cores(*group(own, files)) == count


@pytest.mark.parametrize(("memory", "workers"), [(2**38, 64), (2**33, 8), (3 * 2**29, 1), (2**29, 1)])
def test_unless_workers_are_asked_for_each_has_a_core_and_memory_enough(monkeypatch, memory, workers):
    monkeypatch.setattr(bounds, "cores", lambda: CORES)
    monkeypatch.setattr(bounds, "total_memory", lambda: memory)
    assert counted(USUAL) == workers
    assert counted(Resources(CORES)) == CORES


def test_where_there_are_no_control_groups_memory_is_the_machines(tmp_path):
    assert total_memory(tmp_path / "none", tmp_path) == MACHINE


def test_workers_share_what_there_is():
    assert limits(4, USUAL).memory == int(SHARE * total_memory() / 4)
