"""A float32 graph made ready to be quantised, and a finished graph made small."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from avgn_edge.errors import MissingExtraError

if TYPE_CHECKING:
    import onnx

Graph = bytes | Path
"""An ONNX file, or what is in one."""


def read_graph(graph: Graph) -> onnx.ModelProto:
    """Parse an ONNX graph that has its weights inside; MissingExtraError without the package `onnx`."""
    try:
        import onnx  # noqa: PLC0415 - 0.1 s, and no part of a light installation
    except ImportError as error:
        raise MissingExtraError("INT8 and FP16", "onnx", "export") from error
    return onnx.load_model_from_string(graph if isinstance(graph, bytes) else graph.read_bytes())


def prepare(graph: Graph) -> onnx.ModelProto:
    """Return the graph as ONNX Runtime's quantiser wants it: simplified, and with the shapes of its tensors.

    Inputs and outputs stay as they are. Nodes have names, the same for the same graph.
    """
    import onnx  # noqa: PLC0415
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

    model = read_graph(graph)
    _drop_unused_constants(model)  # ONNX Runtime would name each of them on stderr
    with tempfile.TemporaryDirectory(prefix="avgn-edge-prepare-") as folder:
        given, written = Path(folder) / "given.onnx", Path(folder) / "prepared.onnx"
        given.write_bytes(model.SerializeToString())
        # ONNX's own inference finds every shape of our graphs; the symbolic one would need sympy.
        quant_pre_process(str(given), str(written), skip_symbolic_shape=True)
        prepared = onnx.load(written)
    _drop_unused_constants(prepared)
    return prepared


def compact(model: onnx.ModelProto) -> bytes:
    """Serialise without what only people read, in names of few bytes; the same bytes for the same model.

    The exporter's notes and long names are a fifth of a quantised encoder. Names of inputs and outputs stay.
    """
    from onnxruntime.quantization.onnx_model import ONNXModel  # noqa: PLC0415

    ONNXModel(model).topological_sort()  # the tools that change graphs put what they add at the end
    graph = model.graph
    _drop_unused_constants(model)
    del graph.value_info[:], graph.metadata_props[:], model.metadata_props[:]
    kept = {value.name for value in (*graph.input, *graph.output)} | {""}  # "": an input that is left out
    short: dict[str, str] = {}

    def renamed(name: str) -> str:
        return name if name in kept else short.setdefault(name, f"t{len(short)}")

    for at, node in enumerate(graph.node):
        del node.metadata_props[:]
        node.doc_string, node.name = "", f"n{at}"
        for names in (node.input, node.output):
            names[:] = [renamed(name) for name in names]
    for tensor in graph.initializer:
        tensor.name, tensor.doc_string = renamed(tensor.name), ""
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def constant_sizes(model: onnx.ModelProto) -> dict[str, int]:
    """The graph's constants by name, and how many elements each has."""
    return {tensor.name: math.prod(tensor.dims) for tensor in model.graph.initializer}


def _drop_unused_constants(model: onnx.ModelProto) -> None:
    used = {name for node in model.graph.node for name in node.input} | {value.name for value in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
