"""Every engine gives NumPy's answer, from several threads, and says what it really runs on."""

from __future__ import annotations

import builtins
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from avgn_edge.errors import BundleError, DeviceError
from avgn_edge.runtime.devices import open_engine
from avgn_edge.runtime.engines import probe

ENGINES = {"cpu": "onnxruntime", "openvino:CPU": "openvino"}


@pytest.fixture(params=ENGINES)
def engine(request):
    pytest.importorskip(ENGINES[request.param])
    return open_engine(request.param, threads=1)


@pytest.fixture
def probe_path(tmp_path):
    path = tmp_path / "probe.onnx"
    path.write_bytes(probe.graph())
    return path


def small_graph(helper, types):
    """One uint8 input of n items, state in and out, an output that is only a new name of an inner tensor."""
    frames = helper.make_tensor_value_info("frames", types.UINT8, ["n", 4])
    state = helper.make_tensor_value_info("state", types.FLOAT, [1, 4])
    best = helper.make_tensor_value_info("zz_best", types.FLOAT, [1, 4])
    values = helper.make_tensor_value_info("new_state", types.FLOAT, ["n", 4])
    nodes = [
        helper.make_node("Cast", ["frames"], ["aa_float"], to=types.FLOAT),
        helper.make_node("Add", ["aa_float", "state"], ["new_state"]),
        helper.make_node("ReduceMax", ["new_state", "axis"], ["aa_inner"], keepdims=1),
        helper.make_node("Identity", ["aa_inner"], ["zz_best"]),
    ]
    axis = helper.make_tensor("axis", types.INT64, [1], [0])
    graph = helper.make_graph(nodes, "small", [frames, state], [values, best], [axis])
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])


@pytest.fixture
def small_path(tmp_path):
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "small.onnx"
    path.write_bytes(small_graph(onnx.helper, onnx.TensorProto).SerializeToString())
    return path


def test_the_probe_is_a_valid_onnx_model():
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(probe.graph())
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, model.opset_import[0].version) == (10, 20)
    assert model.SerializeToString(deterministic=True) == probe.graph()
    evaluator = pytest.importorskip("onnx.reference").ReferenceEvaluator(model)
    np.testing.assert_array_equal(evaluator.run(None, {"image": probe.IMAGE})[0], probe.expected())


def test_the_probe_gives_numpy_s_answer_exactly(engine, probe_path):
    answer = engine.open(probe_path).run({"image": probe.IMAGE})
    assert list(answer) == ["answer"]
    assert answer["answer"].dtype == np.float32
    np.testing.assert_array_equal(answer["answer"], probe.expected())
    probe.check(engine)


def test_outputs_have_their_own_names_and_dynamic_sizes(engine, small_path):
    session = engine.open(small_path)
    rng = np.random.default_rng(0)
    for n in (1, 5, 2):
        frames = rng.integers(0, 256, (n, 4), dtype=np.uint8)
        state = rng.normal(size=(1, 4)).astype(np.float32)
        got = session.run({"frames": frames, "state": state})
        assert set(got) == {"new_state", "zz_best"}
        np.testing.assert_allclose(got["new_state"], frames + state, rtol=1e-6)
        np.testing.assert_allclose(got["zz_best"], (frames + state).max(0, keepdims=True), rtol=1e-6)


def test_inputs_need_not_be_contiguous_and_stay_as_they_were(engine, small_path):
    frames = np.arange(64, dtype=np.uint8).reshape(4, 16)[::-1, ::4]
    state = np.zeros((4, 1), np.float32).T
    before = frames.copy()
    got = engine.open(small_path).run({"frames": frames, "state": state})
    np.testing.assert_array_equal(got["new_state"], before)
    np.testing.assert_array_equal(frames, before)


def test_results_survive_the_next_run(engine, probe_path):
    session = engine.open(probe_path)
    first = session.run({"image": probe.IMAGE})["answer"]
    session.run({"image": probe.IMAGE * 0})
    np.testing.assert_array_equal(first, probe.expected())


def test_threads_share_a_session(engine, small_path):
    session = engine.open(small_path)

    def run(value):
        frames = np.full((1 + value % 7, 4), value, np.uint8)
        got = session.run({"frames": frames, "state": np.zeros((1, 4), np.float32)})
        return got["zz_best"].ravel().tolist() == [value] * 4

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(run, range(200)))


def test_an_engine_says_what_it_is(engine):
    assert engine.device == engine.report.used
    assert engine.report.engine == ENGINES[engine.device]
    assert engine.report.engine_version[0].isdigit()
    assert engine.report.to_dict()["asked"] == engine.device


@pytest.mark.parametrize("data", [b"", b"not a graph", probe.graph()[:-40]])
def test_a_damaged_graph_is_a_bundle_error(engine, tmp_path, data):
    path = tmp_path / "bad.onnx"
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"bad\.onnx"):
        engine.open(path)
    with pytest.raises(BundleError, match=r"absent\.onnx"):
        engine.open(tmp_path / "absent.onnx")


