"""The interface every engine has: say what is used, open a graph, run it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol

from avgn_edge._base.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path
    from types import ModuleType


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
    """Hands out the sessions of a bundle's graphs: `runtime.sessions.Sessions`, or a wrapper around it."""

    def get(self, graph: str) -> Session:
        """Return the session of a graph."""
        ...


class Engine(Protocol):
    """Opens graphs on one device."""

    device: str
    """What is really used: "cpu", "cuda:0", "tensorrt:0", "openvino:CPU"."""
    report: DeviceReport
    """What was asked for, what is used, and why."""
    int8_variant: Int8Variant
    """Which of a bundle's INT8 graphs this device computes well."""

    def open(self, path: Path, precision: str = "fp32") -> Session:
        """Open an ONNX file of a precision; `DeviceError` when the device does not take it, never another instead."""
        ...


def import_engine(package: str, advice: str) -> ModuleType:
    """Import an engine's package, which takes 0.1 s or more; `DeviceError` with this advice where that fails."""
    try:
        return import_module(package)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == package
        why = "it is not installed" if missing else f"it cannot be imported ({error})"
        raise DeviceError(package, why, advice) from error
