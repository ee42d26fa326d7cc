"""A bundle loads only when every file is inside it and is the file that was written."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from avgn_edge._base.errors import BundleError
from avgn_edge.architectures.avgn.spec import GRAPHS
from avgn_edge.bundle.reader import MAX_MANIFEST_BYTES, Bundle

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX file kinds")


def edit(bundle_dir, change):
    path = bundle_dir / "manifest.json"
    document = json.loads(path.read_text("utf-8"))
    change(document)
    path.write_text(json.dumps(document), "utf-8")


def test_a_bundle_opens_with_its_manifest_and_hash(bundle_dir, manifest, graph):
    bundle = Bundle.open(bundle_dir, verify="all")
    assert bundle.manifest == manifest
    assert bundle.precisions == ("fp32", "int8")
    assert bundle.hash == hashlib.sha256((bundle_dir / "manifest.json").read_bytes()).hexdigest()
    for name in GRAPHS:
        assert bundle.graph_bytes_path("int8", name).read_bytes() == graph


def test_a_relative_path_and_a_string_open(bundle_dir, monkeypatch):
    monkeypatch.chdir(bundle_dir.parent)
    bundle = Bundle.open("bundle")
    monkeypatch.chdir("/")
    assert bundle.graph_bytes_path("fp32", "spatial").is_file()


def test_changed_bytes_do_not_load(bundle_dir, graph):
    victim = bundle_dir / "graphs" / "int8" / "spatial.onnx"
    victim.write_bytes(graph[:-1] + bytes([graph[-1] ^ 1]))
    with pytest.raises(BundleError, match=r"spatial\.onnx.*hash"):
        Bundle.open(bundle_dir, verify="all")
    for verify in ("int8", ["fp32", "int8"]):
        with pytest.raises(BundleError, match="hash"):
            Bundle.open(bundle_dir, verify=verify)
    Bundle.open(bundle_dir, verify="fp32")
    bundle = Bundle.open(bundle_dir)  # a precision never used is never hashed …
    bundle.verify("fp32")
    with pytest.raises(BundleError, match="hash"):
        bundle.verify("int8")
    with pytest.raises(BundleError, match="hash"):
        bundle.graph_bytes_path("int8", "spatial")  # … and cannot be used unchecked


def test_a_changed_size_does_not_open(bundle_dir, graph):
    (bundle_dir / "graphs" / "int8" / "spatial.onnx").write_bytes(graph + b"\0")
    with pytest.raises(BundleError, match="bytes, the manifest says"):
        Bundle.open(bundle_dir)


def test_a_missing_graph_does_not_open(bundle_dir):
    (bundle_dir / "graphs" / "fp32" / "spatial.onnx").unlink()
    with pytest.raises(BundleError, match=r"spatial\.onnx.*missing"):
        Bundle.open(bundle_dir)


def test_a_missing_manifest_or_folder_says_what_to_do(bundle_dir, tmp_path):
    (bundle_dir / "manifest.json").unlink()
    for path in (bundle_dir, tmp_path / "nothing", tmp_path / "nothing" / "manifest.json"):
        with pytest.raises(BundleError, match="avgn-edge export"):
            Bundle.open(path)


def test_a_bad_field_names_the_bundle_too(bundle_dir):
    edit(bundle_dir, lambda document: document.update(task="both"))
    with pytest.raises(BundleError, match=r"bundle: manifest\.json: task: 'both' is not one of"):
        Bundle.open(bundle_dir)


def test_an_oversized_manifest_is_refused(bundle_dir):
    (bundle_dir / "manifest.json").write_bytes(b" " * (MAX_MANIFEST_BYTES + 1))
    with pytest.raises(BundleError, match="larger than"):
        Bundle.open(bundle_dir)


def test_a_graph_with_external_data_does_not_load(build, tmp_path):
    onnx = pytest.importorskip("onnx")
    from avgn_edge.engines import probe

    model = onnx.load_from_string(probe.graph())
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    entry = model.graph.initializer[0].external_data.add()
    entry.key, entry.value = "location", "../../../../etc/passwd"
    with pytest.raises(BundleError, match="another file"):
        build(tmp_path / "external", model.SerializeToString())
    assert not (tmp_path / "external").exists()


def test_unknown_precisions_and_graphs_are_errors(bundle_dir):
    bundle = Bundle.open(bundle_dir)
    with pytest.raises(BundleError, match="fp32, int8"):
        bundle.verify("fp16")
    with pytest.raises(BundleError, match="no graph"):
        bundle.graph_bytes_path("fp32", "../manifest")
    with pytest.raises(BundleError):
        Bundle.open(bundle_dir, verify=["fp64"])


@posix
def test_a_link_that_leaves_the_bundle_is_refused(bundle_dir, graph, tmp_path):
    outside = tmp_path / "outside.onnx"
    outside.write_bytes(graph)
    victim = bundle_dir / "graphs" / "fp32" / "spatial.onnx"
    victim.unlink()
    victim.symlink_to(outside)
    with pytest.raises(BundleError, match="outside the bundle"):
        Bundle.open(bundle_dir)


@posix
def test_a_folder_link_that_leaves_the_bundle_is_refused(bundle_dir, tmp_path):
    shutil.move(bundle_dir / "graphs", tmp_path / "graphs")
    (bundle_dir / "graphs").symlink_to(tmp_path / "graphs")
    with pytest.raises(BundleError, match="outside the bundle"):
        Bundle.open(bundle_dir)


@posix
def test_a_manifest_that_is_a_link_to_elsewhere_is_refused(bundle_dir, tmp_path):
    shutil.move(bundle_dir / "manifest.json", tmp_path / "manifest.json")
    (bundle_dir / "manifest.json").symlink_to(tmp_path / "manifest.json")
    with pytest.raises(BundleError, match="outside the bundle"):
        Bundle.open(bundle_dir)


@posix
def test_links_inside_the_bundle_and_to_the_bundle_are_fine(bundle_dir, tmp_path):
    victim = bundle_dir / "graphs" / "int8" / "spatial.onnx"
    victim.unlink()
    victim.symlink_to(bundle_dir / "graphs" / "fp32" / "spatial.onnx")
    (tmp_path / "alias").symlink_to(bundle_dir)
    Bundle.open(tmp_path / "alias", verify="all")


@posix
def test_a_link_ring_a_pipe_and_a_folder_are_refused(bundle_dir):
    victim = bundle_dir / "graphs" / "fp32" / "spatial.onnx"
    victim.unlink()
    victim.symlink_to(victim.name)
    with pytest.raises(BundleError, match="cannot be read"):
        Bundle.open(bundle_dir)
    victim.unlink()
    os.mkfifo(victim)
    with pytest.raises(BundleError, match="not a regular file"):
        Bundle.open(bundle_dir)
    victim.unlink()
    victim.mkdir()
    with pytest.raises(BundleError, match="not a regular file"):
        Bundle.open(bundle_dir)


def test_two_names_for_the_same_bytes_are_fine_and_each_is_held_to_its_own_hash(bundle_dir):
    def change(document):
        document["graphs"]["fp32"]["spatial"]["path"] = "graphs/int8/spatial.onnx"

    edit(bundle_dir, change)
    Bundle.open(bundle_dir, verify="all")
    edit(bundle_dir, lambda document: document["graphs"]["fp32"]["spatial"].update(sha256="0" * 64))
    bundle = Bundle.open(bundle_dir)
    bundle.verify("int8")  # that the file is what one entry says …
    with pytest.raises(BundleError, match=r"spatial\.onnx.*hash"):
        bundle.verify("fp32")  # … does not make it what the other says
    bundle = Bundle.open(bundle_dir)
    with pytest.raises(BundleError, match="hash"):
        bundle.graph_bytes_path("fp32", "spatial")
    assert bundle.graph_bytes_path("int8", "spatial").is_file()


# ---- INT8 variants --------------------------------------------------------------------------------------------------


def test_a_variant_gives_its_own_file_and_shares_the_others(variant_dir, graph, other_graph):
    bundle = Bundle.open(variant_dir, verify="all")
    assert bundle.graph_bytes_path("int8", "local_encoder").read_bytes() == graph
    assert bundle.graph_bytes_path("int8", "local_encoder", "s8s8").read_bytes() == other_graph
    assert bundle.graph_bytes_path("int8", "spatial", "s8s8") == bundle.graph_bytes_path("int8", "spatial")
    assert bundle.graph_bytes_path("fp32", "local_encoder", "s8s8").read_bytes() == graph


def test_a_variant_s_bytes_are_checked_when_it_is_asked_for(variant_dir, other_graph):
    victim = variant_dir / "graphs" / "int8-s8s8" / "local_encoder.onnx"
    victim.write_bytes(other_graph[:-1] + bytes([other_graph[-1] ^ 1]))
    bundle = Bundle.open(variant_dir)
    bundle.verify("int8", "u8s8")  # a variant never used is never read …
    bundle.verify("fp32")
    for use in (
        lambda: bundle.verify("int8", "s8s8"),
        lambda: bundle.verify("int8"),  # … but is one of them all
        lambda: bundle.graph_bytes_path("int8", "local_encoder", "s8s8"),
        lambda: Bundle.open(variant_dir, verify="all"),
    ):
        with pytest.raises(BundleError, match=r"int8-s8s8.local_encoder\.onnx.*hash"):
            use()
    assert bundle.graph_bytes_path("int8", "local_encoder").is_file()


def test_a_variant_s_file_is_located_when_the_bundle_opens(variant_dir, other_graph):
    victim = variant_dir / "graphs" / "int8-s8s8" / "local_encoder.onnx"
    victim.write_bytes(other_graph + b"\0")
    with pytest.raises(BundleError, match="bytes, the manifest says"):
        Bundle.open(variant_dir)
    victim.unlink()
    with pytest.raises(BundleError, match="missing"):
        Bundle.open(variant_dir)


@pytest.mark.parametrize("variant", ["symmetric", "../s8s8", ""])
def test_a_variant_that_is_not_held_is_one_line(variant, variant_dir):
    bundle = Bundle.open(variant_dir)
    for use in (
        lambda: bundle.graph_bytes_path("int8", "spatial", variant),
        lambda: bundle.verify("int8", variant),
    ):
        with pytest.raises(BundleError, match=r"no INT8 graphs for this kind of device.*calibrate") as caught:
            use()
        assert "\n" not in str(caught.value)
    assert bundle.graph_bytes_path("fp32", "spatial", variant).is_file()  # of fp32 there is one for all


def test_threads_may_verify_at_once(bundle_dir):
    bundle = Bundle.open(bundle_dir)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda name: bundle.graph_bytes_path("fp32", name).is_file(), GRAPHS * 5))


def test_the_packaged_bundle_is_found_or_its_absence_said(tmp_path, monkeypatch):
    from avgn_edge.bundle import reader

    monkeypatch.setattr(reader.resources, "files", lambda _: tmp_path)
    with pytest.raises(BundleError, match="--model"):
        reader.packaged_bundle_path()
    (tmp_path / "packaged" / "digits-small").mkdir(parents=True)
    assert reader.packaged_bundle_path() == tmp_path / "packaged" / "digits-small"
