"""The order in which moments are glanced at: coarse to fine, after AdaFocusV2 and FrameExit (AVGN, 3.5)."""

from __future__ import annotations

from typing import Final

GLANCE_ORDER: Final[tuple[int, ...]] = (7, 0, 15, 3, 11, 1, 5, 9, 13, 2, 4, 6, 8, 10, 12, 14)
"""A permutation of the 16 moments, any first few of which are spread over the whole clip."""
