"""Five convolutions: a backbone to test and try a pipeline with, not to be accurate with."""

from __future__ import annotations

from torch import Tensor, nn

from avgn_edge.architectures.backbones.mobilenet_v2 import ConvBNReLU


class Tiny(nn.Module):
    """Stride 32 in five layers, one of them depthwise: [n, inputs, h, w] -> [n, 48, h/32, w/32]."""

    channels = 48

    def __init__(self, inputs: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            ConvBNReLU(inputs, 8, stride=2),
            ConvBNReLU(8, 16, stride=2),
            ConvBNReLU(16, 16, stride=2, groups=16),
            ConvBNReLU(16, 32, stride=2),
            ConvBNReLU(32, self.channels, stride=2),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[n, inputs, h, w] float -> [n, 48, ceil(h/32), ceil(w/32)]."""
        y: Tensor = self.features(x)
        return y


def make(inputs: int, _width: float) -> Tiny:
    """See `make_backbone`."""
    return Tiny(inputs)
