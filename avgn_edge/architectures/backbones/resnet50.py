"""ResNet-50 (He et al., 2016), the backbone of the paper's f_L; parameter names are torchvision's."""

from __future__ import annotations

from torch import Tensor, nn


class Bottleneck(nn.Module):
    """1×1, 3×3 (with the stride, as torchvision has it), 1×1, and the shortcut."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """[n, inputs, h, w] -> [n, 4·width, h/stride, w/stride]."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        z: Tensor = self.relu(y + self.downsample(x))
        return z


class ResNet50(nn.Module):
    """The features of ResNet-50: [n, 3, h, w] -> [n, 2048, h/32, w/32]."""

    channels = 2048

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = self._stage(64, 64, 3, 1)
        self.layer2 = self._stage(256, 128, 4, 2)
        self.layer3 = self._stage(512, 256, 6, 2)
        self.layer4 = self._stage(1024, 512, 3, 2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @staticmethod
    def _stage(inputs: int, width: int, blocks: int, stride: int) -> nn.Sequential:
        first = Bottleneck(inputs, width, stride)
        return nn.Sequential(first, *(Bottleneck(width * Bottleneck.expansion, width, 1) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w] float -> [n, 2048, ceil(h/32), ceil(w/32)]."""
        y = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        z: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(y))))
        return z


def make(inputs: int, _width: float) -> ResNet50:
    """See `make_backbone`."""
    if inputs != 3:
        raise ValueError(f"ResNet-50 takes pictures of 3 channels, not of {inputs}")
    return ResNet50()
