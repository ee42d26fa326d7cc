"""What a bundle is: its graphs, their prices, and everything the runtime must know to run them.

A manifest comes from disk and may be hostile, so `Manifest.from_dict` believes nothing: an unknown version, a missing,
extra or wrongly typed field, or a value outside its limits is a `BundleError` that names the field.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, TypeAlias, get_args

from avgn_edge._base.text import MOST as MOST_LABELS
from avgn_edge._base.text import Task
from avgn_edge._base.text import fault as label_fault
from avgn_edge.bundle.architecture import Architecture, architecture, known
from avgn_edge.bundle.calibration_tables import ExitSettings, Macs, OperatingPoint, Precision, Record
from avgn_edge.bundle.strict_json import (
    MAY_BE_MISSING,
    FieldError,
    Keys,
    Length,
    Matches,
    OneOf,
    Within,
    check_fields,
    decode,
    encode,
    field_types,
    one_line,
    parse,
    refuse,
    shown,
)
from avgn_edge.media.front_ends import FRONT_ENDS, FrontEnd
from avgn_edge.media.moments import GLANCE_ORDER

SCHEMA_VERSION = 1
PRECISIONS: tuple[str, ...] = get_args(Precision)
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
MAX_NOTE = 1_000  # characters of a licence or a provenance entry

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PATH_PART = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}"  # begins with no dot: neither "..", ".", nor hidden
_PATH = re.compile(rf"{_PATH_PART}(/{_PATH_PART}){{0,7}}")  # cannot leave the folder by its text: no root, no drive
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,49}")


def _is_onnx(path: str) -> str | None:
    # Engines choose how to read a file by its ending.
    return None if path.endswith(".onnx") else f"{shown(path)} does not end in .onnx"


def _is_label(label: str) -> str | None:
    why = label_fault(label)
    return None if why is None else f"{shown(label)} is no label: {why}"


def _each_once(labels: tuple[str, ...]) -> str | None:
    return None if len(set(labels)) == len(labels) else "a label is given twice"


def _each_named_once(specs: "tuple[TensorSpec, ...]") -> str | None:
    return None if len({spec.name for spec in specs}) == len(specs) else "a name is given twice"


def _some(precisions: Mapping[str, object]) -> str | None:
    return None if precisions else "no precision"


Name: TypeAlias = Annotated[str, Matches(NAME, "is not 1 to 100 letters, digits, dots, dashes and underscores")]
Word: TypeAlias = Annotated[str, Length(1, 100), one_line]
Note: TypeAlias = Annotated[str, Length(1, MAX_NOTE), one_line]
Labels: TypeAlias = Annotated[tuple[Annotated[str, _is_label], ...], Length(1, MOST_LABELS), _each_once]
Width: TypeAlias = Annotated[int, Within(1, MAX_WIDTH)]
Side: TypeAlias = Annotated[int, Within(1, MAX_SIDE)]


@dataclass(frozen=True)
class Preprocessing:
    """How a clip becomes the graphs' inputs; moments are counted, samples are at `sample_rate` Hz, sides are pixels."""

    moments: Annotated[int, Within(1, MAX_MOMENTS)] = 16
    sample_rate: Annotated[int, Within(1_000, 384_000)] = 16_000
    window_samples: Annotated[int, Within(1, 10_000_000)] = 15_600
    resize: Annotated[int, Within(8, MAX_SIDE)] = 256
    frame_size: int = 224
    glance_order: tuple[int, ...] = GLANCE_ORDER
    front_end: Annotated[str, OneOf(tuple(FRONT_ENDS)), MAY_BE_MISSING] = "yamnet"

    @property
    def sound(self) -> FrontEnd:
        """The front end."""
        return FRONT_ENDS[self.front_end]

    def validate(self) -> None:
        """Refuse a frame that is larger than what it is cut from, and an order that is none of all the moments."""
        if not 8 <= self.frame_size <= self.resize:
            raise FieldError(f"{shown(self.frame_size)} is outside 8 to {self.resize}", ".frame_size")
        moments, order = self.moments, self.glance_order
        if len(order) != moments:
            raise FieldError(f"{len(order)} elements, where {moments} to {moments} are allowed", ".glance_order")
        for at, index in enumerate(order):
            if not 0 <= index < moments:
                raise FieldError(f"{shown(index)} is outside 0 to {moments - 1}", f".glance_order[{at}]")
        if len(set(order)) != moments:
            raise FieldError("a moment is named twice", ".glance_order")


