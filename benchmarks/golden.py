"""What the runtime answers, in full, to compare before and after a change that must change nothing.

    python -m benchmarks.golden FILE [--clips N]

Clips are composed, the same ones each time, and answered by the packaged bundle and the tests' tiny one, in FP32 and
INT8, on ONNX Runtime and OpenVINO, with each of `requests`; streams are watched and a video is searched for highlights.
FILE gets a line of JSON for every step of every answer, with its runs and all its scores, and without times. Record it
before the change and after it, on one machine (scores differ between kinds of processors in the last digits), then
`cmp` the two; `diff` names the answers that differ.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from avgn_edge import Recognizer
from avgn_edge._base.errors import AvgnEdgeError
from avgn_edge.bundle.reader import packaged_bundle_path
from avgn_edge.data.synth import Sources, write_dataset
from benchmarks.long_videos import LongSettings, encode_long, plan_long

TINY: Final = Path(__file__).parent.parent / "tests" / "data" / "tiny"
DEVICES: Final = ("cpu", "openvino:CPU")
PRECISIONS: Final = ("fp32", "int8")
SEED: Final = 15
UNITS: Final = {packaged_bundle_path(): 1000, TINY: 24}
"""Of each bundle, about the same share of its network's price in MFLOPs, for budgets that buy alike."""
MUTE, UNSEEN = 3, 2
"""Of the clips, how many have no sound, and how many no picture."""
LONG: Final = LongSettings(duration=90.0, episodes=2, decoys=3)


def requests(unit: int) -> Mapping[str, Mapping[str, Any]]:
    """Return what each clip is asked, by name."""
    limits = {f"budget {share}": {"budget": f"{share * unit:g}mflops"} for share in (3, 1, 0.5, 0.2)}
    average = {"average": f"{unit}mflops"}
    own = {"sampling": "centre", "glances": 3, "looks": 4, "top": 2}
    return {"none": {}, **limits, "risk": {"exit_risk": 0.02}, "average": average, "own": own}


def compose(folder: Path, count: int) -> tuple[list[Path], Path]:
    """Write the clips, some of them with a track left out, and a long video."""
    sources = Sources.from_folders()
    write_dataset(folder, clips=count, seed=SEED, sources=sources)
    clips = sorted((folder / "clips").glob("*.mp4"))
    for clip, kind in zip(clips, ["audio"] * MUTE + ["video"] * UNSEEN, strict=False):
        _leave_out(clip, kind)
    encode_long(plan_long(np.random.default_rng(SEED), sources, LONG), folder / "long.mp4")
    return clips, folder / "long.mp4"


def _leave_out(path: Path, kind: str) -> None:
    """Write a file again without its streams of a kind; packets stay as they are."""
    bare = path.with_suffix(".bare.mp4")
    with av.open(str(path)) as source, av.open(str(bare), "w") as target:
        kept = [stream for stream in source.streams if stream.type != kind]
        copies = {stream.index: target.add_stream_from_template(stream) for stream in kept}
        for packet in source.demux(kept):
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                target.mux(packet)
    bare.replace(path)


def answers(recognizer: Recognizer, clips: list[Path], unit: int) -> Iterator[dict[str, Any]]:
    """Every step of every request on every clip, or the error."""
    for clip in clips:
        for name, request in requests(unit).items():
            yield from ({"request": name, **told} for told in _steps(recognizer, clip, request))


def _steps(recognizer: Recognizer, clip: Path, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    try:
        for result in recognizer.steps(clip, **request):
            told = {name: value for name, value in result.to_dict().items() if name != "timing_ms"}
            runs = [[run.graph, run.items] for run in result.runs]
            yield {**told, "all": result.probabilities.tolist(), "runs": runs}
    except AvgnEdgeError as error:  # what is refused must stay so, in the same words
        yield {"clip": str(clip), "refused": str(error)}


def watched(recognizer: Recognizer, clips: list[Path], budget: str) -> Iterator[dict[str, Any]]:
    """Every update of a stream of these clips, one after the other."""
    stream, begin_s = recognizer.stream(budget), 0.0
    updates = []
    for clip in clips:
        with av.open(str(clip)) as container:
            for frame in container.decode():
                if frame.time is None:
                    continue
                end_s = begin_s + float(frame.time)
                if isinstance(frame, av.VideoFrame):
                    updates += stream.push_frame(frame, end_s)
                else:
                    updates += stream.push_audio(frame, time_s=end_s)
        begin_s = end_s + 0.5
    for update in (*updates, *stream.finish()):
        told = {name: value for name, value in update.to_dict().items() if name != "ms"}
        events = [event.to_dict() for event in update.events]
        yield {"stream": budget, **told, "moments": [repr(moment) for moment in update.moments], "events": events}


def found(recognizer: Recognizer, video: Path) -> Iterator[dict[str, Any]]:
    """The highlights of a video."""
    yield recognizer.highlights(video).to_dict()


def record(count: int) -> Iterator[dict[str, Any]]:
    """All of it."""
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)  # answers name the clips
        clips, long = compose(Path(), count)
        for bundle, unit in UNITS.items():
            for device in DEVICES:
                for precision in PRECISIONS:
                    with Recognizer.open(bundle, device, precision, threads=1) as recognizer:
                        sys.stderr.write(f"{recognizer}\n")
                        yield from answers(recognizer, clips, unit)
                        for budget in ("none", f"{unit}mflops"):
                            yield from watched(recognizer, clips[-2:], budget)
                        yield from found(recognizer, long)


def main() -> None:
    """Read the command line, and record."""
    parser = argparse.ArgumentParser(description="Record what the runtime answers.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--clips", type=int, default=30)
    asked = parser.parse_args()
    with asked.file.absolute().open("w", encoding="utf-8") as file:
        for told in record(asked.clips):
            file.write(json.dumps(told, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
