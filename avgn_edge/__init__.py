"""Audio-visual glance networks for video recognition inside a compute budget.

`Recognizer.open()` opens a bundle on a device, `recognizer.classify(clip, budget="6gflops")` classifies a clip.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from avgn_edge._base import lazily

# ONNX Runtime (on Linux from 1.29 on) makes a device id and sends telemetry unless this is set when it is imported, by
# us or by PyTorch's exporter, here or in a process that is started; what it offers to call afterwards stops none of it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from avgn_edge._base.errors import (
        ArgumentError,
        AvgnEdgeError,
        BudgetError,
        BundleError,
        ClipError,
        DataError,
        DeviceError,
    )
    from avgn_edge.bundle.reader import Bundle
    from avgn_edge.media.array_clip import ArrayClip
    from avgn_edge.media.clip import Clip
    from avgn_edge.media.opening import open_clip
    from avgn_edge.runtime.budget import Budget
    from avgn_edge.runtime.highlights.result import Highlights
    from avgn_edge.runtime.recognizer import Recognizer
    from avgn_edge.runtime.result import Result
    from avgn_edge.runtime.stream.events import Event, EventSettings, StreamUpdate
    from avgn_edge.runtime.stream.live_stream import Stream

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "ArrayClip",
    "AvgnEdgeError",
    "Budget",
    "BudgetError",
    "Bundle",
    "BundleError",
    "Clip",
    "ClipError",
    "DataError",
    "DeviceError",
    "Event",
    "EventSettings",
    "Highlights",
    "Recognizer",
    "Result",
    "Stream",
    "StreamUpdate",
    "open_clip",
]

_ERRORS = ("ArgumentError", "AvgnEdgeError", "BudgetError", "BundleError", "ClipError", "DataError", "DeviceError")
_HOMES = {
    **dict.fromkeys(_ERRORS, "_base.errors"),
    "ArrayClip": "media.array_clip",
    "Budget": "runtime.budget",
    "Bundle": "bundle.reader",
    "Clip": "media.clip",
    "Event": "runtime.stream.events",
    "EventSettings": "runtime.stream.events",
    "Highlights": "runtime.highlights.result",
    "Recognizer": "runtime.recognizer",
    "Result": "runtime.result",
    "Stream": "runtime.stream.live_stream",
    "StreamUpdate": "runtime.stream.events",
    "open_clip": "media.opening",
}

# Importing avgn_edge costs nothing.
__getattr__, __dir__ = lazily(__name__, _HOMES)
