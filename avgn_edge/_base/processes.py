"""Processes and cores: how many this process may use, and a pool of worker processes."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from avgn_edge._base.signals import kept_from_children, obey_parent_alone

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Return the cores this process may use: a container's or taskset's share, not the machine's.

    The least of the affinity mask and the CPU quotas of the control groups it is in. A part of a core counts as one:
    a thread less would leave some of the quota unused.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = min(_quotas(), default=math.inf)
    return max(1, cores if math.isinf(quota) else min(cores, math.ceil(quota)))


def _quotas() -> list[float]:
    """Return the CPU quotas, in cores, of this process's control groups and of all that these are in."""
    try:
        lines = OWN_CGROUPS.read_text().splitlines()
    except (OSError, UnicodeDecodeError):  # not Linux, or no /proc
        return []
    found = []
    for line in lines:  # "0::/user.slice" (version 2), "4:cpu,cpuacct:/docker/1f" (version 1)
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if not controllers:
            read, roots = _quota, [CGROUPS]
        elif "cpu" in controllers.split(","):
            read, roots = _old_quota, [CGROUPS / controllers, CGROUPS / "cpu"]
        else:
            continue
        # Inside a container the path may be the host's, which is not there: what can be seen from the root down counts.
        group = Path(path.lstrip("/"))
        found += [read(root / above) for root in roots for above in (group, *group.parents)]
    return [quota for quota in found if quota is not None]


def _quota(folder: Path) -> float | None:
    """Read version 2's "200000 100000", or "max 100000" for no limit."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _old_quota(folder: Path) -> float | None:
    """Read version 1's two files; a quota of -1 is no limit."""
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None


T = TypeVar("T")
R = TypeVar("R")


def map_in_processes(function: Callable[[T], R], things: Iterable[T], workers: int, chunk: int = 1) -> Iterator[R]:
    """Do as `map` does, in several processes.

    Args:
        function: What to call; it can be pickled.
        things: Its arguments.
        workers: How many processes; with one or none this process does it itself.
        chunk: How many things a worker takes at a time.

    Yields:
        The results, in the order of the things.

    Raises:
        BrokenProcessPool: A worker died.

    """
    if workers <= 1:
        yield from map(function, things)
        return
    # Not "fork": the threads of whoever calls, an engine's or a progress bar's, would be cut off in mid-step.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=obey_parent_alone) as pool:
        with kept_from_children():  # which start now, all of them
            done = pool.map(function, things, chunksize=chunk)
        yield from done
