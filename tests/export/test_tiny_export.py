"""The committed tiny bundle is what its network exports to today, and an export says what it wrote."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from tiny_bundle import COMMITTED, export_tiny  # noqa: E402

import avgn_edge  # noqa: E402
from avgn_edge.architectures.avgn.network.avgn import AVGN  # noqa: E402
from avgn_edge.architectures.avgn.network.settings import preset  # noqa: E402
from avgn_edge.architectures.avgn.spec import GRAPHS  # noqa: E402
from avgn_edge.architectures.avgn.split import trained  # noqa: E402
from avgn_edge.bundle.reader import Bundle, packaged_bundle_path  # noqa: E402
from avgn_edge.export.onnx_graphs import TOLERANCE  # noqa: E402
from avgn_edge.export.to_bundle import export_bundle  # noqa: E402


@pytest.fixture(scope="module")
def tiny_export(tiny_model, tmp_path_factory):
    """What `export_tiny` wrote, and its table."""
    return export_tiny(tmp_path_factory.mktemp("tiny") / "bundle", tiny_model)


@pytest.mark.parametrize("graph", GRAPHS)
def test_the_committed_graphs_are_made_again_by_today_s_code(graph, tiny_export):
    """The same nodes and weights; a weight may be off by what another processor rounds otherwise."""
    made, kept = (
        onnx.load(bundle.graph_bytes_path("fp32", graph)).graph
        for bundle in (tiny_export.bundle, Bundle.open(COMMITTED))
    )
    assert list(made.node) == list(kept.node)
    assert (list(made.input), list(made.output)) == (list(kept.input), list(kept.output))
    assert [tensor.name for tensor in made.initializer] == [tensor.name for tensor in kept.initializer]
    for one, other in zip(made.initializer, kept.initializer, strict=True):
        weights, before = onnx.numpy_helper.to_array(one), onnx.numpy_helper.to_array(other)
        assert weights.dtype == before.dtype
        np.testing.assert_allclose(weights, before, rtol=1e-5, atol=1e-6)


def test_the_export_s_table_names_every_graph_and_its_parity(tiny_export):
    assert tuple(graph.name for graph in tiny_export.graphs) == GRAPHS
    for graph in tiny_export.graphs:
        assert {parity.engine for parity in graph.parity} == {"cpu", "openvino:CPU"}
        assert all(0 <= parity.error <= TOLERANCE for parity in graph.parity)
        assert graph.cost == tiny_export.bundle.manifest.cost[graph.name]
        assert graph.bytes == tiny_export.bundle.manifest.graphs["fp32"][graph.name].bytes


def test_a_bundle_does_not_say_on_which_machine_it_was_made(tiny_export):
    ours = str(Path(avgn_edge.__file__).parent).encode()
    for path in sorted(tiny_export.bundle.path.rglob("*.onnx")):
        assert ours not in path.read_bytes()
        assert b"stack_trace" not in path.read_bytes()
    for path in sorted(packaged_bundle_path().rglob("*.onnx")):
        assert b"stack_trace" not in path.read_bytes()


def test_the_manifest_says_what_was_exported(tiny_export, tiny_model):
    manifest = tiny_export.bundle.manifest
    settings = tiny_model.settings
    assert manifest.labels == settings.labels
    assert (manifest.settings.glances, manifest.settings.looks) == (settings.glances, settings.looks)
    assert manifest.settings.patch_size == settings.patch_size
    assert manifest.preprocessing.frame_size == settings.frame_size
    assert set(manifest.graphs["fp32"]) == set(GRAPHS)
    frames = next(spec for spec in manifest.graphs["fp32"]["global_encoder"].inputs if spec.name == "frames")
    assert frames.dtype == "uint8"  # normalisation is inside the graph
    assert isinstance(frames.shape[0], str)
    assert frames.shape[1:] == (224, 224, 3)
    assert SimpleNamespace(**manifest.provenance).torch == torch.__version__


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", ["small", "paper"])
def test_a_real_preset_is_exported_within_tolerance(name, tmp_path):
    torch.manual_seed(0)
    exported = export_bundle(trained(AVGN(preset(name, labels=("a", "b", "c")))), tmp_path / name, name=name)
    assert tuple(graph.name for graph in exported.graphs) == GRAPHS
    assert all(parity.error <= TOLERANCE for graph in exported.graphs for parity in graph.parity)
