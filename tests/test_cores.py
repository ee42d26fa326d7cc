"""How many threads an engine gets: no more than the affinity mask and the container's quota leave."""

from __future__ import annotations

import pytest

from avgn_edge._base import processes


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Eight cores, no control group; the folders to put some into."""
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(processes, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(processes, "OWN_CGROUPS", tmp_path / "own")
    return tmp_path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_threads_default_to_the_cores_this_process_may_use(monkeypatch, machine):
    assert processes.usable_cores() == 8
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda _: {1, 3, 5}, raising=False)
    assert processes.usable_cores() == 3
    monkeypatch.delattr(processes.os, "sched_getaffinity")
    monkeypatch.setattr(processes.os, "cpu_count", lambda: None)
    assert processes.usable_cores() == 1


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("9900000 100000", 8),
        ("0 0", 8),
        ("", 8),
        ("nonsense", 8),
    ],
)
def test_a_container_s_quota_bounds_them(machine, text, count):
    write(machine / "own", "0::/\n")
    write(machine / "cgroup" / "cpu.max", text + "\n")
    assert processes.usable_cores() == count


def test_the_tightest_of_the_groups_above_counts(machine):
    write(machine / "own", "1:name=systemd:/x\n0::/a/b\n")
    write(machine / "cgroup" / "a" / "b" / "cpu.max", "600000 100000")
    write(machine / "cgroup" / "a" / "cpu.max", "300000 100000")
    assert processes.usable_cores() == 3


@pytest.mark.parametrize(("quota", "count"), [(-1, 8), (250000, 3), (100000, 1)])
def test_version_one_of_control_groups_is_read_too(machine, quota, count):
    write(machine / "own", "5:cpu,cpuacct:/docker/0f\n4:memory:/docker/0f\nbroken\n")
    write(machine / "cgroup" / "cpu,cpuacct" / "cpu.cfs_quota_us", f"{quota}\n")
    write(machine / "cgroup" / "cpu,cpuacct" / "cpu.cfs_period_us", "100000\n")
    assert processes.usable_cores() == count
