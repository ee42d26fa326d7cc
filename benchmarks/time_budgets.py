"""How well are time budgets kept? Every clip within every budget, in one process, and first runs of fresh processes.

    python -m benchmarks.time_budgets CLIPS... [--budgets 20 40 80] [--repeats N] [--most N] [--fresh N]

Told are the share of runs that ended within the budget and a tenth, and run time over budget: 1.0 is just in time. A
run's time is the wall's, from the call of `classify` to its return. `preempted` is how often a run lost its core to
another program: where that is much more than never, the numbers are about the machine's load.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from avgn_edge.runtime.recognizer import Recognizer

BUDGETS_MS = (20, 40, 80, 160, 320, 640, 1000)
TOLERANCE = 1.1
_FRESH = """
import json, sys, time
from avgn_edge.runtime.recognizer import Recognizer
clip, budget, model, device, precision, threads = json.loads(sys.argv[1])
with Recognizer.open(model, device, precision, threads=threads) as recognizer:
    steps = recognizer.steps(clip, f"{budget}ms")
    result = list(steps)[-1]
    print(json.dumps(result.timing_ms.total))
"""


@dataclass
class DeviceArray:
    """The runs within one budget."""

    budget_ms: float
    shares: list[float] = field(default_factory=list)
    glances: list[int] = field(default_factory=list)
    looks: list[int] = field(default_factory=list)
    slowest: str = ""
    involuntary: int = 0

    def add(self, share: float, glances: int, looks: int, clip: str) -> None:
        """Note a run."""
        if share >= max(self.shares, default=0.0):
            self.slowest = clip
        self.shares.append(share)
        self.glances.append(glances)
        self.looks.append(looks)

    def row(self) -> str:
        """Say it."""
        ordered = sorted(self.shares)
        within = sum(share <= TOLERANCE for share in ordered) / len(ordered)
        p50, p95 = statistics.median(ordered), ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
        return (
            f"{self.budget_ms:6.0f} ms  {len(ordered):5} runs  in time {100 * within:5.1f} %  "
            f"p50 {p50:.2f}  p95 {p95:.2f}  max {ordered[-1]:.2f}  "
            f"glances {statistics.mean(self.glances):4.1f}  looks {statistics.mean(self.looks):4.1f}  "
            f"preempted {self.involuntary / len(ordered):4.1f} a run  slowest {self.slowest}"
        )


def main() -> None:
    """Measure and print."""
    given = _arguments()
    clips = list(_files(given.clips))[: given.most]
    with Recognizer.open(given.model, given.device, given.precision, threads=given.threads) as recognizer:
        recognizer.classify(clips[0], "1s")  # the profile is there from now on
        kept = [DeviceArray(budget) for budget in given.budgets]
        for repeat in range(given.repeats):
            for clip in clips:
                for row in kept[repeat % 2 :] + kept[: repeat % 2]:
                    _run(recognizer, clip, row)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{len(clips)} clips, {recognizer.device.used}, {recognizer.precision}, load {load:.1f}")
    for row in kept:
        print(row.row())
    if given.fresh:
        print("the first run of a fresh process, once there is a profile")
        for row in _fresh(given, clips[: given.fresh]):
            print(row.row())


def _run(recognizer: Recognizer, clip: Path, row: DeviceArray) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    started = time.perf_counter()
    result = recognizer.classify(clip, f"{row.budget_ms}ms")
    share = (time.perf_counter() - started) * 1e3 / row.budget_ms
    row.involuntary += resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - before
    row.add(share, result.budget.glance, result.budget.looks, clip.name)


def _fresh(given: argparse.Namespace, clips: Sequence[Path]) -> Iterator[DeviceArray]:
    for budget in given.budgets:
        row = DeviceArray(budget)
        for clip in clips:
            asked = json.dumps([str(clip), budget, given.model, given.device, given.precision, given.threads])
            said = subprocess.run([sys.executable, "-c", _FRESH, asked], capture_output=True, text=True, check=True)
            row.add(float(said.stdout) / budget, 0, 0, clip.name)
        yield row


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How well time budgets are kept.")
    parser.add_argument("clips", nargs="+", type=Path, help="files, or folders of them")
    parser.add_argument("--budgets", nargs="+", type=float, default=BUDGETS_MS, metavar="MS")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--most", type=int, default=None, metavar="N", help="clips")
    parser.add_argument("--fresh", type=int, default=5, metavar="N", help="clips with a process each, for each budget")
    parser.add_argument("--model", default=None)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=None)
    return parser.parse_args()


if __name__ == "__main__":
    main()
