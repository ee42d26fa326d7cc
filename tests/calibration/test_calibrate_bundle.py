"""A tiny bundle calibrated on tiny clips: what is written, written whole or not at all, and the same twice."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from network_makers import LABELS
from tiny_bundle import CLIPS, COMMITTED, calibrate_tiny, write_clips

from avgn_edge._base.errors import BundleError, DataError
from avgn_edge.architectures.avgn.spec import GRAPHS
from avgn_edge.bundle import writer as writer_module
from avgn_edge.bundle.calibration_tables import FIRST_LOOK
from avgn_edge.bundle.reader import Bundle
from avgn_edge.calibration import procedure as calibrate_module
from avgn_edge.calibration.comparison import Measured, measure
from avgn_edge.calibration.precisions import write_precisions
from avgn_edge.calibration.procedure import calibrate
from avgn_edge.cli import export as export_command
from avgn_edge.cli.main import main
from avgn_edge.data.datasets import read_dataset
from avgn_edge.export.onnx_graphs import Parity
from avgn_edge.export.to_bundle import Export, ExportedGraph
from avgn_edge.runtime.recognizer import Recognizer

MEASURED: dict[int, Measured] = {}
"""What the clips came to, for tests that are about what follows."""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A data set of 48 rows over a few short files."""
    return write_clips(tmp_path_factory.mktemp("calibration-clips"))


@pytest.fixture(scope="module")
def done(tiny_bundle, table, tmp_path_factory):
    """The tiny bundle with every precision, calibrated."""
    target = tmp_path_factory.mktemp("calibrated") / "bundle"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            calibrate_module, "measure", lambda *args, **named: MEASURED.setdefault(0, measure(*args, **named))
        )
        return calibrate_tiny(tiny_bundle, target, table)


