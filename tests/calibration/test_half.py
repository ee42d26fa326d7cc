"""Graphs in half precision: the same questions, nearly the same answers."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

import onnx
from onnx import TensorProto, helper, numpy_helper

from avgn_edge._base.errors import BundleError
from avgn_edge.architectures.avgn.spec import GRAPHS
from avgn_edge.calibration.quantise import to_half
from avgn_edge.calibration.sensitivity import relative_rms
from avgn_edge.engines.select import open_engine


def fed(file):
    """Inputs of the right shapes and kinds; flags as in a clip of which half is known."""
    random = np.random.default_rng(0)
    made = {}
    for spec in file.inputs:
        shape = [2 if isinstance(size, str) else size for size in spec.shape]
        if spec.dtype in {"bool", "int64"}:
            made[spec.name] = (np.arange(np.prod(shape)).reshape(shape) % 2 + (spec.dtype == "int64")).astype(
                spec.dtype
            )
        else:
            most = 255 if spec.name in {"frames", "patches"} else 1
            made[spec.name] = (random.random(shape) * most).astype(spec.dtype)
    return made


def signature(model):
    return [value.SerializeToString() for value in (*model.graph.input, *model.graph.output)]


def test_answers_stay_and_so_do_inputs_and_outputs(tiny_bundle, device, tmp_path):
    engine = open_engine(device, threads=1)
    for graph in GRAPHS:
        source = tiny_bundle.graph_bytes_path("fp32", graph)
        data = to_half(source)
        assert data == to_half(source.read_bytes())
        path = tmp_path / f"{graph}.onnx"
        path.write_bytes(data)
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        float_model = onnx.load(source)
        assert [v.name for v in model.graph.output] == [v.name for v in float_model.graph.output]
        assert {v.type.tensor_type.elem_type for v in model.graph.output} == {TensorProto.FLOAT}
        assert signature(model)[: len(model.graph.input)] == signature(float_model)[: len(float_model.graph.input)]
        inputs = fed(tiny_bundle.manifest.graphs["fp32"][graph])
        actual, expected = engine.open(path).run(inputs), engine.open(source).run(inputs)
        for name, value in expected.items():
            assert relative_rms(actual[name], value) < 4e-2, (graph, name)


@pytest.mark.parametrize("value", [1e6, np.inf, np.nan])
def test_what_a_half_cannot_hold_is_refused(value):
    large = np.full((64, 64), 0.1, np.float32)
    large[3, 5] = value
    graph = _product(large, np.zeros(64, np.float32))
    with pytest.raises(BundleError, match="matrix"):
        to_half(graph)


def _product(matrix, bias):
    nodes = [helper.make_node("Gemm", ["x", "matrix", "bias"], ["y"])]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 64]) for name in ("x", "y")]
    constants = [numpy_helper.from_array(matrix, "matrix"), numpy_helper.from_array(bias, "bias")]
    graph = helper.make_graph(nodes, "product", values[:1], values[1:], constants)
    opsets = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, ir_version=10, opset_imports=opsets).SerializeToString()
