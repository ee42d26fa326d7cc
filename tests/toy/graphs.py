"""Its two graphs in PyTorch, and its checkpoints."""

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from avgn_edge.bundle.manifest import NetworkSettings
from avgn_edge.export.trained_network import GraphSpec, TrainedNetwork

LABELS = ("walk", "sing")


class Ear(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.head = model["ear"]

    def forward(self, spectrograms):
        return self.head(spectrograms.mean(dim=(1, 2))).mean(dim=0, keepdim=True)


class Eye(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.head = model["eye"]

    def forward(self, frames):
        return self.head(frames.float().mean(dim=(1, 2)) / 255)


def _sounds(_model, items, generator):
    return (torch.randn(items, 1, 96, 64, generator=generator),)


def _frames(_model, items, generator):
    return (torch.randint(0, 256, (items, 224, 224, 3), generator=generator, dtype=torch.uint8),)


def network():
    torch.manual_seed(0)
    return nn.ModuleDict({"ear": nn.Linear(64, len(LABELS)), "eye": nn.Linear(3, len(LABELS))})


def save(path):
    save_file(network().state_dict(), path, metadata={"architecture": "toy"})


def read(path):
    model = network()
    model.load_state_dict(load_file(path))
    specs = (
        GraphSpec("ear", Ear, ("spectrograms",), ("logits",), True, _sounds),
        GraphSpec("eye", Eye, ("frames",), ("logits",), True, _frames),
    )
    return TrainedNetwork("toy", model, specs, LABELS, "single-label", NetworkSettings(glances=1, looks=3))
