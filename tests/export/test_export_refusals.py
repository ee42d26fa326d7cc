"""An export that would be wrong is not written, and one that fails leaves what was there."""

from __future__ import annotations

import copy
import dataclasses
import hashlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from avgn_edge._base.errors import BundleError, DeviceError  # noqa: E402
from avgn_edge.architectures.avgn.split import GRAPH_SPECS, trained  # noqa: E402
from avgn_edge.bundle.manifest import GraphCost  # noqa: E402
from avgn_edge.bundle.reader import Bundle  # noqa: E402
from avgn_edge.export import to_bundle as export_module  # noqa: E402
from avgn_edge.export.onnx_graphs import Parity, check_parity  # noqa: E402
from avgn_edge.export.to_bundle import export_bundle  # noqa: E402

SPECS = {spec.name: spec for spec in GRAPH_SPECS}


def fingerprint(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def copied(tiny_bundle, monkeypatch):
    """Graphs are taken from the tiny bundle instead of being exported again, which takes half a minute."""
    import onnx

    def export_graph(spec, model, path):
        path.write_bytes(tiny_bundle.graph_bytes_path("fp32", spec.name).read_bytes())
        return onnx.load(path)

    monkeypatch.setattr(export_module, "export_graph", export_graph)


@pytest.fixture
def quick(copied, monkeypatch):
    """The same, and parity, which is measured elsewhere, is taken for granted."""
    monkeypatch.setattr(export_module, "check_parity", lambda spec, *_: [Parity(spec.name, "cpu", 0.0)])


@pytest.mark.parametrize(
    "name",
    [
        "no_audio",
        "global_encoder.backbone.features.0.1.running_var",
        "classifier.weight",
        "policy.gru.weight_hh",
        "av_test.mask_token",
    ],
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_and_nothing_is_written(name, value, tiny_model, tmp_path, quick):
    broken = copy.deepcopy(tiny_model)
    with torch.no_grad():
        broken.state_dict()[name].view(-1)[-1] = value
    with pytest.raises(BundleError, match="not finite"):
        export_bundle(trained(broken), tmp_path / "bundle", name="broken")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong", [{"licence": "of\nmine"}, {"licence": ""}, {"name": "a b"}, {"labels": ("walk ", "b")}]
)
def test_words_that_no_bundle_takes_are_refused_before_anything_is_computed(tiny_model, tmp_path, monkeypatch, wrong):
    monkeypatch.setattr(export_module, "export_graph", pytest.fail)
    labelled = dataclasses.replace(trained(tiny_model), labels=wrong.pop("labels", ("a", "b")))
    with pytest.raises(BundleError):
        export_bundle(labelled, tmp_path / "bundle", **{"name": "fine", **wrong})
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_differs_from_pytorch_is_refused_and_nothing_is_written(tiny_model, tmp_path, copied):
    other = copy.deepcopy(tiny_model)
    with torch.no_grad():
        other.fc_g.bias[0] += 0.01  # the files still hold the old bias
    with pytest.raises(BundleError, match=r"graph global_encoder on .* differs from PyTorch by .* of its range"):
        export_bundle(trained(other), tmp_path / "bundle", name="other")
    assert list(tmp_path.iterdir()) == []


def test_nan_that_pytorch_computes_is_never_parity(tiny_model, tiny_bundle, device):
    """ReLU6 makes a number of NaN in some engines, and the greater of 0 and NaN is 0 in Python."""
    broken = copy.deepcopy(tiny_model)
    with torch.no_grad():
        broken.fc_g.bias[0] = torch.nan
    found = list(check_parity(SPECS["global_encoder"], broken, tiny_bundle.graph_bytes_path("fp32", "global_encoder")))
    assert found
    assert not any(parity.within for parity in found)


def test_exporting_over_a_bundle_replaces_it_whole(tiny_model, tmp_path, quick):
    first = export_bundle(trained(tiny_model), tmp_path / "bundle", name="first", confidence=0.5).bundle
    (first.path / "LICENSE").write_text("mine")
    second = export_bundle(trained(tiny_model), tmp_path / "bundle", name="second", confidence=None).bundle
    assert Bundle.open(tmp_path / "bundle", verify="all").manifest == second.manifest
    assert (second.manifest.name, second.manifest.exits.confidence) == ("second", None)
    assert (second.path / "LICENSE").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize("fault", ["weights", "parity", "count", "interrupt", "name"])
def test_an_export_that_fails_leaves_the_old_bundle_as_it_was(fault, tiny_model, tmp_path, quick, monkeypatch):
    export_bundle(trained(tiny_model), tmp_path / "bundle", name="first")
    before = fingerprint(tmp_path)
    model, name = copy.deepcopy(tiny_model), "second"

    def fail(error):
        def _fail(*_, **__):
            raise error

        return _fail

    if fault == "weights":
        with torch.no_grad():
            model.no_audio[0] = torch.nan
    elif fault == "parity":
        monkeypatch.setattr(export_module, "check_parity", lambda spec, *_: [Parity(spec.name, "cpu", float("nan"))])
    elif fault == "count":
        monkeypatch.setattr(export_module, "graph_cost", lambda _: GraphCost(-5, 1))
    elif fault == "interrupt":
        monkeypatch.setattr(export_module, "write_bundle", fail(KeyboardInterrupt()))
    else:
        name = "../elsewhere"
    with pytest.raises(KeyboardInterrupt if fault == "interrupt" else BundleError):
        export_bundle(trained(model), tmp_path / "bundle", name=name)
    assert fingerprint(tmp_path) == before


def test_a_folder_of_something_else_is_not_replaced(tiny_model, tmp_path, quick):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(BundleError, match="something other than a bundle"):
        export_bundle(trained(tiny_model), tmp_path, name="tiny")
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_without_an_engine_the_error_names_the_extra(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "installed_engines", tuple)
    with pytest.raises(DeviceError, match=r"pip install 'avgn-edge\[cpu\]'"):
        export_bundle(trained(tiny_model), tmp_path / "bundle", name="tiny")
