"""A cold start: what is imported, what is checked and opened beside it, and what it takes in memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from network_makers import FakeBundle, FakeClip, FakeEngine, fake_manifest

from avgn_edge._base.errors import BundleError, DeviceError
from avgn_edge.architectures.avgn.spec import GRAPHS
from avgn_edge.bundle.reader import Bundle, packaged_bundle_path
from avgn_edge.engines.base import DeviceReport
from avgn_edge.runtime.recognizer import Recognizer
from avgn_edge.runtime.sessions import Sessions

SAMPLE = packaged_bundle_path().parent / "sample.mp4"
MOST_MIB = {"cpu": 260, "openvino:CPU": 420}
"""Of a process, peak: 194 and 338 to 357 were seen with the locked versions."""
COLD = """
import json, sys
from pathlib import Path
from avgn_edge.cli.main import main
code = main(["classify", *sys.argv[1:]])
held = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(json.dumps({"code": code, "peak_kib": int(held[0]), "modules": sorted(sys.modules)}))
"""
FREE = dict.fromkeys(GRAPHS, (0, 0))
LIGHT = "import sys, avgn_edge.runtime.recognizer; print(*sys.modules)"


class CpuEngine(FakeEngine):
    """Says it is a CPU, notes what is opened, and waits for `gate` before it opens anything."""

    def __init__(self, manifest, refused=()):
        super().__init__(manifest)
        self.report = DeviceReport("cpu", "cpu", "fake", "0")
        self.opened, self.refused = [], refused
        self.entered, self.gate = threading.Event(), threading.Event()
        self.gate.set()

    def open(self, path, precision="fp32"):
        self.entered.set()
        assert self.gate.wait(30)
        if path.stem in self.refused:
            raise DeviceError("cpu", f"it does not take {path.stem}", "choose another")
        self.opened.append(path.stem)
        return super().open(path, precision)


def fake_sessions(threads=2):
    manifest = fake_manifest(FREE)
    made = CpuEngine(manifest)
    return Sessions(FakeBundle(manifest), made, "fp32", threads), made


def all_opened(sessions):
    sessions._opening.join(30)
    assert not sessions._opening.is_alive()


# ---- what is imported, and what it takes -----------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's own peak")
@pytest.mark.parametrize(("device", "engine"), [("cpu", "onnxruntime"), ("openvino:CPU", "openvino")])
def test_a_cold_classify_imports_what_it_uses_and_stays_inside_its_memory(device, engine):
    pytest.importorskip(engine)
    asked = [sys.executable, "-c", COLD, SAMPLE, "--device", device, "--json"]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    answer, told = map(json.loads, done.stdout.splitlines())
    assert (told["code"], answer["device"], done.stderr) == (0, device, "")
    loaded = {name.partition(".")[0] for name in told["modules"]}
    assert {"av", "numpy", engine} <= loaded
    unused = {"onnx", "torch", "rich", "scipy", "PIL", "matplotlib", "sklearn", "soundfile", "librosa", "safetensors"}
    unused.add("jinja2")  # for --report alone
    assert not loaded & ({*unused, "onnxruntime", "openvino"} - {engine})
    ours = {name.split(".")[1] for name in told["modules"] if name.startswith("avgn_edge.")}
    assert not ours & {"training", "export", "calibration", "data", "report"}
    assert told["peak_kib"] / 1024 < MOST_MIB[device]


def test_opening_a_bundle_begins_before_numpy_and_pyav_are_imported():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "avgn_edge.bundle.reader" in loaded
    assert not loaded & {"numpy", "av", "onnxruntime", "openvino"}


# ---- checking beside the imports -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packaged(tmp_path_factory):
    return shutil.copytree(packaged_bundle_path(), tmp_path_factory.mktemp("packaged") / "bundle")


@pytest.mark.parametrize("folder", ["fp32", "int8", "int8-s8s8", "int8-symmetric"])
def test_a_bundle_with_a_wrong_byte_in_any_precision_does_not_open(packaged, folder):
    path = max((packaged / "graphs" / folder).iterdir())
    kept = path.read_bytes()
    try:
        path.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        with pytest.raises(BundleError, match=f"{path.stem}.*hash"):
            Recognizer.open(packaged, "cpu")
    finally:
        path.write_bytes(kept)


def test_an_error_of_the_device_comes_before_that_of_a_file(packaged):
    path = packaged / Bundle.open(packaged).manifest.files[0].path
    kept = path.read_bytes()
    try:
        path.write_bytes(bytes(len(kept)))
        with pytest.raises(DeviceError, match="unknown"):
            Recognizer.open(packaged, "abacus")
    finally:
        path.write_bytes(kept)


# ---- graphs opened beside the clip -----------------------------------------------------------------------------------


def test_graphs_are_opened_ahead_in_order_and_each_once():
    sessions, engine = fake_sessions()
    for _ in range(3):
        sessions.open_ahead(GRAPHS)
    assert {id(sessions.get(graph)) for graph in reversed(GRAPHS)} == {id(sessions.get(graph)) for graph in GRAPHS}
    all_opened(sessions)
    assert sorted(engine.opened) == sorted(GRAPHS)


def test_a_graph_that_is_needed_does_not_wait_for_another_that_is_opening():
    sessions, engine = fake_sessions()
    sessions.get("classifier")
    engine.entered.clear()
    engine.gate.clear()
    sessions.open_ahead(GRAPHS)
    assert engine.entered.wait(30)
    sessions.get("classifier")  # while f_A's is held up
    engine.gate.set()
    all_opened(sessions)
    assert engine.opened == ["classifier", *GRAPHS[:-1]]


def test_one_thread_opens_nothing_ahead():
    sessions, engine = fake_sessions(threads=1)
    sessions.open_ahead(GRAPHS)
    assert sessions._opening is None
    assert engine.opened == []


def test_closing_stops_opening_ahead():
    sessions, engine = fake_sessions()
    engine.gate.clear()
    sessions.open_ahead(GRAPHS)
    assert engine.entered.wait(30)
    sessions.close()
    engine.gate.set()
    all_opened(sessions)
    assert engine.opened == ["audio_encoder"]


def test_a_graph_that_fails_ahead_is_told_to_whoever_needs_it(capfd):
    manifest = fake_manifest(FREE)
    engine = CpuEngine(manifest, refused=("global_encoder",))
    with Recognizer(FakeBundle(manifest), engine, "fp32", 2) as recognizer:
        with pytest.raises(DeviceError, match="does not take global_encoder"):
            recognizer.classify(FakeClip(np.ones(16, dtype=bool)))
        all_opened(recognizer._sessions)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("looks", "glances", "opened"), [(0, 0, 1), (0, 8, 2), (1, 8, 6)])
def test_only_graphs_that_the_budget_reaches_are_opened(looks, glances, opened):
    million = 10**6
    encoders = {"audio_encoder": (0, million), "global_encoder": (0, 10 * million)}
    manifest = fake_manifest({**FREE, **encoders, "classifier": (1000 * million, 0)})
    engine = CpuEngine(manifest)
    with Recognizer(FakeBundle(manifest), engine, "fp32", 2) as recognizer:
        budget = f"{16 + 10 * glances + 1010 * looks}mflops"
        result = recognizer.classify(FakeClip(np.ones(16, dtype=bool)), budget)
        all_opened(recognizer._sessions)
    assert sorted(engine.opened) == sorted(GRAPHS[:opened])
    assert result.budget.looks == looks
