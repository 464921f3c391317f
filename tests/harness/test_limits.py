"""What there is of memory: the machine's, or what a container leaves of it."""

import psutil
import pytest

from harness.limits import SHARE, limits, total_memory

MACHINE = psutil.virtual_memory().total


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
def test_memory_is_the_least_that_a_control_group_leaves(tmp_path, own, files, size):
    (tmp_path / "cgroup").write_text(own)
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(text)
    assert total_memory(tmp_path / "cgroup", tmp_path / "groups") == size


def test_where_there_are_no_control_groups_memory_is_the_machines(tmp_path):
    assert total_memory(tmp_path / "none", tmp_path) == MACHINE


def test_workers_share_what_there_is():
    assert limits(4).memory == int(SHARE * total_memory() / 4)
