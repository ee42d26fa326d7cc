"""What is done with each clip of a batch, the same in this process and in a worker's."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avgn_edge.errors import BundleError, DeviceError
from avgn_edge.runtime.options import Options
from avgn_edge.terminal.lines import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from avgn_edge.runtime.recognizer import Recognizer
    from avgn_edge.runtime.result import Result


@dataclass(frozen=True)
class Failure:
    """Why a clip has no answer, as text: not every exception comes whole from one process to another."""

    why: str
    trace: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Write an error down."""
        return cls(one_line(error), "".join(traceback.format_exception(error)).rstrip())


@dataclass(frozen=True)
class Job:
    """What `classify` was asked to do with a clip: plain values, so that it can be sent to another process."""

    model: str | None = None
    """The bundle's folder; None is the packaged one."""
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    """CPU threads of one process."""
    options: Options = Options()  # noqa: RUF009 - frozen
    """What each clip is asked for."""
    report: Path | None = None
    """Where the page of each clip is written to; a folder that exists."""
    hwaccel: str = "none"
    """What decodes video."""

    def open(self) -> Recognizer:
        """Open what classifies the clips; AvgnEdgeError for a bundle or a device that cannot be used."""
        from avgn_edge.runtime.recognizer import Recognizer  # noqa: PLC0415 - NumPy and all

        return Recognizer.open(self.model, self.device, self.precision, threads=self.threads, hwaccel=self.hwaccel)

    def classify(self, recognizer: Recognizer, clip: str) -> Result | Failure:
        """Return the answer for one clip, or the failure that is this clip's alone.

        BundleError and DeviceError are raised: no other clip will fare better.
        """
        try:
            if self.report is not None:
                return self._reported(recognizer, clip, self.report)
            return recognizer.answer(clip, self.options)
        except (BundleError, DeviceError):
            raise
        except Exception as error:  # noqa: BLE001 - a bug that one clip brings out must not cost the others' answers
            return Failure.of(error)

    def _reported(self, recognizer: Recognizer, clip: str, folder: Path) -> Result:
        from avgn_edge.reports.write import classify_and_report  # noqa: PLC0415 - most batches have no report

        return classify_and_report(recognizer, clip, folder, self.options)
