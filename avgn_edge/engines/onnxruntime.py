"""ONNX Runtime on a CPU, on a GPU through CUDA, and through TensorRT."""

from __future__ import annotations

import contextlib
import io
import math
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from avgn_edge._base.errors import BundleError, DeviceError
from avgn_edge._base.processes import usable_cores
from avgn_edge.engines import probe, tensorrt
from avgn_edge.engines.base import DeviceReport, Int8Variant, import_engine

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from types import ModuleType

    from numpy.typing import NDArray
    from onnxruntime import InferenceSession, IOBinding, OrtValue, SessionOptions

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
QUANTISES_FLOATS: Final = "WeightBiasQuantization"
"""An optimiser that quantises float weights between quantised tensors, also those that calibration keeps in float.

With 8 of MobileNetV2's nodes kept the error was 0.72 in place of 0.09. A name that a release does not know is no error.
"""
SPIN_US: Final = 50
"""Microseconds for which an idle thread stays awake: 20 to 300 were as fast, on two cores."""
BOUNDED_SPINNING: Final = (1, 26)
"""The first release of ONNX Runtime that can be told how long; an earlier one would stay awake for milliseconds."""
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


class OrtEngine:
    """ONNX Runtime on one device.

    Args:
        kind: "cpu", "cuda" or "tensorrt".
        index: Which GPU.
        threads: CPU threads; None for the cores that this process may use.
        asked: What the user called the device, for the report.
        notes: What the report says of the choice.

    Raises:
        DeviceError: ONNX Runtime is not installed, or not for this kind of device.

    """

    def __init__(
        self, kind: str, index: int = 0, *, threads: int | None = None, asked: str = "", notes: tuple[str, ...] = ()
    ) -> None:
        self._ort = _load("cpu" if kind == "cpu" else "gpu")
        self._kind, self._index = kind, index
        self._threads = threads or usable_cores()
        self.device = kind if kind == "cpu" else f"{kind}:{index}"
        self.report = DeviceReport(asked or self.device, self.device, "onnxruntime", self._ort.__version__, notes)
        # U8S8 on ARM and S8S8 on x86 are each slower than FP32.
        on_arm = kind == "cpu" and platform.machine().lower().startswith(("aarch64", "arm"))
        self.int8_variant: Int8Variant = "symmetric" if kind == "tensorrt" else "s8s8" if on_arm else "u8s8"
        if PROVIDERS[kind] not in self._ort.get_available_providers():
            why = f"the installed onnxruntime {self._ort.__version__} was built without {kind.upper()}"
            raise DeviceError(self.device, why, _gpu_advice())
        if kind != "cpu":
            _find_cuda_libraries(self._ort)

    def open(self, path: Path, precision: str = "fp32") -> OrtSession | BoundSession:
        """Open an ONNX file of a precision.

        Raises:
            BundleError: The CPU cannot open it.
            DeviceError: Another device cannot, or ONNX Runtime would run it elsewhere.

        """
        # Without enable_fallback=0 the package goes on with the CPU when a provider fails, saying so on stdout.
        try:
            session = self._ort.InferenceSession(
                str(path),
                self._options(),
                providers=self._providers(path, precision),
                disabled_optimizers=[QUANTISES_FLOATS],
                enable_fallback=0,
            )
        except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
            if self._kind == "cpu":
                raise BundleError(str(path), f"ONNX Runtime cannot open it ({error})", "export it again") from error
            raise self._unusable(str(error)) from error
        used = session.get_providers()[0]
        if used != PROVIDERS[self._kind]:  # the native library falls back by itself, and only this tells
            raise self._unusable(f"onnxruntime fell back to {used}; its log on stderr says why")
        if self._kind == "cpu":
            return OrtSession(session, self.device)
        opened = BoundSession(session, self.device, "cuda", self._index)
        opened.warm_up()
        return opened

    def _unusable(self, why: str) -> DeviceError:
        return DeviceError(self.device, why, "check the driver, CUDA and cuDNN, or choose another --device")

    def _options(self) -> SessionOptions:
        options = self._ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = self._ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        # Errors only, on stderr: they say why CUDA failed. Warnings are about the exporter's style.
        options.log_severity_level = 3
        if self._kind == "cpu" and probe.saturates():
            # INT8 by unsigned weights, exactly: f_G is then as fast as in FP32, and 1.2 to 1.4 times as fast wrongly.
            options.add_session_config_entry(*probe.EXACT)
        for key, value in self._waiting().items():
            options.add_session_config_entry(key, value)
        # Its threads are not tied to cores: on two, a look's f_L took 1.92 ms free and 1.99 ms tied (medians, paired),
        # and two processes would tie theirs to the same ones.
        return options

    def _waiting(self) -> dict[str, str]:
        """Return the settings of how threads wait for their part of an operation: awake for a moment, within a run.

        Threads that sleep between a run's operations wake late: clips took 1.08 to 1.11 times as long. Threads that
        stay awake after the run, which is ONNX Runtime's default, take the cores from the next graph's: six small
        graphs in turn took 17 ms, not 5 to 7. Threads that stay awake all through a run take the cores from other
        processes: beside another like it a clip took 1.1 times as long, with these settings 1.0.
        """
        if tuple(map(int, self._ort.__version__.split(".")[:2])) < BOUNDED_SPINNING:
            return {"session.intra_op.allow_spinning": "0"}
        return {
            "session.intra_op.allow_spinning": "1",
            "session.intra_op.spin_duration_us": str(SPIN_US),
            "session.force_spinning_stop": "1",
        }

    def _providers(self, path: Path, precision: str) -> list[tuple[str, dict[str, Any]]]:
        cpu: tuple[str, dict[str, Any]] = (PROVIDERS["cpu"], {})
        if self._kind == "cpu":
            return [cpu]
        cuda = (PROVIDERS["cuda"], self._cuda())
        if self._kind == "cuda":
            return [cuda, cpu]
        return [(PROVIDERS["tensorrt"], tensorrt.options(self._ort, path, self._index, precision)), cuda, cpu]

    def _cuda(self) -> dict[str, Any]:
        return {
            "device_id": self._index,
            # The exhaustive search takes seconds at the first run of every size.
            "cudnn_conv_algo_search": "HEURISTIC",
            "use_tf32": 0,  # fp32 means fp32
            # A Jetson's GPU shares the machine's memory: take what is asked for, not the next power of two, six times.
            "arena_extend_strategy": "kSameAsRequested",
        }


