"""What a bundle is: its graphs, their prices, and everything the runtime must know to run them.

A manifest comes from disk and may be hostile, so `Manifest.from_dict` believes nothing: an unknown version, a missing,
extra or wrongly typed field, or a value outside its limits is a `BundleError` that names the field.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, cast

from avgn_edge._base.text import MOST as MOST_LABELS
from avgn_edge._base.text import fault as label_fault
from avgn_edge.bundle import fields as check
from avgn_edge.bundle.architecture import architecture, known
from avgn_edge.bundle.calibration_tables import ExitSettings, OperatingPoint
from avgn_edge.media.moments import GLANCE_ORDER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from avgn_edge.bundle.architecture import Architecture

SCHEMA_VERSION = 1
TASKS = ("single-label", "multi-label")
PRECISIONS = ("fp32", "fp16", "int8")
INT8_VARIANTS = ("u8s8", "s8s8", "symmetric")
"""Devices differ in the INT8 they take: x86 CPUs and OpenVINO, ARM CPUs, TensorRT. `graphs` holds the first."""
DTYPES = (
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64"),
)

MAX_MOMENTS = 1024
MAX_SIDE = 8192  # pixels
MAX_WIDTH = 65_536  # channels of a feature
MAX_GRAPH_BYTES = 2**31 - 1  # what one protobuf message can hold
MAX_MACS = 10**15
MAX_NOTE = 1_000  # characters of a licence or a provenance entry

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PATH_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")  # begins with no dot: neither "..", ".", nor hidden
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,49}")


@dataclass(frozen=True)
class Preprocessing:
    """How a clip becomes the graphs' inputs; moments are counted, samples are at `sample_rate` Hz, sides are pixels."""

    moments: int = 16
    sample_rate: int = 16_000
    window_samples: int = 15_600
    resize: int = 256
    frame_size: int = 224
    glance_order: tuple[int, ...] = GLANCE_ORDER

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**vars(self), "glance_order": list(self.glance_order)}

    @classmethod
    def from_dict(cls, value: object, path: str = "preprocessing") -> Preprocessing:
        """Check and read the JSON form."""
        names = ("moments", "sample_rate", "window_samples", "resize", "frame_size", "glance_order")
        got = check.fields(value, path, names)
        moments = check.integer(got["moments"], f"{path}.moments", 1, MAX_MOMENTS)
        resize = check.integer(got["resize"], f"{path}.resize", 8, MAX_SIDE)
        order = tuple(
            check.integer(index, f"{path}.glance_order[{at}]", 0, moments - 1)
            for at, index in enumerate(check.sequence(got["glance_order"], f"{path}.glance_order", moments, moments))
        )
        if len(set(order)) != moments:
            check.refuse(f"{path}.glance_order", "a moment is named twice")
        return cls(
            moments=moments,
            sample_rate=check.integer(got["sample_rate"], f"{path}.sample_rate", 1_000, 384_000),
            window_samples=check.integer(got["window_samples"], f"{path}.window_samples", 1, 10_000_000),
            resize=resize,
            frame_size=check.integer(got["frame_size"], f"{path}.frame_size", 8, resize),
            glance_order=order,
        )


@dataclass(frozen=True)
class NetworkSettings:
    """What a policy needs to know of its network; each network adds to it. Here are the dials that all have."""

    glances: int
    """Whole frames to see before anything is looked at closely, by default: AVGN's T_G."""
    looks: int
    """Steps after them, at most, by default: AVGN's k."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, value: object, path: str = "settings") -> NetworkSettings:
        """Check and read the JSON form."""
        return cls(**cls.dials(check.fields(value, path, ("glances", "looks")), path))

    @staticmethod
    def dials(got: Mapping[str, Any], path: str) -> dict[str, int]:
        """Check and read the fields that all networks have."""
        return {
            "glances": check.integer(got["glances"], f"{path}.glances", 0, MAX_MOMENTS),
            "looks": check.integer(got["looks"], f"{path}.looks", 1, MAX_MOMENTS),
        }

    def check(self, given: Preprocessing) -> None:
        """Refuse values that do not fit the preprocessing."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a graph; a string in `shape` is a size known only at run time."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}

    @classmethod
    def from_dict(cls, value: object, path: str) -> TensorSpec:
        """Check and read the JSON form."""
        got = check.fields(value, path, ("name", "dtype", "shape"))
        return cls(
            name=check.text(got["name"], f"{path}.name", 100),
            dtype=check.choice(got["dtype"], f"{path}.dtype", DTYPES),
            shape=tuple(
                _symbol(size, f"{path}.shape[{at}]")
                if isinstance(size, str)
                else check.integer(size, f"{path}.shape[{at}]", 1, 2**31 - 1)
                for at, size in enumerate(check.sequence(got["shape"], f"{path}.shape", 0, 8))
            ),
        )


