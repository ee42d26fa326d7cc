"""Fresh processes: how long `avgn-edge classify` takes from its start to a label, and what a folder takes of memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from avgn_edge._base.processes import usable_cores
from benchmarks.ffmpeg import plain_environment
from benchmarks.rounds import Spread

CLIPS = 100
EVERY_S = 0.2
"""Between two samples of memory."""
_PROC = Path("/proc")
# A small process starts the command and waits for it: what a child of this one is said to have held at its peak would
# be no less than what this one holds.
_START = """
import json, os, subprocess, sys, time
started = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
line = child.stdout.readline()
label_s = time.perf_counter() - started
child.stdout.read()
_, status, used = os.wait4(child.pid, 0)
unit = 1 if sys.platform == "darwin" else 1024
print(json.dumps([os.waitstatus_to_exitcode(status), label_s, time.perf_counter() - started, used.ru_maxrss * unit]))
"""


@dataclass(frozen=True)
class Cold:
    """Fresh processes that classified one clip; files and caches were warm."""

    clip: str
    label_s: Spread
    """From the start of the process to the line with the label."""
    exit_s: Spread
    """To its end."""
    peak_bytes: Spread
    """The most it held in memory."""


@dataclass(frozen=True)
class Batch:
    """One command that classified a folder."""

    jobs: int | None
    """What `--jobs` said; None where there is no such option."""
    seconds: float
    clips_per_s: float
    samples: tuple[tuple[float, int, int], ...]
    """Seconds since the start, bytes held by the command and its children together, and how many processes they are;
    empty where the system does not tell.
    """

    @property
    def peak_bytes(self) -> int | None:
        """The most of all samples."""
        return max((held for _, held, _ in self.samples), default=None)

    @property
    def growth(self) -> float | None:
        """Memory in the last quarter of the run over that in its second quarter, medians; None for too short a run."""
        quarter = len(self.samples) // 4
        if not quarter:
            return None
        held = [held for _, held, _ in self.samples]
        before, after = (Spread.of(part).median for part in (held[quarter : 2 * quarter], held[-quarter - 1 : -1]))
        return after / before


def command() -> list[str]:
    """Return how `avgn-edge` of this environment is started; FileNotFoundError where it is not installed."""
    found = shutil.which("avgn-edge", path=str(Path(sys.executable).parent))
    if found is None:
        raise FileNotFoundError(f"no avgn-edge beside {sys.executable}: install this package with pip install -e .")
    return [found]


def cold(clip: Path, options: Sequence[str], times: int) -> Cold:
    """Classify a clip in fresh processes, after one that does not count."""
    runs = [_started([*command(), "classify", str(clip), *options]) for _ in range(times + 1)][1:]
    label_s, exit_s, peaks = zip(*runs, strict=True)
    return Cold(clip.stem, Spread.of(label_s), Spread.of(exit_s), Spread.of(peaks))


def batches(clip: Path, options: Sequence[str], clips: int = CLIPS) -> Iterator[Batch]:
    """Classify a folder with one clip under many names: with one job, and with one for each core."""
    help_text = subprocess.run([*command(), "classify", "--help"], capture_output=True, text=True, check=True).stdout
    wanted = sorted({1, usable_cores()}) if "--jobs" in help_text else [None]
    with tempfile.TemporaryDirectory(dir=clip.parent, prefix=".folder-") as folder:
        for at in range(clips):
            (Path(folder) / f"{at:04d}{clip.suffix}").hardlink_to(clip)
        for jobs in wanted:
            asked = [] if jobs is None else ["--jobs", str(jobs)]
            yield _batch([*command(), "classify", folder, *asked, *options], jobs, clips)


def _started(arguments: Sequence[str]) -> tuple[float, float, float]:
    """Run a command; return the seconds to its first line and to its end, and the bytes it held at its peak."""
    starter = [sys.executable, "-I", "-S", "-c", _START, *arguments]
    said = subprocess.run(starter, capture_output=True, text=True, env=plain_environment(), check=True)
    code, label_s, exit_s, peak = json.loads(said.stdout)
    if code:
        raise RuntimeError(f"{' '.join(arguments)} ended with {code}: {said.stderr.strip()}")
    return label_s, exit_s, peak


def _batch(arguments: Sequence[str], jobs: int | None, clips: int) -> Batch:
    samples: list[tuple[float, int, int]] = []
    with tempfile.TemporaryFile() as answers, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        child = subprocess.Popen(arguments, stdout=answers, stderr=errors, env=plain_environment())
        while child.poll() is None:
            held, processes = _held(child.pid)
            if processes:
                samples.append((time.perf_counter() - started, held, processes))
            try:
                child.wait(EVERY_S)
            except subprocess.TimeoutExpired:
                continue
        seconds = time.perf_counter() - started
        answers.seek(0)
        errors.seek(0)
        answered = len(answers.read().splitlines())
        if child.returncode or answered != clips:
            said = errors.read().decode(errors="replace").strip()
            raise RuntimeError(f"{answered} of {clips} clips were answered, code {child.returncode}: {said}")
    return Batch(jobs, seconds, clips / seconds, tuple(samples))


def _held(process: int) -> tuple[int, int]:
    """Return the bytes that a process and its descendants hold, shared ones counted once, and how many they are."""
    held, count = 0, 0
    waiting = [process]
    while waiting:
        number = waiting.pop()
        try:
            lines = (_PROC / str(number) / "smaps_rollup").read_text().splitlines()
            children = [path.read_text() for path in (_PROC / str(number) / "task").glob("*/children")]
        except OSError:  # it has just ended, or there is no /proc
            continue
        held += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        count += 1
        waiting += [int(child) for text in children for child in text.split()]
    return held, count
