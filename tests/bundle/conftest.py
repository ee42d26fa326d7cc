"""A small valid bundle: the probe graph stands in for all six."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from avgn_edge.architectures.avgn.spec import GRAPHS, AvgnSettings
from avgn_edge.bundle.calibration_tables import ExitSettings, ExitTable, OperatingPoint, RiskRow
from avgn_edge.bundle.manifest import GraphCost, Manifest, TensorSpec
from avgn_edge.bundle.writer import describe_graph, write_bundle
from avgn_edge.engines import probe

TABLES = (
    ExitTable(0, (1.0, 1.0, 0.8), 300, 2_000_000, (RiskRow(0.99, 0, 1_900_000), RiskRow(0.9, 3, 1_500_000))),
    ExitTable(4, (1.5, 2.0, 1.25, 1.0), 300, 3_000_000, (RiskRow(0.95, 1, 2_000_000),)),
)
POINTS = (
    OperatingPoint("fp32", 1_000_000, 0, 1, None, 0.75, 900_000),
    OperatingPoint("fp32", 2_000_000, 4, 2, None, 0.875, 1_600_000),
    OperatingPoint("fp32", 1_200_000, 4, 4, (0.75, 0.5, 2.0), 0.75, 1_210_000),
)


def make_manifest(graph: bytes, precisions: tuple[str, ...] = ("fp32", "int8"), name: str = "tiny") -> Manifest:
    inputs = (TensorSpec("image", "float32", (1, 1, 4, 4)),)
    outputs = (TensorSpec("answer", "float32", ("n", 1, 2, 3)),)
    return Manifest(
        name=name,
        labels=("zero", "one", "zwölf ✓"),
        task="single-label",
        licence="Apache-2.0",
        settings=AvgnSettings(
            patch_size=128,
            glances=4,
            looks=4,
            audio_dim=1280,
            global_dim=1280,
            local_dim=2048,
            policy_state=256,
            classifier_state=512,
        ),
        graphs={
            precision: {
                graph_name: describe_graph(precision, graph_name, graph, opset=20, inputs=inputs, outputs=outputs)
                for graph_name in GRAPHS
            }
            for precision in precisions
        },
        cost={graph_name: GraphCost(10, 3) for graph_name in GRAPHS},
        calibration={"clips": 12, "ranges": {"a": [0.5, -1.0, None, True, "x"]}},
        exits=ExitSettings(0.9, {"fp32": TABLES}),
        operating_points=POINTS,
        provenance={"avgn-edge": "0.1.0", "torch": "2.13.0"},
    )


def contents(manifest: Manifest, graph: bytes, other: bytes = b"") -> dict[str, dict[str, bytes | Path]]:
    """One graph everywhere, and another as whatever the variants have of their own."""
    files: dict[str, dict[str, bytes | Path]] = {
        precision: dict.fromkeys(GRAPHS, graph) for precision in manifest.graphs
    }
    for variant, graphs in manifest.int8_variants.items():
        files[f"int8-{variant}"] = dict.fromkeys(graphs, other)
    return files


@pytest.fixture
def graph() -> bytes:
    return probe.graph()


@pytest.fixture
def other_graph(graph: bytes) -> bytes:
    """Another file of the same length: the same graph under another name."""
    return graph.replace(b"probe", b"other", 1)


@pytest.fixture
def manifest(graph: bytes) -> Manifest:
    return make_manifest(graph)


@pytest.fixture
def build(graph: bytes):
    """Return a function that writes a bundle made of one graph."""

    def _build(directory: Path, data: bytes = graph, **settings) -> Path:
        made = make_manifest(data, **settings)
        write_bundle(directory, made, contents(made, data))
        return directory

    return _build


@pytest.fixture
def variant_manifest(manifest: Manifest, other_graph: bytes) -> Manifest:
    """The same, with the INT8 variant "s8s8", whose local encoder is `other_graph`."""
    name = "local_encoder"
    like = manifest.graphs["int8"][name]
    own = describe_graph("int8-s8s8", name, other_graph, opset=20, inputs=like.inputs, outputs=like.outputs)
    return dataclasses.replace(manifest, int8_variants={"s8s8": {name: own}})


@pytest.fixture
def variant_dir(tmp_path: Path, variant_manifest: Manifest, graph: bytes, other_graph: bytes) -> Path:
    """A bundle of `variant_manifest`."""
    return write_bundle(tmp_path / "variants", variant_manifest, contents(variant_manifest, graph, other_graph)).path


@pytest.fixture
def bundle_dir(build, tmp_path: Path) -> Path:
    return build(tmp_path / "bundle")
