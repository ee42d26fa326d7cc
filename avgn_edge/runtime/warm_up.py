"""The first clip's decoding is no slower than the second's: libraries, tables and caches are made ready before it."""

from __future__ import annotations

import contextlib
import threading
from importlib import import_module, resources
from pathlib import Path

import numpy as np

from avgn_edge._base.errors import ClipError
from avgn_edge.bundle.manifest import Preprocessing
from avgn_edge.media.logmel import log_mel
from avgn_edge.runtime import device_profile
from avgn_edge.runtime.budget import DECODE, DECODE_AUDIO, FRONT_END, Budget, LatencyModel, Ledger, Run
from avgn_edge.runtime.front_end import open_for

SAMPLE = "packaged/sample.mp4"
FRAMES = (0, 7, 8)


class WarmMedia:
    """Reads the packaged sample clip, once, and learns what that takes on this machine; for many threads."""

    def __init__(self, given: Preprocessing) -> None:
        self._given = given
        self._lock = threading.Lock()
        self._done = False

    def warm(self, pace: LatencyModel) -> None:
        """Do it if it was not done. An installation without the sample goes on without."""
        with self._lock:
            if self._done:
                return
            self._done = True
            with contextlib.suppress(ImportError, OSError):
                import_module("soundfile")  # as plain audio files do, in 50 ms
            sample = Path(str(resources.files("avgn_edge"))) / SAMPLE
            if sample.is_file():
                self._read(sample, LatencyModel())
                self._read(sample, pace)
            sound = self._given.sound
            pace.know(
                {
                    FRONT_END: device_profile.timed(
                        lambda items: log_mel(np.zeros((items, sound.window_samples), np.float32), sound)
                    )
                }
            )

    def _read(self, sample: Path, pace: LatencyModel) -> None:
        ledger, given = Ledger(Budget(), {}, pace), self._given
        try:
            with open_for(given, sample) as clip:
                with ledger.timing(Run(DECODE_AUDIO, given.moments)):
                    clip.windows()
                for moment in FRAMES[: given.moments]:
                    with ledger.timing(Run(DECODE, clip.work([moment]))):
                        clip.frames([moment])
        except ClipError:  # a PyAV without its codecs: the user's clips will say so
            return
