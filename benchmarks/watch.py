"""Does `watch` keep up, find the events, and stay in its memory? On streams composed of clips whose episodes are known.

    python -m benchmarks.watch compose CLIPS STREAM [--minutes N] [--first N] [--rate FPS] [--times N]
    python -m benchmarks.watch run STREAM [--budget B] [--every S] [--speed X] [--memory-after S] [--device D]

`compose` joins clips of a folder that `synth` wrote into one file, with `STREAM.json` beside it: label, start and end
of each episode. Pictures between those that the clips have are their means. `--times` repeats the whole, unencoded,
for measuring memory. `run` watches it in a process of its own, and counts: right is an event that starts, when its line
comes out, within an episode of its class or a second after its end; another of the same episode is "again", any other
is wrong, and an episode without one is missed. Delay is from an episode's start to the line, by the stream's clock.
"""

# ruff: noqa: ANN401 - PyAV tells few of its types

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE = 44_100
AFTER_S = 1.0
"""An episode's last moment is told this long after it, at the most."""


@dataclass(frozen=True)
class Episode:
    """What is there to be found."""

    label: str
    start_s: float
    end_s: float


def compose(clips: Path, stream: Path, minutes: float, first: int, rate: int, times: int) -> None:
    """Write the stream and its truth."""
    truth: dict[str, Any] = json.loads((clips / "truth.json").read_text())
    once = stream if times == 1 else stream.with_suffix(".once" + stream.suffix)
    episodes: list[Episode] = []
    offset_s = 0.0
    with av.open(str(once), "w", format="mpegts") as output:
        video = output.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "26", "bf": "0"})
        video.width, video.height, video.pix_fmt, video.gop_size = 640, 360, "yuv420p", 4 * rate
        sound = output.add_stream("aac", rate=RATE, layout="mono")
        sound.time_base = Fraction(1, RATE)
        written = 0
        for name in sorted(truth)[first:]:
            if offset_s >= 60 * minutes:
                break
            told = truth[name]
            episodes += [Episode(told["class"], offset_s + e["start"], offset_s + e["end"]) for e in told["episodes"]]
            end_s = offset_s + told["duration"]
            pictures, samples = _read(clips / name)
            wanted = round(end_s * rate) - round(offset_s * rate)
            first_tick = round(offset_s * rate)
            begun, ends = written, round(end_s * RATE)
            samples = np.pad(samples, (0, max(0, ends - begun - len(samples))))[: ends - begun]
            for at in range(wanted):
                place = at * len(pictures) / wanted
                here, share = int(place), place % 1
                following = pictures[min(here + 1, len(pictures) - 1)]
                mean = pictures[here] if share < 0.25 else (pictures[here] // 2 + following // 2)
                frame = av.VideoFrame.from_ndarray(mean, format="rgb24")
                frame.pts, frame.time_base = first_tick + at, Fraction(1, rate)
                output.mux(video.encode(frame))
                # Interleaved, as live streams are: the sound that goes with each picture.
                until = ends if at == wanted - 1 else min(ends, round((first_tick + at + 1) / rate * RATE))
                _write_sound(output, sound, samples[max(0, written - begun) : max(0, until - begun)], written)
                written = max(written, until)
            offset_s = end_s
        output.mux(video.encode(None))
        output.mux(sound.encode(None))
    if times > 1:
        _repeat(once, stream, times, offset_s)
        once.unlink()
    repeated = [
        Episode(e.label, e.start_s + turn * offset_s, e.end_s + turn * offset_s)
        for turn in range(times)
        for e in episodes
    ]
    told = {"seconds": times * offset_s, "episodes": [vars(episode) for episode in repeated]}
    stream.with_suffix(".json").write_text(json.dumps(told))


def _read(path: Path) -> tuple[list[Any], Any]:
    pictures, pieces = [], []
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    with av.open(str(path)) as clip:
        for frame in clip.decode(*clip.streams):
            if isinstance(frame, av.VideoFrame):
                pictures.append(frame.to_ndarray(format="rgb24"))
            else:
                pieces += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    return pictures, np.concatenate(pieces)


def _write_sound(output: Any, sound: Any, samples: Any, begin: int) -> None:
    if len(samples):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[np.newaxis]), format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
        output.mux(sound.encode(frame))


