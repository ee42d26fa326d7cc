"""Every engine gives NumPy's answer, from several threads, and says what it really runs on."""

from __future__ import annotations

import builtins
import locale
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from avgn_edge._base.errors import BundleError, DeviceError
from avgn_edge.engines import openvino as ov
from avgn_edge.engines import probe
from avgn_edge.engines.select import open_engine

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
    from avgn_edge.engines import onnxruntime as ort

    loaded = ort._load()
    monkeypatch.setattr(loaded, "get_available_providers", lambda: list(ort.PROVIDERS.values()))
    for kind in ("cuda", "tensorrt"):
        cuda = ort.OrtEngine(kind)
        monkeypatch.setattr(cuda, "_providers", lambda *_: [(ort.PROVIDERS["cpu"], {})])
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
    from avgn_edge.engines import onnxruntime as ort

    monkeypatch.setattr(ort.Path, "exists", lambda path: str(path) == "/etc/nv_tegra_release")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DeviceError, match="JetPack"):
        open_engine("tensorrt")


def test_a_session_is_opened_with_the_options_that_were_measured(probe_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    engine = open_engine("cpu", threads=3)
    options = engine._options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)


@pytest.mark.parametrize(("version", "spins"), [("1.20.0", "0"), ("1.24.4", "0"), ("1.27.0", "1"), ("2.0.0.dev1", "1")])
def test_threads_stay_awake_only_where_they_can_be_told_for_how_long(version, spins, monkeypatch):
    ort = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(ort, "__version__", version)
    options = open_engine("cpu", threads=2)._options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == spins
    if spins == "1":
        assert options.get_session_config_entry("session.intra_op.spin_duration_us") == "50"
        assert options.get_session_config_entry("session.force_spinning_stop") == "1"


def test_nothing_is_written_to_stdout(engine, probe_path, capfd):
    engine.open(probe_path).run({"image": probe.IMAGE})
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("device", "machine", "variant"),
    [
        ("cpu", "x86_64", "u8s8"),
        ("cpu", "AMD64", "u8s8"),
        ("cpu", "aarch64", "s8s8"),
        ("cpu", "arm64", "s8s8"),
        ("openvino:CPU", "aarch64", "u8s8"),
    ],
)
def test_an_engine_names_the_int8_graphs_it_computes_well(device, machine, variant, monkeypatch):
    pytest.importorskip(ENGINES[device])
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert open_engine(device).int8_variant == variant


def test_tensorrt_takes_symmetric_int8_and_cuda_none_of_its_own(monkeypatch):
    pytest.importorskip("onnxruntime")
    from avgn_edge.engines import onnxruntime as ort

    monkeypatch.setattr(ort._load(), "get_available_providers", lambda: list(ort.PROVIDERS.values()))
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert ort.OrtEngine("tensorrt").int8_variant == "symmetric"
    assert ort.OrtEngine("cuda").int8_variant == "u8s8"


