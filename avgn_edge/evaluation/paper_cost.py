"""What a clip costs in the paper's convention, for comparison with its tables; the runtime counts every MAC instead."""

from __future__ import annotations

from collections.abc import Collection
from math import isclose
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avgn_edge.bundle.manifest import Manifest

AUDIO_GFLOPS = 0.68
"""f_A over the 16 moments of a clip."""
GLANCE_GFLOPS = 0.33
"""f_G on one frame."""
LOOK_GFLOPS = 1.35
"""f_L on one patch of 128 pixels."""

_EXACT_GFLOPS = {"global_encoder": 0.2995, "local_encoder": 1.3346}
"""What the paper's two visual encoders multiply by our count, MobileNetV2 at 224 pixels and ResNet-50 at 128."""


def paper_gflops(glanced: Collection[int], selected: Collection[int], looks: int) -> float:
    """Price a clip as the paper does: the three encoders only, at its rounded prices, in 10^9 multiply-accumulates.

    `glanced` are the moments AV-TeST saw, `selected` those that were looked at, `looks` how many looks there were. A
    selected moment that was not glanced at pays for its own global encoding; AV-TeST, AESPA, π, ψ and f_C cost nothing.
    """
    return AUDIO_GFLOPS + GLANCE_GFLOPS * len({*glanced, *selected}) + LOOK_GFLOPS * looks


def has_paper_encoders(manifest: Manifest) -> bool:
    """Whether a bundle's encoders are the paper's, by what they multiply: only then do the paper's prices mean it."""
    if manifest.architecture != "avgn":
        return False
    sound = manifest.cost["audio_encoder"].macs(manifest.preprocessing.moments) / 1e9
    return isclose(sound, AUDIO_GFLOPS, rel_tol=0.05) and all(
        isclose(manifest.cost[graph].macs(1) / 1e9, price, rel_tol=0.02) for graph, price in _EXACT_GFLOPS.items()
    )
