"""How far may a moment stray from its bin's centre? Accuracy, and what decoding costs, by the share of the bin allowed.

    python -m benchmarks.reach --data DIR [--reach 0 0.25 0.5 0.75 1] [--model BUNDLE] [--precision P] [--exit-risk R]

0 is the paper's rule, the centre of each bin. *Frames decoded* are what the decoder gave on the way to those that were
glanced at, without what it dropped; milliseconds are medians of a clip's, and mean something on a quiet machine only.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from avgn_edge.data.datasets import LabelledClip, read_dataset
from avgn_edge.media import open_clip
from avgn_edge.media.file_clip import FileClip
from avgn_edge.media.frame_index import Span
from avgn_edge.runtime.front_end import frame_geometry
from avgn_edge.runtime.recognizer import Recognizer

SHARES: Final = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Strayed:
    """One clip with moments that may stray so far."""

    right: bool
    glances: int
    decoded: int
    strayed: float
    """Mean distance of the moments that were glanced at from their bins' centres, as a share of half a bin."""
    ms: float


def main() -> None:
    """Measure and print."""
    asked = _arguments()
    clips = read_dataset(asked.data).clips
    table = Table("reach", "top-1, %", "glances", "frames decoded", "strayed", "ms")
    with Recognizer.open(asked.model, "cpu", asked.precision) as recognizer:
        for reach in asked.reach:
            runs = [strayed(recognizer, clip, reach, asked.exit_risk) for clip in clips]
            table.add_row(f"{reach:g}", *_row(runs))
    Console().print(table, f"{len(clips)} clips, {recognizer.precision}")


def strayed(recognizer: Recognizer, clip: LabelledClip, reach: float, exit_risk: float | None) -> Strayed:
    """Classify a clip whose moments may lie within the share `reach` of their bins."""
    given = recognizer.manifest.preprocessing
    geometry = frame_geometry(given)
    with open_clip(clip.path, count=given.moments, sampling="cheap", geometry=geometry, reach=reach) as opened:
        assert isinstance(opened, FileClip)
        result = recognizer.classify(opened, exit_risk=exit_risk)
        seen = [at for at, moment in enumerate(result.moments) if moment.glanced]
        bins = [Span.of(opened.moments[at], 1) for at in seen]
        off_s = [abs(opened.moments[at].time_s - whole.centre_s) for at, whole in zip(seen, bins, strict=True)]
        half_s = opened.duration_s / given.moments / 2
        return Strayed(
            result.label in clip.labels,
            len(seen),
            opened.decoded,
            statistics.mean(off_s) / half_s if seen and half_s else 0.0,
            result.timing_ms.total,
        )


def _row(runs: Sequence[Strayed]) -> tuple[str, ...]:
    return (
        f"{100 * statistics.mean(run.right for run in runs):.1f}",
        f"{statistics.mean(run.glances for run in runs):.1f}",
        f"{statistics.mean(run.decoded for run in runs):.1f}",
        f"{statistics.mean(run.strayed for run in runs):.2f}",
        f"{statistics.median(run.ms for run in runs):.1f}",
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--reach", type=float, nargs="+", default=list(SHARES))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--exit-risk", type=float)
    return parser.parse_args()


if __name__ == "__main__":
    main()