@dataclass(frozen=True)
class NetworkSettings:
    """What a policy needs to know of its network; each network adds to it. Here are the dials that all have."""

    glances: Annotated[int, Within(0, MAX_MOMENTS)]
    """Whole frames to see before anything is looked at closely, by default: AVGN's T_G."""
    looks: Annotated[int, Within(1, MAX_MOMENTS)]
    """Steps after them, at most, by default: AVGN's k."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return dict(vars(self))

    def check(self, given: Preprocessing) -> None:
        """Refuse values that do not fit the preprocessing."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a graph; a string in `shape` is a size known only at run time."""

    name: Word
    dtype: Annotated[str, OneOf(DTYPES)]
    shape: Annotated[
        tuple[Annotated[int, Within(1, 2**31 - 1)] | Annotated[str, Matches(_SYMBOL, "is not a symbol's name")], ...],
        Length(0, 8),
    ]


TensorSpecs: TypeAlias = Annotated[tuple[TensorSpec, ...], Length(1, 64), _each_named_once]


@dataclass(frozen=True)
class GraphFile:
    """One ONNX file: where it lies in the bundle, what its bytes hash to, and what goes in and out."""

    path: Annotated[str, Matches(_PATH, "is not a plain path inside the bundle"), _is_onnx]
    sha256: Annotated[str, Matches(_SHA256, "is not 64 lower-case hexadecimal digits")]
    bytes: Annotated[int, Within(1, MAX_GRAPH_BYTES)]
    opset: Annotated[int, Within(1, 1000)]
    inputs: TensorSpecs
    outputs: TensorSpecs


@dataclass(frozen=True)
class GraphCost:
    """Price of one run of a graph, in multiply-accumulates."""

    fixed_macs: Macs
    macs_per_item: Macs

    def macs(self, items: int) -> int:
        """Return the price of one run on `items` items."""
        return self.fixed_macs + items * self.macs_per_item

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return dict(vars(self))


Graphs: TypeAlias = Mapping[str, Mapping[str, GraphFile]]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything a bundle says about itself.

    `graphs` is precision → graph → file, with all graphs of the architecture for each precision. `int8_variants` is
    variant → graph → file, of the graphs that differ from those of "u8s8", which `graphs` holds. `cost` is graph →
    price, the same for every precision. `calibration` is a record of bounded size: on what, and how, the bundle was
    calibrated. The annotations of what depends on the network are in `_kinds`.
    """

    schema_version: int = SCHEMA_VERSION
    name: Name
    architecture: Word = "avgn"
    task: Task
    licence: Note
    labels: Labels
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    settings: NetworkSettings
    graphs: Graphs
    int8_variants: Annotated[Graphs, MAY_BE_MISSING] = field(default_factory=dict)
    cost: Mapping[str, GraphCost]
    exits: ExitSettings = field(default_factory=ExitSettings)
    calibration: Record | None = None
    operating_points: Annotated[tuple[OperatingPoint, ...], Length(0, 1000)] = ()
    provenance: Annotated[Mapping[Name, Note], Length(0, 100)] = field(default_factory=dict)

    @property
    def network(self) -> Architecture:
        """The network that the bundle says it is of."""
        return architecture(self.architecture)

    @property
    def graph_names(self) -> tuple[str, ...]:
        """The network's graphs, those needed first in front."""
        return self.network.names

    def graph_file(self, precision: str, graph: str, variant: str = "u8s8") -> GraphFile | None:
        """Return the file of a graph; None for an INT8 variant that the bundle does not hold."""
        if precision != "int8" or variant == "u8s8":
            return self.graphs[precision][graph]
        files = self.int8_variants.get(variant)
        return None if files is None else files.get(graph, self.graphs["int8"][graph])

    @property
    def folders(self) -> Graphs:
        """The files of each precision, and of each INT8 variant under "int8-" and its name, by graph."""
        return {**self.graphs, **{f"int8-{variant}": files for variant, files in self.int8_variants.items()}}

    @property
    def files(self) -> tuple[GraphFile, ...]:
        """Every file the manifest names."""
        return tuple(file for graphs in self.folders.values() for file in graphs.values())

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions the bundle holds, in the order of `PRECISIONS`."""
        return tuple(precision for precision in PRECISIONS if precision in self.graphs)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        told: dict[str, Any] = {**encode(self), "settings": self.settings.to_dict()}
        if (
            self.preprocessing.front_end == Preprocessing.front_end
        ):  # bundles from before there was a choice stay as they are
            del told["preprocessing"]["front_end"]
        return told

    def to_json(self) -> bytes:
        """Return the bytes of manifest.json."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> "Manifest":
        """Read the bytes of manifest.json; BundleError for anything that is not exactly a manifest."""
        return cls.from_dict(parse(data))

    @classmethod
    def from_dict(cls, value: object) -> "Manifest":
        """Read the JSON form; BundleError for anything that is not exactly a manifest."""
        if isinstance(value, dict) and "schema_version" in value:
            # Before anything else: a manifest of another version may differ in every other field.
            version = value["schema_version"]
            if type(version) is not int or version != SCHEMA_VERSION:
                refuse("schema_version", f"{shown(version)}, where this avgn-edge reads {SCHEMA_VERSION}")
        given = check_fields(cls, value, "manifest")
        network = decode(Word, given["architecture"], "architecture")
        try:
            kinds = _kinds(network)
        except KeyError:
            refuse("architecture", f"{shown(network)} is not one of {', '.join(known())}")
        read = {name: decode(kind, given[name], name) for name, kind in kinds.items() if name in given}
        read["graphs"] = {
            precision: read["graphs"][precision] for precision in PRECISIONS if precision in read["graphs"]
        }
        manifest = cls(**read)
        for path, why in _contradictions(manifest):
            refuse(path, why)
        return manifest


