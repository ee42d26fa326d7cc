"""How many threads an engine may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Return the cores this process may run on: a container's or taskset's share, not the machine's."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1
