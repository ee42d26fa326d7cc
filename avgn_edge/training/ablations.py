"""The network, or the objective, without one of its parts: the switches of the paper's ablations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from avgn_edge.architectures.avgn.network.settings import Settings
from avgn_edge.training.settings import TrainingSettings

NETWORK: dict[str, dict[str, Any]] = {
    "audio": {"audio": False},
    "av-test": {"sampling": "uniform"},
    "aespa": {"aespa": False},
    "fusion": {"fusion": False},
    "policy": {"patches": "centre"},
}
"""Parts of the network: no audio, uniform sampling, no AESPA, no ψ, the patch always in the centre."""

LOSSES: dict[str, str] = {
    "L_V": "visual",
    "L_A": "audio",
    "L_s": "saliency",
    "L_mask": "mask",
    "L_ord": "ordered",
    "L_p": "classification",
}
"""Terms of the objective."""

PARTS = (*NETWORK, *LOSSES)


def without(parts: Sequence[str], network: Settings, training: TrainingSettings) -> tuple[Settings, TrainingSettings]:
    """Switch `parts` off. ValueError for one that does not exist."""
    for part in parts:
        if part in NETWORK:
            network = replace(network, **NETWORK[part])
        elif part in LOSSES:
            training = replace(training, losses=replace(training.losses, **{LOSSES[part]: 0.0}))
        else:
            raise ValueError(f"there is no part {part!r}; there are {', '.join(PARTS)}")
    return network, training
