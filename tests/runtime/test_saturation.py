"""INT8 on CPUs without VNNI: sums of weights with eight bits, as the packaged graphs have, are exact."""

from __future__ import annotations

import numpy as np
import pytest

from avgn_edge.architectures.avgn.spec import GRAPHS
from avgn_edge.bundle.reader import packaged_bundle_path
from avgn_edge.engines import probe
from avgn_edge.engines.select import open_engine

CPUS = {
    "flags\t\t: fpu sse4_2 avx2 fma avx512f avx512bw": True,
    "flags\t\t: fpu avx2 avx512f avx512_vnni avx512_bitalg": False,
    "flags\t\t: fpu avx2 avx_vnni sha_ni": False,
    "flags\t\t: fpu avx2 my_avx_vnni2": True,
}


@pytest.fixture
def without_vnni(monkeypatch, tmp_path):
    """As if this were an x86 CPU with AVX2 alone."""
    (tmp_path / "cpuinfo").write_text("flags\t\t: fpu avx2\n")
    monkeypatch.setattr(probe, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


@pytest.mark.parametrize("flags", CPUS)
def test_flags_tell_whether_sums_saturate(flags, monkeypatch, tmp_path):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}\nbugs\t: avx_vnni_none\n")
    monkeypatch.setattr(probe, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert probe.saturates() is CPUS[flags]


def test_an_unknown_x86_cpu_may_saturate_and_an_arm_one_does_not(monkeypatch, tmp_path):
    monkeypatch.setattr(probe, "CPUINFO", tmp_path / "absent")
    for machine, expected in {"AMD64": True, "x86_64": True, "aarch64": False, "arm64": False}.items():
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        assert probe.saturates() is expected


def product_of_bytes(largest):
    """A quantised product, all activations 255 and all weights `largest`: what it is, and what it comes to."""
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper, types = onnx.helper, onnx.numpy_helper, onnx.TensorProto
    constants = {
        "one": np.float32(1),
        "scale": np.float32(64 * 255),
        "unsigned": np.uint8(0),
        "middle": np.uint8(128),
        "signed": np.int8(0),
        "weights": np.full((64, 16), largest, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "one", "unsigned"], ["bytes"]),
        helper.make_node("DequantizeLinear", ["bytes", "one", "unsigned"], ["values"]),
        helper.make_node("DequantizeLinear", ["weights", "one", "signed"], ["factors"]),
        helper.make_node("MatMul", ["values", "factors"], ["sums"]),
        helper.make_node("QuantizeLinear", ["sums", "scale", "middle"], ["rounded"]),
        helper.make_node("DequantizeLinear", ["rounded", "scale", "middle"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "product",
        [value("x", types.FLOAT, [4, 64])],
        [value("y", types.FLOAT, [4, 16])],
        [numpy_helper.from_array(np.asarray(constant), name) for name, constant in constants.items()],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    return model.SerializeToString(), 64 * 255 * largest


@pytest.mark.parametrize("largest", [64, 127, -127])
def test_sums_of_bytes_are_exact_on_this_cpu(device, largest, tmp_path):
    data, expected = product_of_bytes(largest)
    (tmp_path / "product.onnx").write_bytes(data)
    session = open_engine(device, threads=1).open(tmp_path / "product.onnx", "int8")
    answer = session.run({"x": np.full((4, 64), 255, np.float32)})["y"]
    np.testing.assert_allclose(answer, expected, rtol=1e-6)


def test_onnx_runtime_is_told_to_be_exact_where_sums_would_saturate(without_vnni, monkeypatch):
    pytest.importorskip("onnxruntime")
    key, value = probe.EXACT
    assert open_engine("cpu")._options().get_session_config_entry(key) == value
    monkeypatch.setattr(probe, "saturates", lambda: False)  # there the exact way is the slower one
    with pytest.raises(RuntimeError):
        open_engine("cpu")._options().get_session_config_entry(key)


def test_openvino_is_told_to_be_exact_where_sums_would_saturate(without_vnni, monkeypatch):
    pytest.importorskip("openvino")
    engine = open_engine("openvino:CPU")
    assert engine._config("int8")["LP_TRANSFORMS_MODE"] == "NO"
    assert "LP_TRANSFORMS_MODE" not in engine._config("fp32")
    monkeypatch.setattr(probe, "saturates", lambda: False)
    assert "LP_TRANSFORMS_MODE" not in engine._config("int8")


@pytest.mark.parametrize("graph", GRAPHS)
def test_the_packaged_graphs_need_it(graph):
    """Proved from the weights: two products with unsigned activations exceed 16 bits somewhere in every graph."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(packaged_bundle_path() / "graphs" / "int8" / f"{graph}.onnx")
    weights = [
        onnx.numpy_helper.to_array(one) for one in model.graph.initializer if one.data_type == onnx.TensorProto.INT8
    ]
    assert max(2 * 255 * int(np.abs(one.astype(np.int16)).max()) for one in weights if one.size > 1) >= 2**15


def test_a_graph_that_was_compiled_for_a_cpu_with_vnni_is_not_served_to_one_without(monkeypatch, tmp_path):
    """Two machines may share a home; OpenVINO's cache does not ask whether it was told to be exact."""
    pytest.importorskip("openvino")
    from avgn_edge.engines import openvino

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    data, _ = product_of_bytes(64)
    (tmp_path / "product.onnx").write_bytes(data)
    served = []
    real = openvino.OvEngine._compile
    monkeypatch.setattr(openvino.OvEngine, "_compile", lambda *asked: served.append(real(*asked)) or served[-1])
    for saturates in (False, False, True, True):
        monkeypatch.setattr(probe, "saturates", lambda saturates=saturates: saturates)
        session = open_engine("openvino:CPU", threads=1).open(tmp_path / "product.onnx", "int8")
        session.run({"x": np.full((4, 64), 255, np.float32)})
    assert [compiled.get_property("LOADED_FROM_CACHE") for compiled in served] == [False, True, False, True]