def fingerprint(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_bundle_holds_every_precision_and_each_encoder_for_each_kind_of_device(done):
    opened = Bundle.open(done.bundle.path, verify="all")
    assert opened.precisions == ("fp32", "fp16", "int8")
    assert {name: set(graphs) for name, graphs in opened.manifest.int8_variants.items()} == {
        "s8s8": set(GRAPHS),
        "symmetric": set(GRAPHS),
    }
    for precision in ("fp16", "int8"):
        for graph in GRAPHS:
            assert opened.manifest.graphs[precision][graph].bytes < opened.manifest.graphs["fp32"][graph].bytes


@pytest.mark.parametrize("variant", ["u8s8", "s8s8", "symmetric"])
@pytest.mark.parametrize("graph", GRAPHS)
def test_the_committed_int8_graphs_are_made_again_by_today_s_code(done, graph, variant):
    """The same nodes; ranges may differ a little where another decoder or processor rounds otherwise."""
    kept, made = (
        onnx.load(bundle.graph_bytes_path("int8", graph, variant)).graph
        for bundle in (Bundle.open(COMMITTED), done.bundle)
    )
    assert list(made.node) == list(kept.node)
    assert [tensor.name for tensor in made.initializer] == [tensor.name for tensor in kept.initializer]
    for one, other in zip(made.initializer, kept.initializer, strict=True):
        now, before = (onnx.numpy_helper.to_array(tensor).astype(np.float64) for tensor in (one, other))
        if one.data_type in {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}:
            assert np.abs(now - before).max(initial=0) <= 2
        else:
            np.testing.assert_allclose(now, before, rtol=0.02, atol=1e-6 + 0.02 * np.abs(before).max(initial=0))


def test_the_committed_calibration_is_made_again_by_today_s_code(done):
    kept, made = (bundle.manifest for bundle in (Bundle.open(COMMITTED), done.bundle))
    assert made.cost == kept.cost
    assert [(t.glances, t.clips, len(t.temperatures)) for t in made.exits.tables["fp32"]] == [
        (t.glances, t.clips, len(t.temperatures)) for t in kept.exits.tables["fp32"]
    ]


def test_every_precision_answers_and_nearly_as_float_does(done, table):
    clip = table.parent / "3.mp4"
    answers = {}
    for precision in ("fp32", "fp16", "int8"):
        with Recognizer.open(done.bundle, device="cpu", precision=precision, threads=1) as recognizer:
            result = recognizer.classify(clip, exit_risk=0.0)
        assert result.precision == precision
        answers[precision] = result
    assert answers["fp32"].budget.spent_gflops == answers["int8"].budget.spent_gflops
    assert np.abs(answers["fp16"].probabilities - answers["fp32"].probabilities).max() < 0.02
    difference = np.abs(answers["int8"].probabilities - answers["fp32"].probabilities).max()
    assert 0 < difference < 0.3


def test_there_are_tables_and_points_for_each_precision_that_was_run(done):
    manifest = done.bundle.manifest
    settings = manifest.settings
    assert set(manifest.exits.tables) == {"fp32", "int8"}
    for tables in manifest.exits.tables.values():
        assert tables[-1].glances == settings.glances
        assert all(len(table.temperatures) == FIRST_LOOK + settings.looks for table in tables)
        assert all(table.clips == CLIPS - CLIPS // 4 for table in tables)
    kinds = {(point.precision, point.thresholds is None) for point in manifest.operating_points}
    assert kinds == {(precision, limit) for precision in ("fp32", "int8") for limit in (True, False)}


def test_an_average_of_the_bundle_is_kept_on_its_own_clips(done, table):
    points = [p for p in done.bundle.manifest.operating_points if p.precision == "fp32" and p.thresholds is not None]
    point = points[len(points) // 2]
    with Recognizer.open(done.bundle, device="cpu", precision="fp32", threads=1) as recognizer:
        spent = [
            recognizer.classify(table.parent / f"{at}.mp4", average=f"{point.mean_macs / 1e6:.6f}mflops").budget
            for at in range(6)
        ]
    assert np.mean([one.spent_gflops for one in spent]) * 1e9 == pytest.approx(point.mean_macs, rel=0.02)


def test_the_report_covers_each_graph_and_judges_on_clips_that_gave_no_ranges(done):
    assert [(row.precision, row.graph) for row in done.graphs] == [(p, g) for p in ("fp16", "int8") for g in GRAPHS]
    assert all(row.error is not None and np.isfinite(row.error) for row in done.graphs)
    assert done.agreements["int8"].clips == CLIPS - CLIPS // 4
    assert set(done.alone) == {("int8", graph) for graph in GRAPHS} | {("fp16", "every graph")}
    assert done.clips == CLIPS
    assert done.failed == ()


def test_the_same_clips_give_the_same_bundle_byte_for_byte_also_in_place(done, table, tmp_path):
    before = fingerprint(done.bundle.path)
    calibrate_tiny(done.bundle, done.bundle.path, table)
    assert fingerprint(done.bundle.path) == before


def test_a_calibration_that_is_interrupted_leaves_the_old_bundle_whole(done, table, monkeypatch):
    before = fingerprint(done.bundle.path)
    siblings = sorted(done.bundle.path.parent.iterdir())

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(writer_module, "_move_into_place", interrupted)
    monkeypatch.setattr(calibrate_module, "add_precisions", lambda source, *_, **__: _as_made(source))
    monkeypatch.setattr(calibrate_module, "measure", lambda *_, **__: MEASURED[0])
    with pytest.raises(KeyboardInterrupt):
        calibrate(done.bundle, done.bundle.path, read_dataset(table), precisions=("fp32",), threads=1)
    assert fingerprint(done.bundle.path) == before
    assert sorted(done.bundle.path.parent.iterdir()) == siblings


def _as_made(source):
    from avgn_edge.calibration.precisions import QuantisedBundle

    return QuantisedBundle(source, (), {})


def test_int8_that_loses_more_than_was_allowed_is_refused(done, table, monkeypatch, tmp_path):
    from avgn_edge.calibration.comparison import Agreement

    lossy = Agreement(45, 0.80, 0.85, 0.9, 0.9, 0.1, 3.0)
    monkeypatch.setattr(calibrate_module, "add_precisions", lambda source, *_, **__: _as_made(source))
    monkeypatch.setattr(calibrate_module, "measure", lambda *_, **__: MEASURED[0])
    monkeypatch.setattr(calibrate_module, "compare", lambda *_: lossy)
    with pytest.raises(BundleError, match=r"in int8 it is right in 80.0% of 45 clips, in fp32 in 85.0%.*--max-loss"):
        calibrate(done.bundle, tmp_path / "lossy", read_dataset(table), precisions=("fp32", "int8"), threads=1)
    assert not (tmp_path / "lossy").exists()


def test_too_few_clips_are_one_line(tiny_bundle, table, tmp_path):
    few = tmp_path / "few.csv"
    few.write_text("path,label\n" + "".join(f"{table.parent}/0.mp4,{LABELS[at % 2]}\n" for at in range(20)))
    with pytest.raises(DataError, match="20 clips of labels that the bundle knows, and calibration needs 40"):
        calibrate(tiny_bundle, tmp_path / "none", read_dataset(few), precisions=("fp32",))
    assert not (tmp_path / "none").exists()


def test_fp16_alone_needs_no_clips(tiny_bundle, tmp_path):
    made = write_precisions(tiny_bundle, tmp_path / "half", ("fp32", "fp16"))
    assert made.precisions == ("fp32", "fp16")
    only = write_precisions(tiny_bundle, tmp_path / "only", ("fp16",))
    assert only.precisions == ("fp16",)
    assert only.manifest.graphs["fp16"]["spatial"].sha256 == made.manifest.graphs["fp16"]["spatial"].sha256


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--precisions", "int4"), "precision 'int4': unknown"),
        (("--max-loss", "-1"), "--max-loss -1: it is in points of top-1"),
        (("--split", "nowhere"), "nowhere"),
    ],
)
def test_a_wrong_request_to_calibrate_is_one_line(done, table, capfd, arguments, message):
    code = main(["calibrate", str(done.bundle.path), "--data", str(table), *arguments])
    told = capfd.readouterr()
    assert code == 2
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert message in told.err


def test_export_refuses_int8_without_clips_before_it_begins(capfd, tmp_path):
    assert main(["export", str(tmp_path / "no.pt"), "--precisions", "fp32,int8"]) == 2
    assert capfd.readouterr().err == (
        "error: precision int8: its ranges come from clips: give some with --calibration-data PATH\n"
    )


def test_export_with_clips_writes_a_calibrated_bundle(done, tiny_bundle, table, capfd, monkeypatch, tmp_path):
    """From the checkpoint's graphs on: making those takes a while, and tests/export does it."""
    manifest = tiny_bundle.manifest
    graphs = tuple(
        ExportedGraph(graph, manifest.graphs["fp32"][graph].bytes, manifest.cost[graph], (Parity(graph, "cpu", 0.0),))
        for graph in GRAPHS
    )
    monkeypatch.setattr(export_command, "_export", lambda *_asked: Export(tiny_bundle, graphs))
    monkeypatch.setattr(calibrate_module, "measure", lambda *_args, **_named: MEASURED[0])
    target = tmp_path / "bundle"
    asked = ["--calibration-data", str(table), "--threads", "1", "-o", str(target)]
    assert main(["export", str(tmp_path / "made.pt"), *asked]) == 0
    told = capfd.readouterr().out
    assert "error on cpu" in told  # what export shows
    assert "saliency" in told
    assert "exit risk" in told  # and what calibrate does
    opened = Bundle.open(target, verify="all")
    assert opened.precisions == ("fp32", "fp16", "int8")
    assert set(opened.manifest.exits.tables) == {"fp32", "int8"}
    for graph in GRAPHS:  # the same clips give the same graphs, whichever command it was
        assert opened.manifest.graphs["int8"][graph].sha256 == done.bundle.manifest.graphs["int8"][graph].sha256


def test_calibration_needs_no_pytorch():
    """The extra `calibrate` does not bring it."""
    code = "import sys, avgn_edge.calibration.procedure; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_info_tells_what_was_calibrated(done, capfd):
    assert main(["info", str(done.bundle.path)]) == 0
    told = capfd.readouterr().out
    for text in ("int8 for ARM", "int8 for TensorRT", "risks on 36 clips", "--average", "fp16"):
        assert text in told
