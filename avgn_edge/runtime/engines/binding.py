"""Runs of ONNX Runtime whose arrays are bound to a device's memory: no round trip through the host between graphs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from avgn_edge.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray
    from onnxruntime import InferenceSession, IOBinding, OrtValue

ALIGNMENT = 256
"""Bytes: what TensorRT asks of an address, and cudaMalloc gives."""

_TYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}


class DeviceTensor:
    """Rows of an output that lies in a device's memory. ONNX Runtime's values have no slices; addresses do."""

    def __init__(self, value: OrtValue, session: InferenceSession, rows: range) -> None:
        self._value, self._rows = value, rows
        self._session = session  # its allocator must outlive the memory
        self._dtype: np.dtype[Any] = np.dtype(_TYPES[value.data_type()])
        self._shape = tuple(value.shape())

    def __getitem__(self, rows: slice, /) -> DeviceTensor:
        """Rows of it, without a copy; they must follow one another."""
        chosen = self._rows[rows]
        if len(chosen) == 0 or chosen.step != 1:
            raise ValueError(f"rows {rows} of {len(self._rows)}: one or more that follow one another can be taken")
        return DeviceTensor(self._value, self._session, chosen)

    def __len__(self) -> int:
        return len(self._rows)

    def numpy(self) -> NDArray[Any]:
        """Copy the rows to the host."""
        rows: NDArray[Any] = self._value.numpy()[self._rows.start : self._rows.stop].copy()
        return rows

    def bind(self, binding: IOBinding, name: str, memory: str, index: int) -> None:
        """Give the rows to a run as its input `name`; they must live until the run has ended."""
        skipped = self._rows.start * math.prod(self._shape[1:]) * self._dtype.itemsize
        if skipped % ALIGNMENT and memory != "cpu":  # rows of an odd size: through the host, slower and right
            binding.bind_cpu_input(name, self.numpy())
            return
        shape = [len(self._rows), *self._shape[1:]]
        binding.bind_input(name, memory, index, self._dtype, shape, self._value.data_ptr() + skipped)


class BoundSession:
    """One graph opened by ONNX Runtime, whose kept outputs stay in `memory` ("cuda"; "cpu" to test) number `index`.

    Each run has a binding of its own, so that several threads can run it.
    """

    def __init__(self, session: InferenceSession, device: str, memory: str, index: int = 0) -> None:
        self._session = session
        self._device, self._memory, self._index = device, memory, index
        self._inputs = {value.name for value in session.get_inputs()}
        self._outputs = [value.name for value in session.get_outputs()]

    def run(self, inputs: Mapping[str, Any], keep: Collection[str] = ()) -> dict[str, Any]:
        """Run the graph."""
        if set(inputs) != self._inputs:
            why = f"a graph failed to run (inputs {sorted(inputs)}, needed {sorted(self._inputs)})"
            raise DeviceError(self._device, why, "report this as a fault of avgn-edge")
        try:
            return self._run(inputs, keep)
        except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
            raise DeviceError(self._device, f"a graph failed to run ({error})", "run avgn-edge doctor") from error

    def warm_up(self) -> None:
        """Run once on ones, one item: the first run of a graph loads its kernels, and allocates."""
        ones = {
            value.name: np.ones([size if isinstance(size, int) else 1 for size in value.shape], _TYPES[value.type])
            for value in self._session.get_inputs()
        }
        self.run(ones)

    def _run(self, inputs: Mapping[str, Any], keep: Collection[str]) -> dict[str, Any]:
        binding = self._session.io_binding()
        for name, value in inputs.items():
            if isinstance(value, DeviceTensor):
                value.bind(binding, name, self._memory, self._index)
            else:
                binding.bind_cpu_input(name, np.ascontiguousarray(value))
        for name in self._outputs:
            if name in keep:
                binding.bind_output(name, self._memory, self._index)
            else:
                binding.bind_output(name)
        binding.synchronize_inputs()
        self._session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        results: dict[str, Any] = {}
        for name, value in zip(self._outputs, binding.get_outputs(), strict=True):
            kept = name in keep
            results[name] = DeviceTensor(value, self._session, range(value.shape()[0])) if kept else value.numpy()
        return results
