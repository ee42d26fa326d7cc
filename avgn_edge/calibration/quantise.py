"""INT8 and half-precision graphs of a float32 graph, made with ONNX Runtime's quantiser."""

from __future__ import annotations

import contextlib
import io
import math
import tempfile
import warnings
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData, create_calibrator
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import add_infer_metadata
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from avgn_edge._base.errors import BundleError, DataError
from avgn_edge.bundle.manifest import INT8_VARIANTS

Graph = bytes | Path
"""An ONNX file, or its content."""
Inputs = Mapping[str, NDArray[Any]]
"""The inputs of one run of a graph, by name."""
LARGEST_HALF = float(np.finfo(np.float16).max)
OPENING = 3
"""Convolutions at a graph's beginning that stay in float: on 3, 32 and 32 channels in MobileNetV2. In INT8 they take
as long or longer (the first 1.7 times), the layout that INT8 wants slows down the normalisation before them, and the
second costs more accuracy than any other. With them in float ONNX Runtime takes 2.1 ms for a frame through f_G in place
of 3.1; with a fourth 3.2. OpenVINO would rather have them in INT8: 1.6 ms in place of 2.1."""
TABLE = 1024
"""Elements from which on a constant that rows are looked up in is quantised: the heads for each number of looks."""
_PRODUCTS = ("Conv", "Gemm", "MatMul")
_OP_TYPES = (*_PRODUCTS, "Clip", "Relu", "Add", "Gather")


def read_graph(graph: Graph) -> onnx.ModelProto:
    """Parse an ONNX graph that has its weights inside."""
    return onnx.load_model_from_string(graph if isinstance(graph, bytes) else graph.read_bytes())


def prepare(graph: Graph) -> onnx.ModelProto:
    """Return the graph as ONNX Runtime's quantiser wants it: simplified, and with the shapes of its tensors.

    Inputs and outputs stay as they are. Nodes have names, the same for the same graph.
    """
    model = read_graph(graph)
    _drop_unused_constants(model)  # ONNX Runtime would name each of them on stderr
    with tempfile.TemporaryDirectory(prefix="avgn-edge-prepare-") as folder:
        original, prepared_file = Path(folder) / "original.onnx", Path(folder) / "prepared.onnx"
        original.write_bytes(model.SerializeToString())
        # ONNX's own inference finds every shape of our graphs; the symbolic one would need sympy.
        quant_pre_process(str(original), str(prepared_file), skip_symbolic_shape=True)
        prepared = onnx.load(prepared_file)
    _drop_unused_constants(prepared)
    return prepared


def compact(model: onnx.ModelProto) -> bytes:
    """Serialise without what only people read, in names of few bytes; the same bytes for the same model.

    The exporter's notes and long names are a fifth of a quantised encoder. Names of inputs and outputs stay.
    """
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