@dataclass(frozen=True)
class GraphFile:
    """One ONNX file: where it lies in the bundle, what its bytes hash to, and what goes in and out."""

    path: str
    sha256: str
    bytes: int
    opset: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "path": self.path,
            "sha256": self.sha256,
            "bytes": self.bytes,
            "opset": self.opset,
            "inputs": [spec.to_dict() for spec in self.inputs],
            "outputs": [spec.to_dict() for spec in self.outputs],
        }

    @classmethod
    def from_dict(cls, value: object, path: str) -> GraphFile:
        """Check and read the JSON form."""
        got = check.fields(value, path, ("path", "sha256", "bytes", "opset", "inputs", "outputs"))
        sha256 = got["sha256"]
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            check.refuse(f"{path}.sha256", f"{check.shown(sha256)} is not 64 lower-case hexadecimal digits")
        return cls(
            path=_safe_path(got["path"], f"{path}.path"),
            sha256=sha256,
            bytes=check.integer(got["bytes"], f"{path}.bytes", 1, MAX_GRAPH_BYTES),
            opset=check.integer(got["opset"], f"{path}.opset", 1, 1000),
            inputs=_specs(got["inputs"], f"{path}.inputs"),
            outputs=_specs(got["outputs"], f"{path}.outputs"),
        )


@dataclass(frozen=True)
class GraphCost:
    """Price of one run of a graph, in multiply-accumulates."""

    fixed_macs: int
    macs_per_item: int

    def macs(self, items: int) -> int:
        """Return the price of one run on `items` items."""
        return self.fixed_macs + items * self.macs_per_item

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, value: object, path: str) -> GraphCost:
        """Check and read the JSON form."""
        got = check.fields(value, path, ("fixed_macs", "macs_per_item"))
        return cls(
            fixed_macs=check.integer(got["fixed_macs"], f"{path}.fixed_macs", 0, MAX_MACS),
            macs_per_item=check.integer(got["macs_per_item"], f"{path}.macs_per_item", 0, MAX_MACS),
        )


