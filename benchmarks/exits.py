"""Do exits keep what they promise? Random calibration and held-out halves of one labelled set, many times over.

    python -m benchmarks.exits --data CLIPS [--model BUNDLE] [--precision fp32] [--splits 50]

For each split: exits are calibrated on one half as `avgn-edge calibrate` does, and the other half counts how often an
early answer differs from the full network's, and what asked averages really cost.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from avgn_edge.bundle.calibration_tables import ExitTable, OperatingPoint
from avgn_edge.bundle.reader import Bundle, packaged_bundle_path
from avgn_edge.calibration import trajectories as replay
from avgn_edge.calibration.comparison import measure, truth_of
from avgn_edge.calibration.exit_calibration import calibrate_exits, fitting
from avgn_edge.calibration.trajectories import Trajectories, gather
from avgn_edge.data.datasets import read_dataset
from avgn_edge.runtime.exits import NEVER, Exits, certified

AVERAGES = (0.25e9, 0.5e9, 0.75e9, 1e9, 1.5e9, 2e9, 3e9)
RISKS = (0.01, 0.02, 0.05, 0.1)


def main() -> None:
    """Measure once, split often, print two tables."""
    options = _options()
    bundle = Bundle.open(packaged_bundle_path() if options.model is None else options.model)
    manifest, own = bundle.manifest, bundle.manifest.settings.glances
    clips = read_dataset(options.data, None).clips
    console = Console(stderr=True)
    with console.status(f"{len(clips)} clips"):
        measured = measure(bundle, clips, (options.precision,))
    truth = truth_of(measured.clips, manifest.labels)
    rows = measured.rows[options.precision]
    by_glances = {glances: gather([row[glances] for row in rows], glances, manifest.task) for glances in rows[0]}
    whole = by_glances[own]
    full = replay.named_classes(whole, np.full(whole.clips, whole.steps - 1))
    rng = np.random.default_rng(options.seed)
    differ: dict[float, list[float]] = {risk: [] for risk in RISKS}
    spent: dict[float, list[float]] = {risk: [] for risk in RISKS}
    ratios: dict[float, list[float]] = {macs: [] for macs in AVERAGES}
    right: dict[float, list[float]] = {macs: [] for macs in AVERAGES}
    for _ in track(range(options.splits), "splits", console=console):
        order = rng.permutation(whole.clips)
        calibration, held_out = order[: whole.clips // 2], order[whole.clips // 2 :]
        found = calibrate_exits(
            [rows[at] for at in calibration],
            truth[calibration],
            fitting(len(calibration)),
            own=own,
            task=manifest.task,
            precision=options.precision,
        )
        table = next(table for table in found.tables if table.glances == own)
        for risk in RISKS:
            disagreement, cost = _at_risk(whole.only(held_out), full[held_out], table, risk)
            differ[risk].append(disagreement)
            spent[risk].append(cost)
        for macs in AVERAGES:
            point = min(
                (point for point in found.points if point.thresholds is not None),
                key=lambda point: abs(np.log(point.mean_macs / macs)),
            )
            tables = {table.glances: table for table in found.tables}
            cost, accuracy = _at_average(by_glances[point.glances].only(held_out), truth[held_out], point, tables)
            ratios[macs].append(cost / macs)
            right[macs].append(accuracy)
    _print(options, whole, differ, spent, ratios, right)


def _at_risk(held_out: Trajectories, full: NDArray[np.bool_], table: ExitTable, risk: float) -> tuple[float, float]:
    """Share of clips that stopped early with another answer, and the cost as a share of the whole."""
    row = certified(table.clips, table.risk, risk)
    exits = Exits((NEVER if row is None else row.confidence,), table.temperatures)
    stopped = replay.stop(held_out, replay.confidences(held_out, table.temperatures), exits)
    differs = (replay.named_classes(held_out, stopped.step) != full).any(axis=1) & stopped.sure
    return float(differs.mean()), float(stopped.macs.mean() / held_out.macs[:, -1].mean())


def _at_average(
    held_out: Trajectories, truth: NDArray[np.bool_], point: OperatingPoint, tables: dict[int, ExitTable]
) -> tuple[float, float]:
    temperatures = tables[point.glances].temperatures
    sureness = replay.confidences(held_out, temperatures)
    stopped = replay.stop(held_out, sureness, Exits(point.thresholds or (NEVER,), temperatures))
    return float(stopped.macs.mean()), replay.top1(held_out, stopped.step, truth)


def _print(
    options: argparse.Namespace,
    whole: Trajectories,
    differ: dict[float, list[float]],
    spent: dict[float, list[float]],
    ratios: dict[float, list[float]],
    right: dict[float, list[float]],
) -> None:
    console = Console()
    console.print(f"{whole.clips} clips in {options.precision}, {options.splits} random halves, seed {options.seed}")
    table = Table("exit risk", "splits that keep it", "mean disagreement", "worst", "of the whole cost")
    for risk, shares in differ.items():
        kept = np.mean(np.array(shares) <= risk)
        table.add_row(
            f"{risk:g}", f"{kept:.0%}", f"{np.mean(shares):.2%}", f"{max(shares):.2%}", f"{np.mean(spent[risk]):.0%}"
        )
    console.print(table)
    table = Table("average asked", "spent / asked", "spread (sd)", "splits within 5 %", "top-1")
    for macs, shares in ratios.items():
        off = np.abs(np.array(shares) - 1)
        table.add_row(
            f"{macs / 1e9:g} GFLOPs",
            f"{np.mean(shares):.3f}",
            f"{np.std(shares):.3f}",
            f"{np.mean(off <= 0.05):.0%}",
            f"{100 * np.mean(right[macs]):.1f}",
        )
    console.print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--splits", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
