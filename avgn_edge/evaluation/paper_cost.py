"""What a clip costs in the paper's convention, for comparison with its tables; the runtime counts every MAC instead."""

from __future__ import annotations

from collections.abc import Collection

AUDIO_GFLOPS = 0.68
"""f_A over the 16 moments of a clip."""
GLANCE_GFLOPS = 0.33
"""f_G on one frame."""
LOOK_GFLOPS = 1.35
"""f_L on one patch of 128 pixels."""


def paper_gflops(glanced: Collection[int], selected: Collection[int], looks: int) -> float:
    """Price a clip as the paper does: the three encoders only, at its rounded prices, in 10^9 multiply-accumulates.

    `glanced` are the moments AV-TeST saw, `selected` those that were looked at, `looks` how many looks there were. A
    selected moment that was not glanced at pays for its own global encoding; AV-TeST, AESPA, π, ψ and f_C cost nothing.
    """
    return AUDIO_GFLOPS + GLANCE_GFLOPS * len({*glanced, *selected}) + LOOK_GFLOPS * looks
