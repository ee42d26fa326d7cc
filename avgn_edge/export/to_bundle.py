"""From a checkpoint to a bundle: export, count, compare with PyTorch, and only then write."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch

import avgn_edge
from avgn_edge._base.errors import BundleError, DeviceError
from avgn_edge.bundle.calibration_tables import ExitSettings
from avgn_edge.bundle.manifest import GraphCost, GraphFile, Manifest, TensorSpec, check_words
from avgn_edge.bundle.reader import Bundle
from avgn_edge.bundle.writer import describe_graph, write_bundle
from avgn_edge.export.onnx_graphs import (
    OPSET,
    TOLERANCE,
    Parity,
    check_parity,
    export_graph,
    graph_cost,
    installed_engines,
)
from avgn_edge.export.trained_network import TrainedNetwork

DEFAULT_CONFIDENCE = 0.95
"""An answer this sure stops the looks, until calibration puts a measured threshold in its place."""
UNSTATED_LICENCE = "not stated: ask whoever trained the weights"


@dataclass(frozen=True)
class ExportedGraph:
    """One graph that was exported: its size, its price and how close it is to PyTorch in each engine."""

    name: str
    bytes: int
    cost: GraphCost
    parity: tuple[Parity, ...]


@dataclass(frozen=True)
class Export:
    """A bundle that was written, and the table of its graphs."""

    bundle: Bundle
    graphs: tuple[ExportedGraph, ...]


def export_bundle(
    network: TrainedNetwork,
    directory: Path,
    *,
    name: str,
    licence: str = UNSTATED_LICENCE,
    confidence: float | None = DEFAULT_CONFIDENCE,
    progress: Callable[[ExportedGraph], None] = lambda _: None,
) -> Export:
    """Export every graph of a network in float32 and write the bundle, whole or not at all.

    Args:
        network: The network with its weights.
        directory: Where to write the bundle.
        name: The bundle's name.
        licence: The licence of the weights.
        confidence: An answer this sure stops the looks; None: none does.
        progress: Called with each graph that is done.

    Raises:
        BundleError: A name, label or licence that no bundle takes, before anything is computed; or a graph further
            from PyTorch than `onnx_graphs.TOLERANCE` in an installed engine.
        DeviceError: No inference engine is installed.
    """
    if not installed_engines():
        raise DeviceError(
            "export", "no inference engine is installed to compare with PyTorch", "pip install 'avgn-edge[cpu]'"
        )
    check_words(name, network.labels, licence)
    network.model.eval()
    _refuse_not_finite(network.model)
    described: dict[str, GraphFile] = {}
    files: dict[str, bytes | Path] = {}
    done = []
    with tempfile.TemporaryDirectory(prefix="avgn-edge-export-") as folder:
        for spec in network.graphs:
            path = Path(folder) / f"{spec.name}.onnx"
            proto = export_graph(spec, network.model, path)
            graph = ExportedGraph(
                spec.name, path.stat().st_size, graph_cost(proto), tuple(check_parity(spec, network.model, path))
            )
            progress(graph)
            done.append(graph)
            files[spec.name] = path
            described[spec.name] = describe_graph(
                "fp32",
                spec.name,
                path,
                opset=OPSET,
                inputs=[_tensor(value) for value in proto.graph.input],
                outputs=[_tensor(value) for value in proto.graph.output],
            )
        _refuse_outside_tolerance(done)
        manifest = _manifest(network, name, licence, confidence, described, {graph.name: graph.cost for graph in done})
        bundle = write_bundle(directory, manifest, {"fp32": files})
    return Export(bundle, tuple(done))


def _refuse_not_finite(model: torch.nn.Module) -> None:
    # Parity alone would miss a weight that its random inputs do not reach, such as the head of one number of looks.
    for parameter, value in model.state_dict().items():
        if value.is_floating_point() and not value.isfinite().all():
            raise BundleError(
                "the checkpoint", f"{parameter} holds values that are not finite", "train again from one that does not"
            )


def _refuse_outside_tolerance(graphs: list[ExportedGraph]) -> None:
    worst = max((parity for graph in graphs for parity in graph.parity), key=lambda parity: parity.error)
    if not worst.within:
        raise BundleError(
            f"graph {worst.graph} on {worst.engine}",
            f"it differs from PyTorch by {worst.error:.1e} of its range, more than {TOLERANCE:.0e}",
            "check the checkpoint for values that are not finite, then report this",
        )


def _tensor(value: onnx.ValueInfoProto) -> TensorSpec:
    kind = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    return TensorSpec(value.name, dtype, tuple(dim.dim_param or dim.dim_value for dim in kind.shape.dim))


def _manifest(
    network: TrainedNetwork,
    name: str,
    licence: str,
    confidence: float | None,
    described: dict[str, GraphFile],
    cost: dict[str, GraphCost],
) -> Manifest:
    return Manifest(
        name=name,
        labels=network.labels,
        task=network.task,
        licence=licence,
        settings=network.settings,
        graphs={"fp32": described},
        cost=cost,
        preprocessing=network.preprocessing,
        exits=ExitSettings(confidence),
        provenance={
            "avgn-edge": avgn_edge.__version__,
            "torch": str(torch.__version__),
            "onnx": onnx.__version__,
            **network.provenance,
        },
        architecture=network.architecture,
    )
