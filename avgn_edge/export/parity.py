"""Each exported graph against PyTorch, in every engine that is installed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from avgn_edge._base.errors import DeviceError
from avgn_edge.engines.select import open_engine
from avgn_edge.export.onnx_graphs import example_inputs
from avgn_edge.export.trained_network import GraphSpec


def relative_error(actual: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Largest absolute difference over the range of `expected` (over 1 where that has no range)."""
    # A number that is not finite is wrong on either side: engines make numbers of NaN in ReLU6, PyTorch does not.
    if actual.shape != expected.shape or not (np.isfinite(actual).all() and np.isfinite(expected).all()):
        return float("inf")
    spread = float(expected.max() - expected.min()) or 1.0
    return float(np.abs(actual - expected).max()) / spread


TOLERANCE = 1e-4
"""Largest difference that an export may show, relative to the range of the output."""

ENGINES = ("cpu", "openvino:CPU")


@dataclass(frozen=True)
class Parity:
    """The largest difference between an engine and PyTorch over a graph's outputs, relative to each output's range."""

    graph: str
    engine: str
    error: float

    @property
    def within(self) -> bool:
        """Whether the export may be written."""
        return self.error <= TOLERANCE


def installed_engines() -> tuple[str, ...]:
    """Those of `ENGINES` that are installed here."""
    return tuple(device for device in ENGINES if _opens(device))


def _opens(device: str) -> bool:
    try:
        open_engine(device)
    except DeviceError:
        return False
    return True


def check_parity(
    spec: GraphSpec, model: nn.Module, path: Path, *, batches: tuple[int, ...] = (1, 3)
) -> Iterator[Parity]:
    """Run the file in each installed engine on random inputs, of several sizes where it takes any number of items."""
    for device in installed_engines():
        session = open_engine(device).open(path)
        # The range of an output is taken over all runs: two coordinates of one corner may be nearly the same number.
        pairs: dict[str, list[tuple[NDArray[np.float32], NDArray[np.float32]]]] = {name: [] for name in spec.outputs}
        for seed, items in enumerate(batches if spec.batched else (1,) * 4):
            inputs = example_inputs(spec, model, items, seed + 1)
            with torch.no_grad():
                expected = spec.module(model).eval()(*inputs)
            expected = expected if isinstance(expected, tuple) else (expected,)
            outputs = session.run({name: value.numpy() for name, value in zip(spec.inputs, inputs, strict=True)})
            for name, reference in zip(spec.outputs, expected, strict=True):
                pairs[name].append((outputs[name], reference.numpy()))
        yield Parity(spec.name, device, max(_over_all_runs(several) for several in pairs.values()))


def _over_all_runs(pairs: list[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> float:
    if any(actual.shape != expected.shape for actual, expected in pairs):
        return float("inf")
    actual, expected = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
    return relative_error(actual, expected)
