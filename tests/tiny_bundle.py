"""The committed bundle of tests, `tests/data/tiny`: `python tests/tiny_bundle.py` makes it again, from nothing.

Its network is `network_makers.lively_model()`, whose answers depend on all that it is given, calibrated on a few small
clips. What reads a bundle need therefore make none; tests/export and tests/calibration make it and compare.
"""

from __future__ import annotations

import csv
import dataclasses
import tempfile
from pathlib import Path

from media_makers import SoundSpec, VideoSpec, tone, write_media
from network_makers import LABELS, lively_model

from avgn_edge.bundle.calibration_tables import ExitSettings
from avgn_edge.bundle.reader import Bundle
from avgn_edge.bundle.writer import write_bundle

COMMITTED = Path(__file__).parent / "data" / "tiny"
CLIPS = 48
"""Rows of the table that it is calibrated on."""


def write_clips(folder: Path) -> Path:
    """Write six small clips, and return a table that names each several times."""
    for at in range(6):
        video = VideoSpec(times=[i / 5 + at / 100 for i in range(8)], size=(64, 48), gop=1, b_frames=0)
        write_media(folder / f"{at}.mp4", video, SoundSpec(tone(200 + 150 * at, 1.6, 16_000), rate=16_000))
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "label"))
        rows.writerows((f"{at % 6}.mp4", LABELS[at % len(LABELS)]) for at in range(CLIPS))
    return folder / "labels.csv"


def export_tiny(folder: Path, model=None):
    """Export the network, or one like it, without early exit."""
    from avgn_edge.architectures.avgn.split import trained
    from avgn_edge.export.to_bundle import export_bundle

    return export_bundle(trained(model or lively_model()), folder, name="tiny", licence="CC0-1.0", confidence=None)


def calibrate_tiny(bundle: Bundle, folder: Path, table: Path, precisions=("fp32", "fp16", "int8")):
    """Calibrate on the clips of `write_clips`, whatever INT8 loses: a random network has nothing to lose."""
    from avgn_edge.calibration.procedure import calibrate
    from avgn_edge.data.datasets import read_dataset

    return calibrate(bundle, folder, read_dataset(table), precisions=precisions, most_lost=1.0, threads=1)


def write_uncalibrated(folder: Path) -> Bundle:
    """Write the committed bundle as export alone makes it: in FP32, without early exit."""
    made = Bundle.open(COMMITTED)
    manifest = dataclasses.replace(
        made.manifest,
        graphs={"fp32": made.manifest.graphs["fp32"]},
        int8_variants={},
        calibration=None,
        exits=ExitSettings(None),
        operating_points=(),
    )
    files = {graph: made.graph_bytes_path("fp32", graph) for graph in manifest.graphs["fp32"]}
    return write_bundle(folder, manifest, {"fp32": files})


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        exported = export_tiny(Path(work, "exported")).bundle
        calibrate_tiny(exported, COMMITTED, write_clips(Path(work)), ("fp32", "int8"))
