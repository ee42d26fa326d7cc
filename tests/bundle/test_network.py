"""Labels, settings, declared shapes and graphs fit together, or the bundle does not open. No graph is run."""

from __future__ import annotations

import dataclasses
import json

import pytest

from avgn_edge._base.errors import BundleError
from avgn_edge.bundle.manifest import Manifest
from avgn_edge.bundle.onnx_scan import Tensor, check_self_contained
from avgn_edge.bundle.reader import Bundle, check_network, packaged_bundle_path
from avgn_edge.runtime.recognizer import Recognizer

# ---- labels and settings beside what is declared --------------------------------------------------------------------


@pytest.fixture(scope="module")
def packaged():
    return Bundle.open(packaged_bundle_path())


def changed(bundle: Bundle, change) -> Bundle:
    document = json.loads(bundle.manifest.to_json())
    change(document)
    return dataclasses.replace(bundle, manifest=Manifest.from_dict(document))


def setting(name, value):
    return lambda document: document["settings"].update({name: value})


def tensor(precision, graph, kind, tensor_name, **values):
    def change(document):
        group = document["int8_variants" if precision in {"s8s8", "symmetric"} else "graphs"]
        (spec,) = (spec for spec in group[precision][graph][kind] if spec["name"] == tensor_name)
        spec.update(values)

    return change


def test_the_packaged_bundle_fits_together(packaged):
    check_network(packaged.manifest, packaged.path)


@pytest.mark.parametrize("labels", [["a"], [str(i) for i in range(9)], [str(i) for i in range(11)]], ids=len)
def test_a_bundle_of_other_labels_than_its_graphs_does_not_open(packaged, labels):
    wrong = changed(packaged, lambda document: document.update(labels=labels))
    with pytest.raises(
        BundleError, match=rf"for {len(labels)} labels: .*logits is float32 \[1, 10\], needed"
    ) as caught:
        Recognizer.open(wrong, "cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["patch_size", "audio_dim", "global_dim", "local_dim", "policy_state", "classifier_state"]
)
def test_a_bundle_of_other_sizes_than_its_graphs_does_not_open(packaged, name):
    with pytest.raises(BundleError, match="needed"):
        Recognizer.open(changed(packaged, setting(name, 99)), "cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (tensor("fp32", "classifier", "outputs", "logits", name="answer"), "its outputs are answer, next_state"),
        (tensor("int8", "saliency", "inputs", "glanced", name="seen"), "its inputs are visual, seen"),
        (tensor("fp32", "saliency", "inputs", "glanced", dtype="float32"), r"float32 \[16\], needed bool"),
        (tensor("fp32", "global_encoder", "inputs", "frames", shape=[1, 224, 224, 3]), r"needed uint8 \[n, 224"),
        (tensor("fp32", "global_encoder", "outputs", "logits", shape=["n", 10, 1]), r"needed float32 \[n, 10\]"),
        (tensor("int8", "spatial", "inputs", "feature_map", shape=[1, 1280, 7, 8]), r"needed .*\[1, 1280, 7, 7\]"),
    ],
)
def test_a_bundle_of_graphs_that_are_no_network_does_not_open(packaged, change, message):
    with pytest.raises(BundleError, match=message):
        Recognizer.open(changed(packaged, change), "cpu")


def test_the_graphs_of_a_variant_are_checked_too(packaged):
    variant, files = next(iter(packaged.manifest.int8_variants.items()))
    graph = next(iter(files))
    output = files[graph].outputs[0].name
    wrong = changed(packaged, tensor(variant, graph, "outputs", output, dtype="float16"))
    with pytest.raises(BundleError, match=f"{graph} in int8-{variant}"):
        check_network(wrong.manifest, wrong.path)


@pytest.mark.parametrize("field", ["temperatures", "thresholds"])
def test_calibration_of_more_steps_than_a_clip_can_have_is_refused(packaged, field):
    def change(document):
        document["preprocessing"].update(moments=16)
        if field == "temperatures":
            document["exits"]["tables"]["fp32"][0]["temperatures"] = [1.0] * 19
        else:
            point = next(point for point in document["operating_points"] if point["thresholds"] is not None)
            point["thresholds"] = [1.0] * 19

    with pytest.raises(BundleError, match=rf"{field}.*19.*18"):
        changed(packaged, change)


# ---- what is declared beside what is in the files -------------------------------------------------------------------


def test_what_goes_in_and_out_is_read_from_the_file(graph):
    found = check_self_contained(graph, "probe")
    assert found.inputs == (Tensor("image", "float32", (1, 1, 4, 4)),)
    assert found.outputs == (Tensor("answer", "float32", (1, 1, 2, 3)),)


def test_the_packaged_graphs_are_what_the_manifest_says(packaged):
    for file in packaged.manifest.files:
        found = check_self_contained((packaged.path / file.path).read_bytes(), file.path)
        for real, declared in ((found.inputs, file.inputs), (found.outputs, file.outputs)):
            assert [tensor.name for tensor in real] == [spec.name for spec in declared]
            assert [tensor.dtype for tensor in real] == [spec.dtype for spec in declared]
            shapes = [tuple(None if isinstance(size, str) else size for size in spec.shape) for spec in declared]
            assert [tensor.shape for tensor in real] == shapes


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("inputs", {"name": "picture"}, "its inputs are image, the manifest says picture"),
        ("inputs", {"dtype": "uint8"}, r"image is float32 \[1, 1, 4, 4\], the manifest says uint8"),
        ("inputs", {"shape": [1, 4, 4]}, r"the manifest says float32 \[1, 4, 4\]"),
        ("inputs", {"shape": [1, 1, 4, 5]}, r"the manifest says float32 \[1, 1, 4, 5\]"),
        ("inputs", {"shape": ["n", 1, 4, 4]}, r"the manifest says float32 \[n, 1, 4, 4\]"),
        ("outputs", {"name": "logits"}, "its outputs are answer"),
        ("outputs", {"shape": [1, 1, 2, 4]}, "its output answer is"),
        ("outputs", {"dtype": "float16"}, "its output answer is"),
    ],
)
def test_a_graph_that_is_not_what_the_manifest_says_does_not_open(bundle_dir, kind, values, message):
    path = bundle_dir / "manifest.json"
    document = json.loads(path.read_text("utf-8"))
    document["graphs"]["fp32"]["spatial"][kind][0].update(values)
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(BundleError, match=message) as caught:
        Bundle.open(bundle_dir, verify="all")
    assert "spatial.onnx" in str(caught.value)
    Bundle.open(bundle_dir, verify="int8")


def test_an_input_that_is_not_declared_does_not_open(bundle_dir):
    path = bundle_dir / "manifest.json"
    document = json.loads(path.read_text("utf-8"))
    inputs = document["graphs"]["fp32"]["spatial"]["inputs"]
    inputs.append({**inputs[0], "name": "more"})
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(BundleError, match="its inputs are image, the manifest says image, more"):
        Bundle.open(bundle_dir, verify="fp32")
