"""What this machine can run, and why not: a small graph, and a bundle's, are really run on each kind of device."""

from __future__ import annotations

import platform
import re
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from avgn_edge._base.errors import AvgnEdgeError
from avgn_edge._base.processes import usable_cores
from avgn_edge.bundle.manifest import Manifest
from avgn_edge.engines import probe
from avgn_edge.engines.select import Device, choose_precision, open_engine, precision_note
from avgn_edge.runtime import device_profile
from avgn_edge.runtime.budget import Run
from avgn_edge.runtime.device_profile import made_inputs
from avgn_edge.runtime.sessions import Sessions

if TYPE_CHECKING:
    from avgn_edge.bundle.reader import Bundle
    from avgn_edge.engines.base import Engine


RUNS = 5


def look_milliseconds(manifest: Manifest, sessions: Sessions, precision: str) -> float:
    """Return what the graphs of a look at a moment not glanced at take, in ms: f_G, π, f_L and f_C^AV in AVGN.

    The median of a few, after one that opens what is not open. DeviceError and BundleError as the engine raises them.
    """
    graphs = manifest.graphs[precision]
    look = [Run(graph) for graph in manifest.network.look]
    device_profile.alone(sessions, graphs, look)
    return 1e3 * statistics.median(device_profile.alone(sessions, graphs, look) for _ in range(RUNS))


@dataclass(frozen=True)
class PreparedGraph:
    """A graph that was opened and run on a device for a number of items."""

    device: str
    precision: str
    graph: str
    items: int
    ready_s: float
    """Seconds until the first answer: building or loading from the engine's cache, and running."""
    run_ms: float
    """The run after it."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


def prepare(bundle: Bundle, engine: Engine, precision: str) -> Iterator[PreparedGraph]:
    """Prepare each graph for the numbers of items that clips use; DeviceError or BundleError for one that fails."""
    moments, settings = bundle.manifest.preprocessing.moments, bundle.manifest.settings
    for role in bundle.manifest.network.graphs:
        graph = role.name
        several = {"one": 1, "heard": moments, "glanced": settings.glances, "looked": settings.looks}[role.takes]
        path = bundle.graph_bytes_path(precision, graph, engine.int8_variant)
        started = time.perf_counter()
        session = engine.open(path, precision)
        for items in sorted({1, several} - {0}):
            inputs = made_inputs(bundle.manifest.graphs[precision][graph], items)
            session.run(inputs)
            again = time.perf_counter()
            session.run(inputs)
            ended = time.perf_counter()
            yield PreparedGraph(engine.device, precision, graph, items, again - started, (ended - again) * 1e3)
            started = time.perf_counter()


DEVICES = ("cpu", "cuda:0", "tensorrt:0", "openvino:CPU", "openvino:GPU", "openvino:NPU")
PACKAGES = ("avgn-edge", "numpy", "av", "onnxruntime", "onnxruntime-gpu", "openvino")

_FLAVOURS = ("onnxruntime", "onnxruntime-gpu")
_BROKEN_ORT = re.compile(r"1\.(24\.[01]|25\.\d+|26\.0)(\D.*)?")  # the versions pyproject.toml leaves out


@dataclass(frozen=True)
class DeviceHealth:
    """Whether a device ran the probe and a look: if so with which engine and how fast, if not why and what to do."""

    device: str
    ok: bool
    engine: str | None
    """Name and version of the engine that ran it."""
    milliseconds: float | None
    """To open the probe and run it once, the engine's start included."""
    why: str | None
    what_to_do: str | None
    notes: tuple[str, ...] = ()
    precision: str | None = None
    """Of the bundle's, the one that `auto` takes on this device."""
    look_ms: float | None = None
    """What one look takes in that precision, without decoding; None without a bundle."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**asdict(self), "notes": list(self.notes)}


def examine(bundle: Bundle | None = None, devices: tuple[str, ...] = DEVICES) -> tuple[DeviceHealth, ...]:
    """Run the probe on each device, and where it works a few looks of the bundle."""
    return tuple(_examine(device, bundle) for device in devices)


def versions() -> dict[str, str | None]:
    """Return the versions of Python, the machine and the packages that matter; None for one not installed."""
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {usable_cores()} usable cores",
        **{package: _version(package) for package in PACKAGES},
    }


def problems() -> tuple[str, ...]:
    """Return what is wrong with the installation itself, a line each, with what to do."""
    installed = {flavour: found for flavour in _FLAVOURS if (found := _version(flavour)) is not None}
    lines = []
    if len(installed) == len(_FLAVOURS):
        lines.append(
            "onnxruntime and onnxruntime-gpu are both installed: they overwrite each other's files: "
            "uninstall both, then install one"
        )
    lines.extend(
        f"{flavour} {version}: this version is known to be broken: install another"
        for flavour, version in installed.items()
        if _BROKEN_ORT.fullmatch(version)
    )
    if not installed and _version("openvino") is None:
        lines.append("no inference engine: nothing can run without one: pip install 'avgn-edge[cpu]'")
    return tuple(lines)


def _examine(device: str, bundle: Bundle | None) -> DeviceHealth:
    name = str(Device.parse(device))
    start = time.perf_counter()
    try:
        engine = open_engine(device)
        probe.check(engine)
        milliseconds = (time.perf_counter() - start) * 1e3
        precision, look_ms, notes = (None, None, ()) if bundle is None else _look(bundle, engine)
    except AvgnEdgeError as error:
        return DeviceHealth(name, ok=False, engine=None, milliseconds=None, why=error.why, what_to_do=error.what_to_do)
    report = engine.report
    used = f"{report.engine} {report.engine_version}"
    return DeviceHealth(name, True, used, milliseconds, None, None, (*report.notes, *notes), precision, look_ms)


def _look(bundle: Bundle, engine: Engine) -> tuple[str, float, tuple[str, ...]]:
    """Return the precision that `auto` takes, the ms of one look in it, and what there is to say about it."""
    from avgn_edge.runtime.sessions import Sessions  # noqa: PLC0415

    precision = choose_precision("auto", bundle.precisions_for(engine.int8_variant), engine.device)
    note = precision_note("auto", precision, engine.device)
    took = look_milliseconds(bundle.manifest, Sessions(bundle, engine, precision), precision)
    return precision, took, () if note is None else (note,)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
