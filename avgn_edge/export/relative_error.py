"""How far two answers of one graph are apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def relative_error(actual: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Largest absolute difference over the range of `expected` (over 1 where that has no range)."""
    # A number that is not finite is wrong on either side: engines make numbers of NaN in ReLU6, PyTorch does not.
    if actual.shape != expected.shape or not (np.isfinite(actual).all() and np.isfinite(expected).all()):
        return float("inf")
    spread = float(expected.max() - expected.min()) or 1.0
    return float(np.abs(actual - expected).max()) / spread