def _repeat(once: Path, stream: Path, times: int, seconds: float) -> None:
    with av.open(str(stream), "w", format="mpegts") as output:
        kept: list[Any] = []
        written: dict[int, int] = {}
        for turn in range(times):
            with av.open(str(once)) as source:
                kept = kept or [output.add_stream_from_template(stream) for stream in source.streams]
                for packet in source.demux():
                    if packet.dts is None or packet.pts is None:
                        continue
                    shift = round(turn * seconds / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    at = packet.stream.index
                    packet.stream = kept[at]
                    if packet.dts > written.get(at, -1):  # a piece of sound may reach over the end
                        written[at] = packet.dts
                        output.mux(packet)


def run(stream: Path, arguments: list[str], memory_after_s: float) -> dict[str, Any]:
    """Watch the stream in a process of its own; return what came of it."""
    told = json.loads(stream.with_suffix(".json").read_text())
    episodes = [Episode(**episode) for episode in told["episodes"]]
    command = [sys.executable, "-m", "avgn_edge", "watch", str(stream), "--json", "--updates", *arguments]
    began, cpu = time.monotonic(), os.times()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    events, lags, summary = [], [], {}
    memory: dict[str, float] = {}
    now_s = 0.0
    started: list[str] = []
    for line in process.stdout or ():
        said = json.loads(line)
        if said.get("event") == "update":
            now_s = said["time_s"]
            lags += [] if said["lag_s"] is None else [said["lag_s"]]
            # A line comes out this much after the moment that it is about.
            events += [(label, now_s + (said["lag_s"] or 0.5)) for label in started]
            started = []
            if not memory and now_s >= memory_after_s:
                memory["then_mb"] = _resident_mb(process.pid)
            if now_s >= told["seconds"] - 10:
                memory["end_mb"] = _resident_mb(process.pid)
        elif said.get("event") == "start":
            started.append(said["label"])
        elif "summary" in said:
            summary = said["summary"]
    code = process.wait()
    used = os.times()
    return {
        "code": code,
        "minutes": round(told["seconds"] / 60, 1),
        "wall_s": round(time.monotonic() - began, 1),
        "cores": round((used[2] + used[3] - cpu[2] - cpu[3]) / (time.monotonic() - began), 2),
        **count(episodes, events),
        "lag_s": [round(x, 2) for x in (statistics.median(lags), max(lags))] if lags else None,
        "memory_mb": memory,
        "gflops_per_s": round(summary["gflops"] / summary["seconds"], 3),
        "frames_left_out": summary["frames_left_out"],
    }


def count(episodes: list[Episode], events: list[tuple[str, float]]) -> dict[str, Any]:
    """Compare events, label and the second at which they were told, with the truth."""
    found: dict[int, float] = {}
    wrong = again = 0
    for label, at in events:
        hits = [i for i, e in enumerate(episodes) if e.label == label and e.start_s <= at <= e.end_s + AFTER_S]
        if not hits:
            wrong += 1
        elif hits[0] in found:
            again += 1
        else:
            found[hits[0]] = at - episodes[hits[0]].start_s
    delays = sorted(found.values())
    quantiles = [round(delays[round(share * (len(delays) - 1))], 2) for share in (0.5, 0.9, 1.0)] if delays else None
    return {
        "episodes": len(episodes),
        "right": len(found),
        "wrong": wrong,
        "again": again,
        "missed": len(episodes) - len(found),
        "delay_s": quantiles,
        "told_within_2_s": sum(delay <= 2 for delay in delays),
    }


def _resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return round(int(status.split("VmRSS:")[1].split()[0]) / 1024, 1)


def main() -> None:
    """Read the arguments and do it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    composing = commands.add_parser("compose")
    composing.add_argument("clips", type=Path)
    composing.add_argument("stream", type=Path)
    composing.add_argument("--minutes", type=float, default=10)
    composing.add_argument("--first", type=int, default=0)
    composing.add_argument("--rate", type=int, default=30)
    composing.add_argument("--times", type=int, default=1)
    running = commands.add_parser("run")
    running.add_argument("stream", type=Path)
    running.add_argument("--memory-after", type=float, default=60)
    given, rest = parser.parse_known_args()
    if given.command == "compose":
        compose(given.clips, given.stream, given.minutes, given.first, given.rate, given.times)
    else:
        print(json.dumps(run(given.stream, rest, given.memory_after), indent=1))


if __name__ == "__main__":
    main()
