"""A trained network as export takes it: the graphs it is split into, and what its manifest says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from avgn_edge._base.errors import BundleError
from avgn_edge.bundle.architecture import architecture, load
from avgn_edge.bundle.manifest import NetworkSettings, Preprocessing


@dataclass(frozen=True)
class GraphSpec:
    """How one graph is exported: its module, example inputs, names, and whether its inputs have n items in axis 0."""

    name: str
    module: Callable[[Any], nn.Module]
    """Makes the graph's module of the network."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    batched: bool
    example: Callable[[Any, int, torch.Generator], tuple[Tensor, ...]]
    """Inputs for the network, of so many items."""


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with its weights."""

    architecture: str
    model: nn.Module
    graphs: tuple[GraphSpec, ...]
    """In the order of the architecture's roles."""
    labels: tuple[str, ...]
    task: Literal["single-label", "multi-label"]
    settings: NetworkSettings
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    provenance: Mapping[str, str] = field(default_factory=dict)
    """What its parts are called, for the manifest."""


def read_network(checkpoint: Path) -> TrainedNetwork:
    """Read a checkpoint of any network that is installed.

    Its metadata say which network that is; where they do not, it is AVGN.

    Raises:
        BundleError: The file is no checkpoint, or no network of that name is installed.
    """
    name = _architecture_of(checkpoint)
    try:
        network = architecture(name)
    except KeyError:
        what = f"cannot read checkpoint {checkpoint}"
        raise BundleError(what, f"no network is called {name[:40]!r}", "install the package that has it") from None
    read: Callable[[Path], TrainedNetwork] = load(network.checkpoints)
    return read(checkpoint)


def _architecture_of(checkpoint: Path) -> str:
    """The architecture in a safetensors file's metadata; "avgn" for any other file, which AVGN's reader refuses."""
    try:
        with safe_open(checkpoint, framework="pt") as file:
            return str((file.metadata() or {}).get("architecture", "avgn"))
    except (OSError, SafetensorError):
        return "avgn"
