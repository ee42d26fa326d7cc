"""One graph module to one ONNX file: exported, checked, its multiply-accumulates counted, compared with PyTorch."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import shape_inference
from torch import nn

from avgn_edge._base.errors import BundleError, DeviceError
from avgn_edge.bundle.manifest import GraphCost
from avgn_edge.calibration.comparison import relative_error
from avgn_edge.engines.select import open_engine
from avgn_edge.export.trained_network import GraphSpec

OPSET = 20
ENGINES = ("cpu", "openvino:CPU")
"""Engines that exported graphs are compared with PyTorch in, where they are installed."""
TOLERANCE = 1e-4
"""Largest difference that an export may show, relative to the range of the output."""
# Engines run these slowly, wrongly, or not at all.
_UNWANTED = frozenset({"GridSample", "STFT", "DFT", "Loop", "Scan", "If"})
_NOT_COUNTED = frozenset(
    {
        *("Einsum", "LSTM", "GRU", "RNN", "ConvTranspose", "DeformConv", "Attention", "MultiHeadAttention"),
        *("ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "If", "Loop", "Scan"),
    }
)
"""Nodes that multiply, themselves or in a graph inside them, and have no place in a graph that is priced."""


def example_inputs(spec: GraphSpec, model: nn.Module, items: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Random inputs of the right shapes and ranges for `items` items."""
    return spec.example(model, items, torch.Generator().manual_seed(seed))


@torch.no_grad()
def export_graph(spec: GraphSpec, model: nn.Module, path: Path) -> onnx.ModelProto:
    """Export one graph, weights inside, and check it; BundleError if it is not what was asked for."""
    module = spec.module(model).eval()
    # Two items, not one: an example of one would be taken for a constant.
    example = example_inputs(spec, model, 2)
    items = torch.export.Dim("n", min=1, max=1024)
    dynamic = tuple({0: items} if spec.batched else {} for _ in example)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for talkative in ("torch.onnx", "onnxscript", "onnx_ir"):
            logging.getLogger(talkative).setLevel(logging.ERROR)
        torch.onnx.export(
            module,
            example,
            path,
            input_names=list(spec.inputs),
            output_names=list(spec.outputs),
            dynamic_shapes=dynamic if spec.batched else None,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    proto = onnx.load(path)
    _forget_where_it_was_made(proto)
    onnx.save(proto, path)
    onnx.checker.check_model(proto, full_check=True)
    _check(spec, proto)
    return proto


def _forget_where_it_was_made(proto: onnx.ModelProto) -> None:
    """Drop the exporter's notes: each node carries a stack trace, with the paths of the machine that exported it."""
    del proto.metadata_props[:], proto.graph.metadata_props[:]
    values = (*proto.graph.input, *proto.graph.output, *proto.graph.value_info)
    for noted in (*proto.graph.node, *proto.graph.initializer, *values):
        noted.doc_string = ""
        del noted.metadata_props[:]


def _check(spec: GraphSpec, proto: onnx.ModelProto) -> None:
    what = f"cannot export graph {spec.name}"
    names = tuple(value.name for value in proto.graph.input), tuple(value.name for value in proto.graph.output)
    if names != (spec.inputs, spec.outputs):
        raise BundleError(what, f"inputs and outputs became {names}", "report this with the version of PyTorch")
    unwanted = sorted({node.op_type for node in proto.graph.node} & _UNWANTED)
    if unwanted:
        raise BundleError(what, f"it contains {', '.join(unwanted)}", "report this with the version of PyTorch")
    for value in proto.graph.input:
        symbolic = [bool(dim.dim_param) for dim in value.type.tensor_type.shape.dim]
        if symbolic[:1] != [spec.batched] or any(symbolic[1:]):
            raise BundleError(what, f"the shape of {value.name} was specialised", "report this with PyTorch's version")


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


def _node_macs(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
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


@dataclass(frozen=True)
class Parity:
    """The largest difference between an engine and PyTorch over a graph's outputs, relative to each output's range."""

    graph: str
    engine: str
    error: float

    @property
    def within(self) -> bool:
        """Whether the export may be written."""
        return self.error <= TOLERANCE


def installed_engines() -> tuple[str, ...]:
    """Those of `ENGINES` that are installed here."""
    return tuple(device for device in ENGINES if _opens(device))


def _opens(device: str) -> bool:
    try:
        open_engine(device)
    except DeviceError:
        return False
    return True


def check_parity(
    spec: GraphSpec, model: nn.Module, path: Path, *, batches: tuple[int, ...] = (1, 3)
) -> Iterator[Parity]:
    """Run a graph in each installed engine and in PyTorch, on the same random inputs.

    Args:
        spec: The graph.
        model: The network that it is a part of.
        path: The exported file.
        batches: Numbers of items to run, for a graph that takes any number; another is run four times.

    Yields:
        The difference in each engine. The range of an output is taken over all runs: two coordinates of one corner may
        be nearly the same number.
    """
    for device in installed_engines():
        session = open_engine(device).open(path)
        pairs: dict[str, list[tuple[NDArray[np.float32], NDArray[np.float32]]]] = {name: [] for name in spec.outputs}
        for seed, items in enumerate(batches if spec.batched else (1,) * 4):
            inputs = example_inputs(spec, model, items, seed + 1)
            with torch.no_grad():
                expected = spec.module(model).eval()(*inputs)
            expected = expected if isinstance(expected, tuple) else (expected,)
            outputs = session.run({name: value.numpy() for name, value in zip(spec.inputs, inputs, strict=True)})
            for name, reference in zip(spec.outputs, expected, strict=True):
                pairs[name].append((outputs[name], reference.numpy()))
        yield Parity(spec.name, device, max(_over_all_runs(several) for several in pairs.values()))


def _over_all_runs(pairs: list[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> float:
    if any(actual.shape != expected.shape for actual, expected in pairs):
        return float("inf")
    actual, expected = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
    return relative_error(actual, expected)
