"""The interface every engine has: say what is used, open a graph, run it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True)
class DeviceReport:
    """What was asked for, what is used, and why; after torchcodec's CpuFallbackStatus."""

    asked: str
    used: str
    engine: str
    engine_version: str
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**asdict(self), "notes": list(self.notes)}


class Session(Protocol):
    """One opened graph; safe to run from several threads."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the graph on arrays named as its inputs and return all of its outputs by name."""
        ...


class Engine(Protocol):
    """Opens graphs on one device."""

    @property
    def device(self) -> str:
        """What is really used: "cpu", "cuda:0", "tensorrt:0", "openvino:CPU"."""
        ...

    @property
    def report(self) -> DeviceReport:
        """What was asked for, what is used, and why."""
        ...

    def open(self, path: Path) -> Session:
        """Open an ONNX file; `DeviceError` when the device does not take it, never another device instead."""
        ...
