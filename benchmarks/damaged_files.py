"""Is every damaged file answered, or refused in one line? Cut short or with wrong bytes, in a process that may die.

    python -m benchmarks.damaged_files [FOLDER ...] [--sample N] [--seed S] [--model BUNDLE] [--limit S] [--keep DIR]

Of each file in the folders (`../shared/data/clips` and `../shared/data/faults` unless given) there are 20 that are cut
off, at as many places, and 50 in which 1, 8 or 64 bytes anywhere are others. `--sample` takes N of them all, chosen by
the seed. Each is read in full, 16 frames and 16 windows of sound, and then classified for `--budget`.

They are counted: answered, refused (one line), and what must not be: "bug", an exception that the package does not
raise on purpose, which the command line calls a bug, or a message of more than one line; "traceback", the end of the
process with one; "signal"; "hang", longer than `--limit` seconds. Those are listed, `--keep` writes them to a folder,
and the exit code is 1. Freed memory is overwritten, where the C library can, so that what is freed twice is seen.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import random
import selectors
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import numpy as np

from avgn_edge import Recognizer
from avgn_edge._base.errors import AvgnEdgeError
from avgn_edge.media import open_clip

FOLDERS = ("../shared/data/clips", "../shared/data/faults")
CUTS, FLIPS = 20, 50
FLIPPED_BYTES = (1, 8, 64)
NO_CLIPS = frozenset({".md", ".txt", ".json", ".csv"})
GOOD = frozenset({"answered", "refused"})
START_S = 120.0
"""A process may take so long to start."""
STRICT = {"MALLOC_PERTURB_": "85", "PYTHONMALLOC": "malloc", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Case:
    """A file and what is done to it."""

    path: str
    damage: str
    """"cut" or "flip"."""
    number: int
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.path} {self.damage} {self.number}"

    def data(self) -> bytes:
        """Return the damaged file's bytes."""
        whole = bytearray(Path(self.path).read_bytes())
        if self.damage == "cut":
            return bytes(whole[: max(1, len(whole) * (self.number + 1) // (CUTS + 1))])
        rng = random.Random(f"{self.seed} {Path(self.path).name} {self.number}")
        for _ in range(FLIPPED_BYTES[self.number % len(FLIPPED_BYTES)]):
            whole[rng.randrange(len(whole))] ^= rng.randrange(1, 256)
        return bytes(whole)


@dataclass(frozen=True)
class Outcome:
    """How a case ended."""

    case: Case
    kind: str
    text: str = ""
    seconds: float = 0.0


def cases(folders: Iterable[str | Path], seed: int = 0) -> list[Case]:
    """Return every case of the files in the folders, in the order of their names."""
    found = []
    for folder in folders:
        for path in sorted(Path(folder).iterdir()):
            if path.is_file() and path.stat().st_size and path.suffix.lower() not in NO_CLIPS:
                found += [Case(str(path), "cut", number) for number in range(CUTS)]
                found += [Case(str(path), "flip", number, seed) for number in range(FLIPS)]
    return found


def survey(wanted: Sequence[Case], command: Sequence[str], limit_s: float) -> Iterator[Outcome]:
    """Give the cases to `command`, a line each, and tell how each ended; it is started again when it dies or hangs."""
    waiting = list(reversed(wanted))
    while waiting:
        with (
            tempfile.TemporaryFile("w+") as errors,
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                bufsize=1,
                env=os.environ | STRICT,
            ) as child,
        ):
            try:
                yield from _served(child, waiting, errors, limit_s)
            finally:
                child.kill()


def _served(child: subprocess.Popen[str], waiting: list[Case], errors: IO[str], limit_s: float) -> Iterator[Outcome]:
    """Work through `waiting`, from its end, as long as `child` lives."""
    if child.stdin is None or child.stdout is None:
        raise RuntimeError("no pipes")
    _, ready = _line(child.stdout, START_S)
    if ready.strip() != "ready":
        child.kill()
        child.wait()
        errors.seek(0)
        raise SystemExit(f"the process that classifies does not start:\n{errors.read()}")
    while waiting:
        case = waiting.pop()
        started = time.perf_counter()
        try:
            child.stdin.write(json.dumps(asdict(case)) + "\n")
            in_time, line = _line(child.stdout, limit_s)
        except BrokenPipeError:
            in_time, line = True, ""
        seconds = time.perf_counter() - started
        if line:
            kind, text = json.loads(line)
            yield Outcome(case, kind, text, seconds)
            continue
        if not in_time:
            yield Outcome(case, "hang", f"longer than {limit_s:g} s", seconds)
            return
        code = child.wait()
        errors.seek(0)
        told = errors.read().strip()
        kind = "signal" if code < 0 else "traceback"
        yield Outcome(case, kind, signal.Signals(-code).name if code < 0 else told[-2_000:], seconds)
        return


def _line(stream: IO[str], limit_s: float) -> tuple[bool, str]:
    """Return whether anything came in time, and the line that came; an empty one is the end."""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        if not selector.select(limit_s):
            return False, ""
    return True, stream.readline()


def work(model: str | None, budget: str) -> None:
    """Read cases from standard input, and write to standard output how each ended; for `survey`."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no answer
    with Recognizer.open(model, "cpu", threads=1) as recognizer, tempfile.TemporaryDirectory() as folder:
        gc.freeze()  # what is there already need not be looked through each time
        print("ready", file=answers, flush=True)
        for line in sys.stdin:
            case = Case(**json.loads(line))
            path = Path(folder) / f"damaged{Path(case.path).suffix}"
            path.write_bytes(case.data())
            try:
                text = _read_and_classified(recognizer, path, budget)
                kind = "answered"
            except AvgnEdgeError as error:
                text = str(error)
                kind = "refused" if "\n" not in text and text.count(": ") >= 2 else "bug"
            except Exception:  # noqa: BLE001 - which one is the question
                kind, text = "bug", traceback.format_exc()
            gc.collect()
            print(json.dumps([kind, text]), file=answers, flush=True)


def _read_and_classified(recognizer: Recognizer, path: Path, budget: str) -> str:
    with open_clip(path, sampling="cheap") as clip:
        windows, _ = clip.windows()
        frames = clip.frames(range(len(clip.moments))) if clip.has_video else []
        if not np.isfinite(windows).all() or any(frame.shape != (224, 224, 3) for frame in frames):
            raise AssertionError("what was read is no sound or no picture")
    result = recognizer.classify(path, budget=budget)
    if not math.isfinite(result.score):
        raise AssertionError(f"the score is {result.score}")
    return result.label


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the survey; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", default=FOLDERS)
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model")
    parser.add_argument("--budget", default="500mflops")
    parser.add_argument("--limit", type=float, default=30.0)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.worker:
        work(asked.model, asked.budget)
        return 0
    wanted = cases(asked.folders, asked.seed)
    if asked.sample is not None:
        wanted = random.Random(asked.seed).sample(wanted, min(asked.sample, len(wanted)))
    if not wanted:
        raise SystemExit(f"no files in {', '.join(map(str, asked.folders))}")
    command = [sys.executable, "-m", "benchmarks.damaged_files", "--worker", "--budget", asked.budget]
    if asked.model is not None:
        command += ["--model", asked.model]
    started = time.perf_counter()
    counts: Counter[str] = Counter()
    slowest: Outcome | None = None
    for outcome in survey(wanted, command, asked.limit):
        counts[outcome.kind] += 1
        slowest = outcome if slowest is None or outcome.seconds > slowest.seconds else slowest
        if outcome.kind not in GOOD:
            print(f"{outcome.kind}: {outcome.case}: {outcome.text}", flush=True)
            if asked.keep is not None:
                _keep(outcome.case, asked.keep)
    files = len({case.path for case in wanted})
    print(f"{len(wanted)} damaged files of {files} in {time.perf_counter() - started:.0f} s: {dict(counts)}")
    if slowest is not None:
        print(f"the slowest took {slowest.seconds:.1f} s: {slowest.case}")
    return int(any(kind not in GOOD for kind in counts))


def _keep(case: Case, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = Path(case.path)
    (folder / f"{path.stem}-{case.damage}-{case.number}{path.suffix}").write_bytes(case.data())


if __name__ == "__main__":
    sys.exit(main())
