"""mn04 of EfficientAT (Schmid et al., 2023): MobileNetV3-Large × 0.4 on log-mel; parameter names are its authors'.

AudioSet weights (MIT) name 527 sounds with 43.2 mAP. Its own front end: `media.logmel`, "efficientat".
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from torch import Tensor, nn

from avgn_edge.media.front_ends import EFFICIENTAT

FRONT_END = EFFICIENTAT

# (kernel, expanded, channels, squeeze-excite, hard-swish, stride), MobileNetV3-Large × 0.4
_BLOCKS = (
    (3, 8, 8, False, False, 1),
    (3, 24, 16, False, False, 2),
    (3, 32, 16, False, False, 1),
    (5, 32, 16, True, False, 2),
    (5, 48, 16, True, False, 1),
    (5, 48, 16, True, False, 1),
    (3, 96, 32, False, True, 2),
    (3, 80, 32, False, True, 1),
    (3, 72, 32, False, True, 1),
    (3, 72, 32, False, True, 1),
    (3, 192, 48, True, True, 1),
    (3, 272, 48, True, True, 1),
    (5, 272, 64, True, True, 2),
    (5, 384, 64, True, True, 1),
    (5, 384, 64, True, True, 1),
)
_EPS = 1e-3


def _conv(inputs: int, outputs: int, kernel: int, stride: int, groups: int, activation: nn.Module | None) -> nn.Module:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, _EPS, 0.01),
    ]
    return nn.Sequential(*layers, *([] if activation is None else [activation]))


class SqueezeExcite(nn.Module):
    """A factor for each channel from its mean over time and frequency."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(8, (channels // 4 + 4) // 8 * 8)
        squeezed += 8 if squeezed < 0.9 * (channels // 4) else 0
        self.fc1, self.fc2 = nn.Linear(channels, squeezed), nn.Linear(squeezed, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[n, channels, h, w], the same shape out."""
        factor = self.fc2(self.fc1(x.mean(dim=(2, 3))).relu()).sigmoid()
        y: Tensor = x * factor[:, :, None, None]
        return y


class ConcurrentSqueezeExcite(nn.Module):
    """The authors' module of one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conc_se_layers = nn.ModuleList([SqueezeExcite(channels)])

    def forward(self, x: Tensor) -> Tensor:
        """[n, channels, h, w], the same shape out."""
        y: Tensor = self.conc_se_layers[0](x)
        return y


class InvertedResidual(nn.Module):
    """Expand, depthwise, squeeze-excite, project; the input is added where shapes allow."""

    def __init__(self, inputs: int, kernel: int, hidden: int, outputs: int, stride: int, *, se: bool, hs: bool) -> None:
        super().__init__()
        activation = nn.Hardswish if hs else nn.ReLU
        layers = [] if hidden == inputs else [_conv(inputs, hidden, 1, 1, 1, activation())]
        layers.append(_conv(hidden, hidden, kernel, stride, hidden, activation()))
        if se:
            layers.append(ConcurrentSqueezeExcite(hidden))
        layers.append(_conv(hidden, outputs, 1, 1, 1, None))
        self.block = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[n, inputs, h, w] -> [n, outputs, h/stride, w/stride]."""
        y: Tensor = self.block(x)
        return x + y if self.residual else y


class Mn04(nn.Module):
    """[n, 1, bands, frames] -> [n, 384, bands/32, frames/32]."""

    channels = 384

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv(1, 8, 3, 2, 1, nn.Hardswish())]
        inputs = 8
        for kernel, hidden, outputs, se, hs, stride in _BLOCKS:
            layers.append(InvertedResidual(inputs, kernel, hidden, outputs, stride, se=se, hs=hs))
            inputs = outputs
        layers.append(_conv(inputs, self.channels, 1, 1, 1, nn.Hardswish()))
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """[n, 1, bands, frames] float -> [n, 384, bands/32, frames/32]."""
        y: Tensor = self.features(x)
        return y


def published() -> Path:
    """Return the file of its AudioSet weights, which come with the package."""
    return Path(str(resources.files("avgn_edge"))) / "packaged" / "mn04" / "mn04_audioset.safetensors"


def make(inputs: int, _width: float) -> Mn04:
    """See `make_backbone`."""
    if inputs != 1:
        raise ValueError(f"mn04 takes spectrograms of 1 channel, not of {inputs}")
    return Mn04()
