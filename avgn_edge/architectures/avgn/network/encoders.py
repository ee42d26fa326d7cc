"""The three encoders f_A, f_G (Eq. 1) and f_L (Eq. 7); normalisation is part of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avgn_edge.architectures.avgn.network.settings import Settings
from avgn_edge.architectures.backbones import make_backbone, pixel_statistics
from avgn_edge.media.front_ends import YAMNET

# Log-mel values lie between ln(0.001) = -6.9 (silence) and about 5; these bring them near zero mean and unit spread.
_LOG_MEL_MEAN = -3.0
_LOG_MEL_STD = 2.5


def lay_out(encoder: nn.Module, memory_format: torch.memory_format = torch.channels_last) -> None:
    """Change how weights lie in memory; channels last is fastest for convolutions, on CPUs and GPUs."""
    encoder.to(memory_format=memory_format)  # type: ignore[call-overload]


class Normalise(nn.Module):
    """Pixels 0–255 RGB, [n, h, w, 3] of any dtype -> normalised float [n, 3, h/shrink, w/shrink], means of pixels."""

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: str, shrink: int = 1) -> None:
        super().__init__()
        self.shrink = shrink
        mean, std = pixel_statistics(backbone)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalise; see the class."""
        pictures = pixels.permute(0, 3, 1, 2).to(self.mean.dtype)
        if self.shrink > 1:
            pictures = F.avg_pool2d(pictures, self.shrink)
        return (pictures - self.mean) / self.std


class AudioEncoder(nn.Module):
    """f_A: log-mel spectrograms [n, 1, *shape] -> e^A [n, channels], averaged over time and frequency."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.backbone = make_backbone(settings.audio_backbone, 1, settings.audio_width)
        self._scaled = settings.front_end != YAMNET  # EfficientAT's is scaled already
        self.channels = self.backbone.channels

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Every later module averages e^A over space (3.1, 3.2), so the average is taken here."""
        scaled = spectrograms if self._scaled else (spectrograms - _LOG_MEL_MEAN) / _LOG_MEL_STD
        features: Tensor = self.backbone(scaled)
        return features.mean(dim=(2, 3))


class GlobalEncoder(nn.Module):
    """f_G: frames [n, H, W, 3], RGB 0–255 -> e^G [n, channels, h, w], a cell each 32 pixels of the glance."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.normalise = Normalise(settings.global_backbone, settings.glance_shrink)
        self.backbone = make_backbone(settings.global_backbone, 3, settings.global_width)
        self.channels = self.backbone.channels

    def forward(self, frames: Tensor) -> Tensor:
        """Encode the glanced frames."""
        features: Tensor = self.backbone(self.normalise(frames))
        return features


class LocalEncoder(nn.Module):
    """f_L: patches [n, P, P, 3], RGB 0–255 -> e^L [n, channels], averaged over space."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.normalise = Normalise(settings.local_backbone)
        self.backbone = make_backbone(settings.local_backbone, 3, settings.local_width)
        self.channels = self.backbone.channels

    def forward(self, patches: Tensor) -> Tensor:
        """Encode the patches."""
        features: Tensor = self.backbone(self.normalise(patches))
        return features.mean(dim=(2, 3))
