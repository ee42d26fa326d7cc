"""MobileNetV2 (Sandler et al., 2018), the backbone of f_A and f_G; parameter names are torchvision's."""

from __future__ import annotations

from torch import Tensor, nn

# (expansion, channels, blocks, stride), Table 2 of the MobileNetV2 paper
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def _divisible(channels: float, divisor: int = 8) -> int:
    """Round to a multiple of `divisor` without losing more than 10 %, as the published weights do."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class ConvBNReLU(nn.Sequential):
    """Convolution, batch norm, ReLU6."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU6(inplace=True),
        )


class InvertedResidual(nn.Module):
    """Expand, depthwise, project; the input is added where shapes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [ConvBNReLU(inputs, hidden, kernel=1)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *expand,
            ConvBNReLU(hidden, hidden, stride=stride, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[n, inputs, h, w] -> [n, outputs, h/stride, w/stride]."""
        y: Tensor = self.conv(x)
        return x + y if self.residual else y


class MobileNetV2(nn.Module):
    """The features of MobileNetV2: [n, inputs, h, w] -> [n, `channels`, h/32, w/32]."""

    def __init__(self, inputs: int = 3, width: float = 1.0) -> None:
        super().__init__()
        channels = _divisible(32 * width)
        self.channels = _divisible(1280 * max(1.0, width)) if width >= 1.0 else _divisible(1280 * width)
        layers: list[nn.Module] = [ConvBNReLU(inputs, channels, stride=2)]
        for expansion, base, blocks, stride in _STAGES:
            outputs = _divisible(base * width)
            for block in range(blocks):
                layers.append(InvertedResidual(channels, outputs, stride if block == 0 else 1, expansion))
                channels = outputs
        layers.append(ConvBNReLU(channels, self.channels, kernel=1))
        self.features = nn.Sequential(*layers)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        """[n, inputs, h, w] float -> [n, channels, ceil(h/32), ceil(w/32)]."""
        y: Tensor = self.features(x)
        return y


def make(inputs: int, width: float) -> MobileNetV2:
    """See `make_backbone`."""
    return MobileNetV2(inputs, width)
