"""How much faster is INT8 than FP32? Both of one bundle, in one process, run in turn.

    python -m benchmarks.int8_speed [BUNDLE] [--device cpu openvino:CPU] [--threads N] [--rounds N] [--batched]

A round is a clip's worth of each precision in the runtime's order: f_A on all moments, f_G on T_G frames, saliency, and
k looks (spatial, f_L, classifier), one by one, or with --batched f_L on k patches at once, as where no exit can happen.
Ratios are of the same round, so that what else the machine does falls on both; the spread is that of their quartiles.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from avgn_edge.architectures.avgn.spec import GRAPHS
from avgn_edge.bundle.manifest import Manifest
from avgn_edge.bundle.reader import Bundle, packaged_bundle_path
from avgn_edge.engines.select import open_engine
from avgn_edge.runtime.device_profile import made_inputs
from avgn_edge.runtime.sessions import Sessions

PRECISIONS = ("fp32", "int8")
WARM_UP = 2
"""Rounds that do not count: engines compile and allocate."""


def main() -> None:
    """Measure and print a table an engine."""
    options = _options()
    bundle = Bundle.open(options.bundle or packaged_bundle_path())
    if not set(PRECISIONS) <= set(bundle.precisions):
        raise SystemExit(f"{bundle.path} holds {', '.join(bundle.precisions)}; make INT8 with avgn-edge calibrate")
    for device in options.device:
        engine = open_engine(device, threads=options.threads)
        sessions = {name: Sessions(bundle, engine, name) for name in PRECISIONS}
        seconds = measure(bundle.manifest, sessions, options.rounds, batched=options.batched)
        Console().print(_table(f"{engine.report.engine} {engine.report.engine_version}, {engine.device}", seconds))


def measure(
    manifest: Manifest, sessions: Mapping[str, Sessions], rounds: int, *, batched: bool
) -> dict[str, NDArray[np.float64]]:
    """Seconds by precision, [rounds, graphs]."""
    settings = manifest.settings
    opening = [("audio_encoder", manifest.preprocessing.moments), ("global_encoder", settings.glances), ("saliency", 1)]
    if batched:
        looks = [("spatial", 1)] * settings.looks + [("local_encoder", settings.looks)]
        looks += [("classifier", 1)] * settings.looks
    else:
        looks = [("spatial", 1), ("local_encoder", 1), ("classifier", 1)] * settings.looks
    order = [run for run in opening + looks if run[1]]
    inputs = {run: made_inputs(manifest.graphs["fp32"][run[0]], run[1]) for run in order}
    seconds = {name: np.zeros((rounds, len(GRAPHS))) for name in sessions}
    for at in range(-WARM_UP, rounds):
        for name, opened in sessions.items():
            for run in order:
                session = opened.get(run[0])
                started = time.perf_counter()
                session.run(inputs[run])
                if at >= 0:
                    seconds[name][at, GRAPHS.index(run[0])] += time.perf_counter() - started
    return seconds


def _table(title: str, seconds: Mapping[str, NDArray[np.float64]]) -> Table:
    table = Table("graph", *(f"{name}, ms" for name in seconds), "times as fast", "quartiles", title=title)
    columns = [*((name, [at]) for at, name in enumerate(GRAPHS)), ("together", list(range(len(GRAPHS))))]
    for name, places in columns:
        floats, ints = (seconds[precision][:, places].sum(axis=1) for precision in PRECISIONS)
        low, middle, high = np.quantile(floats / ints, (0.25, 0.5, 0.75))
        times = (f"{1e3 * np.median(one):.2f}" for one in (floats, ints))
        table.add_row(name, *times, f"{middle:.2f}", f"{low:.2f} … {high:.2f}", end_section=name == GRAPHS[-1])
    return table


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="?", help="default: the packaged one")
    parser.add_argument("--device", nargs="+", default=["cpu", "openvino:CPU"])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--batched", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