def check_words(name: str, labels: tuple[str, ...], licence: str) -> None:
    """Raise BundleError for what no manifest can say, before there are graphs to describe in one."""
    decode(Name, name, "name")
    decode(Labels, list(labels), "labels")
    decode(Note, licence, "licence")


@cache
def _kinds(network: str) -> dict[str, Any]:
    """Return the annotations of a manifest's fields, for the graphs and settings of a network; KeyError for none."""
    found = architecture(network)
    every, some = Keys(found.names, needed=True), Keys(found.names)
    graphs = Mapping[str, Annotated[Mapping[str, GraphFile], every]]
    variants = Mapping[str, Annotated[Mapping[str, GraphFile], some]]
    return {
        **field_types(Manifest),
        "settings": found.settings,
        "graphs": Annotated[graphs, Keys(PRECISIONS), _some],
        "int8_variants": Annotated[variants, Keys(INT8_VARIANTS[1:])],
        "cost": Annotated[Mapping[str, GraphCost], every],
    }


def _contradictions(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield the fields that do not fit one another, and why."""
    held, moments = manifest.precisions, manifest.preprocessing.moments
    if manifest.int8_variants and "int8" not in held:
        yield "int8_variants", "given without graphs in int8"
    manifest.settings.check(manifest.preprocessing)
    most = manifest.network.steps(moments)
    counts = [("settings.glances", manifest.settings.glances), ("settings.looks", manifest.settings.looks)]
    steps = []
    for precision, tables in manifest.exits.tables.items():
        if precision not in held:
            yield f"exits.tables.{shown(precision)}", "unknown field"
        for at, table in enumerate(tables):
            path = f"exits.tables.{precision}[{at}]"
            counts.append((f"{path}.glances", table.glances))
            steps.append((f"{path}.temperatures", table.temperatures))
    for at, point in enumerate(manifest.operating_points):
        path = f"operating_points[{at}]"
        if point.precision not in held:
            yield f"{path}.precision", f"{shown(point.precision)} is not one of {', '.join(held)}"
        counts += [(f"{path}.glances", point.glances), (f"{path}.looks", point.looks)]
        steps.append((f"{path}.thresholds", point.thresholds or ()))
    for path, count in counts:
        if count > moments:
            yield path, f"{count} is more than the {moments} moments"
    for path, values in steps:
        if len(values) > most:
            yield path, f"{len(values)} steps, where a clip has {most} at most"
    yield from _falling_limits(manifest)


def _falling_limits(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for precision in manifest.precisions:
        limits = [one for one in manifest.operating_points if one.precision == precision and one.thresholds is None]
        for sooner, later in pairwise(limits):
            if later.macs < sooner.macs or later.glances < sooner.glances or later.looks < sooner.looks:
                yield "operating_points", f"the limits of {precision}, or what they buy, fall from one to the next"