@pytest.mark.parametrize("inputs", [{}, {"image": probe.IMAGE[:, :, :2]}, {"other": probe.IMAGE}])
def test_wrong_inputs_are_one_line_errors(engine, probe_path, inputs):
    with pytest.raises(DeviceError, match="failed to run") as caught:
        engine.open(probe_path).run(inputs)
    assert "\n" not in str(caught.value)


def test_wrong_results_are_noticed(engine, monkeypatch):
    monkeypatch.setattr(probe, "expected", lambda: np.zeros((1, 1, 2, 3), np.float32))
    with pytest.raises(DeviceError, match="wrong results"):
        probe.check(engine)


def test_a_session_that_fell_back_is_refused(monkeypatch, probe_path):
    pytest.importorskip("onnxruntime")
    from avgn_edge.runtime.engines import ort

    loaded = ort._load()
    monkeypatch.setattr(loaded, "get_available_providers", lambda: list(ort.PROVIDERS.values()))
    for kind in ("cuda", "tensorrt"):
        cuda = ort.OrtEngine(kind)
        monkeypatch.setattr(cuda, "_providers", lambda _: [(ort.PROVIDERS["cpu"], {})])
        with pytest.raises(DeviceError, match=rf"{kind}:0.*fell back to CPUExecutionProvider"):
            cuda.open(probe_path)


def test_a_provider_that_was_not_built_in_is_refused_before_anything_opens():
    ort = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this machine has it")
    with pytest.raises(DeviceError, match=r"without CUDA.*avgn-edge\[gpu\]"):
        open_engine("cuda:0")


def test_an_absent_openvino_device_is_refused_naming_those_present():
    openvino = pytest.importorskip("openvino")
    present = openvino.Core().available_devices
    for target in ("GPU", "NPU"):
        if not any(name.startswith(target) for name in present):
            with pytest.raises(DeviceError, match=rf"finds no {target}.*CPU"):
                open_engine(f"openvino:{target}")


def test_openvino_auto_names_the_device_it_took():
    pytest.importorskip("openvino")
    engine = open_engine("openvino:AUTO")
    assert engine.report.asked == "openvino:AUTO"
    assert engine.device in {"openvino:CPU", "openvino:GPU", "openvino:NPU"}
    probe.check(engine)


@pytest.mark.parametrize(
    ("device", "package", "advice"),
    [
        ("cpu", "onnxruntime", "pip install 'avgn-edge[cpu]'"),
        ("cuda", "onnxruntime", "pip install 'avgn-edge[gpu]'"),
        ("tensorrt", "onnxruntime", "pip install 'avgn-edge[gpu]'"),
        ("openvino", "openvino", "pip install 'avgn-edge[openvino]'"),
    ],
)
def test_a_missing_engine_names_the_extra(device, package, advice, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(DeviceError) as caught:
        open_engine(device)
    assert advice in str(caught.value)
    assert "not installed" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_jetson_is_told_of_nvidia_s_wheel(monkeypatch):
    from avgn_edge.runtime.engines import ort

    monkeypatch.setattr(ort.Path, "exists", lambda path: str(path) == "/etc/nv_tegra_release")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DeviceError, match="JetPack"):
        open_engine("tensorrt")


def test_a_session_is_opened_with_the_options_that_were_measured(probe_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    engine = open_engine("cpu", threads=3)
    options = engine._options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_tensorrt_caches_by_graph_and_does_without_where_it_cannot_write(probe_path, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    engine = open_engine("cpu")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    settings = engine._tensorrt(probe_path)
    assert settings["trt_engine_cache_path"].startswith(str(tmp_path / "cache" / "avgn-edge" / "tensorrt"))
    assert not settings["trt_int8_enable"]
    other = tmp_path / "other.onnx"
    other.write_bytes(probe.graph() + b"DequantizeLinear")
    assert engine._tensorrt(other)["trt_engine_cache_path"] != settings["trt_engine_cache_path"]
    assert engine._tensorrt(other)["trt_int8_enable"]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert "trt_engine_cache_enable" not in engine._tensorrt(probe_path)


def test_nothing_is_written_to_stdout(engine, probe_path, capfd):
    engine.open(probe_path).run({"image": probe.IMAGE})
    assert capfd.readouterr().out == ""


def test_threads_default_to_the_cores_this_process_may_use(monkeypatch):
    from avgn_edge.runtime.engines import threads

    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: {1, 3, 5}, raising=False)
    assert threads.usable_cores() == 3
    monkeypatch.delattr(threads.os, "sched_getaffinity")
    monkeypatch.setattr(threads.os, "cpu_count", lambda: None)
    assert threads.usable_cores() == 1
