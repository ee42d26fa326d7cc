"""Graphs with half-precision numbers: all of a graph for GPUs, or the weights alone where only size matters."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import TYPE_CHECKING

import numpy as np

from avgn_edge.calibration.preparing import Graph, compact, read_graph
from avgn_edge.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx
    from numpy.typing import NDArray

LARGEST = float(np.finfo(np.float16).max)


def to_half(graph: Graph) -> bytes:
    """Return the graph in float16 within, its inputs and outputs as they were. For GPUs: a CPU only emulates it.

    BundleError for weights that half precision cannot hold.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16  # noqa: PLC0415

    model = read_graph(graph)
    for tensor, value in _floats(model):
        if not np.abs(value).max(initial=0.0) <= LARGEST:
            raise BundleError(
                f"weight {tensor.name}", "half precision cannot hold its values", "leave fp16 out of --precisions"
            )
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # one for every weight too small for a half
        half = convert_float_to_float16(model, keep_io_types=True, op_block_list=[])
    return compact(half)


def _floats(model: onnx.ModelProto) -> Iterator[tuple[onnx.TensorProto, NDArray[np.float32]]]:
    """The graph's float32 initialisers."""
    from onnx import TensorProto, numpy_helper  # noqa: PLC0415

    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            yield tensor, numpy_helper.to_array(tensor)
