"""Are the true episodes of long videos among the highlights, and at what cost? Composes the videos, finds, counts.

    python -m benchmarks.highlights FOLDER --data MEDIA [--seed 2000] [--videos 10] [--channels both|mixed]

MEDIA holds objects/, sounds/, backgrounds/ and environment/ as for `avgn-edge synth`; the held-out part is used. FOLDER
keeps the videos for the next time. Without --data our own glyphs and tones are used. `found` counts episodes in which
a segment has its peak, among the `--top` best; `cost` is that of glancing at one frame a second.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avgn_edge.data.synth import Sources, clip_rng
from avgn_edge.data.synth.clip_plan import CHANNELS
from avgn_edge.runtime.highlights import Highlights, HighlightSettings
from avgn_edge.runtime.highlights.result import Segment
from avgn_edge.runtime.recognizer import Recognizer
from benchmarks.long_videos import LongSettings, encode_long, long_truth, plan_long

Span = tuple[float, float]
"""Start and end, seconds."""


@dataclass(frozen=True)
class FoundEpisodes:
    """How many of one video's true episodes its highlights found."""

    episodes: int
    found: int
    """Episodes in which a segment has its peak; two segments in one episode find it once."""
    segments: int
    labelled: int
    """Found episodes whose first segment, by rank, has their class."""
    overlap: float
    """Mean intersection over union of found episodes with that segment; 0 where none was found."""

    @property
    def recall(self) -> float:
        """Share of the episodes that were found."""
        return self.found / self.episodes if self.episodes else 0.0

    @property
    def precision(self) -> float:
        """Share of the segments that found an episode nobody had found; 0 without segments."""
        return self.found / self.segments if self.segments else 0.0


def compare(segments: Sequence[Segment], episodes: Sequence[Span], classes: Sequence[str | None]) -> FoundEpisodes:
    """Compare segments, the best first, with true episodes and their classes."""
    overlaps: dict[int, float] = {}
    labelled = 0
    for segment in segments:
        for index, (start_s, end_s) in enumerate(episodes):
            if start_s <= segment.peak_s < end_s and index not in overlaps:
                overlaps[index] = _overlap((segment.start_s, segment.end_s), (start_s, end_s))
                labelled += segment.label == classes[index]
    mean = sum(overlaps.values()) / len(overlaps) if overlaps else 0.0
    return FoundEpisodes(len(episodes), len(overlaps), len(segments), labelled, mean)


def _overlap(one: Span, other: Span) -> float:
    """Intersection over union."""
    shared = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    union = (one[1] - one[0]) + (other[1] - other[0]) - shared
    return shared / union if union > 0 else 0.0


def main() -> None:
    """Compose what is missing, find, print a line a video and the sums."""
    given = _arguments()
    truths = _compose(given)
    settings = HighlightSettings()
    rows: list[tuple[FoundEpisodes, Highlights]] = []
    with Recognizer.open(given.model, given.device, given.precision, threads=given.threads) as recognizer:
        print(f"{recognizer.manifest.name}, {recognizer.device.used}, {recognizer.precision}, {settings}")
        for name, truth in truths.items():
            started = time.perf_counter()
            told = recognizer.highlights(given.folder / name, given.budget, top=given.top, settings=settings)
            seconds = time.perf_counter() - started
            episodes = truth["episodes"]
            found = compare(
                told.segments,
                [(episode["start"], episode["end"]) for episode in episodes],
                [episode["class"] for episode in episodes],
            )
            rows.append((found, told))
            print(f"{name}  {_line(found, told)}  {seconds:.1f} s")
    _print_sums(rows, truths)


def _compose(given: argparse.Namespace) -> dict[str, Any]:
    """Write the videos that are not there yet, and return their truth by their names."""
    folders = ("objects", "sounds", "backgrounds", "environment")
    media = [given.data / folder for folder in folders] if given.data is not None else []
    sources = Sources.from_folders(*media).split("val")
    settings = LongSettings(given.minutes * 60.0, channels=CHANNELS if given.channels == "mixed" else (("both", 1.0),))
    given.folder.mkdir(parents=True, exist_ok=True)
    truths = {}
    for index in range(given.videos):
        plan = plan_long(clip_rng(given.seed, index), sources, settings)
        name = f"{given.channels}-{given.seed}-{given.minutes:g}min-{index:03d}.mp4"
        truths[name] = long_truth(plan)
        if not (given.folder / name).exists():
            started = time.perf_counter()
            encode_long(plan, given.folder / name)
            print(f"{name} composed in {time.perf_counter() - started:.0f} s", flush=True)
    truth = given.folder / f"truth-{given.channels}-{given.seed}.json"
    truth.write_text(json.dumps(truths, indent=1) + "\n", encoding="utf-8")
    return truths


def _line(found: FoundEpisodes, told: Highlights) -> str:
    cost = told.budget.spent_gflops / told.budget.one_a_second_gflops
    return (
        f"found {found.found} of {found.episodes}  segments {found.segments}  class right {found.labelled}  "
        f"overlap {found.overlap:.2f}  glances {told.budget.glances} of {told.budget.moments}  "
        f"{told.budget.spent_gflops:.1f} GFLOPs, {100 * cost:.1f} % of the cost"
    )


def _print_sums(rows: list[tuple[FoundEpisodes, Highlights]], truths: dict[str, Any]) -> None:
    episodes, found = sum(row.episodes for row, _ in rows), sum(row.found for row, _ in rows)
    segments = sum(row.segments for row, _ in rows)
    labelled = sum(row.labelled for row, _ in rows)
    costs = [told.budget.spent_gflops / told.budget.one_a_second_gflops for _, told in rows]
    print(
        f"all: recall {found} of {episodes} ({100 * found / episodes:.1f} %), precision {found} of {segments} "
        f"({100 * found / max(1, segments):.1f} %), class right {labelled} of {found}, "
        f"cost {100 * sum(costs) / len(costs):.1f} %, at most {100 * max(costs):.1f} %"
    )
    for seen, heard in ((True, True), (False, True), (True, False)):
        told = [
            any(episode["start"] <= segment.peak_s < episode["end"] for segment in row[1].segments)
            for row, truth in zip(rows, truths.values(), strict=True)
            for episode in truth["episodes"]
            if (episode["seen"], episode["heard"]) == (seen, heard)
        ]
        if told:
            print(f"  seen {seen}, heard {heard}: {sum(told)} of {len(told)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the composed videos are, or will be")
    parser.add_argument("--data", type=Path, help="media to compose of")
    parser.add_argument("--seed", type=int, default=2000)
    parser.add_argument("--videos", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--channels", choices=("both", "mixed"), default="both")
    parser.add_argument("--budget")
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--model")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int)
    return parser.parse_args()


if __name__ == "__main__":
    main()
