"""Adds FP16 and INT8 graphs to a float32 bundle, and says how far off each graph is and how fast it runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from avgn_edge._base.errors import BundleError, ClipError
from avgn_edge.bundle.manifest import INT8_VARIANTS, GraphFile, Manifest
from avgn_edge.bundle.reader import Bundle
from avgn_edge.bundle.writer import describe_graph, write_bundle
from avgn_edge.calibration.comparison import DEVICE, relative_error
from avgn_edge.calibration.quantise import Inputs, Quantiser, to_half
from avgn_edge.calibration.sensitivity import Activations, Sensitivity, find_sensitive
from avgn_edge.data.datasets import LabelledClip
from avgn_edge.data.evaluation.measuring import open_labelled
from avgn_edge.engines.base import Session
from avgn_edge.engines.select import open_engine
from avgn_edge.runtime.sessions import Sessions

WATCHED = 4
"""One recorded clip in so many gives no ranges: the graphs are compared on its inputs."""
_ROUNDS = 9

GraphFiles = dict[str, dict[str, bytes | Path]]
"""Folder inside the bundle ("fp32", "int8-s8s8") → graph → its ONNX bytes, or the file that holds them."""
Samples = Mapping[str, Sequence[Inputs]]
"""Graph → inputs of single runs."""
Progress = Callable[[str, int, int], None]
"""Called with the name of a piece of work, how much of it is done, and the whole."""


@dataclass(frozen=True)
class GraphReport:
    """One graph in one precision, compared with float32."""

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
    """A bundle with the precisions that were asked for."""

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
    """Write a bundle that holds the graphs of `source`, and FP16 and INT8 made anew from its float32 ones.

    Args:
        source: The bundle to start from. Without float32 graphs it is copied as it is.
        folder: Where to write the new one.
        clips: Clips that INT8 takes its ranges from.
        precisions: What to make; "fp16" and "int8" count.
        threads: Of the engine; its own choice where None.
        progress: Called as clips are recorded and graphs are quantised.
    """
    made: GraphFiles = {}
    record: dict[str, Any] = {}
    samples: Samples = {}
    if "fp32" in source.precisions:
        if "int8" in precisions:
            ranging, samples = _record(source, clips, threads, progress)
            made, record["int8"] = _int8(source, ranging, samples, progress)
        if "fp16" in precisions:
            made["fp16"] = _fp16(source)
    bundle = write_bundle(folder, _described(source.manifest, made), _files(source) | made)
    return QuantisedBundle(bundle, _reports(bundle, samples, threads), record)


def write_precisions(source: Bundle, target: Path, precisions: Sequence[str]) -> Bundle:
    """Write a bundle of `precisions` to `target`, FP16 made of float32 where it is among them; whole or not at all."""
    made: GraphFiles = {"fp16": _fp16(source)} if "fp16" in precisions and "fp32" in source.precisions else {}
    return _write_some(_described(source.manifest, made), _files(source) | made, target, precisions)


def keep_precisions(bundle: Bundle, target: Path, precisions: Sequence[str]) -> Bundle:
    """Write those `precisions` of a bundle to `target`, whole or not at all."""
    return _write_some(bundle.manifest, _files(bundle), target, precisions)


def _write_some(manifest: Manifest, files: GraphFiles, target: Path, precisions: Sequence[str]) -> Bundle:
    kept = replace(
        manifest,
        graphs={name: graphs for name, graphs in manifest.graphs.items() if name in precisions},
        int8_variants=manifest.int8_variants if "int8" in precisions else {},
        exits=replace(manifest.exits, tables={n: t for n, t in manifest.exits.tables.items() if n in precisions}),
        operating_points=tuple(point for point in manifest.operating_points if point.precision in precisions),
    )
    return write_bundle(
        target, kept, {name: graphs for name, graphs in files.items() if name.partition("-")[0] in precisions}
    )


def _files(bundle: Bundle) -> GraphFiles:
    """The files of a bundle, by the folders that they are in."""
    manifest = bundle.manifest
    every = [(name, name, "u8s8", graphs) for name, graphs in manifest.graphs.items()]
    every += [(f"int8-{variant}", "int8", variant, graphs) for variant, graphs in manifest.int8_variants.items()]
    return {
        folder: {graph: bundle.graph_bytes_path(precision, graph, variant) for graph in graphs}
        for folder, precision, variant, graphs in every
    }


def _described(manifest: Manifest, made: GraphFiles) -> Manifest:
    """The manifest with the graphs that were made, which have the inputs and outputs of the float32 ones."""

    def file(folder: str, graph: str) -> GraphFile:
        like = manifest.graphs["fp32"][graph]
        data = made[folder][graph]
        return describe_graph(folder, graph, data, opset=like.opset, inputs=like.inputs, outputs=like.outputs)

    described = {folder: {graph: file(folder, graph) for graph in graphs} for folder, graphs in made.items()}
    variants = {name.removeprefix("int8-"): graphs for name, graphs in described.items() if name.startswith("int8-")}
    precisions = {name: graphs for name, graphs in described.items() if not name.startswith("int8-")}
    return replace(
        manifest,
        graphs={**manifest.graphs, **precisions},
        int8_variants={**manifest.int8_variants, **variants},
    )


def _fp16(source: Bundle) -> dict[str, bytes | Path]:
    return {graph: to_half(source.graph_bytes_path("fp32", graph)) for graph in source.manifest.graph_names}


def _record(
    source: Bundle, clips: Sequence[LabelledClip], threads: int | None, progress: Progress
) -> tuple[Samples, Samples]:
    """The inputs that the graphs get: those that ranges come from, and those that graphs are only compared on."""
    sessions = Sessions(source, open_engine(DEVICE, threads=threads), "fp32")
    ranging, watched = (Activations(source.manifest, sessions) for _ in range(2))
    for at, clip in enumerate(clips):
        # A clip that cannot be read is named, and counted, where all clips are measured.
        with contextlib.suppress(ClipError), open_labelled(clip, source.manifest) as opened:
            (watched if at % WATCHED == WATCHED - 1 else ranging).add(opened)
        progress("ranges", at + 1, len(clips))
    return dict(ranging.samples), dict(watched.samples)


def _int8(source: Bundle, ranging: Samples, watched: Samples, progress: Progress) -> tuple[GraphFiles, dict[str, Any]]:
    """Quantise every graph for every kind of device; and how that was done, for the manifest."""
    folders = {variant: "int8" if variant == INT8_VARIANTS[0] else f"int8-{variant}" for variant in INT8_VARIANTS}
    files: GraphFiles = {folder: {} for folder in folders.values()}
    sensitivities: dict[str, Sensitivity] = {}
    names = source.manifest.graph_names
    for at, graph in enumerate(names):
        quantiser = Quantiser(source.graph_bytes_path("fp32", graph), ranging[graph])
        sensitivities[graph] = find_sensitive(quantiser, watched[graph])
        for variant, folder in folders.items():
            files[folder][graph] = quantiser.quantise(variant, sensitivities[graph].keep_float)
        progress("int8", at + 1, len(names))
    return files, {
        "ranges_from": {graph: len(ranging[graph]) for graph in names},
        "sensitivity": {graph: one.to_dict() for graph, one in sensitivities.items()},
    }


def _reports(bundle: Bundle, samples: Samples, threads: int | None) -> tuple[GraphReport, ...]:
    if "fp32" not in bundle.precisions:
        return ()
    engine = open_engine(DEVICE, threads=threads)
    floats = Sessions(bundle, engine, "fp32")
    reports = []
    for precision in [name for name in ("fp16", "int8") if name in bundle.precisions]:
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