class OrtSession:
    """One graph opened by ONNX Runtime on the CPU, whose `run` is thread-safe itself."""

    def __init__(self, session: InferenceSession, device: str) -> None:
        self._session = session
        self._device = device
        self._outputs = [output.name for output in session.get_outputs()]

    def run(self, inputs: Mapping[str, Any], keep: Collection[str] = ()) -> dict[str, Any]:  # noqa: ARG002
        """Run the graph; every output is a NumPy array, which stays where the CPU put it."""
        try:
            results = self._session.run(self._outputs, dict(inputs))
        except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
            raise DeviceError(self._device, f"a graph failed to run ({error})", "run avgn-edge doctor") from error
        return dict(zip(self._outputs, results, strict=True))


class BoundSession:
    """One graph opened by ONNX Runtime on a GPU, whose outputs stay there where they are to be kept.

    Each run has a binding of its own, so that several threads can run it.

    Args:
        session: The opened graph.
        device: What errors call the device.
        memory: ONNX Runtime's name for where kept outputs lie: "cuda", or "cpu" in tests.
        index: Which of the devices with such memory.

    """

    def __init__(self, session: InferenceSession, device: str, memory: str, index: int = 0) -> None:
        self._session = session
        self._device, self._memory, self._index = device, memory, index
        self._inputs = {value.name for value in session.get_inputs()}
        self._outputs = [value.name for value in session.get_outputs()]

    def run(self, inputs: Mapping[str, Any], keep: Collection[str] = ()) -> dict[str, Any]:
        """Run the graph; the outputs named in `keep` are `DeviceTensor`."""
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


class DeviceTensor:
    """Rows of an output that lies in a device's memory.

    ONNX Runtime cannot slice its values, but it takes the address at which rows begin.
    """

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


def _load(extra: str = "cpu") -> ModuleType:
    ort = import_engine("onnxruntime", "pip install 'avgn-edge[cpu]'" if extra == "cpu" else _gpu_advice())
    if not hasattr(ort, "InferenceSession"):  # what is left when one of two flavours is removed
        advice = "uninstall onnxruntime and onnxruntime-gpu, then install one of them"
        raise DeviceError("onnxruntime", "its installation is damaged", advice)
    return ort


def _gpu_advice() -> str:
    if Path("/etc/nv_tegra_release").exists():  # PyPI's wheel has no kernels for a Jetson's GPU
        return "install onnxruntime-gpu from NVIDIA's index for this JetPack, without the extra cpu"
    return "in an environment without onnxruntime, pip install 'avgn-edge[gpu]'"


def _find_cuda_libraries(ort: ModuleType) -> None:
    """Load CUDA and cuDNN from NVIDIA's Python packages where they are installed so."""
    if hasattr(ort, "preload_dlls"):
        # It prints what it cannot find, on stdout, which is for data; the session's own error comes later.
        with contextlib.redirect_stdout(io.StringIO()):
            ort.preload_dlls()
