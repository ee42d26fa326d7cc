"""Multiply-accumulates of a run, counted from the ONNX graph itself."""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx
from onnx import shape_inference

from avgn_edge.bundle.manifest import GraphCost
from avgn_edge.errors import BundleError

Shapes = Mapping[str, tuple[int, ...]]

_NOT_COUNTED = frozenset(
    {
        *("Einsum", "LSTM", "GRU", "RNN", "ConvTranspose", "DeformConv", "Attention", "MultiHeadAttention"),
        *("ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "If", "Loop", "Scan"),
    }
)
"""Nodes that multiply, themselves or in a graph inside them, and have no place in a graph that is priced."""


def graph_cost(proto: onnx.ModelProto) -> GraphCost:
    """The cost of a run on n items: a fixed part and a part for each item, in MACs."""
    one = count_macs(proto, 1)
    if not any(dim.dim_param for value in proto.graph.input for dim in value.type.tensor_type.shape.dim):
        return GraphCost(fixed_macs=one, macs_per_item=0)
    per_item = count_macs(proto, 2) - one
    cost = GraphCost(fixed_macs=one - per_item, macs_per_item=per_item)
    if count_macs(proto, 7) != cost.macs(7):
        raise BundleError(
            f"cannot count graph {proto.graph.name}", "its cost is not linear in the items", "report this"
        )
    return cost


def count_macs(proto: onnx.ModelProto, items: int) -> int:
    """MACs of one run with every symbolic dimension set to `items`: Conv, MatMul and Gemm."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(proto)
    # Shapes that the exporter noted are symbolic; inference starts again from the inputs.
    del fixed.graph.value_info[:]
    for value in (*fixed.graph.input, *fixed.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_value = items
    inferred = shape_inference.infer_shapes(fixed, strict_mode=True, data_prop=True).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}
    for value in (*inferred.input, *inferred.output, *inferred.value_info):
        shapes[value.name] = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    return sum(_node_macs(node, shapes) for node in inferred.node)


def _node_macs(node: onnx.NodeProto, shapes: Shapes) -> int:
    if node.op_type in _NOT_COUNTED:
        raise BundleError("cannot count the graph", f"{node.op_type} is not counted", "export without it")
    if node.op_type not in {"Conv", "MatMul", "Gemm"}:
        return 0
    try:
        output, first, second = (shapes[name] for name in (node.output[0], node.input[0], node.input[1]))
    except KeyError as error:
        raise BundleError("cannot count the graph", f"the shape of {error} is unknown", "report this") from error
    if 0 in (*output, *first, *second):
        raise BundleError("cannot count the graph", f"a shape at {node.name} is unknown", "report this")
    if node.op_type == "Conv":
        return math.prod(output) * math.prod(second[1:])  # weights are [out, in/groups, kernel...]
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return math.prod(output) * (first[-2] if transposed else first[-1])
