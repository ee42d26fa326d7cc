"""Jobs for worker processes that need no network: what becomes of a clip is in its name."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from avgn_edge._base.errors import BundleError, DeviceError
from avgn_edge.cli.runner import Failure, Job


@dataclass(frozen=True)
class NamedJob(Job):
    """Answers with the name and the process; "die", "stop", "bug", "bundle" and "wait FILE" do what they say."""

    opening: str = ""

    def open(self):
        self._do(self.opening)

    def classify(self, recognizer, clip):
        try:
            self._do(clip)
        except RuntimeError as error:
            if isinstance(error, DeviceError):
                raise
            return Failure.of(error)
        return clip, os.getpid()

    @staticmethod
    def _do(what):
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "stop":
            os._exit(3)
        if what == "bug":
            raise RuntimeError("two\nlines")
        if what == "bundle":
            raise BundleError("a bundle", "it is broken", "mend it")
        if what == "device":
            raise DeviceError("a device", "it is gone", "find it")
        if what.startswith("wait "):
            while not Path(what.removeprefix("wait ")).exists():
                time.sleep(0.01)