@dataclass(frozen=True)
class Manifest:
    """Everything a bundle says about itself.

    `graphs` is precision → graph → file, with all graphs of the architecture for each precision. `int8_variants` is
    variant → graph → file, of the graphs that differ from those of "u8s8", which `graphs` holds. `cost` is graph →
    price, the same for every precision. `calibration` is a record of bounded size: on what, and how, the bundle was
    calibrated.
    """

    name: str
    labels: tuple[str, ...]
    task: Literal["single-label", "multi-label"]
    licence: str
    settings: NetworkSettings
    graphs: Mapping[str, Mapping[str, GraphFile]]
    cost: Mapping[str, GraphCost]
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    exits: ExitSettings = field(default_factory=ExitSettings)
    calibration: Mapping[str, check.JsonValue] | None = None
    operating_points: tuple[OperatingPoint, ...] = ()
    int8_variants: Mapping[str, Mapping[str, GraphFile]] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    architecture: str = "avgn"
    schema_version: int = SCHEMA_VERSION

    @property
    def network(self) -> Architecture:
        """What the network of this name is."""
        return architecture(self.architecture)

    @property
    def graph_names(self) -> tuple[str, ...]:
        """The network's graphs, those needed first in front."""
        return self.network.names

    def graph_file(self, precision: str, graph: str, variant: str = "u8s8") -> GraphFile | None:
        """The file of a graph for what computes it; None for an INT8 variant that the bundle does not hold."""
        if precision != "int8" or variant == "u8s8":
            return self.graphs[precision][graph]
        files = self.int8_variants.get(variant)
        return None if files is None else files.get(graph, self.graphs["int8"][graph])

    @property
    def files(self) -> tuple[GraphFile, ...]:
        """Every file the manifest names."""
        folders = (*self.graphs.values(), *self.int8_variants.values())
        return tuple(file for graphs in folders for file in graphs.values())

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions the bundle holds, in the order of `PRECISIONS`."""
        return tuple(precision for precision in PRECISIONS if precision in self.graphs)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "schema_version": self.schema_version,
            "name": self.name,
            "architecture": self.architecture,
            "task": self.task,
            "licence": self.licence,
            "labels": list(self.labels),
            "preprocessing": self.preprocessing.to_dict(),
            "settings": self.settings.to_dict(),
            "graphs": {
                precision: {name: graph.to_dict() for name, graph in graphs.items()}
                for precision, graphs in self.graphs.items()
            },
            "int8_variants": {
                variant: {name: graph.to_dict() for name, graph in graphs.items()}
                for variant, graphs in self.int8_variants.items()
            },
            "cost": {name: cost.to_dict() for name, cost in self.cost.items()},
            "exits": self.exits.to_dict(),
            "calibration": None if self.calibration is None else dict(self.calibration),
            "operating_points": [point.to_dict() for point in self.operating_points],
            "provenance": dict(self.provenance),
        }

    def to_json(self) -> bytes:
        """Return the bytes of manifest.json."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Check and read the bytes of manifest.json."""
        return cls.from_dict(check.parse_json(data, "the file"))

    @classmethod
    def from_dict(cls, value: object) -> Manifest:
        """Check and read the JSON form; anything that is not exactly a manifest is a `BundleError`."""
        _check_version(value)
        names = ("schema_version", "name", "architecture", "task", "licence", "labels", "preprocessing", "settings")
        more = ("graphs", "cost", "exits", "calibration", "operating_points", "provenance")
        got = check.fields(value, "manifest", (*names, *more), ("int8_variants",))  # older ones have no variants
        calibration = got["calibration"]
        network = _architecture(got["architecture"])
        graphs = _graphs(got["graphs"], network.names)
        points = check.sequence(got["operating_points"], "operating_points", 0, 1000)
        manifest = cls(
            schema_version=SCHEMA_VERSION,
            name=_name(got["name"], "name"),
            architecture=network.name,
            labels=_labels(got["labels"]),
            task=cast("Literal['single-label', 'multi-label']", check.choice(got["task"], "task", TASKS)),
            licence=check.text(got["licence"], "licence", MAX_NOTE),
            preprocessing=Preprocessing.from_dict(got["preprocessing"]),
            settings=network.settings.from_dict(got["settings"]),
            graphs=graphs,
            int8_variants=_variants(got.get("int8_variants", {}), graphs, network.names),
            cost=_costs(got["cost"], network.names),
            exits=ExitSettings.from_dict(got["exits"], tuple(graphs)),
            calibration=None if calibration is None else check.record(calibration, "calibration"),
            operating_points=tuple(
                OperatingPoint.from_dict(point, tuple(graphs), f"operating_points[{at}]")
                for at, point in enumerate(points)
            ),
            provenance={
                key: check.text(item, f"provenance.{key}", MAX_NOTE)
                for key, item in check.mapping(got["provenance"], "provenance", _name, 100).items()
            },
        )
        _check_together(manifest)
        return manifest


def check_words(name: str, labels: tuple[str, ...], licence: str) -> None:
    """Raise BundleError for what no manifest can say, before there are graphs to describe in one."""
    _name(name, "name")
    _labels(list(labels))
    check.text(licence, "licence", MAX_NOTE)


def _check_version(value: object) -> None:
    # Before anything else: a manifest of another version may differ in every other field.
    if isinstance(value, dict) and "schema_version" in value:
        version = value["schema_version"]
        if isinstance(version, bool) or not isinstance(version, int) or version != SCHEMA_VERSION:
            check.refuse("schema_version", f"{check.shown(version)}, where this avgn-edge reads {SCHEMA_VERSION}")


