"""How a network is trained; the defaults are the paper's (3.4, C.1). And the switches of its ablations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from avgn_edge.architectures.avgn.network.settings import Settings
from avgn_edge.training.stages import Optimisation
from avgn_edge.training.train_options import Precision


@dataclass(frozen=True)
class LossWeights:
    """What each term counts; 0 leaves a term out (Table 7)."""

    classification: float = 1.0
    """L_p (Eq. 8)."""
    visual: float = 1.0
    """L_V (Eq. 9)."""
    audio: float = 1.0
    """L_A (Eq. 10)."""
    saliency: float = 1.0
    """L_s (Eq. 12)."""
    mask: float = 1.0
    """L_mask."""
    ordered: float = 1.0
    """L_ord (Eq. 13)."""
    random_crop: float = 0.0
    """L_p over a second, random patch of every frame, as AdaFocusV2 trains f_L; costs a second run of f_L."""
    guidance: float = 0.0
    """The hint for π (`guidance`), this repository's own; for one label a clip only."""


@dataclass(frozen=True)
class LearningRates:
    """One for each group of modules (C.1)."""

    glance: float = 1e-3
    """f_G and f_A."""
    local: float = 2e-3
    """f_L."""
    classifier: float = 1e-2
    """f_C, ψ, the auxiliary heads, and the no-audio token."""
    policy: float = 2e-4
    """π and æ."""
    saliency: float = 1e-2
    """TF_AV, and the mask encoder of L_mask."""


@dataclass(frozen=True)
class TrainingSettings(Optimisation):
    """Everything that decides what is learned, beside the network's own settings and the data."""

    epochs: int = 50
    batch: int = 24
    rates: LearningRates = field(default_factory=LearningRates)
    losses: LossWeights = field(default_factory=LossWeights)
    mask_ratio: float = 0.75
    audio_dropout: float = 0.15
    """Share of clips that train as if they had no sound."""
    own_moment: bool = True
    """Eq. 11's "only the features at time step t" by its word: ψ hears moment t alone for the pseudo-labels of L_s."""
    looks: int | None = None
    """Moments of a clip that f_L sees in a step, drawn anew each time; None for all, as in the paper."""
    all_looks_every: int = 8
    """With `looks`: every so many steps all moments are looked at, so that the heads of long sequences learn too."""
    frozen: tuple[str, ...] = ()
    """Modules of the network that do not learn, by their names in `AVGN`."""
    fixed_statistics: tuple[str, ...] = ()
    """Modules that learn, but whose batch norms keep their statistics."""
    precision: Precision = "float32"
    """bfloat16: mixed precision; losses and weights stay in float32."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 2:
            raise ValueError("training needs one epoch or more, and two clips or more in a batch")
        if not 0 <= self.audio_dropout <= 1 or not 0 <= self.mask_ratio <= 1 or not 0 <= self.warmup < 1:
            raise ValueError("audio_dropout, mask_ratio and warmup are shares")
        if (self.looks is not None and self.looks < 2) or self.all_looks_every < 1:
            raise ValueError(
                "two moments or more must be looked at in a step, and all of them every step or less often"
            )


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
