"""What mn04 hears, in FP32 and INT8, and what it costs beside the f_A of preset small.

    python -m benchmarks.ears --environment DIR --names audioset_527_labels.csv [--rounds N]

`DIR` has ESC-10's recordings in a folder a class. Each is heard in 16 windows of a moment's length, as a clip is; its
answer is the best of the ten classes by the greatest probability of its AudioSet names in any window, by mn04's own
head. INT8 ranges come from the first four recordings of each class, which do not count. Times are of one process, both
networks in turn, one thread: the front end and the graph on 16 windows.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file

from avgn_edge.architectures.avgn.network.avgn import AVGN
from avgn_edge.architectures.avgn.network.settings import Settings, preset
from avgn_edge.architectures.avgn.split import GRAPH_SPECS
from avgn_edge.architectures.backbones import published
from avgn_edge.architectures.weights import load_backbone
from avgn_edge.calibration.quantise import Quantiser
from avgn_edge.engines.base import Session
from avgn_edge.engines.select import open_engine
from avgn_edge.export.onnx_graphs import count_macs, export_graph
from avgn_edge.media.front_ends import EFFICIENTAT, YAMNET
from avgn_edge.media.logmel import log_mel
from avgn_edge.media.opening import open_clip
from avgn_edge.runtime.scores import sigmoid

NAMES = {
    "baby_cry": ("Baby cry, infant cry", "Crying, sobbing"),
    "chainsaw": ("Chainsaw",),
    "clock_tick": ("Tick", "Tick-tock", "Clock"),
    "dog_bark": ("Dog", "Bark", "Bow-wow"),
    "fire_crackling": ("Fire", "Crackle"),
    "helicopter": ("Helicopter",),
    "person_sneeze": ("Sneeze",),
    "rain": ("Rain", "Raindrop", "Rain on surface"),
    "rooster": ("Chicken, rooster", "Crowing, cock-a-doodle-doo"),
    "sea_waves": ("Ocean", "Waves, surf"),
}
"""ESC-10's classes, and AudioSet's names for them."""
RANGED = 4
"""Recordings of a class that INT8 ranges come from."""
MOMENTS = 16
AUDIO = GRAPH_SPECS[0]
Recordings = Mapping[str, Sequence[NDArray[np.float32]]]


def main() -> None:
    """Measure and print both tables."""
    options = _options()
    with options.names.open(encoding="utf-8") as file:
        rows = [row["display_name"] for row in csv.DictReader(file)]
    with tempfile.TemporaryDirectory() as folder:
        ears, small = (Path(folder) / f"{name}.onnx" for name in ("mn04", "small"))
        settings = preset("small", ("a", "b"))
        ours = export_graph(AUDIO, _network(replace(settings, audio_backbone="mn04")), ears)
        theirs = export_graph(AUDIO, _network(settings), small)
        recordings = {name: [_spectrograms(path) for path in _files(options.environment, name)] for name in NAMES}
        ranging = [{"spectrograms": heard} for found in recordings.values() for heard in found[:RANGED]]
        quantised = Path(folder) / "int8.onnx"
        quantised.write_bytes(Quantiser(ears, ranging).quantise())
        engine = open_engine("cpu", threads=1)
        sessions = {"fp32": engine.open(ears), "int8": engine.open(quantised, "int8"), "small": engine.open(small)}
        table = Table("precision", "right", "of", "share", title="ESC-10 recordings named by mn04's own head")
        for precision in ("fp32", "int8"):
            right, count = _named(sessions[precision], recordings, rows)
            table.add_row(precision, str(right), str(count), f"{right / count:.1%}")
        Console().print(table)
        _print_costs(sessions, count_macs(ours, MOMENTS), count_macs(theirs, MOMENTS), options.rounds)


def _network(settings: Settings) -> AVGN:
    torch.manual_seed(0)
    model = AVGN(settings)
    file = published(settings.audio_backbone)
    if file is not None:
        load_backbone(model.audio_encoder.backbone, file)
    return model.eval()


def _files(environment: Path, name: str) -> list[Path]:
    return sorted((environment / name).iterdir())


def _spectrograms(path: Path) -> NDArray[np.float32]:
    with open_clip(path, front_end=EFFICIENTAT) as clip:
        return np.ascontiguousarray(log_mel(clip.windows()[0], EFFICIENTAT))


def _named(session: Session, recordings: Recordings, rows: Sequence[str]) -> tuple[int, int]:
    """Count the recordings whose class is named, of those that ranges do not come from."""
    weights = {name: value.float().numpy() for name, value in load_file(published("mn04")).items() if "class" in name}
    right = count = 0
    for label, found in recordings.items():
        for heard in found[RANGED:]:
            hidden = session.run({"spectrograms": heard})["features"] @ weights["classifier.2.weight"].T
            hidden += weights["classifier.2.bias"]
            hidden *= np.clip(hidden + 3, 0, 6) / 6
            scores = sigmoid(hidden @ weights["classifier.5.weight"].T + weights["classifier.5.bias"]).max(axis=0)
            best = max(NAMES, key=lambda one: max(float(scores[rows.index(name)]) for name in NAMES[one]))
            right, count = right + (best == label), count + 1
    return right, count


def _print_costs(sessions: Mapping[str, Session], macs: int, small_macs: int, rounds: int) -> None:
    rng = np.random.default_rng(0)
    loud, quiet = (
        rng.normal(0, 0.1, (MOMENTS, one.window_samples)).astype(np.float32) for one in (EFFICIENTAT, YAMNET)
    )
    heard, others = np.ascontiguousarray(log_mel(loud, EFFICIENTAT)), log_mel(quiet, YAMNET)
    runs: dict[str, Callable[[], object]] = {
        "mn04's front end": lambda: log_mel(loud, EFFICIENTAT),
        "mn04, FP32": lambda: sessions["fp32"].run({"spectrograms": heard}),
        "mn04, INT8": lambda: sessions["int8"].run({"spectrograms": heard}),
        "YAMNet's front end": lambda: log_mel(quiet, YAMNET),
        "MobileNetV2 × 0.5, FP32": lambda: sessions["small"].run({"spectrograms": others}),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for at in range(-2, rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if at >= 0:
                seconds[name].append(time.perf_counter() - started)
    table = Table(
        "16 windows", "ms, median", title=f"{macs / 1e6:.0f} MMACs; MobileNetV2 × 0.5: {small_macs / 1e6:.0f}"
    )
    for name, taken in seconds.items():
        table.add_row(name, f"{1e3 * float(np.median(taken)):.1f}")
    Console().print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ears", description=__doc__)
    parser.add_argument("--environment", type=Path, required=True)
    parser.add_argument("--names", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=20)
    return parser.parse_args()


if __name__ == "__main__":
    main()
