"""The settings of one audio-visual glance network, and the two presets (AVGN, Appendix C)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from avgn_edge._base.text import Task, fault_of_list
from avgn_edge.architectures import backbones
from avgn_edge.media.front_ends import FrontEnd
from avgn_edge.media.moments import GLANCE_ORDER

Sampling = Literal["av-test", "uniform"]
Patches = Literal["policy", "centre"]
Preset = Literal["paper", "small"]

MOST_LAYERS = 64
WIDEST = 65_536
"""Beyond it a checkpoint is a mistake, or hostile."""


@dataclass(frozen=True)
class Settings:
    """Everything that decides the shape of the network; the defaults are the paper's.

    Sizes are channels unless they say otherwise. `glances` is T_G, `looks` is k, `moments` is T of the paper.
    """

    labels: tuple[str, ...]
    task: Task = "single-label"
    moments: int = 16
    glances: int = 12
    looks: int = 14
    frame_size: int = 224
    """Side of the frame that patches are cut from, in pixels."""
    glance_shrink: int = 1
    """How many times narrower f_G sees it. Where that is not 1, a look has pixels that the glance had not."""
    patch_size: int = 128
    """P, side of what f_L sees; a patch covers patch_size / frame_size of the frame's side."""
    # f_A, f_G, f_L; a width multiplies MobileNetV2's channels and is nothing to the others
    audio_backbone: str = "mobilenet_v2"
    audio_width: float = 1.0
    global_backbone: str = "mobilenet_v2"
    global_width: float = 1.0
    local_backbone: str = "resnet50"
    local_width: float = 1.0
    # AV-TeST: `saliency_dim` for each modality, twice that for the two together
    saliency_dim: int = 128
    saliency_layers: int = 2
    saliency_heads: int = 4
    saliency_feedforward: int = 1024
    # AESPA
    aespa_dim: int = 256
    aespa_layers: int = 4
    aespa_heads: int = 4
    aespa_feedforward: int = 1024
    bottlenecks: int = 4
    # π
    policy_channels: int = 64
    policy_hidden: int = 256
    # ψ
    fusion_dim: int = 256
    fusion_heads: int = 4
    fusion_feedforward: int = 1024
    # f_C
    classifier_dim: int = 4096
    dropout: float = 0.2
    # Ablations (Tables 4–6): the network without one of its parts
    audio: bool = True
    """False: every moment has the no-audio token."""
    sampling: Sampling = "av-test"
    """uniform: moments are looked at in glance order, whatever is in them."""
    aespa: bool = True
    """False: π sees e^G, reduced to `aespa_dim` channels."""
    fusion: bool = True
    """False: every frame has the mean of the clip's audio in place of what ψ attends to."""
    patches: Patches = "policy"
    """centre: the patch is the centre of the frame, whatever is in it."""

    def __post_init__(self) -> None:
        if (fault := fault_of_list(self.labels)) is not None:
            raise ValueError(fault)
        if self.moments != len(GLANCE_ORDER):
            raise ValueError(f"the glance order knows {len(GLANCE_ORDER)} moments")
        if not 0 <= self.glances <= self.moments or not 1 <= self.looks <= self.moments:
            raise ValueError("glances must lie in 0..moments and looks in 1..moments")
        counts = {field.name: getattr(self, field.name) for field in fields(self) if field.type == "int"}
        if not all(type(count) is int for count in counts.values()):
            raise ValueError("sizes and counts must be whole numbers")
        self._check_sides()
        if not min(self.audio_width, self.global_width, self.local_width) > 0:
            raise ValueError("widths must be positive")
        if max(self.saliency_layers, self.aespa_layers) > MOST_LAYERS or max(counts.values()) > WIDEST:
            raise ValueError(f"no network has more than {MOST_LAYERS} layers or {WIDEST} channels in one place")
        for value, known in (
            (self.task, get_args(Task)),
            (self.audio_backbone, backbones.names()),
            (self.global_backbone, backbones.names()),
            (self.local_backbone, backbones.names()),
            (self.sampling, get_args(Sampling)),
            (self.patches, get_args(Patches)),
        ):
            if value not in known:
                raise ValueError(f"{value!r} is none of {', '.join(known)}")
        for dim, heads in (
            (2 * self.saliency_dim, self.saliency_heads),
            (self.aespa_dim, self.aespa_heads),
            (self.fusion_dim, self.fusion_heads),
        ):
            if heads < 1 or dim % heads:
                raise ValueError(f"{heads} heads do not divide {dim} channels")

    def _check_sides(self) -> None:
        if self.glance_shrink < 1 or self.frame_size % (32 * self.glance_shrink):
            raise ValueError("a glance's side, frame_size / glance_shrink, must be a multiple of 32 pixels")
        if not 0 < self.patch_size < self.frame_size:
            raise ValueError("a patch must be smaller than a frame")

    @property
    def front_end(self) -> FrontEnd:
        """What f_A hears through: its backbone's own."""
        return backbones.front_end(self.audio_backbone)

    @property
    def look_from(self) -> Literal["glance", "source"]:
        """Whether a look has the glance's pixels, as in the paper, or more of the source's own."""
        return "source" if self.glance_shrink > 1 else "glance"

    @property
    def resize(self) -> int:
        """Side of the square that a frame is the middle of (4.1: 256 for 224)."""
        return self.frame_size * 8 // 7

    @property
    def grid(self) -> int:
        """Side of the glance's feature map, in cells (7 for 224 pixels)."""
        return self.frame_size // self.glance_shrink // 32

    @property
    def travel(self) -> int:
        """How far the patch's corner can move along a side, in pixels (Eq. 15)."""
        return self.frame_size - self.patch_size

    def to_json(self) -> str:
        """Write the settings as one JSON object."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Read what `to_json` wrote; ValueError for anything else."""
        values = json.loads(text)
        known = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or not set(values) <= known or "labels" not in values:
            raise ValueError("not the settings of an audio-visual glance network")
        values["labels"] = tuple(str(label) for label in values["labels"])
        return cls(**values)


_SMALL: dict[str, Any] = {
    "glances": 8,
    "looks": 8,
    "audio_width": 0.5,
    "local_backbone": "mobilenet_v2",
    "saliency_dim": 64,
    "saliency_feedforward": 256,
    "aespa_dim": 128,
    "aespa_layers": 2,
    "aespa_feedforward": 256,
    "policy_channels": 32,
    "policy_hidden": 128,
    "fusion_dim": 128,
    "fusion_feedforward": 256,
    "classifier_dim": 512,
}


def preset(name: Preset, labels: tuple[str, ...], task: Task = "single-label") -> Settings:
    """Settings by name: `paper` is the paper's network, `small` the same with a light f_L and narrow transformers."""
    if name == "paper":
        return Settings(labels=labels, task=task)
    return Settings(labels=labels, task=task, **_SMALL)
