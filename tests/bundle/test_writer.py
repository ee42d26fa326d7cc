"""A bundle is replaced whole or left as it was."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from avgn_edge._base.errors import BundleError
from avgn_edge.architectures.avgn.spec import GRAPHS
from avgn_edge.bundle import writer
from avgn_edge.bundle.reader import Bundle
from avgn_edge.bundle.writer import write_bundle


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def content(manifest, graph, variant=b""):
    """One graph everywhere, and `variant` as whatever the INT8 variants have of their own."""
    files = {precision: dict.fromkeys(GRAPHS, graph) for precision in manifest.graphs}
    own = {f"int8-{name}": dict.fromkeys(graphs, variant) for name, graphs in manifest.int8_variants.items()}
    return files | own


def renamed(manifest, name="second"):
    return dataclasses.replace(manifest, name=name)


def test_what_is_written_opens(tmp_path, manifest, graph):
    bundle = write_bundle(tmp_path / "deep" / "er" / "bundle", manifest, content(manifest, graph))
    assert bundle.manifest == manifest
    assert Bundle.open(tmp_path / "deep" / "er" / "bundle", verify="all").hash == bundle.hash
    names = {f"graphs/{precision}/{name}.onnx" for precision in ("fp32", "int8") for name in GRAPHS}
    assert set(everything(bundle.path)) == names | {"manifest.json"}


def test_writing_is_deterministic(tmp_path, manifest, graph):
    first = write_bundle(tmp_path / "a", manifest, content(manifest, graph))
    second = write_bundle(tmp_path / "b", manifest, content(manifest, graph))
    assert everything(first.path) == everything(second.path)
    assert first.hash == second.hash


def test_graphs_may_come_from_the_bundle_being_replaced(bundle_dir, manifest):
    files = {
        precision: {name: bundle_dir / "graphs" / precision / f"{name}.onnx" for name in GRAPHS}
        for precision in manifest.graphs
    }
    assert write_bundle(bundle_dir, renamed(manifest), files).manifest.name == "second"
    Bundle.open(bundle_dir, verify="all")


def test_a_precision_that_went_away_is_gone_and_extras_stay(bundle_dir, manifest, graph):
    (bundle_dir / "README.md").write_text("card")
    (bundle_dir / "profiles").mkdir()
    (bundle_dir / "profiles" / "laptop.json").write_text("{}")
    lean = dataclasses.replace(manifest, graphs={"fp32": manifest.graphs["fp32"]})
    write_bundle(bundle_dir, lean, content(lean, graph))
    assert not (bundle_dir / "graphs" / "int8").exists()
    assert (bundle_dir / "README.md").read_text() == "card"
    assert (bundle_dir / "profiles" / "laptop.json").read_text() == "{}"
    assert [path.name for path in bundle_dir.parent.iterdir()] == [bundle_dir.name]


@pytest.mark.parametrize("step", ["flush", "_keep_extras", "_move_into_place"])
def test_a_failure_leaves_the_old_bundle_and_no_litter(step, bundle_dir, manifest, graph, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    before = everything(bundle_dir)
    monkeypatch.setattr(writer, step, fail)
    with pytest.raises(BundleError, match="No space left"):
        write_bundle(bundle_dir, renamed(manifest), content(manifest, graph))
    assert everything(bundle_dir) == before
    assert [path.name for path in bundle_dir.parent.iterdir()] == [bundle_dir.name]


@pytest.mark.parametrize("failure", [OSError(5, "Input/output error"), KeyboardInterrupt()], ids=["error", "ctrl-c"])
def test_a_failed_last_rename_puts_the_old_bundle_back(failure, bundle_dir, manifest, graph, monkeypatch):
    before = everything(bundle_dir)
    rename = Path.rename

    def fail_on_new(self, target):
        if ".new-" in self.name:
            raise failure
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_on_new)
    with pytest.raises((BundleError, KeyboardInterrupt)):
        write_bundle(bundle_dir, renamed(manifest), content(manifest, graph))
    assert everything(bundle_dir) == before
    assert [path.name for path in bundle_dir.parent.iterdir()] == [bundle_dir.name]


def test_bytes_that_differ_from_the_manifest_are_not_written(tmp_path, manifest, graph):
    files = content(manifest, graph)
    files["fp32"]["spatial"] = graph + b"\0"
    with pytest.raises(BundleError, match="manifest says"):
        write_bundle(tmp_path / "bundle", manifest, files)
    del files["fp32"]["spatial"]
    with pytest.raises(BundleError, match="no graph spatial"):
        write_bundle(tmp_path / "bundle", manifest, files)
    with pytest.raises(BundleError, match="precisions"):
        write_bundle(tmp_path / "bundle", manifest, {"fp32": dict.fromkeys(GRAPHS, graph)})
    assert list(tmp_path.iterdir()) == []


def test_an_invalid_manifest_is_not_written(tmp_path, manifest, graph):
    with pytest.raises(BundleError, match="labels"):
        write_bundle(tmp_path / "bundle", dataclasses.replace(manifest, labels=()), content(manifest, graph))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path, manifest, graph):
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("years")
    with pytest.raises(BundleError, match="other than a bundle"):
        write_bundle(home, manifest, content(manifest, graph))
    assert (home / "thesis.txt").read_text() == "years"
    with pytest.raises(BundleError, match="file of that name"):
        write_bundle(home / "thesis.txt", manifest, content(manifest, graph))


def test_an_empty_folder_is_filled(tmp_path, manifest, graph):
    (tmp_path / "empty").mkdir()
    write_bundle(tmp_path / "empty", manifest, content(manifest, graph))
    Bundle.open(tmp_path / "empty", verify="all")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX links")
def test_a_link_to_a_bundle_keeps_leading_to_it(bundle_dir, tmp_path, manifest, graph):
    (tmp_path / "latest").symlink_to(bundle_dir)
    write_bundle(tmp_path / "latest", renamed(manifest), content(manifest, graph))
    assert (tmp_path / "latest").is_symlink()
    assert Bundle.open(bundle_dir).manifest.name == "second"


def test_variants_are_written_beside_the_others_and_a_failure_writes_none(variant_dir, tmp_path, graph, other_graph):
    described = Bundle.open(variant_dir, verify="all").manifest
    assert list(described.int8_variants) == ["s8s8"]
    assert (variant_dir / "graphs" / "int8-s8s8" / "local_encoder.onnx").read_bytes() == other_graph
    assert sorted(path.name for path in (variant_dir / "graphs").iterdir()) == ["fp32", "int8", "int8-s8s8"]
    files = content(described, graph, other_graph)
    for wrong, why in (
        ({name: graphs for name, graphs in files.items() if name != "int8-s8s8"}, "precisions"),
        ({**files, "int8-symmetric": dict.fromkeys(GRAPHS, graph)}, "precisions"),
        ({**files, "int8-s8s8": {}}, "no graph local_encoder in int8-s8s8"),
        ({**files, "int8-s8s8": {"local_encoder": graph}}, "hash"),
    ):
        with pytest.raises(BundleError, match=why):
            write_bundle(tmp_path / "other", described, wrong)
        assert [path.name for path in tmp_path.iterdir()] == ["variants"]


def test_a_variant_s_file_may_come_from_the_bundle_being_replaced(variant_dir, other_graph):
    old = Bundle.open(variant_dir)
    files = {
        precision: {name: old.graph_bytes_path(precision, name) for name in GRAPHS} for precision in old.precisions
    }
    files["int8-s8s8"] = {"local_encoder": old.graph_bytes_path("int8", "local_encoder", "s8s8")}
    bundle = write_bundle(variant_dir, renamed(old.manifest), files)
    assert bundle.manifest.name == "second"
    assert bundle.graph_bytes_path("int8", "local_encoder", "s8s8").read_bytes() == other_graph


def test_two_entries_of_one_path_with_different_bytes_are_not_written(tmp_path, variant_manifest, graph, other_graph):
    own = variant_manifest.int8_variants["s8s8"]["local_encoder"]
    shared = dataclasses.replace(own, path="graphs/int8/local_encoder.onnx")
    described = dataclasses.replace(variant_manifest, int8_variants={"s8s8": {"local_encoder": shared}})
    with pytest.raises(BundleError, match=r"int8.local_encoder\.onnx.*hash"):
        write_bundle(tmp_path / "bundle", described, content(described, graph, other_graph))
    assert list(tmp_path.iterdir()) == []
