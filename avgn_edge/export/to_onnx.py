"""One graph module to one checked ONNX file."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

from avgn_edge.errors import BundleError
from avgn_edge.export.network import GraphSpec

OPSET = 20
# Engines run these slowly, wrongly, or not at all.
_UNWANTED = frozenset({"GridSample", "STFT", "DFT", "Loop", "Scan", "If"})


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