def _check_together(manifest: Manifest) -> None:
    """Check the values that limit one another."""
    settings, preprocessing = manifest.settings, manifest.preprocessing
    settings.check(preprocessing)
    counts = [("settings.glances", settings.glances), ("settings.looks", settings.looks)]
    for at, point in enumerate(manifest.operating_points):
        path = f"operating_points[{at}]"
        counts += [(f"{path}.glances", point.glances), (f"{path}.looks", point.looks)]
    for precision, tables in manifest.exits.tables.items():
        counts += [(f"exits.tables.{precision}[{at}].glances", table.glances) for at, table in enumerate(tables)]
    for path, value in counts:
        if value > preprocessing.moments:
            check.refuse(path, f"{value} is more than the {preprocessing.moments} moments")
    steps = [
        (f"exits.tables.{precision}[{at}].temperatures", table.temperatures)
        for precision, tables in manifest.exits.tables.items()
        for at, table in enumerate(tables)
    ]
    steps += [
        (f"operating_points[{at}].thresholds", point.thresholds)
        for at, point in enumerate(manifest.operating_points)
        if point.thresholds is not None
    ]
    most = manifest.network.steps(preprocessing.moments)
    for path, values in steps:
        if len(values) > most:
            check.refuse(path, f"{len(values)} steps, where a clip has {most} at most")
    for precision in manifest.graphs:
        limits = [one for one in manifest.operating_points if one.precision == precision and one.thresholds is None]
        for sooner, later in pairwise(limits):
            if later.macs < sooner.macs or later.glances < sooner.glances or later.looks < sooner.looks:
                check.refuse(
                    "operating_points", f"the limits of {precision}, or what they buy, fall from one to the next"
                )


def _name(value: object, path: str) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        check.refuse(path, f"{check.shown(value)} is not 1 to 100 letters, digits, dots, dashes and underscores")
    return value


def _symbol(value: str, path: str) -> str:
    if not _SYMBOL.fullmatch(value):
        check.refuse(path, f"{check.shown(value)} is not a symbol's name")
    return value


def _safe_path(value: object, path: str) -> str:
    """Return a relative POSIX path that cannot leave the folder by its text: no root, no drive, no '..'."""
    parts = value.split("/", 9) if isinstance(value, str) else []
    if not parts or len(parts) > 8 or not all(_PATH_PART.fullmatch(part) for part in parts):
        check.refuse(path, f"{check.shown(value)} is not a plain path inside the bundle")
    if not parts[-1].endswith(".onnx"):  # engines choose how to read a file by its ending
        check.refuse(path, f"{check.shown(value)} does not end in .onnx")
    return "/".join(parts)


def _labels(value: object) -> tuple[str, ...]:
    labels = check.sequence(value, "labels", 1, MOST_LABELS)
    for at, label in enumerate(labels):
        if not isinstance(label, str):
            check.refuse(f"labels[{at}]", f"a string is needed, this is {check.shown(label)}")
        if (why := label_fault(label)) is not None:
            check.refuse(f"labels[{at}]", f"{check.shown(label)} is no label: {why}")
    if len(set(labels)) != len(labels):
        check.refuse("labels", "a label is given twice")
    return tuple(labels)


def _specs(value: object, path: str) -> tuple[TensorSpec, ...]:
    specs = tuple(
        TensorSpec.from_dict(item, f"{path}[{at}]") for at, item in enumerate(check.sequence(value, path, 1, 64))
    )
    if len({spec.name for spec in specs}) != len(specs):
        check.refuse(path, "a name is given twice")
    return specs


def _graphs(value: object, names: tuple[str, ...]) -> dict[str, dict[str, GraphFile]]:
    by_precision = check.fields(value, "graphs", (), PRECISIONS)
    if not by_precision:
        check.refuse("graphs", "no precision")
    result = {}
    for precision in PRECISIONS:
        if precision in by_precision:
            path = f"graphs.{precision}"
            graphs = check.fields(by_precision[precision], path, names)
            result[precision] = {name: GraphFile.from_dict(graphs[name], f"{path}.{name}") for name in names}
    return result


def _variants(value: object, graphs: Mapping[str, object], names: tuple[str, ...]) -> dict[str, dict[str, GraphFile]]:
    variants = check.fields(value, "int8_variants", (), INT8_VARIANTS[1:])
    if variants and "int8" not in graphs:
        check.refuse("int8_variants", "given without graphs in int8")
    result = {}
    for variant, files in variants.items():
        path = f"int8_variants.{variant}"
        named = check.fields(files, path, (), names)
        result[variant] = {name: GraphFile.from_dict(named[name], f"{path}.{name}") for name in named}
    return result


def _costs(value: object, names: tuple[str, ...]) -> dict[str, GraphCost]:
    costs = check.fields(value, "cost", names)
    return {name: GraphCost.from_dict(costs[name], f"cost.{name}") for name in names}


def _architecture(value: object) -> Architecture:
    try:
        return architecture(check.text(value, "architecture", 100))
    except KeyError:
        check.refuse("architecture", f"{check.shown(value)} is not one of {', '.join(known())}")
