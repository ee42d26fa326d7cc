"""A graph in OpenVINO: compiled once for each number of items it is asked for.

Fixed sizes are what an NPU needs, and are quicker on a CPU too: on two AVX-512 cores a run took 0.89–1.0 (f_L),
0.90–1.0 (f_G) and 0.63–0.92 (f_A) of the time that it took with a dynamic size (paired medians), whose first run with
each new number of items is about as slow as compiling for that number from OpenVINO's cache.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from avgn_edge.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from numpy.typing import NDArray
    from openvino import CompiledModel, InferRequest, Model

MOST_SIZES = 4
"""Compiled at a time: each has the weights again, and memory for its intermediate results (f_G of 16: 118 MB)."""

FAULT = "report this as a fault of avgn-edge"

Shapes = tuple[tuple[int, ...], ...]


class OvSession:
    """One graph, with an infer request for each of the runs under way at a time."""

    def __init__(self, model: Model, compile_model: Callable[[Model], CompiledModel], device: str) -> None:
        # Taken before compiling, which may fold an output into an inner tensor and answer by that one's name.
        self._inputs = [value.get_any_name() for value in model.inputs]
        self._outputs = [value.get_any_name() for value in model.outputs]
        self._varying = {
            value.get_any_name(): value.get_partial_shape()
            for value in model.inputs
            if value.get_partial_shape().is_dynamic
        }
        self._model, self._compile, self._device = model, compile_model, device
        self._sizes: OrderedDict[Shapes, _Sized] = OrderedDict()
        self._any_size: _Sized | None = None
        """The graph with a dynamic size, if it can only be had so."""
        self._lock = threading.Lock()
        if not self._varying:  # else the first run tells: f_A is never asked for one item, f_G seldom first
            self._sized(())

    def run(self, inputs: Mapping[str, Any], keep: Collection[str] = ()) -> dict[str, Any]:  # noqa: ARG002
        """Run the graph; every output is a NumPy array."""
        if set(inputs) != set(self._inputs):  # for one left out a request would take what its last run was given
            raise self._failed(f"inputs {sorted(inputs)}, needed {sorted(self._inputs)}", FAULT)
        for name, shape in self._varying.items():  # reshaping would take another size for a fixed one
            if not shape.compatible(type(shape)(list(inputs[name].shape))):
                raise self._failed(f"{name} is {list(inputs[name].shape)}, needed {shape}", FAULT)
        try:
            return self._sized(tuple(inputs[name].shape for name in self._varying)).run(inputs, self._outputs)
        except (RuntimeError, TypeError, ValueError) as error:
            if isinstance(error, DeviceError):
                raise
            raise self._failed(str(error), "run avgn-edge doctor") from error

    def _sized(self, shapes: Shapes) -> _Sized:
        """The graph compiled for these shapes of the inputs that vary; the one unused for longest makes room."""
        with self._lock:
            found = self._sizes.get(shapes)
            if found is None:
                found = self._sizes[shapes] = self._made(shapes)
                while len(self._sizes) > MOST_SIZES:
                    self._sizes.popitem(last=False)
            self._sizes.move_to_end(shapes)
            return found

    def _made(self, shapes: Shapes) -> _Sized:
        if self._any_size is not None:
            return self._any_size
        if not self._varying:
            return _Sized(self._compile(self._model))
        model = self._model.clone()
        model.reshape(dict(zip(self._varying, map(list, shapes), strict=True)))
        try:
            return _Sized(self._compile(model))
        except DeviceError as error:
            # OpenVINO 2026.4 fails on some INT8 graphs of fixed size: a sum of two quantised values one of which it has
            # folded ("AddTransformation"). With a dynamic size it takes them, except on an NPU.
            try:
                self._any_size = _Sized(self._compile(self._model))
            except DeviceError:
                raise error from None
            return self._any_size

    def _failed(self, why: str, what_to_do: str) -> DeviceError:
        return DeviceError(self._device, f"a graph failed to run ({why})", what_to_do)


class _Sized:
    """A compiled graph and the requests that no run is using. None belongs to a thread, which may outlive the graph."""

    def __init__(self, compiled: CompiledModel) -> None:
        self._compiled = compiled
        self._idle: list[InferRequest] = []

    def run(self, inputs: Mapping[str, NDArray[Any]], outputs: list[str]) -> dict[str, NDArray[Any]]:
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        results = request.infer(dict(inputs))  # copies out: a request reuses its output memory
        answer = {name: results[index] for index, name in enumerate(outputs)}
        self._idle.append(request)
        return answer
