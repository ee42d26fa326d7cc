"""The answer where no look was taken: what the auxiliary heads say (AVGN, Eqs. 9, 10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from avgn_edge.runtime.graphs import Floats


def from_heads(heard: Floats | None, glances: Sequence[Floats]) -> Floats:
    """Average what f_C^A says of the sound and the mean of what FC^G says of the glances, each [C].

    One alone where there is no other; ValueError where there is neither.
    """
    if not glances:
        if heard is None:
            raise ValueError("nothing was heard and nothing was glanced at")
        return heard
    seen: Floats = np.mean(glances, axis=0)
    return seen if heard is None else np.asarray((heard + seen) / 2, dtype=np.float32)
