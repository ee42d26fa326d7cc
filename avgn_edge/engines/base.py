"""The interface every engine has: say what is used, open a graph, run it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path


Int8Variant = Literal["u8s8", "s8s8", "symmetric"]
"""The INT8 graphs of a bundle: unsigned activations (x86, OpenVINO), signed (ARM), and zero points of 0 (TensorRT)."""


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


class DeviceArray(Protocol):
    """An output that stays where it was computed, for sessions of the same engine: on a CPU simply a NumPy array.

    `kept[i:j]` are some of its rows (its first axis).
    """

    def __getitem__(self, rows: slice, /) -> DeviceArray:
        """Rows of it, without a copy."""
        ...


class Session(Protocol):
    """One opened graph; safe to run from several threads."""

    def run(self, inputs: Mapping[str, Any], keep: Collection[str] = ()) -> dict[str, Any]:
        """Run the graph and return all of its outputs by name.

        `inputs` are the graph's by name, each a NumPy array or a `DeviceArray` of this engine. Outputs are NumPy
        arrays; those named in `keep`, which only other graphs read, are `DeviceArray`.
        """
        ...


class OpensGraphs(Protocol):
    """What hands out a graph's session: `graphs.Sessions`, or something that stands before it."""

    def get(self, graph: str) -> Session:
        """The session of a graph."""
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

    @property
    def int8_variant(self) -> Int8Variant:
        """Which of a bundle's INT8 graphs this device computes well."""
        ...

    def open(self, path: Path, precision: str = "fp32") -> Session:
        """Open an ONNX file of a precision; `DeviceError` when the device does not take it, never another instead."""
        ...
