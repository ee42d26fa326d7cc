"""Calibrates a bundle on its user's clips: INT8 and FP16 graphs, exit tables and operating points.

Each clip is decoded once for all of it. Every fourth clip gives INT8 ranges and temperatures; the others give risks and
say what each precision costs, so that no number that decides comes from a clip that something was fitted on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import avgn_edge
from avgn_edge._base.errors import BundleError, DataError
from avgn_edge.bundle.calibration_tables import ExitTable, OperatingPoint
from avgn_edge.bundle.manifest import Manifest
from avgn_edge.bundle.reader import Bundle, check_network
from avgn_edge.calibration.comparison import WHOLE, Agreement, Measured, compare, measure, truth_of
from avgn_edge.calibration.exit_calibration import calibrate_exits, fitting
from avgn_edge.calibration.precisions import GraphReport, Progress, QuantisedBundle, add_precisions, keep_precisions
from avgn_edge.data.datasets import DataSet, LabelledClip
from avgn_edge.data.evaluation.row import Failure

FEWEST = 40
"""Clips that calibration needs: with fewer, what is measured means nothing."""
RECORDED = 64
"""Clips that INT8 ranges come from, at most."""
ALONE = 64
"""Clips on which each graph is compared by itself, at most."""
MOST_LOST = 0.01
"""Top-1 that INT8 may lose, unless the user says otherwise."""


@dataclass(frozen=True)
class Calibration:
    """A bundle that was calibrated, and what its precisions cost."""

    bundle: Bundle
    graphs: tuple[GraphReport, ...]
    agreements: Mapping[str, Agreement]
    """Precision → the whole network in it, against float32."""
    alone: Mapping[tuple[str, str], Agreement]
    """(precision, graph) → the network with that graph alone in that precision, on fewer clips."""
    clips: int
    failed: tuple[Failure, ...]

    @property
    def whole(self) -> Mapping[str, Agreement]:
        """Precision → the whole network in it; FP16's on fewer clips."""
        return {**{pair[0]: one for pair, one in self.alone.items() if pair[1] == WHOLE}, **self.agreements}


def calibrate(
    source: Bundle,
    target: Path,
    data: DataSet,
    *,
    precisions: Sequence[str],
    most_lost: float = MOST_LOST,
    threads: int | None = None,
    progress: Progress = lambda _what, _done, _of: None,
) -> Calibration:
    """Calibrate a bundle on labelled clips and write it, whole or not at all.

    Args:
        source: The bundle to calibrate.
        target: Where to write the calibrated one; it may be where `source` is.
        data: The clips.
        precisions: What the bundle shall hold: fp32 as it is, the others made of it.
        most_lost: The share of top-1 that INT8 may lose.
        threads: Of the engine; its own choice where None.
        progress: Called with what is being done, how much of it is, and of how much.

    Raises:
        BundleError: INT8 loses more than it may, or the bundle is not as its network wants it.
        DataError: The clips are too few, of other labels, or too many of them cannot be read.
    """
    check_network(source.manifest, source.path)
    clips = _usable(data, source.manifest)
    with tempfile.TemporaryDirectory(prefix="avgn-edge-calibrate-") as folder:
        fit = fitting(len(clips))
        recorded = [clips[at] for at in np.flatnonzero(fit)[:RECORDED]]
        made = add_precisions(source, Path(folder) / "bundle", recorded, precisions, threads=threads, progress=progress)
        measured = measure(
            made.bundle,
            clips,
            [precision for precision in made.bundle.precisions if precision != "fp16"],
            _alone(made.bundle),
            ALONE,
            threads=threads,
            progress=lambda done: progress("clips", done, len(clips)),
        )
        if len(measured.clips) < FEWEST:
            raise _too_few(data, len(measured.clips))
        fit = fit[measured.places]
        agreements, alone = _compared(source.manifest, measured, fit)
        _refuse_lossy(agreements, most_lost, source)
        manifest = _calibrated(made, measured, agreements, fit)
        bundle = keep_precisions(replace(made.bundle, manifest=manifest), target, precisions)
    return Calibration(bundle, made.graphs, agreements, alone, len(measured.clips), measured.failed)


def _alone(bundle: Bundle) -> list[tuple[str, str]]:
    """What to compare on a few clips: each graph in INT8, and FP16, which a CPU is slow to emulate, as a whole."""
    if "fp32" not in bundle.precisions:
        return []
    wanted = [("int8", graph) for graph in bundle.manifest.graph_names] + [("fp16", WHOLE)]
    return [pair for pair in wanted if pair[0] in bundle.precisions]


def _usable(data: DataSet, manifest: Manifest) -> list[LabelledClip]:
    known = [clip for clip in data.clips if set(clip.labels) & set(manifest.labels)]
    if len(known) < FEWEST:
        raise _too_few(data, len(known))
    return known


def _too_few(data: DataSet, clips: int) -> DataError:
    why = f"it has {clips} clips of labels that the bundle knows, and calibration needs {FEWEST}"
    return DataError(f"data set {data.source}", why, "give more labelled clips; a few hundred are good")


def _compared(
    manifest: Manifest, measured: Measured, fit: NDArray[np.bool_]
) -> tuple[dict[str, Agreement], dict[tuple[str, str], Agreement]]:
    """Compare each precision, and each graph alone in it, with float32, on clips that no range came from."""
    own = manifest.settings.glances
    floats = [by_glances[own] for by_glances in measured.rows.get("fp32", ())]
    if not floats:
        return {}, {}
    truth = truth_of(measured.clips, manifest.labels)
    deciding = np.flatnonzero(~fit).tolist()
    agreements = {
        precision: compare([rows[at][own] for at in deciding], [floats[at] for at in deciding], truth[deciding])
        for precision, rows in measured.rows.items()
        if precision != "fp32"
    }
    alone = {}
    for pair, several in measured.alone.items():
        some = [at for at in deciding if at < len(several)]
        alone[pair] = compare([several[at] for at in some], [floats[at] for at in some], truth[some])
    return agreements, alone


def _refuse_lossy(agreements: Mapping[str, Agreement], most_lost: float, source: Bundle) -> None:
    for precision, agreement in agreements.items():
        if agreement.loss > most_lost:
            raise BundleError(
                str(source.path),
                f"in {precision} it is right in {agreement.top1:.1%} of {agreement.clips} clips, in fp32 in "
                f"{agreement.float_top1:.1%}, and {100 * most_lost:g} points may be lost",
                "give more clips, allow more with --max-loss, or leave that precision out",
            )


def _calibrated(
    made: QuantisedBundle, measured: Measured, agreements: Mapping[str, Agreement], fit: NDArray[np.bool_]
) -> Manifest:
    """The manifest of the finished bundle. No time and no duration goes in: the same clips give the same bytes."""
    manifest = made.bundle.manifest
    truth = truth_of(measured.clips, manifest.labels)
    tables: dict[str, tuple[ExitTable, ...]] = {}
    points: list[OperatingPoint] = []
    for precision, rows in measured.rows.items():
        exits = calibrate_exits(
            rows, truth, fit, own=manifest.settings.glances, task=manifest.task, precision=precision
        )
        tables[precision] = exits.tables
        points.extend(exits.points)
    record: dict[str, Any] = {
        "clips": len(measured.clips),
        "failed": len(measured.failed),
        "fitted_on": int(fit.sum()),
        "avgn-edge": avgn_edge.__version__,
        "agreement": {precision: agreement.to_dict() for precision, agreement in agreements.items()},
        **made.record,
    }
    return replace(
        manifest,
        exits=replace(manifest.exits, tables=tables),
        operating_points=tuple(points),
        calibration=record,
    )
