"""Whether INT8 sums saturate on this CPU: without VNNI, x86 adds two products in 16 bits.

255 · (127 + 127) does not fit. Weights of seven bits would, but rounding MobileNetV2's so changes a seventh of its
answers, and 2.4 to 4.6 % of them with GPTQ (eight bits: 2.1 %). Computing eight bits exactly costs time alone.
"""

from __future__ import annotations

import platform
import re
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
EXACT = ("session.x64quantprecision", "1")
"""The setting of an ONNX Runtime session that computes them exactly; where nothing saturates it is the slower way."""
_FIRST_CORE = 16_384
"""Bytes that hold what the first core can do; the file has as much for every other."""
_VNNI = re.compile(rb"\bavx(512)?_vnni\b")


def saturates() -> bool:
    """Return whether weights of more than seven bits may come out wrong; True for an x86 CPU that cannot be asked."""
    if platform.machine().lower() not in {"x86_64", "amd64", "i686", "x86"}:
        return False
    try:
        with CPUINFO.open("rb") as file:
            return _VNNI.search(file.read(_FIRST_CORE)) is None
    except OSError:  # not Linux
        return True
