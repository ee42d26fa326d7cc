"""What a user may choose for a training, and where it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from avgn_edge._base.errors import DeviceError
from avgn_edge.engines.select import Device
from avgn_edge.training.distributed import World
from avgn_edge.training.stages import Optimiser

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class TrainOptions:
    """What a user may choose, beside the data; None leaves a choice to the network's recipe."""

    preset: Literal["paper", "small"] | None = None
    epochs: int = 50
    batch: int = 24
    seed: int = 0
    optimiser: Optimiser = "sgd"
    lr_scale: float = 1.0
    precision: Precision | None = None
    looks: int | None = None
    guidance: float = 0.0
    random_crop: float = 0.0
    flip: bool = True
    without: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()
    audio_encoder: str | None = None
    """A backbone's name, as are the next two; published weights that are installed are where it begins."""
    glance_encoder: str | None = None
    look_encoder: str | None = None
    look_from: Literal["glance", "source"] | None = None
    """Whether looks are cut from what the glance saw, or have pixels of their own."""
    imagenet: Path | None = None
    imagenet_local: Path | None = None
    init: Path | None = None

    def precision_on(self, device: torch.device) -> Precision:
        """Return the precision to train in: bfloat16 on GPUs that have it, unless another was chosen."""
        if self.precision is not None:
            return self.precision
        half = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return "bfloat16" if half else "float32"


def choose_device(text: str, world: World) -> torch.device:
    """Return PyTorch's device for `auto`, `cpu` or `cuda[:N]`; each process of a machine has a GPU of its own.

    Raises:
        DeviceError: it is not there. Nothing falls back in silence.
    """
    asked = Device.parse(text)
    if asked.kind not in {"auto", "cpu", "cuda"}:
        raise DeviceError(f"device {asked}", "PyTorch trains on CPUs and CUDA GPUs", "choose auto, cpu or cuda[:N]")
    if asked.kind == "cpu" or (asked.kind == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise DeviceError(
            f"device {asked}", "this PyTorch finds no CUDA GPU", "choose cpu, or install PyTorch for CUDA"
        )
    index = world.local_rank if world.size > 1 else asked.index
    if index >= torch.cuda.device_count():
        there = f"there are {torch.cuda.device_count()} GPUs"
        raise DeviceError(f"device cuda:{index}", there, "choose another, or start fewer processes")
    return torch.device("cuda", index)
