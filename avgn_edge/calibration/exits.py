"""Exit tables and operating points of one precision, from how the answers to labelled clips formed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avgn_edge.bundle.exits import ExitSettings, ExitTable, OperatingPoint
from avgn_edge.calibration import simulate
from avgn_edge.calibration.operating_points import Calibrated, average_points, limit_points
from avgn_edge.calibration.risk import exit_table
from avgn_edge.calibration.temperatures import fit_temperatures
from avgn_edge.calibration.trajectories import Row, gather
from avgn_edge.runtime.exits import ExitRules

FITTED = 4
"""Of so many clips one fits temperatures and INT8 ranges, and the others certify risks and judge: none does both."""


@dataclass(frozen=True)
class ExitCalibration:
    """What one precision's clips came to."""

    tables: tuple[ExitTable, ...]
    points: tuple[OperatingPoint, ...]


def fitting(clips: int) -> NDArray[np.bool_]:
    """Which clips fit temperatures and ranges, bool [n]: every fourth, the first among them."""
    return np.asarray(np.arange(clips) % FITTED == 0)


def calibrate_exits(
    rows: Sequence[Mapping[int, Row]],
    truth: NDArray[np.bool_],
    fit: NDArray[np.bool_],
    *,
    own: int,
    task: str,
    precision: str,
) -> ExitCalibration:
    """Make the tables from clips' `rows` (by number of glances) and their labels, bool [n, C]; `own` is T_G.

    Temperatures come from the clips of `fit`, bool [n], and risks from the others, as their guarantee needs; operating
    points promise less, and take all clips, because a mean cost wants many.

    The full network's answer is that of T_G glances and k looks in the same precision.
    """
    by_glances = {glances: gather([row[glances] for row in rows], glances, task) for glances in sorted(rows[0])}
    last = np.full(len(rows), by_glances[own].steps - 1)
    full = simulate.answer(by_glances[own], last)[~fit]
    tables, calibrated = [], {}
    for glances, trajectories in by_glances.items():
        temperatures = fit_temperatures(trajectories.only(fit), truth[fit])
        deciding = trajectories.only(~fit)
        table = exit_table(deciding, temperatures, full)
        exits = ExitRules(ExitSettings(None, {precision: (table,)}), precision).at(glances)
        tables.append(table)
        calibrated[glances] = Calibrated(trajectories, temperatures, exits)
    points = (*limit_points(calibrated, truth, precision), *average_points(calibrated, truth, precision))
    return ExitCalibration(tuple(tables), points)
