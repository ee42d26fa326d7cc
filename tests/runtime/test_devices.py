"""A device asked for by name is used or refused in one line; `auto` says what it took and why."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avgn_edge._base.errors import DeviceError
from avgn_edge.architectures.avgn.spec import GRAPHS
from avgn_edge.engines import select
from avgn_edge.engines.select import Device, choose_precision, open_engine, precision_note
from avgn_edge.runtime import device_check
from avgn_edge.runtime.device_check import prepare

ALL = ("fp32", "fp16", "int8")


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("auto", Device("auto")),
        ("CPU", Device("cpu")),
        ("cuda", Device("cuda", 0)),
        ("Cuda:3", Device("cuda", 3)),
        ("tensorrt", Device("tensorrt")),
        ("TENSORRT:12", Device("tensorrt", 12)),
        ("openvino", Device("openvino", target="CPU")),
        ("OpenVINO:gpu", Device("openvino", target="GPU")),
        ("openvino:NPU", Device("openvino", target="NPU")),
        ("openvino:auto", Device("openvino", target="AUTO")),
    ],
)
def test_devices_are_read_in_any_case(text, device):
    assert Device.parse(text) == device
    assert Device.parse(str(device)) == device


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "gpu",
            "cpu:0",
            "auto:1",
            "cuda:",
            "cuda:-1",
            "cuda:x",
            "cuda:1.0",
            "cuda:0:0",
            "cuda:99999",
            " cpu",
            "cpu\n",
        ),
        *("openvino:", "openvino:TPU", "openvino:GPU.0", "rocm", "cuda:١", "x" * 1000, "cpu,cuda"),
    ],
    ids=ascii,
)
def test_unknown_devices_are_refused_with_the_valid_ones(text):
    with pytest.raises(DeviceError) as caught:
        open_engine(text)
    message = str(caught.value)
    assert select.VALID_DEVICES in message
    assert "\n" not in message
    assert len(message) < 200


@given(st.text(max_size=20))
def test_any_text_is_a_device_or_a_device_error(text):
    with contextlib.suppress(DeviceError):
        Device.parse(text)


@pytest.mark.parametrize(
    ("device", "best"),
    [
        ("cpu", "int8"),
        ("openvino:CPU", "int8"),
        ("openvino:GPU", "int8"),
        ("tensorrt:0", "int8"),
        ("cuda:0", "fp16"),
        ("CUDA", "fp16"),
    ],
)
def test_auto_precision_is_the_best_for_the_device(device, best):
    assert choose_precision("auto", ALL, device) == best
    assert choose_precision("AUTO", ALL, device) == best
    assert precision_note("auto", best, device) is None
    lesser = choose_precision("auto", [name for name in ALL if name != best], device)
    assert lesser == "fp32"
    assert best in precision_note("auto", lesser, device)
    assert choose_precision("auto", ("fp16",), device) == "fp16"


def test_a_precision_asked_for_by_name_is_used_or_refused():
    for name in ALL:
        assert choose_precision(name, ALL, "cpu") == name
        assert precision_note(name, name, "cpu") is None
    with pytest.raises(DeviceError, match="holds fp32, fp16"):
        choose_precision("int8", ("fp32", "fp16"), "cpu")
    with pytest.raises(DeviceError, match="auto, fp32, fp16, int8"):
        choose_precision("fp8", ALL, "cpu")
    with pytest.raises(DeviceError, match="holds none"):
        choose_precision("auto", (), "cpu")


def test_auto_takes_onnxruntime_s_cpu_and_says_why_not_cuda():
    ort = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this machine may have CUDA")
    report = open_engine().report
    assert (report.asked, report.used, report.engine) == ("auto", "cpu", "onnxruntime")
    assert any("cuda" in note for note in report.notes)


def test_auto_takes_cuda_only_when_a_graph_really_runs(monkeypatch):
    ort_engine = pytest.importorskip("avgn_edge.engines.onnxruntime")
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(
        ort_engine._load(), "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(
        ort_engine.OrtEngine, "_providers", lambda *_: [("CPUExecutionProvider", {})]
    )  # as the library does when CUDA cannot start
    report = open_engine("auto").report
    assert report.used == "cpu"
    assert "fell back" in report.notes[0]
    with pytest.raises(DeviceError, match="fell back"):
        open_engine("cuda")


def test_auto_takes_openvino_when_onnxruntime_is_missing(monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    report = open_engine().report
    assert (report.used, report.engine) == ("openvino:CPU", "openvino")
    assert sum("not used" in note for note in report.notes) == 2


def test_no_engine_at_all_names_an_extra(monkeypatch):
    for package in ("onnxruntime", "openvino"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DeviceError, match=r"no inference engine.*avgn-edge\[cpu\]"):
        open_engine()


def test_threads_must_be_positive():
    for threads in (0, -2):
        with pytest.raises(DeviceError, match="threads"):
            open_engine("cpu", threads=threads)


def test_doctor_runs_something_on_every_device_and_never_raises():
    health = {row.device: row for row in device_check.examine()}
    assert set(health) == set(device_check.DEVICES)
    for row in health.values():
        assert row.ok == (row.why is None) == (row.what_to_do is None) == (row.engine is not None)
        assert row.to_dict()["ok"] is row.ok
    assert health["cpu"].ok or health["openvino:CPU"].ok
    assert device_check.versions()["numpy"]


def test_doctor_survives_missing_engines(monkeypatch):
    for package in ("onnxruntime", "openvino"):
        monkeypatch.setitem(sys.modules, package, None)
    for row in device_check.examine():
        assert not row.ok
        assert "avgn-edge[" in row.what_to_do


def test_doctor_times_a_look_on_each_device_that_works(tiny_bundle):
    for row in device_check.examine(tiny_bundle, ("cpu", "openvino:CPU", "cuda:0")):
        assert (row.look_ms is not None and row.look_ms > 0) == row.ok
        assert row.precision == ("fp32" if row.ok else None)
        assert row.to_dict()["look_ms"] == row.look_ms
        assert not row.ok or any("holds no" in note for note in row.notes)


def test_a_device_that_fails_a_bundle_s_graph_does_not_work(tiny_bundle, monkeypatch):
    ort = pytest.importorskip("avgn_edge.engines.onnxruntime")
    pytest.importorskip("onnxruntime")
    real = ort.OrtEngine.open

    def refuse(engine, path, precision="fp32"):
        if path.stem == "spatial":
            raise DeviceError(engine.device, "GridSample is not in this driver", "update it")
        return real(engine, path, precision)

    monkeypatch.setattr(ort.OrtEngine, "open", refuse)
    (row,) = device_check.examine(tiny_bundle, ("cpu",))
    assert (row.ok, row.why, row.what_to_do) == (False, "GridSample is not in this driver", "update it")
    assert row.look_ms is None


def test_preparing_opens_and_runs_every_graph_for_the_sizes_clips_use(tiny_bundle, device):
    rows = list(prepare(tiny_bundle, open_engine(device), "fp32"))
    settings = tiny_bundle.manifest.settings
    sizes = {graph: [row.items for row in rows if row.graph == graph] for graph in GRAPHS}
    assert sizes == {
        "audio_encoder": [1, 16],
        "global_encoder": sorted({1, settings.glances}),
        "saliency": [1],
        "spatial": [1],
        "local_encoder": sorted({1, settings.looks}),
        "classifier": [1],
    }
    for row in rows:
        assert (row.device, row.precision) == (device, "fp32")
        assert row.ready_s > 0
        assert row.run_ms > 0


@pytest.mark.parametrize(
    ("installed", "problem"),
    [
        ({"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.31.1"}, "both installed"),
        ({"onnxruntime": "1.24.1"}, "broken"),
        ({"onnxruntime-gpu": "1.25.3"}, "broken"),
        ({}, "no inference engine"),
        ({"onnxruntime": "1.24.10"}, None),
        ({"onnxruntime": "1.26.1"}, None),
        ({"openvino": "2026.4.1"}, None),
    ],
)
def test_doctor_notices_a_broken_installation(installed, problem, monkeypatch):
    monkeypatch.setattr(device_check, "_version", installed.get)
    found = device_check.problems()
    assert (problem is None and found == ()) or (len(found) == 1 and problem in found[0])


def test_the_runtime_imports_nothing_heavy():
    code = (
        "import sys\n"
        "import avgn_edge.bundle.reader, avgn_edge.bundle.writer, avgn_edge.runtime.crop\n"
        "import avgn_edge.engines.select, avgn_edge.runtime.device_check\n"
        "import avgn_edge.engines.onnxruntime, avgn_edge.engines.openvino\n"
        "heavy = {'torch', 'onnx', 'scipy', 'onnxruntime', 'openvino'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "avgn_edge.engines.select.open_engine()\n"
        "print(sorted({'torch', 'onnx', 'scipy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]
