"""A small valid bundle: the probe graph stands in for all six."""

from __future__ import annotations

from pathlib import Path

import pytest

from avgn_edge.bundle.manifest import GRAPHS, GraphCost, Manifest, RuntimeSettings, TensorSpec
from avgn_edge.bundle.writer import describe_graph, write_bundle
from avgn_edge.runtime.engines import probe


def make_manifest(graph: bytes, precisions: tuple[str, ...] = ("fp32", "int8"), name: str = "tiny") -> Manifest:
    inputs = (TensorSpec("image", "float32", (1, 1, 4, 4)),)
    outputs = (TensorSpec("answer", "float32", ("n", 1, 2, 3)),)
    return Manifest(
        name=name,
        labels=("zero", "one", "zwölf ✓"),
        task="single-label",
        licence="Apache-2.0",
        settings=RuntimeSettings(
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
        operating_points=({"gmacs": 1.5, "top1": 0.75},),
        provenance={"avgn-edge": "0.1.0", "torch": "2.13.0"},
    )


def contents(manifest: Manifest, graph: bytes) -> dict[str, dict[str, bytes | Path]]:
    return {precision: dict.fromkeys(GRAPHS, graph) for precision in manifest.graphs}


@pytest.fixture
def graph() -> bytes:
    return probe.graph()


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
def bundle_dir(build, tmp_path: Path) -> Path:
    return build(tmp_path / "bundle")
