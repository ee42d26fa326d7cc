"""What stopping at each confidence did to the calibration clips: the counts from which a stated risk is certified.

The counts go into the bundle, and `avgn_edge.runtime.exits.certified` reads the guarantee off them for any risk.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avgn_edge.bundle.exits import ExitTable, RiskRow
from avgn_edge.calibration import simulate
from avgn_edge.calibration.trajectories import Trajectories
from avgn_edge.runtime.exits import Exits

CONFIDENCES = tuple(round(float(1 - doubt), 12) for doubt in np.geomspace(1e-10, 0.7, 96))
"""Fixed beforehand, as Learn-then-Test needs it; from nearly never to nearly always."""


def exit_table(trajectories: Trajectories, temperatures: tuple[float, ...], full: NDArray[np.bool_]) -> ExitTable:
    """Count, at each confidence, the clips that stop early with another answer than `full`, bool [n, C].

    `trajectories` must be of clips that `temperatures` were not fitted on, for the guarantee to hold exactly.
    """
    sureness = simulate.confidences(trajectories, temperatures)
    rows = []
    for confidence in CONFIDENCES:
        stopped = simulate.stop(trajectories, sureness, Exits((confidence,), temperatures))
        differs = (simulate.answer(trajectories, stopped.step) != full).any(axis=1)
        rows.append(RiskRow(confidence, int((stopped.sure & differs).sum()), round(float(stopped.macs.mean()))))
    whole = round(float(trajectories.macs[:, -1].mean()))
    return ExitTable(trajectories.glances, temperatures, trajectories.clips, whole, tuple(rows))
