"""Adds FP16 and INT8 graphs to a float32 bundle: what is made of which graph, how far off it is, how fast it runs."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from avgn_edge._base.errors import BundleError, ClipError
from avgn_edge.bundle.manifest import INT8_VARIANTS, GraphFile
from avgn_edge.bundle.reader import Bundle
from avgn_edge.bundle.writer import describe_graph, write_bundle
from avgn_edge.calibration.quantise import Inputs, Quantiser, to_half
from avgn_edge.calibration.sensitivity import Activations, Sensitivity, find_sensitive
from avgn_edge.data.datasets import LabelledClip
from avgn_edge.data.evaluation.measuring import open_labelled
from avgn_edge.engines.base import Session
from avgn_edge.engines.select import open_engine
from avgn_edge.export.parity import relative_error
from avgn_edge.runtime.sessions import Sessions

DEVICE = "cpu"
WATCHED = 4
"""Of so many recorded clips one gives no ranges: on its inputs the graphs are judged."""
_ROUNDS = 9

Contents = dict[str, dict[str, bytes | Path]]
"""Folder of the bundle → graph → ONNX bytes or their file."""
Samples = Mapping[str, Sequence[Inputs]]
"""Graph → inputs of single runs."""
Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is, and of how much."""


@dataclass(frozen=True)
class GraphReport:
    """One graph in one precision, held against float32."""

    graph: str
    precision: str
    bytes: int
    float_bytes: int
    error: float | None
    """Largest difference over the output's range, on inputs that no range came from; None where there were no clips."""
    speed: float | None
    """Times as fast as float32 on this CPU, paired; None for FP16, which a CPU only emulates."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


@dataclass(frozen=True)
class QuantisedBundle:
    """A bundle with all that was asked for, and what is to be known of it."""

    bundle: Bundle
    graphs: tuple[GraphReport, ...]
    record: Mapping[str, Any]
    """How INT8 was made, for the manifest."""


def add_precisions(
    source: Bundle,
    folder: Path,
    clips: Sequence[LabelledClip],
    precisions: Sequence[str],
    *,
    threads: int | None = None,
    progress: Progress = lambda _what, _done, _of: None,
) -> QuantisedBundle:
    """Write to `folder` a bundle that holds what `source` does, and `precisions` made anew from its float32 graphs.

    `clips` give INT8 its ranges; without any only fp16 can be made. A source without float32 graphs is copied as it is.
    """
    contents, names = _contents(source), source.manifest.graph_names
    record: dict[str, Any] = {}
    samples: Samples = {}
    if "fp32" in source.precisions:
        if "int8" in precisions:
            samples, judged = _record(source, clips, threads, progress)
            contents |= _int8(source, samples, judged, record, progress)
            samples = judged
        if "fp16" in precisions:
            contents["fp16"] = {graph: to_half(source.graph_bytes_path("fp32", graph)) for graph in names}
    bundle = _write(source, folder, contents)
    reports = _reports(bundle, [name for name in ("fp16", "int8") if name in bundle.precisions], samples, threads)
    return QuantisedBundle(bundle, reports, record)


def write_precisions(source: Bundle, target: Path, precisions: Sequence[str]) -> Bundle:
    """Write a bundle of `precisions` to `target`, FP16 made of float32 where it is among them; whole or not at all."""
    with tempfile.TemporaryDirectory(prefix="avgn-edge-precisions-") as folder:
        made = add_precisions(source, Path(folder) / "bundle", (), [name for name in precisions if name != "int8"])
        return keep_precisions(made.bundle, target, precisions)


def keep_precisions(bundle: Bundle, target: Path, precisions: Sequence[str]) -> Bundle:
    """Write those `precisions` of a bundle to `target`, whole or not at all."""
    manifest = bundle.manifest
    kept = replace(
        manifest,
        graphs={name: graphs for name, graphs in manifest.graphs.items() if name in precisions},
        int8_variants=manifest.int8_variants if "int8" in precisions else {},
        exits=replace(manifest.exits, tables={n: t for n, t in manifest.exits.tables.items() if n in precisions}),
        operating_points=tuple(point for point in manifest.operating_points if point.precision in precisions),
    )
    contents = {name: files for name, files in _contents(bundle).items() if name.partition("-")[0] in precisions}
    return write_bundle(target, kept, contents)


def _contents(bundle: Bundle) -> Contents:
    """The files of a bundle by the folder that they lie in."""
    manifest = bundle.manifest
    contents: Contents = {
        name: {graph: bundle.graph_bytes_path(name, graph) for graph in files}
        for name, files in manifest.graphs.items()
    }
    for variant, files in manifest.int8_variants.items():
        contents[f"int8-{variant}"] = {graph: bundle.graph_bytes_path("int8", graph, variant) for graph in files}
    return contents


def _record(
    source: Bundle, clips: Sequence[LabelledClip], threads: int | None, progress: Progress
) -> tuple[Samples, Samples]:
    """What the graphs are fed: inputs that ranges come from, and inputs that are only judged on."""
    sessions = Sessions(source, open_engine(DEVICE, threads=threads), "fp32")
    ranging, watched = (Activations(source.manifest, sessions) for _ in range(2))
    for at, clip in enumerate(clips):
        # A clip that cannot be read is named, and counted, where all clips are measured.
        with contextlib.suppress(ClipError), open_labelled(clip, source.manifest) as opened:
            (watched if at % WATCHED == WATCHED - 1 else ranging).add(opened)
        progress("ranges", at + 1, len(clips))
    return dict(ranging.samples), dict(watched.samples)


def _int8(
    source: Bundle,
    samples: Samples,
    judged: Samples,
    record: dict[str, Any],
    progress: Progress,
) -> Contents:
    contents: Contents = {"int8": {}, **{f"int8-{variant}": {} for variant in INT8_VARIANTS[1:]}}
    found: dict[str, Sensitivity] = {}
    names = source.manifest.graph_names
    for at, graph in enumerate(names):
        path = source.graph_bytes_path("fp32", graph)
        quantiser = Quantiser(path, samples[graph])
        found[graph] = find_sensitive(quantiser, judged[graph])
        for variant in INT8_VARIANTS:
            folder = "int8" if variant == INT8_VARIANTS[0] else f"int8-{variant}"
            contents[folder][graph] = quantiser.quantise(variant, found[graph].keep_float)
        progress("int8", at + 1, len(names))
    record["int8"] = {
        "ranges_from": {graph: len(samples[graph]) for graph in names},
        "sensitivity": {graph: one.to_dict() for graph, one in found.items()},
    }
    return contents


def _write(source: Bundle, folder: Path, contents: Contents) -> Bundle:
    manifest = source.manifest

    def described(name: str, graph: str) -> GraphFile:
        like = manifest.graphs["fp32" if "fp32" in manifest.graphs else name.partition("-")[0]][graph]
        data = contents[name][graph]
        return describe_graph(name, graph, data, opset=like.opset, inputs=like.inputs, outputs=like.outputs)

    every = {name: {graph: described(name, graph) for graph in graphs} for name, graphs in contents.items()}
    return write_bundle(
        folder,
        replace(
            manifest,
            graphs={name: graphs for name, graphs in every.items() if not name.startswith("int8-")},
            int8_variants={
                name.removeprefix("int8-"): graphs for name, graphs in every.items() if name.startswith("int8-")
            },
        ),
        contents,
    )


def _reports(
    bundle: Bundle, precisions: Sequence[str], samples: Samples, threads: int | None
) -> tuple[GraphReport, ...]:
    if "fp32" not in bundle.precisions:
        return ()
    engine = open_engine(DEVICE, threads=threads)
    floats = Sessions(bundle, engine, "fp32")
    reports = []
    for precision in precisions:
        others = Sessions(bundle, engine, precision)
        for graph in bundle.manifest.graph_names:
            file = bundle.manifest.graph_file(precision, graph, engine.int8_variant)
            if file is None:
                raise BundleError(str(bundle.path), f"no {precision} graphs for this CPU", "report this")
            inputs = samples.get(graph, ())
            float_bytes = bundle.manifest.graphs["fp32"][graph].bytes
            error = _error(others.get(graph), floats.get(graph), inputs) if inputs else None
            speed = _speed(others.get(graph), floats.get(graph), inputs[0]) if inputs and precision == "int8" else None
            reports.append(GraphReport(graph, precision, file.bytes, float_bytes, error, speed))
    return tuple(reports)


def _error(session: Session, floats: Session, inputs: Sequence[Inputs]) -> float:
    """The largest difference over all inputs, over the range of the output, of the worst output."""
    runs = [(session.run(one), floats.run(one)) for one in inputs]
    return max(
        relative_error(*(np.concatenate([run[side][name].ravel() for run in runs]) for side in (0, 1)))
        for name in runs[0][0]
    )


def _speed(session: Session, floats: Session, inputs: Inputs) -> float:
    """How many times faster a session is than the float one: the median of paired runs."""
    ratios = []
    for _ in range(_ROUNDS):
        seconds = []
        for one in (floats, session):
            started = time.perf_counter()
            one.run(inputs)
            seconds.append(time.perf_counter() - started)
        ratios.append(seconds[0] / seconds[1])
    return float(np.median(ratios))