def _drop_unused_constants(model: onnx.ModelProto) -> None:
    used = {name for node in model.graph.node for name in node.input} | {value.name for value in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def to_half(graph: Graph) -> bytes:
    """Return the graph in float16 within, its inputs and outputs as they were. For GPUs: a CPU only emulates it.

    BundleError for weights that half precision cannot hold.
    """
    model = read_graph(graph)
    for tensor in model.graph.initializer:
        is_float = tensor.data_type == TensorProto.FLOAT
        if is_float and not np.abs(numpy_helper.to_array(tensor)).max(initial=0.0) <= LARGEST_HALF:
            raise BundleError(
                f"weight {tensor.name}", "half precision cannot hold its values", "leave fp16 out of --precisions"
            )
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # one for every weight too small for a half
        half = convert_float_to_float16(model, keep_io_types=True, op_block_list=[])
    return compact(half)


def quantise(
    graph: Graph, samples: Sequence[Inputs], variant: str = "u8s8", *, keep_float: Collection[str] = ()
) -> bytes:
    """Return a float32 graph in INT8; `Quantiser` makes several variants of one set of ranges."""
    return Quantiser(graph, samples).quantise(variant, keep_float)


class Quantiser:
    """Makes INT8 graphs of one float32 graph. Their inputs and outputs have its names, types and shapes.

    Quantised are convolutions and products with constant matrices, activations and sums between convolutions, and large
    tables. Attention and what is computed element by element stays in float: it is a small part of the work.
    """

    def __init__(self, graph: Graph, samples: Sequence[Inputs]) -> None:
        if not samples:
            raise DataError("INT8 ranges", "no clip reached the graph", "give clips that have video and sound")
        self._model = prepare(graph)
        self._samples = samples
        self._sizes = {tensor.name: math.prod(tensor.dims) for tensor in self._model.graph.initializer}
        convolutions = [node.name for node in self._model.graph.node if node.op_type == "Conv"]
        self._opening = frozenset(convolutions[:OPENING])

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that can be quantised or kept in float: those with weights, but for the opening."""
        weighty = [node.name for node in self._model.graph.node if self._has_weights(node)]
        return tuple(name for name in weighty if name not in self._opening)

    @cached_property
    def float_graph(self) -> bytes:
        """The graph in float32 whose nodes are quantised."""
        data: bytes = self._model.SerializeToString(deterministic=True)
        return data

    def quantise(self, variant: str = "u8s8", keep_float: Collection[str] = ()) -> bytes:
        """Return the ONNX bytes of one variant, the same for the same samples; `keep_float` are some of `nodes`."""
        if variant not in INT8_VARIANTS:
            raise ValueError(f"{variant!r} is none of {', '.join(INT8_VARIANTS)}")
        unknown = sorted(set(keep_float) - set(self.nodes))
        if unknown:
            raise ValueError(f"there is no node {unknown[0]!r} that could be kept in float")
        symmetric = variant == "symmetric"
        # A copy, for the quantiser works in place. Left to infer shapes itself, it saves the model under a name that is
        # made of the network card's address, and a socket is opened for that.
        model = onnx.shape_inference.infer_shapes(self._model)
        add_infer_metadata(model)
        chosen = self._chosen(keep_float)
        if not chosen:  # to the quantiser an empty list means every node
            return compact(model)
        quantiser = QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8 if variant == "u8s8" else QuantType.QInt8,
            tensors_range=self._ranges,
            nodes_to_quantize=chosen,
            nodes_to_exclude=[],
            op_types_to_quantize=list(_OP_TYPES),
            extra_options={
                "ActivationSymmetric": symmetric,
                "WeightSymmetric": True,
                "QuantizeBias": not symmetric,  # TensorRT takes none in INT32
                # What follows a product in a transformer is in float: rounding in between costs time and accuracy.
                "OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"],
            },
        )
        quantiser.quantize_model()
        quantised: onnx.ModelProto = quantiser.model.model
        _drop_zero_points_of_biases(quantised)
        return compact(quantised)

    @cached_property
    def _ranges(self) -> TensorsData:
        """The smallest and the largest value of every tensor over all samples."""
        with tempfile.TemporaryDirectory(prefix="avgn-edge-ranges-") as folder:
            path, watched = Path(folder) / "graph.onnx", Path(folder) / "watched.onnx"
            path.write_bytes(self.float_graph)
            calibrator = create_calibrator(
                path, augmented_model_path=str(watched), calibrate_method=CalibrationMethod.MinMax
            )
            calibrator.collect_data(_Reader(self._samples))
            return calibrator.compute_data()

    def _chosen(self, keep_float: Collection[str]) -> list[str]:
        """The nodes to quantise, in the graph's order."""
        quantised: set[str] = set()
        chosen = []
        for node in self._model.graph.node:
            if self._has_weights(node):
                takes = node.name not in keep_float and node.name not in self._opening
            elif node.op_type == "Gather":
                takes = self._sizes.get(node.input[0], 0) >= TABLE
            else:
                # An activation or a sum of nothing but what convolutions in INT8 put out. Others would be fed floats,
                # and sums of vectors at the end of a graph are more than OpenVINO's transformations can take.
                takes = node.op_type in {"Clip", "Relu", "Add"} and node.input[0] in quantised
                takes = takes and (node.op_type != "Add" or node.input[1] in quantised)
            if takes:
                chosen.append(node.name)
                if node.op_type in {"Conv", "Clip", "Relu", "Add"}:
                    quantised.update(node.output)
        return chosen

    def _has_weights(self, node: onnx.NodeProto) -> bool:
        return node.op_type in _PRODUCTS and node.input[1] in self._sizes


class _Reader:
    """Samples as ONNX Runtime's calibrators read them."""

    def __init__(self, samples: Sequence[Inputs]) -> None:
        self._left = iter(samples)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """The next sample, or None."""
        following = next(self._left, None)
        return None if following is None else dict(following)


def _drop_zero_points_of_biases(model: onnx.ModelProto) -> None:
    """A zero point that is left out is 0, as that of a bias always is: four bytes a channel."""
    biases = {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.INT32}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and len(node.input) == 3 and node.input[0] in biases:
            del node.input[2]