def test_a_gpu_s_graph_is_bound_to_it_and_warmed_up(probe_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    from avgn_edge.engines import onnxruntime as ort

    warmed = []
    monkeypatch.setattr(ort._load(), "get_available_providers", lambda: list(ort.PROVIDERS.values()))
    monkeypatch.setattr(ort.BoundSession, "warm_up", lambda session: warmed.append(session._memory))
    engine = ort.OrtEngine("cuda", 2)
    (name, options), _ = engine._providers(probe_path, "fp16")
    assert (name, options["device_id"], options["use_tf32"]) == ("CUDAExecutionProvider", 2, 0)
    assert options["cudnn_conv_algo_search"] == "HEURISTIC"
    assert options["arena_extend_strategy"] == "kSameAsRequested"
    monkeypatch.setattr(ort, "PROVIDERS", dict.fromkeys(ort.PROVIDERS, "CPUExecutionProvider"))
    monkeypatch.setattr(engine, "_providers", lambda *_: [("CPUExecutionProvider", {})])
    assert isinstance(engine.open(probe_path), ort.BoundSession)
    assert warmed == ["cuda"]


def test_openvino_compiles_each_size_once_and_keeps_a_few(small_path, monkeypatch):
    pytest.importorskip("openvino")
    from avgn_edge.engines import openvino as ov

    compiled = []
    real = ov.OvEngine._compile

    def compile_model(engine, model, *others):
        compiled.append(model.inputs[0].get_partial_shape().to_string())
        return real(engine, model, *others)

    monkeypatch.setattr(ov.OvEngine, "_compile", compile_model)
    session = open_engine("openvino:CPU", threads=1).open(small_path)

    def run(items):
        session.run({"frames": np.zeros((items, 4), np.uint8), "state": np.zeros((1, 4), np.float32)})

    for items in (1, 3, 1, 3, 3):
        run(items)
    assert compiled == ["[1,4]", "[3,4]"]
    for items in range(1, 2 + ov.MOST_SIZES):
        run(items)
    assert len(session._sizes) == ov.MOST_SIZES
    before = len(compiled)
    run(1)  # the one unused for longest has made room
    assert compiled[before:] == ["[1,4]"]


def test_a_graph_that_openvino_takes_only_with_a_dynamic_size_runs_so(small_path, monkeypatch):
    pytest.importorskip("openvino")
    from avgn_edge.engines import openvino as ov

    compiled = []
    real = ov.OvEngine._compile

    def compile_model(engine, model, *others):
        compiled.append(model.is_dynamic())
        if not compiled[-1]:
            raise DeviceError("openvino:CPU", "it cannot compile small.onnx", "update its driver")
        return real(engine, model, *others)

    monkeypatch.setattr(ov.OvEngine, "_compile", compile_model)
    session = open_engine("openvino:CPU", threads=1).open(small_path)
    for items in (1, 4, 2):
        frames = np.full((items, 4), items, np.uint8)
        got = session.run({"frames": frames, "state": np.ones((1, 4), np.float32)})
        np.testing.assert_array_equal(got["new_state"], frames + np.float32(1))
    assert compiled == [False, True]
    monkeypatch.setattr(ov.OvEngine, "_compile", _refuse)
    session = open_engine("openvino:CPU", threads=1).open(small_path)
    with pytest.raises(DeviceError, match="cannot compile"):
        session.run({"frames": np.zeros((1, 4), np.uint8), "state": np.zeros((1, 4), np.float32)})


def _refuse(*_):
    raise DeviceError("openvino:CPU", "it cannot compile small.onnx", "update its driver")


@pytest.mark.parametrize("shape", [(2, 5), (4,), (1, 2, 4)])
def test_a_wrong_size_never_makes_another_graph(engine, small_path, shape):
    session = engine.open(small_path)
    with pytest.raises(DeviceError, match="failed to run"):
        session.run({"frames": np.zeros(shape, np.uint8), "state": np.zeros((1, 4), np.float32)})


def test_openvino_s_cache_is_used_and_serves_nothing_stale(small_path, tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("openvino")
    from avgn_edge.engines import openvino as ov

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    served = []
    real = ov.OvEngine._compile

    def compile_model(*arguments):
        compiled = real(*arguments)
        served.append(compiled.get_property("LOADED_FROM_CACHE"))
        return compiled

    monkeypatch.setattr(ov.OvEngine, "_compile", compile_model)
    model = onnx.load(small_path)
    model.graph.node[1].op_type = "Mul"
    inputs = {"frames": np.full((1, 4), 3, np.uint8), "state": np.full((1, 4), 5, np.float32)}
    answers = []
    kept = small_path.stat()
    for content in (None, None, model.SerializeToString()):
        if content is not None:
            assert len(content) == kept.st_size
            small_path.write_bytes(content)
            os.utime(small_path, ns=(kept.st_atime_ns, kept.st_mtime_ns))
        answers.append(open_engine("openvino:CPU").open(small_path).run(inputs)["new_state"].tolist())
    assert served == [False, True, False]
    assert answers == [[[8.0] * 4], [[8.0] * 4], [[15.0] * 4]]
    for blob in (tmp_path / "cache").rglob("*.blob"):  # a disk that was full
        blob.chmod(0o600)
        os.truncate(blob, blob.stat().st_size // 2)
    assert open_engine("openvino:CPU").open(small_path).run(inputs)["new_state"].tolist() == [[15.0] * 4]


def test_a_cache_that_cannot_be_written_stops_nothing(small_path, tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    from avgn_edge.engines import openvino as ov

    (tmp_path / "file").write_text("")
    inputs = {"frames": np.zeros((1, 4), np.uint8), "state": np.zeros((1, 4), np.float32)}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    open_engine("openvino:CPU").open(small_path).run(inputs)
    monkeypatch.setattr(ov, "writable_cache", lambda *_: tmp_path / "file" / "nowhere")  # fails in OpenVINO itself
    open_engine("openvino:CPU").open(small_path).run(inputs)


@pytest.mark.parametrize("asked", [1, 2])
def test_openvino_uses_the_threads_it_is_given_and_never_bf16(asked, probe_path, monkeypatch):
    pytest.importorskip("openvino")
    from avgn_edge._base.processes import usable_cores
    from avgn_edge.engines import openvino as ov

    if usable_cores() < asked:
        pytest.skip("this machine has one core")
    kept = []
    real = ov.OvEngine._compile
    monkeypatch.setattr(ov.OvEngine, "_compile", lambda *given: kept.append(real(*given)) or kept[-1])
    open_engine("openvino:CPU", threads=asked).open(probe_path, "int8")
    assert kept[0].get_property("INFERENCE_NUM_THREADS") == asked
    assert kept[0].get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"
    assert kept[0].get_property("ENABLE_CPU_PINNING") == (asked >= usable_cores())


def test_the_locale_is_as_before_when_the_last_compiling_ends():
    """Two at once as OpenVINO leaves them: each sets "C", and sets back what it found."""
    before = locale.setlocale(locale.LC_ALL)
    keeper = ov.LocaleKeeper()
    try:
        with keeper:
            locale.setlocale(locale.LC_ALL, "C")
            with keeper:
                assert locale.setlocale(locale.LC_ALL) == "C"
            assert locale.setlocale(locale.LC_ALL) == "C"
        assert locale.setlocale(locale.LC_ALL) == before
    finally:
        locale.setlocale(locale.LC_ALL, before)


def test_a_signal_is_survived_after_engines_are_gone():
    """OpenVINO's Cores, ended in the order in which they began, leave a thread no stack for its signals."""
    pytest.importorskip("openvino")
    code = """
import os, signal
from avgn_edge.engines.select import open_engine
from avgn_edge.engines import probe
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
engines = [open_engine("openvino:AUTO"), open_engine("openvino:CPU")]
for engine in engines:
    engine._core.get_property("CPU", "FULL_DEVICE_NAME")
del engine
while engines:
    del engines[0]
os.kill(os.getpid(), signal.SIGTERM)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
